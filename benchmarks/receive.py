"""Receive ladder: frames per second from a loopback socket to the engine's door, four ways in one run.

    .venv/bin/python benchmarks/receive.py [--frames 600000] [--rounds 3]

A second process sends made-up Binance frames as fast as TCP takes them (80 % aggTrade, 15 % markPrice, 5 % forceOrder).
Each rung receives the same bytes:

* naive: ``async for`` over `websockets`, `json.loads`, one dictionary sum per message
* async-for: ``async for`` over `websockets`, our decoder, per message
* frames: our transport, frames counted, nothing decoded
* end-to-end: our transport, our decoder, counters, pump, and a flush that sums each batch: what a feed runs

Compression is off, as most venues have it. CPU is that of the receiving process and does not count waiting, so it holds on a shared machine; frames per second is
wall time. The burst line is 5,000 frames asked for and drained into the engine, from request to last event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import structlog
from websockets.asyncio.client import connect as plain_connect
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from benchmarks.sender import serve
from monitor.clock import SystemClock
from monitor.events import Channel, Liquidation, Trade
from monitor.feed import Connection, FeedOptions, Frame, Topic
from monitor.feeds import make_feed
from monitor.instruments import Instrument, Registry
from monitor.runtime.feeds.desk import Desk
from monitor.runtime.feeds.link import Link
from monitor.runtime.feeds.liveness import Liveness
from monitor.runtime.feeds.patience import Patience
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.pump import Pump, StreamEvent
from monitor.transports import ws

SYMBOLS = [f"C{number:03}USDT" for number in range(200)]
BLOCK = 5_000
BURST = 5_000
CLOCK = SystemClock()


def frame(rng: Random, number: int) -> str:
    """One made-up frame."""
    symbol, ms = rng.choice(SYMBOLS), 1_763_700_000_000 + number
    price, quantity = f"{rng.uniform(1, 90_000):.2f}", f"{rng.uniform(0.001, 5):.3f}"
    kind = rng.random()
    if kind < 0.8:
        return (
            f'{{"e":"aggTrade","E":{ms},"a":{number},"s":"{symbol}","p":"{price}","q":"{quantity}",'
            f'"f":{number},"l":{number},"T":{ms},"m":{str(kind < 0.4).lower()}}}'
        )
    if kind < 0.95:
        return (
            f'{{"e":"markPriceUpdate","E":{ms},"s":"{symbol}","p":"{price}","i":"{price}","P":"{price}",'
            f'"r":"0.00010000","T":1763712000000}}'
        )
    return (
        f'{{"e":"forceOrder","E":{ms},"o":{{"s":"{symbol}","S":"SELL","o":"LIMIT","f":"IOC","q":"{quantity}","p":"{price}",'
        f'"ap":"{price}","X":"FILLED","l":"{quantity}","z":"{quantity}","T":{ms}}}}}'
    )


def block() -> bytes:
    """Serialised frames of one block."""
    rng = Random(1)
    return b"".join(
        WireFrame(Opcode.TEXT, frame(rng, number).encode()).serialize(mask=False) for number in range(BLOCK)
    )


async def send() -> None:
    """The sending process: any text frame holding a number asks for that many frames."""
    payload = block()

    async def answer(writer: asyncio.StreamWriter, asked: bytes) -> None:
        for _ in range(int(asked) // BLOCK):
            writer.write(payload)
            await writer.drain()

    await serve(answer)


class Engine:
    """Stands for the engine: one pass over each batch, and a note of when enough has come."""

    def __init__(self) -> None:
        self.micros: defaultdict[str, int] = defaultdict(int)
        self.fed = asyncio.Event()

    def take(self, events: list[StreamEvent], _now_ns: int) -> None:
        """Sum dollars by kind."""
        self.micros["trades"] += sum(event.usd_micros for event in events if type(event) is Trade)
        self.micros["liquidations"] += sum(event.usd_micros for event in events if type(event) is Liquidation)
        self.fed.set()


def feed_parts(url: str, engine: Engine) -> tuple[Desk, Connection]:
    """A real feed's decoder and counters around the stub engine."""
    channels = frozenset({Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS, Channel.FUNDING})
    feed = make_feed("binance_usdm", FeedOptions(channels=channels, ws_url=url))
    instruments = (
        Instrument(venue="binance_usdm", symbol=symbol, base=symbol[:4], quote="USDT", settle="USDT", kind="perp", funding_interval_h=8.0)
        for symbol in SYMBOLS
    )  # fmt: skip
    registry, stats, pump = Registry(instruments), FeedStats("binance_usdm"), Pump(engine.take, CLOCK)
    desk = Desk(
        feed=feed,
        registry=registry,
        pump=pump,
        clock=CLOCK,
        stats=stats,
        log=structlog.get_logger(),
        rng=Random(1),
        settings=FeedSettings(),
        liveness=Liveness(stats, feed.sources(), pump.append, CLOCK.wall_ns()),
        on_unknown=lambda: None,
    )
    topics = (Topic("!forceOrder@arr", (Channel.LIQUIDATIONS,)), Topic("!markPrice@arr@1s", (Channel.PRICE,)))
    return desk, Connection("bench/0", f"{url}/market/ws", topics)


async def naive(url: str, frames: int) -> None:
    """What a first version looks like."""
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    async with plain_connect(f"{url}/market/ws", compression=None, max_queue=1024) as socket:
        await socket.send(str(frames))
        async for message in socket:
            row = json.loads(message)
            data = row.get("o", row)
            sums[row["e"], data["s"]] += float(data["p"]) * float(data.get("q", 0))
            frames -= 1
            if not frames:
                return


async def async_for(url: str, frames: int) -> None:
    """The library's own interface with our decoder."""
    desk, connection = feed_parts(url, engine := Engine())
    session = desk.feed.session(connection, desk.registry)
    async with plain_connect(connection.url, compression=None, max_queue=1024) as socket:
        await socket.send(str(frames))
        async for message in socket:
            engine.take(list(session.on_frame(message, CLOCK.wall_ns())), 0)
            frames -= 1
            if not frames:
                return


class Counter:
    """Counts frames and does nothing with them."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.done = asyncio.Event()

    def on_open(self, socket: ws.WebSocket) -> None:
        """Ask for the frames."""
        socket.send(str(self.wanted))

    def on_frames(self, frames: list[Frame], _recv_ns: int) -> None:
        """Count."""
        self.wanted -= len(frames)
        if self.wanted <= 0:
            self.done.set()

    def on_lost(self, loss: ws.Loss) -> None:
        """A benchmark that loses its connection must not report a figure."""
        if self.wanted > 0:
            raise RuntimeError(loss)


async def frames_only(url: str, frames: int) -> None:
    """Our transport alone."""
    counter = Counter(frames)
    socket = await ws.connect(f"{url}/market/ws", counter, clock=CLOCK)
    await counter.done.wait()
    socket.close()


async def open_link(url: str) -> tuple[Desk, Link, Engine]:
    """A link as the supervisor opens it."""
    desk, connection = feed_parts(url, engine := Engine())
    link = Link(desk, connection, 1, lambda _link: None, patience=Patience(desk.feed.spec.idle_s))
    await ws.connect(connection.url, link, clock=CLOCK)
    return desk, link, engine


async def drained(desk: Desk, engine: Engine, frames: int) -> None:
    """Wait until so many frames have come and the engine has taken their events."""
    while desk.stats.frames < frames or len(desk.pump):
        engine.fed.clear()
        await engine.fed.wait()
    assert not desk.stats.decode_errors, desk.stats.decode_errors


async def end_to_end(url: str, frames: int) -> None:
    """What a feed runs."""
    desk, link, engine = await open_link(url)
    link.send(str(frames))
    await drained(desk, engine, frames)
    link.close()


async def bursts(url: str, count: int = 40) -> list[tuple[float, float]]:
    """Milliseconds from asking for a burst to its last event in the engine: passed, and spent by this process."""
    desk, link, engine = await open_link(url)
    took = []
    for number in range(1, count + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        link.send(str(BURST))
        await drained(desk, engine, number * BURST)
        took.append(((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
        await asyncio.sleep(0.02)
    link.close()
    return took


RUNGS: dict[str, Callable[[str, int], Awaitable[None]]] = {
    "naive": naive,
    "async-for": async_for,
    "frames": frames_only,
    "end-to-end": end_to_end,
}


def measure(run: Callable[[str, int], Awaitable[None]], url: str, frames: int) -> tuple[float, float]:
    """Frames per second of wall time, and microseconds of CPU per frame."""

    async def once() -> None:
        await run(url, frames)

    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(once())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return frames / wall, cpu / frames * 1e6


def main() -> None:
    """Run every rung in turn, `rounds` times, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(send())
        return
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    sender = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert sender.stdout is not None
        url = f"ws://127.0.0.1:{sender.stdout.readline().strip()}"
        report(url, options.frames // BLOCK * BLOCK, options.rounds)
    finally:
        sender.terminate()
        sender.wait()


def report(url: str, frames: int, rounds: int) -> None:
    """Print the ladder and the burst."""
    results: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for name, run in RUNGS.items():
            count = frames if name != "naive" else frames // 3 // BLOCK * BLOCK
            results[name].append(measure(run, url, count))
    mean = len(block()) / BLOCK
    print(
        f"Python {platform.python_version()}, websockets {version('websockets')}, {frames} frames of {mean:.0f} B on average"
    )
    print(f"{'rung':12} {'frames/s':>10} {'CPU us/frame':>13} {'x naive':>8}")
    base = statistics.median(speed for speed, _ in results["naive"])
    for name, figures in results.items():
        speed, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{name:12} {speed:10,.0f} {cpu:13.2f} {speed / base:8.1f}")
    passed, spent = zip(*asyncio.run(bursts(url)), strict=True)
    print(
        f"burst of {BURST} frames: median {statistics.median(passed):.1f} ms (CPU {statistics.median(spent):.1f} ms), "
        f"best {min(passed):.1f} ms, worst {max(passed):.1f} ms"
    )


if __name__ == "__main__":
    main()
