"""``demo``: no network needed. Local servers speak the venues' real protocols and play the November 2025 sell-off.

The data is synthetic and labelled so everywhere. The monitor is the real one, over real sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import monitor
from monitor.clock import NS_PER_MS, NS_PER_S, Clock, ScaledClock
from monitor.commands.arguments import Parser, time_ns
from monitor.commands.run import run_loop
from monitor.errors import TapeError
from monitor.events import Event
from monitor.runtime.app import App, AppSettings, install_signals
from monitor.runtime.load import load_text
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.folder import tape_files
from monitor.tape.writer import TapeWriter
from monitor.telemetry.logs import configure_logs
from monitor.testing.demo import INSTRUMENTS, NOTE, DemoMarket
from monitor.testing.demo_slow import pushed_folder
from monitor.testing.scenario import Scenario, resolution_for

BASE = Path(monitor.__file__).resolve().parent.parent
DEFAULT_FROM = "2025-11-21T06:30"
SLOW_START_NS = 20 * NS_PER_S
"""The longest that the market waits for a feed that does not come."""
LOOK_NS = 50 * NS_PER_MS
EPILOG = """examples:
  python -m monitor demo                          the cascade of 21 November within a minute
  python -m monitor demo --speed 120 --from 2025-11-20T12:00
  python -m monitor demo --speed 60 --record tape      and: python -m monitor backtest --config tape/config.yaml --tape tape
  MONITOR_TOKEN=choose-one python -m monitor demo      alerts can be acknowledged and silenced, with that token
  python -m monitor demo --sink '{type: mqtt, url: "mqtt://127.0.0.1:1883"}'
exit code: 0 when it was stopped or the scenario ended, 2 for wrong input
"""


def run(argv: Sequence[str]) -> int:
    """Play the scenario until it ends or the user stops it."""
    options = _parser().parse_args(argv)
    if not Scenario.start_ns <= options.start_ns < Scenario.end_ns:
        sys.stderr.write(f"monitor demo: --from must lie in [{_text(Scenario.start_ns)}, {_text(Scenario.end_ns)})\n")
        return 2
    configure_logs(options.log_level, options.log_format)
    if options.record and tape_files(options.record):
        raise TapeError("there is a tape here already; give an empty folder", str(options.record))
    with tempfile.TemporaryDirectory(prefix="monitor-demo-") as scratch, ExitStack() as recording:
        data_dir = (options.data_dir or Path(scratch)).resolve()
        run_loop(_play(options, data_dir, recording))
    return 0


async def _play(options: argparse.Namespace, data_dir: Path, recording: ExitStack) -> None:
    resolution_s = resolution_for(options.speed, instruments=len(INSTRUMENTS))
    scenario = Scenario(options.seed, INSTRUMENTS, resolution_s)
    clock = ScaledClock(options.start_ns, options.speed, waiting=True)
    async with DemoMarket(scenario, clock) as market:
        text = market.configuration(options.listen, str(data_dir), options.rules, options.sink)
        market.slow.folder = pushed_folder(data_dir)
        if os.environ.get("MONITOR_TOKEN"):
            text += "api: {token: '${MONITOR_TOKEN}'}\n"
        loaded = load_text(text, "demo.yaml", Path.cwd(), os.environ)
        recorder = recording.enter_context(recorder_of(options, market, clock)) if options.record else None

        def remembered() -> Iterator[Event]:
            yield from market.slow.history(app.slow.desk.baskets)

        settings = AppSettings(
            synthetic_note=NOTE,
            time_scale=options.speed,
            feed=FeedSettings(poll_speed=options.speed, idle_s=60.0),
            tap=recorder,
            watch_files=False,
            on_started=partial(_welcome, left_s=(Scenario.end_ns - options.start_ns) / NS_PER_S / options.speed),
            history=remembered(),
        )
        app = App(loaded, clock, settings=settings)
        install_signals(app)
        playing = asyncio.create_task(market.run(), name="scenario")  # noqa: TID251 - ended below, whatever happens
        playing.add_done_callback(lambda _: app.stop.set())
        starting = asyncio.create_task(_set_off(app, clock), name="start")  # noqa: TID251 - ended below, too
        try:
            await app.run()
        finally:
            broke_off = playing.exception() if playing.done() and not playing.cancelled() else None
            if broke_off is not None:
                raise broke_off
            if playing.done() and not playing.cancelled():
                sys.stderr.write(
                    f"the scenario has ended at {_text(Scenario.end_ns)} UTC; start it again to see it again\n"
                )
            playing.cancel()
            starting.cancel()
            await asyncio.gather(playing, starting, return_exceptions=True)


async def _set_off(app: App, clock: ScaledClock) -> None:
    """Let the market run once every feed is live: the second that they need is a minute of it, and they were called down."""
    last_ns = clock.mono_ns() + SLOW_START_NS
    while clock.mono_ns() < last_ns and not _live(app):
        await clock.sleep_until(clock.mono_ns() + LOOK_NS)
    clock.set_off()


def _live(app: App) -> bool:
    feeds = app.feeds.feeds()
    return bool(feeds) and all(stats.up for _, stats in feeds)


def recorder_of(options: argparse.Namespace, market: DemoMarket, clock: Clock) -> Recorder:
    """A tape of the demo, with a configuration beside it that reads it back."""
    folder: Path = options.record.resolve()
    try:
        writer = TapeWriter(folder, program=f"monitor {monitor.__version__}", note=NOTE)
        rules = ", ".join(str((Path.cwd() / pattern.strip()).resolve()) for pattern in options.rules.split(","))
        text = market.configuration(options.listen, str(folder / "state"), rules, options.sink)
        (folder / "config.yaml").write_text(f"# {NOTE}\n{text}", encoding="utf-8")
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(folder)) from None
    return Recorder(writer, clock)


def _welcome(url: str, left_s: float) -> None:
    ends = f"the scenario lasts {max(1, round(left_s / 60))} min"
    sys.stderr.write(f"\n{NOTE}\nlive page and metrics: {url}   stop with Ctrl-C; {ends}\n\n")


def _parser() -> argparse.ArgumentParser:
    parser = Parser("monitor demo", description=__doc__, epilog=EPILOG)
    parser.add_argument("--speed", type=_speed, default=60.0, help="market seconds per second (default 60)")
    parser.add_argument(
        "--seed", type=int, default=7, help="another seed, another path to the same figures (default 7)"
    )
    parser.add_argument(
        "--from",
        dest="start_ns",
        type=time_ns,
        default=DEFAULT_FROM,
        metavar="TIME",
        help=f"UTC, default {DEFAULT_FROM}",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:9108",
        metavar="HOST:PORT",
        help="live page, metrics and API (default 127.0.0.1:9108)",
    )
    parser.add_argument(
        "--rules",
        default=str(BASE / "rules/*.yaml"),
        metavar="PATTERN",
        help="rule files, separated by commas (default: the packs beside the program)",
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="keep the state here (default: a temporary folder)"
    )
    parser.add_argument("--record", type=Path, metavar="DIR", help="write a tape, and a config.yaml that reads it back")
    parser.add_argument(
        "--sink", action="append", default=[], metavar="YAML", help="a further sink, as in the configuration"
    )
    parser.add_argument(
        "--log-format",
        choices=("auto", "console", "json"),
        default="auto",
        help="of the log on standard error (default auto)",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="of the log (default warning)",
    )
    return parser


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"expected a number from 0.1 to 3600, not {text!r}")
    return value


def _text(moment_ns: int) -> str:
    return dt.datetime.fromtimestamp(moment_ns / NS_PER_S, dt.UTC).strftime("%Y-%m-%dT%H:%M")
