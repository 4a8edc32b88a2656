"""``notify-test``: send one test notification through one sink, past all routes, and say how it went."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from monitor import format as fmt
from monitor.alert import AlertState, AlertView
from monitor.alerts.fingerprint import fingerprint
from monitor.clock import SystemClock
from monitor.commands.arguments import Parser
from monitor.errors import MonitorError
from monitor.runtime.load import Loaded, load
from monitor.sink import Command, Notification, Outcome, Result, Sink, SinkContext
from monitor.sinks import build_sink, sink_options

EPILOG = """examples:
  python -m monitor notify-test --sink console --config config.yaml
  python -m monitor notify-test --sink telegram
The message carries the alert MonitorNotificationTest with severity "info", already resolved, so no pager stays on.
exit code: 0 when the receiver took it, 1 when it did not, 2 for wrong input
"""
TITLE = "Test notification"
TEXT = "If you can read this, the sink works. Sent by hand with notify-test; the market did nothing."


def run(argv: Sequence[str]) -> int:
    """Send, wait for the answer, report it."""
    parser = Parser("monitor notify-test", description=__doc__, epilog=EPILOG)
    parser.add_argument("--sink", required=True, metavar="NAME", help="the sink's name, or its type when it has none")
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration (default config.yaml)"
    )
    options = parser.parse_args(argv)
    sink = sink_named(load(options.config, os.environ), options.sink)
    clock = SystemClock()
    began_ns = clock.mono_ns()
    outcome = asyncio.run(attempt(sink, notification(options.sink, clock.wall_ns())))
    taken = fmt.duration(clock.mono_ns() - began_ns)
    sys.stderr.write(f"{options.sink} ({sink.options.type}): {describe(outcome)}, {taken}\n")
    return 0 if outcome.result is Result.OK else 1


def sink_named(loaded: Loaded, name: str) -> Sink:
    """Build one sink of the configuration.

    Raises:
        MonitorError: There is none of this name.
    """
    entries = {sink_options(entry).id: entry for entry in loaded.source.config.sinks}
    if name not in entries:
        raise MonitorError(f"no sink named {name!r}; there are: {', '.join(entries)}")
    return build_sink(entries[name]["type"], entries[name])


async def attempt(sink: Sink, message: Notification) -> Outcome:
    """One delivery within the sink's deadline, with its connection held in the background where it needs one."""
    background = asyncio.create_task(sink.run(SinkContext(_refuse, tuple, probe=True)), name="sink")  # noqa: TID251 - ended below
    try:
        async with asyncio.timeout(sink.options.deadline_s):
            return await sink.deliver(message)
    except TimeoutError:
        return Outcome.retry(f"no answer within {sink.options.deadline_s:g} s")
    except Exception as error:  # noqa: BLE001 - a plugin: its error's text may hold a secret, its type does not
        return Outcome.retry(type(error).__name__)
    finally:
        background.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(background, return_exceptions=True)
        await sink.close()


def notification(receiver: str, now_ns: int) -> Notification:
    """The test message; its key is new each time, so that no receiver takes it for a repeat."""
    alert = _alert(receiver, now_ns)
    return Notification(
        key=f"test-{alert.fingerprint}-{now_ns}",
        status="test",
        alerts=(alert,),
        at_ns=now_ns,
        reason="asked for with notify-test",
        title=TITLE,
        text=TEXT,
        group_key='{}:{alertname="MonitorNotificationTest"}',
        group_labels=(("alertname", "MonitorNotificationTest"),),
        receiver=receiver,
        total=1,
    )


def _alert(receiver: str, now_ns: int) -> AlertView:
    labels = (("alertname", "MonitorNotificationTest"), ("severity", "info"), ("sink", receiver))
    return AlertView(
        rule="monitor/notify-test",
        fingerprint=fingerprint(labels),
        identity=labels,
        labels=labels,
        series=(),
        annotations=(("summary", TEXT),),
        state=AlertState.RESOLVED,
        value=None,
        threshold=None,
        coverage=None,
        lower_bound=False,
        active_since_ns=now_ns,
        starts_at_ns=now_ns,
        ends_at_ns=now_ns,
        updated_ns=now_ns,
        peak=None,
        reason="test",
        severity="info",
    )


def describe(outcome: Outcome) -> str:
    """``delivered (written)``, ``refused (...)`` or ``not delivered (...)``."""
    words = {Result.OK: "delivered", Result.DROP: "refused", Result.RETRY: "not delivered"}
    return f"{words[outcome.result]} ({outcome.reason})"


async def _refuse(_command: Command) -> str:
    return "a test takes no commands"
