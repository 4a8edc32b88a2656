"""``route``: where an alert with given labels would go, and when. Read from the configuration; nothing is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from monitor import format as fmt
from monitor.alerts.plans import RouteStep, SinkPolicy
from monitor.alerts.routing import Router
from monitor.clock import SystemClock
from monitor.commands.arguments import Parser, time_ns
from monitor.errors import MonitorError
from monitor.runtime.load import Loaded, load
from monitor.sinks import sink_options

EPILOG = """examples:
  python -m monitor route --config config.yaml --labels alertname=FeedDown severity=warning venue=okx
  python -m monitor route --labels severity=critical --at 2025-11-21T23:30+01:00
Silences, acknowledgements and alerts that inhibit others live in a running monitor; they are not looked at here.
exit code: 0 when a sink would be told, 1 when none would, 2 for wrong input
"""


def run(argv: Sequence[str]) -> int:
    """Print one block per route that takes the alert."""
    parser = Parser("monitor route", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--labels", nargs="+", action="extend", required=True, metavar="NAME=VALUE", help="the alert's labels"
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration (default config.yaml)"
    )
    parser.add_argument(
        "--at", type=time_ns, metavar="TIME", help="for mute times: ISO 8601, UTC without a zone (default now)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    options = parser.parse_args(argv)
    labels = labels_of(options.labels)
    now_ns = SystemClock().wall_ns() if options.at is None else options.at
    router = router_of(load(options.config, os.environ))
    steps = router.explain_route(labels, now_ns)
    print(json.dumps([asdict(step) for step in steps], indent=2) if options.json else render(steps))
    return 0 if any(set(step.sinks) - hushed(step) for step in steps) else 1


def labels_of(texts: Sequence[str]) -> dict[str, str]:
    """``["a=b"]`` as a mapping.

    Raises:
        MonitorError: A text is no ``NAME=VALUE``.
    """
    labels = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise MonitorError(f"--labels {text!r}: expected NAME=VALUE, such as severity=critical")
        labels[name] = value.strip('"')
    return labels


def router_of(loaded: Loaded) -> Router:
    """The router that a monitor with this configuration would have."""
    return Router(loaded.routing, [SinkPolicy.of(sink_options(entry)) for entry in loaded.source.config.sinks])


def hushed(step: RouteStep) -> set[str]:
    """The sinks of a route that its notes say would not be told."""
    return {sink for sink in step.sinks for note in step.notes if note.startswith(f"{sink}: ")}


def render(steps: Sequence[RouteStep]) -> str:
    """One block per route."""
    return "\n\n".join(map(_block, steps)) or "no route takes it: nobody would be told"


def _block(step: RouteStep) -> str:
    group = ", ".join(f"{name}={value}" for name, value in step.group) or "(everything in this route)"
    lines = {
        "sinks": ", ".join(step.sinks) or "none",
        "group": group,
        "first": f"after {fmt.duration(step.first_after_ns)}" if step.first_after_ns else "at once",
        "then": f"at most every {fmt.duration(step.then_every_ns)}" if step.then_every_ns else "on every change",
        "repeat": f"after {fmt.duration(step.repeat_ns)} while it still fires",
    }
    notes = [f"  note    {note}" for note in step.notes]
    return "\n".join([f"route {step.path}", *_aligned(lines), *notes])


def _aligned(lines: Mapping[str, str]) -> list[str]:
    return [f"  {name:<7} {text}" for name, text in lines.items()]
