"""What recording costs the receive path and the event loop, and how fast a tape is written, read and replayed.

    python benchmarks/tape.py

The market is synthetic: Binance mark prices and liquidations of 100 symbols, one frame each, as the feed decodes them, and
trades. The engine runs the rules of the repository on a grid of 250 ms, 5,000 frames to a step. ``--alerts`` measures
socket to verdict with the recorder on and off in turn, over a real socket (see pipeline.py).
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
import structlog
import zstandard

from benchmarks import pipeline
from monitor.clock import SystemClock
from monitor.engine import Engine
from monitor.events import Channel
from monitor.feed import Connection, FeedOptions, Topic
from monitor.feeds import make_feed
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.facts import snapshot_name, write_connection, write_instruments
from monitor.tape.folder import read_blocks, read_folder, some_files
from monitor.tape.reader import Loss
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeWriter

RULES = Path(__file__).parents[1] / "rules"
NOW_MS = 1_763_700_000_000
LINK = "binance_usdm/market/0#1"


def frames(count: int) -> list[str]:
    """One frame in ten is a liquidation."""
    rng = random.Random(1)
    made = []
    for number in range(count):
        at, symbol, price = NOW_MS + number // 20, f"C{number % 100}USDT", f"{rng.uniform(1, 90_000):.4f}"
        row: dict[str, object]
        if number % 10:
            row = {"e": "markPriceUpdate", "E": at, "s": symbol, "p": price, "i": price, "P": price}
            row |= {"r": f"{rng.uniform(-1e-3, 1e-3):.8f}", "T": NOW_MS + 28_800_000}
        else:
            order = {"s": symbol, "S": "SELL", "o": "LIMIT", "f": "IOC", "q": f"{rng.uniform(0, 9):.3f}", "p": price}
            order |= {"ap": price, "X": "FILLED", "l": "1", "z": f"{rng.uniform(0, 9):.3f}", "T": str(at)}
            row = {"e": "forceOrder", "E": at, "o": order | {"T": at}}
        made.append(msgspec.json.encode(row).decode())
    return made


def trades(count: int) -> list[str]:
    """One trade in each frame."""
    rng = random.Random(2)
    made = []
    for number in range(count):
        at, symbol = NOW_MS + number // 20, f"C{rng.randrange(100)}USDT"
        row = {"e": "aggTrade", "E": at, "a": number, "s": symbol, "p": f"{rng.uniform(1, 90_000):.2f}"}
        row |= {"q": f"{rng.uniform(0.01, 9):.3f}", "f": number, "l": number, "T": at, "m": bool(number % 2)}
        made.append(msgspec.json.encode(row).decode())
    return made


def facts(tap: Recorder) -> None:
    """Instruments and the opening of the link, as the shell records them."""
    names = [f"C{number}" for number in range(100)]
    listed = [
        Instrument(venue="binance_usdm", symbol=f"{n}USDT", base=n, quote="USDT", settle="USDT", kind="perp", funding_interval_h=8.0)
        for n in names
    ]  # fmt: skip
    topics = (Topic("!forceOrder@arr", (Channel.LIQUIDATIONS,)), Topic("!markPrice@arr@1s", (Channel.PRICE,)))
    tap(snapshot_name("binance_usdm"), "rest", write_instruments(listed), NOW_MS * 1_000_000)
    connection = Connection("binance_usdm/market/0", "ws://127.0.0.1/market/ws", topics)
    tap(LINK, "connect", write_connection(connection, standby=False), NOW_MS * 1_000_000)


def receive_path(folder: Path, payloads: list[str]) -> list[float]:
    """Nanoseconds per call of the tap, the writer thread running beside, by batches of a socket's read."""
    took = []
    with Recorder(TapeWriter(folder), SystemClock()) as tap:
        facts(tap)
        for start in range(0, len(payloads), 64):
            batch = payloads[start : start + 64]
            began = time.perf_counter_ns()
            for payload in batch:
                tap(LINK, "in", payload, NOW_MS * 1_000_000 + start)
            took.append((time.perf_counter_ns() - began) / len(batch))
            if start % 640 == 0:
                time.sleep(0.001)
    assert not tap.dropped.total(), tap.dropped
    return took


async def wakeups(tap: Callable[..., None] | None, payloads: list[str], seconds: float) -> list[float]:
    """How late, in microseconds, the loop wakes while 20,000 frames a second come in."""
    late, clock, at = [], SystemClock(), 0
    due = clock.mono_ns()
    end = due + int(seconds * 1e9)
    while due < end:
        due += 1_000_000
        await clock.sleep_until(due)
        late.append((clock.mono_ns() - due) / 1e3)
        for payload in payloads[at : at + 20]:
            if tap is not None:
                tap(LINK, "in", payload, due)
        at = (at + 20) % len(payloads)
    return late


def engine_speed(folder: Path, label: str, payloads: list[str]) -> None:
    """A tape through decoder, engine and rules, in CPU time: the disk was warm, the machine shared."""
    with Recorder(TapeWriter(folder), SystemClock(), queue_bytes=1 << 30) as tap:
        facts(tap)
        for number, payload in enumerate(payloads):
            tap(LINK, "in", payload, NOW_MS * 1_000_000 + number * 50_000)
    assert not tap.dropped.total(), tap.dropped
    found = load_rules([(path.name, path.read_text(encoding="utf-8")) for path in sorted(RULES.glob("*.yaml"))])
    engine, events = Engine(found), 0
    channels = frozenset({Channel.PRICE, Channel.LIQUIDATIONS, Channel.FUNDING, Channel.TRADES})
    replay = Replay([make_feed("binance_usdm", FeedOptions(channels=channels))], lambda: Repeats().is_new)
    began = time.process_time()
    for now_ns, batch in replay.steps(read_blocks(some_files(folder)), 250_000_000):
        engine.ingest(batch)
        engine.evaluate(now_ns, changed_only=True)
        events += len(batch)
    took, count = time.process_time() - began, len(payloads)
    assert not replay.report.decode_errors
    assert not replay.report.skipped
    print(
        f"decode + engine, {label:7} {count / took:9,.0f} frames/s, {events / took:9,.0f} events/s, {len(found.alerts)} rules"
    )


def alert_path(rate: int, seconds: float, folder: Path) -> None:
    """Socket to verdict with the recorder off and on, in turn."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    serve = [sys.executable, pipeline.__file__, "--serve"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None
        url = f"ws://127.0.0.1:{sender.stdout.readline().strip()}"
        print(f"read to verdict at {rate:,} frames/s, us       p50        p99      p99.9")
        for label in ("off", "on") * 3:
            with Recorder(TapeWriter(folder / f"alert{time.monotonic_ns()}"), SystemClock()) as tap:
                times, _ = asyncio.run(pipeline.ours(url, rate, seconds, 20, tap if label == "on" else None))
            inner = [end - start for start, end in zip(times.read, times.verdict, strict=True)]
            print(f"    tape {label:3}                     {pipeline.quantiles(inner)}   dropped {tap.dropped.total()}")
        sender.terminate()


def shown(values: list[float]) -> str:
    """Median, p99 and worst."""
    ordered = sorted(values)
    return f"median {statistics.median(ordered):7.2f}  p99 {ordered[int(len(ordered) * 0.99)]:8.2f}  worst {ordered[-1]:9.2f}"


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--alerts", action="store_true", help="also measure socket to verdict, at --rate frames/s")
    parser.add_argument("--rate", type=int, default=5_000)
    options = parser.parse_args()
    payloads = frames(options.frames)
    raw = sum(map(len, payloads))
    print(
        f"Python {platform.python_version()}, zstandard {zstandard.__version__}, {len(payloads)} synthetic frames of {raw / len(payloads):.0f} B"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tape"
        per_call = receive_path(folder, payloads)
        print(f"tap, ns per frame        {shown(per_call)}  mean {statistics.mean(per_call):.0f}")
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"on disk                  {size / len(payloads):.1f} B per frame, 1:{raw / size:.1f}")
        began = time.perf_counter()
        count = sum(not isinstance(item, Loss) for item in read_folder(folder))
        print(f"read back                {count / (time.perf_counter() - began):,.0f} records/s")
        channels = frozenset({Channel.PRICE, Channel.LIQUIDATIONS, Channel.FUNDING})
        replay = Replay([make_feed("binance_usdm", FeedOptions(channels=channels))], lambda: Repeats().is_new)
        began = time.perf_counter()
        events = sum(len(batch) for _, batch in replay.run(read_folder(folder)))
        took = time.perf_counter() - began
        print(
            f"read and decode          {len(payloads) / took:,.0f} frames/s, {events} events, {dict(replay.report.decode_errors)}"
        )
        engine_speed(Path(name) / "trades", "trades", trades(options.frames))
        engine_speed(Path(name) / "mixed", "mixed", payloads)
        if options.alerts:
            alert_path(options.rate, options.seconds, Path(name))
        for label in ("off", "on", "off", "on"):
            with Recorder(TapeWriter(Path(name) / f"{label}{time.monotonic_ns()}"), SystemClock()) as tap:
                late = asyncio.run(wakeups(tap if label == "on" else None, payloads, options.seconds))
            print(f"loop late, us, tape {label:3}  {shown(late)}")


if __name__ == "__main__":
    main()
