"""``run``: watch the markets and send alerts. This is what happens without a command."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from monitor.archive.warm import remembered
from monitor.clock import SteadyClock
from monitor.commands.arguments import Parser
from monitor.runtime.allocator import give_back_large_blocks
from monitor.runtime.app import App, AppSettings, install_signals
from monitor.runtime.load import load
from monitor.telemetry.logs import configure_logs

SILENCE_S = 10.0
NO_NETWORK = "no venue has answered yet: is there a network, and may it be used? `python -m monitor demo` needs none"
EPILOG = """examples:
  python -m monitor --config config.yaml
  python -m monitor --config config.yaml --no-backfill
  python -m monitor --config config.yaml --history archive
signals: SIGTERM or Ctrl-C drains and stops, SIGHUP reloads configuration and rules
exit code: 0 when it was stopped, 2 when configuration or rules are wrong or the address is taken; nothing was started then
"""


def run(argv: Sequence[str]) -> int:
    """Run until stopped."""
    parser = Parser("monitor", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration (default config.yaml)"
    )
    parser.add_argument(
        "--no-backfill",
        action="store_true",
        help="fetch no history from the venues: long windows are unknown until they have filled by themselves",
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="DIR",
        help="an archive (see export and import) to remember: its events fill long windows, and never alert as if live",
    )
    options = parser.parse_args(argv)
    loaded = load(options.config, os.environ)
    settings = loaded.source.config.log
    configure_logs(settings.level, settings.format, loaded.source.secrets)
    clock = SteadyClock()
    history = remembered(options.history, clock.wall_ns()) if options.history else ()
    wanted = AppSettings(backfill=not options.no_backfill, history=history)
    app = App(loaded, clock, lambda: load(options.config, os.environ), wanted)
    run_loop(serve(app))
    return 0


async def serve(app: App) -> None:
    """Run the app with signals installed."""
    install_signals(app)
    late = asyncio.get_running_loop().call_later(SILENCE_S, say_if_all_are_silent, app)
    try:
        await app.run()
    finally:
        late.cancel()


def say_if_all_are_silent(app: App) -> None:
    """One line for whoever started it without a network, among the many about single venues."""
    if len(app.feeds) and not any(stats.frames for _, stats in app.feeds.feeds()):
        app.log.warning("feeds.all_silent", after_s=SILENCE_S, hint=NO_NETWORK)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run on asyncio's own loop, which measured as fast as uvloop here; unwrap what a task group wraps."""
    give_back_large_blocks()
    try:
        with asyncio.Runner() as runner:
            runner.run(main)
    except BaseExceptionGroup as group:
        for error in flatten(group):
            if not isinstance(error, KeyboardInterrupt):
                raise error from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")


def flatten(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The errors of a group, however deep."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += flatten(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
