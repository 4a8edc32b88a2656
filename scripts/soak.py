"""Run the monitor at a steady message rate and watch its memory.

    python scripts/soak.py --rate 5000 --minutes 10                  # one venue, prices
    python scripts/soak.py --venues all --rate 30000 --minutes 10    # all venues at once: trades, prices, liquidations

Local venue servers send synthetic frames, ``--rate`` per second in all, to the real program, a child process. Prints
its resident memory every 30 s, and at the end the slope over the second half, what it dropped, how late frames were read
(the 99th percentile of receipt against the sender's stamp, and of receipt to verdict). Exit code 1 when it dropped a
frame or fell behind.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from msgspec import structs

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monitor.clock import SystemClock
from monitor.events import Channel, Liquidation, MarketEvent, Price, PriceKind, Trade
from monitor.feeds import FEEDS, feed_class
from monitor.instruments import Instrument
from monitor.testing.ports import free_port
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol
from tests.integration.test_venues import instrument_of

RULES = Path(__file__).resolve().parents[1] / "rules"
STEP_S = 0.01
EVERY_S = 30.0
COINS = 100
MOST_AT_ONCE = 600
PRICES: tuple[PriceKind, ...] = ("mark", "mark", "mid")
SPOT_PRICES: tuple[PriceKind, ...] = ("last", "last", "mid")
EVERYTHING = frozenset({Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS})
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*?)\})? (\S+)", re.MULTILINE)


class Market:
    """One venue with its local server and an endless supply of synthetic events for it."""

    def __init__(self, venue: str, kinds: frozenset[Channel]) -> None:
        self.venue = venue
        self.instruments = many_of(instrument_of(venue))
        laws = feed_class(venue).spec.laws
        self.channels = sorted(kind for kind in kinds if kind in laws and laws[kind].kind != "not_covered")
        self.server = VenueServer(make_protocol(venue, self.instruments), SystemClock())
        self._number = 0

    def events(self, count: int, now_ns: int) -> list[MarketEvent]:
        """The next events: three fifths trades, one in twenty a liquidation, the rest prices, as far as there are such."""
        return [self._event(now_ns) for _ in range(count)]

    def _event(self, now_ns: int) -> MarketEvent:
        self._number = number = self._number + 1
        instrument = self.instruments[number % len(self.instruments)]
        value = 100.0 + number % 997 / 100
        if Channel.LIQUIDATIONS in self.channels and number % 20 == 0:
            return Liquidation(instrument, "long", 50_000_000_000, value, now_ns, now_ns, f"{number}")
        if Channel.TRADES in self.channels and number % 5 < 3:
            return Trade(instrument, "buy", 1_000_000_000, value, now_ns, now_ns)
        kinds = SPOT_PRICES if instrument.kind == "spot" else PRICES
        return Price(instrument, kinds[number % len(kinds)], value, now_ns, now_ns)


def many_of(bitcoin: Instrument) -> list[Instrument]:
    """The venue's Bitcoin contract, and made-up coins that are listed as it is."""
    written = "XBT" if "XBT" in bitcoin.symbol else "BTC"
    return [bitcoin, *(_listed_as(bitcoin, written, f"C{number:02}") for number in range(1, COINS))]


def _listed_as(bitcoin: Instrument, written: str, coin: str) -> Instrument:
    settle = coin if bitcoin.settle == bitcoin.base else bitcoin.settle
    return structs.replace(bitcoin, symbol=bitcoin.symbol.replace(written, coin), base=coin, settle=settle)


async def send(markets: list[Market], rate: float) -> None:
    """Publish at a rate, for ever; what is late is sent at once."""
    clock = SystemClock()
    sent, began_s = 0, time.monotonic()
    while True:
        due = int((time.monotonic() - began_s) * rate)
        while sent < due:
            share = max(1, min(due - sent, MOST_AT_ONCE) // len(markets))
            for market in markets:
                sent += await market.server.publish(*market.events(share, clock.wall_ns()))
        await asyncio.sleep(STEP_S)


def resident_mib(process_id: int) -> float:
    """Resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def total(metrics: str, name: str, contains: str = "") -> float:
    """The sum of a metric's samples."""
    found = _SAMPLE.findall(metrics)
    return sum(float(value) for found_name, labels, value in found if found_name == name and contains in labels)


def p99_s(metrics: str, stage: str) -> float:
    """The upper edge of the histogram bucket that holds the 99th percentile."""
    samples = _SAMPLE.findall(metrics)
    rows = [(labels, float(value)) for name, labels, value in samples if name == "monitor_stage_latency_seconds_bucket"]
    edges = [
        (float(edge[1]), count)
        for labels, count in rows
        if f'stage="{stage}"' in labels and (edge := re.search(r'le="([^"]+)"', labels))
    ]
    edges.sort()
    return (
        next((edge for edge, count in edges if count >= 0.99 * edges[-1][1]), float("nan")) if edges else float("nan")
    )


async def soak(markets: list[Market], rate: float, minutes: float, folder: Path, rules: list[str]) -> int:
    """Run it and print the figures."""
    port = free_port()
    async with AsyncExitStack() as stack:
        for market in markets:
            await stack.enter_async_context(market.server)
        config = folder / "config.yaml"
        config.write_text(configuration(port, folder, markets, rules), encoding="utf-8")
        command = (sys.executable, "-m", "monitor", "--config", str(config))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        sending = asyncio.create_task(begin(markets, rate))
        try:
            return await watch(process.pid, f"http://127.0.0.1:{port}/metrics", rate, minutes)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            process.terminate()
            await process.wait()


async def begin(markets: list[Market], rate: float) -> None:
    """Send once every venue has a subscriber."""
    for market in markets:
        await market.server.wait_for("subscribes", timeout_s=60.0)
    await send(markets, rate)


def configuration(port: int, folder: Path, markets: list[Market], rules: list[str]) -> str:
    """Every market as a feed, the given rules."""
    lines = [
        f"listen: 127.0.0.1:{port}",
        f"data_dir: {folder}/state",
        f"rules: [{', '.join(rules)}]",
        "sinks: [{type: file, path: alerts.jsonl}]",
        "backfill: false",
        "log: {level: warning}",
        "feeds:",
    ]
    for market in markets:
        lines += [
            f"  - venue: {market.venue}",
            f"    channels: [{', '.join(market.channels)}]",
            '    symbols: "*"',
            f"    ws_url: {market.server.ws_url}",
            f"    rest_url: {market.server.rest_url}",
        ]
    return "\n".join(lines)


async def watch(process_id: int, url: str, rate: float, minutes: float) -> int:
    """Read memory every half minute, metrics at the end."""
    began_s = time.monotonic()
    memory: list[tuple[float, float]] = []
    while (passed_s := time.monotonic() - began_s) < minutes * 60:
        await asyncio.sleep(min(EVERY_S, minutes * 60 - passed_s))
        memory.append((time.monotonic() - began_s, resident_mib(process_id)))
        print(f"{memory[-1][0]:6.0f} s  {memory[-1][1]:7.1f} MiB", flush=True)
    async with aiohttp.ClientSession() as http, http.get(url) as reply:
        metrics = await reply.text()
    return conclude(metrics, memory, rate)


def conclude(metrics: str, memory: list[tuple[float, float]], rate: float) -> int:
    """Print what it comes to."""
    late = memory[len(memory) // 2 :]
    if len(late) > 1:
        slope = statistics.linear_regression(*zip(*late, strict=True)).slope * 60
        print(f"slope over the second half: {slope:+.2f} MiB/min")
    frames = total(metrics, "monitor_feed_frames_total")
    dropped = total(metrics, "monitor_events_dropped_total") - total(
        metrics, "monitor_events_dropped_total", 'reason="duplicate"'
    )
    arrived = frames / memory[-1][0]
    print(f"frames {frames:,.0f} ({arrived:,.0f}/s)  dropped {dropped:,.0f}")
    print(f"p99 receive <= {p99_s(metrics, 'receive') * 1e3:g} ms, engine <= {p99_s(metrics, 'engine') * 1e3:g} ms")
    return 0 if not dropped and arrived > 0.9 * rate else 1


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000.0, help="frames per second (default 5000)")
    parser.add_argument("--venues", nargs="+", default=["bybit"], help="their names, or all (default: bybit, prices)")
    parser.add_argument("--rules", nargs="+", default=[f"{RULES}/price.yaml", f"{RULES}/venues.yaml"], metavar="FILE")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitor-soak-") as folder:
        rules = [str(Path(name).resolve()) for name in options.rules]
        return asyncio.run(soak(markets_of(options.venues), options.rate, options.minutes, Path(folder), rules))


def markets_of(venues: list[str]) -> list[Market]:
    """A market for each venue; one venue alone has prices only, which are one frame each."""
    names = list(FEEDS) if venues == ["all"] else venues
    return [Market(name, EVERYTHING if len(names) > 1 else frozenset({Channel.PRICE})) for name in names]


if __name__ == "__main__":
    sys.exit(main())
