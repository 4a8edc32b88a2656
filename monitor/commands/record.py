"""``record``: run the configured feeds and write every frame, as received, to a tape. No rule runs, nothing is sent."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monitor import __version__
from monitor.alerts.routes import RoutingConfig
from monitor.clock import SteadyClock
from monitor.commands.arguments import Parser, duration_s, size_bytes
from monitor.commands.run import run_loop, serve
from monitor.errors import TapeError
from monitor.rule import RuleSet
from monitor.runtime.app import App, AppSettings
from monitor.runtime.load import Loaded, load
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.writer import TapeLimits, TapeWriter
from monitor.telemetry.logs import configure_logs

EPILOG = """examples:
  python -m monitor record --config config.yaml --out tapes
  python -m monitor record --config config.yaml --out tapes --budget 200G --keep 90d
The oldest files are removed when the budget or the age is exceeded. SIGTERM or Ctrl-C ends the tape and stops.
exit code: 0 when it was stopped, 2 for wrong input or a folder that cannot be written
"""


def run(argv: Sequence[str]) -> int:
    """Record until stopped."""
    options = _parser().parse_args(argv)
    loaded = without_alerts(load(options.config, os.environ), options.out / "state", options.listen)
    settings = loaded.source.config.log
    configure_logs(settings.level, settings.format, loaded.source.secrets)
    clock = SteadyClock()
    try:
        limits = TapeLimits.within(options.budget, options.keep)
        writer = TapeWriter(options.out, limits, program=f"monitor {__version__}")
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(options.out)) from None
    with Recorder(writer, clock) as recorder:
        run_loop(serve(App(loaded, clock, settings=AppSettings(tap=recorder))))
    dropped = ", ".join(f"{count} {reason}" for reason, count in recorder.dropped.items() if count) or "none"
    sys.stderr.write(f"{recorder.recorded} records, {writer.bytes_written} bytes; dropped: {dropped}\n")
    return 1 if recorder.dropped.total() else 0


def without_alerts(loaded: Loaded, data_dir: Path, listen: str) -> Loaded:
    """The same feeds, with no rule and no sink, and with state and address of their own: a monitor may run beside."""
    changes = {"sinks": (), "routes": [], "data_dir": data_dir.absolute(), "listen": listen, "record": None}
    source = replace(loaded.source, config=loaded.source.config.model_copy(update=changes))
    rules = RuleSet((), loaded.rules.recordings)
    return replace(loaded, source=source, rules=rules, routing=RoutingConfig())


def _parser() -> argparse.ArgumentParser:
    parser = Parser("monitor record", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration (default config.yaml)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the tape")
    parser.add_argument("--budget", type=size_bytes, metavar="SIZE", help="most disk space, such as 50G")
    parser.add_argument("--keep", type=duration_s, metavar="TIME", help="longest age, such as 30d")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="live page (default: any port)")
    return parser
