"""Socket to alert: latency from the bytes on the socket to the verdict of every rule, at a steady rate, two ways in one run.

    .venv/bin/python benchmarks/pipeline.py [--rate 10000] [--seconds 10] [--rules 20] [--even]

A second process sends made-up Binance frames (`receive.frame`) at the given rate; each carries its sending time. Both
versions run the same decoder, the same engine and the same rules:

* naive: ``async for`` over `websockets`, one ingest and one evaluation of every rule per message
* ours: the program's own transport, link, pump, engine room and life cycle; the batch is the backlog

sent -> verdict is measured on one machine's clock, per message; read -> verdict starts at our own socket read. An idle
client that only notes the arrival gives the machine's floor. Every frame that is sent is accounted for.

The sender sleeps between messages, which an event loop does in whole milliseconds: they come in bunches of ten or so. With
``--even`` it spins on a core of its own instead, and they come one by one.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import structlog
from websockets.asyncio.client import connect as plain_connect
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from benchmarks.receive import CLOCK, Counter, frame
from benchmarks.sender import serve
from monitor.alerts.lifecycle import Lifecycle
from monitor.engine import Engine
from monitor.events import Channel
from monitor.feed import Connection, FeedOptions, Frame, Topic
from monitor.feeds import make_feed
from monitor.instruments import Instrument, Registry
from monitor.language import load_rules
from monitor.runtime.feeds.desk import Desk, Tap
from monitor.runtime.feeds.link import Link
from monitor.runtime.feeds.liveness import Liveness
from monitor.runtime.feeds.patience import Patience
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.market import MarketBoard
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.engine_room import EngineRoom
from monitor.runtime.steps.journal import Journal
from monitor.runtime.steps.pump import Pump
from monitor.telemetry.latency import LatencyHistogram
from monitor.telemetry.view import STAGES
from monitor.transports import ws

SYMBOLS = [f"C{number:03}USDT" for number in range(200)]
Run = Callable[[str, int, float, int], Coroutine[None, None, tuple["Times", str]]]
CHANNELS = frozenset({Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS, Channel.FUNDING})
STAMP = re.compile(r'"E":(\d+)')
TEMPLATES = (
    "sum(liquidations[1h]) > {n}B",
    'sum(liquidations{{side="long"}}[4h]) by (base) > {n}00M',
    "count(liquidations[10m]) by (venue) > {n}00k",
    "change(price[1h]) by (base) < -{n}%",
    "sum(trades[5m]) by (symbol) > {n}T",
)


def rules(count: int) -> str:
    """A rule file with so many alerts, by template in turn; none of them fires."""
    lines = ["groups:", "  - name: bench", "    rules:"]
    for number in range(count):
        text = TEMPLATES[number % len(TEMPLATES)].format(n=number + 1)
        lines += [f"      - alert: R{number}", f"        expr: {text}"]
    return "\n".join(lines)


async def send(*, even: bool) -> None:
    """The sending process: ``rate seconds`` asks for a paced stream whose ``E`` is the sending time in nanoseconds."""

    async def answer(writer: asyncio.StreamWriter, asked: bytes) -> None:
        if b" " not in asked[:12]:
            return  # the feed's own subscription
        rate, seconds = int(asked.split()[0]), float(asked.split()[1])
        rng = Random(1)
        bodies = [frame(rng, number) for number in range(5_000)]
        started, sent = time.perf_counter(), 0
        while sent < rate * seconds:
            due = min(int((time.perf_counter() - started) * rate) + 1, int(rate * seconds))
            now = time.time_ns()
            out = [STAMP.sub(f'"E":{now // 1_000_000}', bodies[n % 5_000]) for n in range(sent, due)]
            stamped = (text[:-1] + f',"sent":{now}}}' for text in out)
            writer.write(b"".join(WireFrame(Opcode.TEXT, text.encode()).serialize(mask=False) for text in stamped))
            sent = due
            await asyncio.sleep(0.0 if even else max(0.0, started + sent / rate - time.perf_counter()))
            while even and time.perf_counter() < started + sent / rate:
                pass  # a sleep of the event loop would last a millisecond

    await serve(answer)


@dataclass
class Times:
    """Nanoseconds per message."""

    sent: list[int] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    verdict: list[int] = field(default_factory=list)

    def verdict_for_all(self) -> None:
        """Note the verdict of every message that has none yet."""
        now = time.time_ns()
        self.verdict += [now] * (len(self.read) - len(self.verdict))

    def note(self, frames: list[Frame], recv_ns: int) -> None:
        """Note when frames were sent and read."""
        for text in frames:
            at = text.rindex(":")  # type: ignore[arg-type]
            self.sent.append(int(text[at + 1 : -1]))
            self.read.append(recv_ns)


class Core:
    """Engine, rules and life cycle; counts transitions."""

    def __init__(self, count: int) -> None:
        found = load_rules([("bench.yaml", rules(count))])
        self.engine = Engine(found)
        self.lifecycle = Lifecycle(found)
        self.board = MarketBoard()
        self.latencies = {stage: LatencyHistogram() for stage in STAGES}
        self.transitions = 0
        instruments = (
            Instrument(venue="binance_usdm", symbol=symbol, base=symbol[:4], quote="USDT", settle="USDT", kind="perp", funding_interval_h=8.0)
            for symbol in SYMBOLS
        )  # fmt: skip
        self.registry = Registry(instruments)

    def judge(self, evaluations: list, now_ns: int) -> None:  # type: ignore[type-arg]
        """What follows an evaluation."""
        self.transitions += len(self.lifecycle.step(evaluations, now_ns))


def make(url: str, core: Core, times: Times, tap: Tap | None = None) -> tuple[Desk, Connection]:
    """The program's plumbing around the core; `tap` hears what a recorder would."""
    journal = Journal(tap)
    feed = make_feed("binance_usdm", FeedOptions(channels=CHANNELS, ws_url=url))
    room = EngineRoom(
        core.engine,
        core.board,
        on_evaluated=core.judge,
        on_report=lambda _report: None,
        latencies=core.latencies,
    )

    def flush(events: list, now_ns: int) -> None:  # type: ignore[type-arg]
        journal.begin()
        room.flush(events, now_ns)
        times.verdict_for_all()
        journal.turn(len(events), now_ns)

    stats, pump = FeedStats("binance_usdm"), Pump(flush, CLOCK)
    desk = Desk(
        feed=feed,
        registry=core.registry,
        pump=pump,
        clock=CLOCK,
        stats=stats,
        log=structlog.get_logger(),
        rng=Random(1),
        settings=FeedSettings(),
        liveness=Liveness(stats, feed.sources(), pump.append, CLOCK.wall_ns()),
        on_unknown=lambda: None,
        tap=tap,
    )
    topics = (Topic("!forceOrder@arr", (Channel.LIQUIDATIONS,)), Topic("!markPrice@arr@1s", (Channel.PRICE,)))
    return desk, Connection("bench/0", f"{url}/market/ws", topics)


class TimedLink(Link):
    """A link that notes when each frame was sent and read."""

    times: Times

    def on_frames(self, frames: list[Frame], recv_ns: int) -> None:
        """Note, then do what a link does."""
        self.times.note(frames, recv_ns)
        super().on_frames(frames, recv_ns)


async def ours(url: str, rate: int, seconds: float, count: int, tap: Tap | None = None) -> tuple[Times, str]:
    """The program's own path."""
    core, times = Core(count), Times()
    desk, connection = make(url, core, times, tap)
    link = TimedLink(desk, connection, 1, lambda _link: None, patience=Patience(desk.feed.spec.idle_s))
    link.times = times
    await ws.connect(connection.url, link, clock=CLOCK)
    link.send(f"{rate} {seconds}")
    while len(times.verdict) < int(rate * seconds):  # noqa: ASYNC110 - an event per batch would be measured too
        await asyncio.sleep(0.01)
    link.close()
    assert not desk.stats.decode_errors, desk.stats.decode_errors
    engine_us = 1e6 * core.latencies["engine"].quantile_s(0.5)
    return times, f"batches {desk.pump.batches}, largest {desk.pump.largest_batch}, engine p50 {engine_us:.0f} us"


async def naive(url: str, rate: int, seconds: float, count: int) -> tuple[Times, str]:
    """One evaluation per message."""
    core, times = Core(count), Times()
    desk, connection = make(url, core, times)
    session = desk.feed.session(connection, core.registry)
    async with plain_connect(connection.url, compression=None, max_queue=1024) as socket:
        await socket.send(f"{rate} {seconds}")
        async for message in socket:
            recv_ns = CLOCK.wall_ns()
            times.note([message], recv_ns)
            core.engine.ingest(session.on_frame(message, recv_ns))
            core.judge(core.engine.evaluate(recv_ns), recv_ns)
            times.verdict_for_all()
            if len(times.verdict) >= int(rate * seconds):
                break
    return times, ""


class Idle(Counter):
    """Notes arrivals and does nothing else."""

    def __init__(self, rate: int, seconds: float) -> None:
        super().__init__(int(rate * seconds))
        self.order = f"{rate} {seconds}"
        self.times = Times()

    def on_open(self, socket: ws.WebSocket) -> None:
        """Ask for the stream."""
        socket.send(self.order)

    def on_frames(self, frames: list[Frame], recv_ns: int) -> None:
        """Note the arrival."""
        self.times.note(frames, recv_ns)
        self.times.verdict_for_all()
        super().on_frames(frames, recv_ns)


async def idle(url: str, rate: int, seconds: float, _count: int) -> tuple[Times, str]:
    """The machine's floor."""
    client = Idle(rate, seconds)
    socket = await ws.connect(f"{url}/market/ws", client, clock=CLOCK)
    await client.done.wait()
    socket.close()
    return client.times, ""


def quantiles(ns: list[int]) -> str:
    """p50, p99 and p99.9 in microseconds."""
    return " ".join(f"{value / 1e3:10,.0f}" for value in np.quantile(np.array(ns), [0.5, 0.99, 0.999]))


def main() -> None:
    """Run the three in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rules", type=int, default=20)
    parser.add_argument("--even", action="store_true", help="messages one by one; the sender takes a whole core")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(send(even=options.even))
        return
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    sender = subprocess.Popen(
        [sys.executable, __file__, "--serve", *(["--even"] * options.even)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert sender.stdout is not None
        url = f"ws://127.0.0.1:{sender.stdout.readline().strip()}"
        print(
            f"Python {platform.python_version()}, {options.rate:,} messages/s for {options.seconds:g} s, {options.rules} rules; microseconds"
        )
        print(f"{'':8} {'sent -> verdict':>32} {'read -> verdict':>32}")
        print(f"{'':8} {'p50':>10} {'p99':>10} {'p99.9':>10} {'p50':>10} {'p99':>10} {'p99.9':>10}")
        ways: dict[str, Run] = {"idle": idle, "ours": ours, "naive": naive}
        for name, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            times, remark = asyncio.run(run(url, options.rate, options.seconds, options.rules))
            share = (time.process_time() - cpu) / (time.perf_counter() - wall)
            total = [end - start for start, end in zip(times.sent, times.verdict, strict=True)]
            inner = [end - start for start, end in zip(times.read, times.verdict, strict=True)]
            print(f"{name:8} {quantiles(total)} {quantiles(inner)}   CPU {share:.0%}  {remark}")
    finally:
        sender.terminate()
        sender.wait()


if __name__ == "__main__":
    main()
