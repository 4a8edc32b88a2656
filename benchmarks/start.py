"""Start and end of the real program: seconds from the command to the first price, and from SIGTERM to the exit.

    python benchmarks/start.py [--rounds 5]

A local Bybit (synthetic, 22 contracts) answers at once, so that the network costs nothing. The program is a fresh process
each time, with the shipped rules on prices and an empty state directory; the first price is the first one in ``/metrics``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from monitor.clock import SystemClock
from monitor.events import Price
from monitor.testing.ports import free_port
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol

ROOT = Path(__file__).resolve().parent.parent
LOOK_S = 0.02


async def quote(server: VenueServer) -> None:
    """Publish a price of every contract, ten times a second, for ever."""
    clock = SystemClock()
    while True:
        now_ns = clock.wall_ns()
        await server.publish(*(Price(item, "mark", 100.0, now_ns, now_ns) for item in instruments_of("bybit")))
        await asyncio.sleep(0.1)


async def first_price(url: str) -> None:
    """Return when the program shows a price."""
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/metrics") as reply:
                    if "\nmarket_price_usd{" in await reply.text():
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(LOOK_S)


async def once(server: VenueServer) -> tuple[float, float]:
    """Seconds to the first price, and to the exit."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="monitor-start-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(
            f"listen: 127.0.0.1:{port}\ndata_dir: {folder}/state\nrules: [{ROOT}/rules/price.yaml]\nlog: {{level: error}}\n"
            f"feeds: [{{venue: bybit, channels: [price], ws_url: '{server.ws_url}', rest_url: '{server.rest_url}'}}]\n",
            encoding="utf-8",
        )
        began_s = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "monitor", "--config", str(config), cwd=ROOT, env=dict(os.environ)
        )
        async with asyncio.timeout(30):
            await first_price(f"http://127.0.0.1:{port}")
        shown_s = time.perf_counter()
        process.terminate()
        if await process.wait():
            raise SystemExit(f"it ended with {process.returncode}")
        return shown_s - began_s, time.perf_counter() - shown_s


async def main() -> None:
    """Run the rounds and print medians and extremes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    async with VenueServer(make_protocol("bybit", instruments_of("bybit")), SystemClock()) as server:
        quoting = asyncio.create_task(quote(server))
        found = [await once(server) for _ in range(rounds)]
        quoting.cancel()
    for name, seconds in zip(("command to first price", "SIGTERM to exit"), zip(*found, strict=True), strict=True):
        print(f"{name:24} median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s, {rounds} rounds")


if __name__ == "__main__":
    asyncio.run(main())
