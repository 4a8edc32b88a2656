"""What the live page costs: processor time with many clients at four updates a second, and what it does to alerts.

Usage: python benchmarks/page.py [--clients 50] [--seconds 10] [--rounds 3] [--rate 1000]

First the web server alone over a made-up market. Then the whole program with all shipped rules, on a local venue at
`--rate` frames a second: rounds without and with the clients in turn, so that what else runs on the machine meets both. The
alert path is what every event waits for and takes: its stages `receive` and `engine`. Venue, monitor and clients are
processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from monitor.clock import SystemClock
from monitor.events import Liquidation, Price
from monitor.testing.fake_view import FakeView
from monitor.testing.ports import free_port
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol
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


ROOT = Path(__file__).resolve().parents[1]
STAGES = ("receive", "engine")
_BUCKET = re.compile(r'monitor_stage_latency_seconds_bucket\{stage="(\w+)",le="([^"]+)"\} (\d+)')


@dataclass(frozen=True, slots=True)
class Reading:
    """What the program has counted so far: buckets by stage and upper bound, processor seconds; and its memory."""

    buckets: dict[str, dict[float, int]]
    cpu_s: float
    resident_bytes: float

    @classmethod
    def of(cls, text: str) -> Reading:
        """Out of the text of a scrape."""
        buckets: dict[str, dict[float, int]] = defaultdict(dict)
        for stage, bound, count in _BUCKET.findall(text):
            buckets[stage][float(bound)] = int(count)
        plain = dict(re.findall(r"^(process_\w+) (\S+)$", text, re.MULTILINE))
        return cls(
            dict(buckets),
            float(plain["process_cpu_seconds_total"]),
            float(plain["process_resident_memory_bytes"]),
        )

    def quantile_s(self, before: Reading, stage: str, share: float) -> float:
        """Of what came since `before`, inside its bucket by interpolation."""
        counts = {bound: count - before.buckets[stage][bound] for bound, count in self.buckets[stage].items()}
        bounds = sorted(counts)
        wanted, low, seen = share * counts[bounds[-1]], 0.0, 0
        for bound in bounds:
            if counts[bound] >= wanted:
                return low + (min(bound, 2 * low or bound) - low) * (wanted - seen) / max(1, counts[bound] - seen)
            low, seen = bound, counts[bound]
        return low


@contextlib.asynccontextmanager
async def venue(rate: float) -> AsyncIterator[VenueServer]:
    """A local venue with prices and liquidations of all its instruments."""
    clock, instruments = SystemClock(), list(instruments_of("bybit"))

    async def publish(server: VenueServer) -> None:
        dice, due = random.Random(7), time.monotonic()
        for number in itertools.count():
            item, now_ns = instruments[number % len(instruments)], clock.wall_ns()
            event: Price | Liquidation = Price(item, "mark", 100 * (1 + dice.random() / 1000), now_ns, now_ns)
            if number % 10 == 0:
                event = Liquidation(item, "long", int(dice.paretovariate(1.3) * 9e9), 100.0, now_ns, now_ns)
            await server.publish(event)
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async with VenueServer(make_protocol("bybit", instruments), clock) as server:
        publishing = asyncio.create_task(publish(server))
        try:
            yield server
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)


@contextlib.asynccontextmanager
async def program(server: VenueServer) -> AsyncIterator[str]:
    """The whole program on that venue, with all shipped rules; its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(
            f"listen: 127.0.0.1:{port}\ndata_dir: data\nrules: ['{ROOT}/rules/*.yaml']\nbackfill: false\n"
            f"feeds:\n  - {{venue: bybit, channels: [price, liquidations], symbols: '*', ws_url: '{server.ws_url}', rest_url: '{server.rest_url}'}}\n"
            "sinks: [{type: file, path: data/alerts.jsonl}]\nlog: {level: error}\n",
            encoding="utf-8",
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "monitor", "--config", config, cwd=folder)
        url = f"http://127.0.0.1:{port}"
        try:
            await ready(url)
            yield url
        finally:
            process.terminate()
            await process.wait()


async def ready(url: str) -> None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"{url}/readyz") as reply:
                    if reply.status == 200:
                        return
            await asyncio.sleep(0.2)


async def read(url: str) -> Reading:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as reply:
        return Reading.of(await reply.text())


async def round_with(url: str, count: int, seconds: float) -> list[float]:
    """Share of a core, then p50 and p99 of each stage in seconds, over one round."""
    arguments = [__file__, CLIENT, url, "--clients", str(count), "--seconds", str(seconds + 2)]
    other = (
        await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=subprocess.DEVNULL) if count else None
    )
    await asyncio.sleep(2.0)
    before, began = await read(url), time.monotonic()
    await asyncio.sleep(seconds)
    after, took_s = await read(url), time.monotonic() - began
    if other:
        await other.wait()
    quantiles = [after.quantile_s(before, stage, share) for stage in STAGES for share in (0.5, 0.99)]
    return [(after.cpu_s - before.cpu_s) / took_s, *quantiles]


async def whole(count: int, seconds: float, rounds: int, rate: float) -> None:
    """Rounds without and with clients in turn, and their medians."""
    seen: dict[int, list[list[float]]] = {0: [], count: []}
    async with venue(rate) as server, program(server) as url:
        await asyncio.sleep(3.0)
        for clients_now in (0, count) * rounds:
            seen[clients_now].append(await round_with(url, clients_now, seconds))
        resident_mib = (await read(url)).resident_bytes / 2**20
    print(
        f"\nwhole program, {rate:.0f} frames/s, all shipped rules, {os.cpu_count()} cores, medians of {rounds} rounds"
    )
    print("clients     core   receive p50      p99   engine p50      p99")
    for clients_now, found in seen.items():
        core, *times = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{clients_now:>7} {core:>8.1%} " + " ".join(f"{value * 1e3:>9.2f} ms" for value in times))
    cost = statistics.median(row[0] for row in seen[count]) - statistics.median(row[0] for row in seen[0])
    print(f"{count} clients cost {cost:.1%} of a core; resident memory at the end {resident_mib:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument(CLIENT, metavar="URL", help="listen instead of serving")
    options = parser.parse_args()
    if options.as_client:
        asyncio.run(clients(options.as_client, options.clients, options.seconds))
    else:
        asyncio.run(serve(options.clients, options.seconds))
        asyncio.run(serve(0, min(options.seconds, 4)))
        asyncio.run(whole(options.clients, options.seconds, options.rounds, options.rate))


if __name__ == "__main__":
    main()
