"""What the live page costs: processor time of the server with many clients at four updates a second.

Usage: python benchmarks/page.py [--clients 50] [--seconds 10]

The clients run in a process of their own, so that only the server is measured. Every update moves the market, so that
the busiest sections change each time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time

import aiohttp
from aiohttp import web

from monitor.testing.fake_view import FakeView
from monitor.web.server import BROADCASTER, make_app

CLIENT = "--as-client"


async def listen(url: str, seconds: float) -> int:
    total = 0
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**22) as session,
        session.get(f"{url}/events") as reply,
    ):
        end = time.monotonic() + seconds
        async for chunk in reply.content.iter_any():
            total += chunk.count(b"event: ")
            if time.monotonic() > end:
                return total
    return total


async def clients(url: str, count: int, seconds: float) -> None:
    seen = await asyncio.gather(*(listen(url, seconds) for _ in range(count)))
    print(f"{statistics.mean(seen) / seconds:.1f} updates/s to each of {count} clients")


async def serve(count: int, seconds: float) -> None:
    view = FakeView()
    runner = web.AppRunner(make_app(view), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://127.0.0.1:{1}".format(*runner.addresses[0])
    arguments = [__file__, CLIENT, url, "--clients", str(count), "--seconds", str(seconds)]
    other = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.PIPE) if count else None
    while runner.app[BROADCASTER].clients < count:  # noqa: ASYNC110 - the broadcaster has no event for it
        await asyncio.sleep(0.05)
    lags, used, start = [], time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds - 1:
        due = time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - due)
        if len(lags) % 20 == 0:
            view.advance(0.2)
    share = (time.process_time() - used) / (time.perf_counter() - start)
    lags.sort()
    if other:
        said, _ = await other.communicate()
        print(said.decode().strip())
    print(
        f"server with {count} clients: {share:.1%} of a core; event loop late p50 {lags[len(lags) // 2] * 1e3:.2f} ms, p99 {lags[int(len(lags) * 0.99)] * 1e3:.2f} ms"
    )
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(CLIENT, metavar="URL", help="listen instead of serving")
    options = parser.parse_args()
    if options.as_client:
        asyncio.run(clients(options.as_client, options.clients, options.seconds))
    else:
        asyncio.run(serve(options.clients, options.seconds))
        asyncio.run(serve(0, min(options.seconds, 4)))


if __name__ == "__main__":
    main()
