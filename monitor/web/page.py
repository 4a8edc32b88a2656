"""What the live page shows, as named sections: each is encoded on its own, so that only what changed is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from monitor.clock import NS_PER_S
from monitor.telemetry.view import MonitorView
from monitor.web.shapes.alerting import alert_bodies, alert_counts
from monitor.web.shapes.feeds import feed_body
from monitor.web.shapes.market import asset_bodies, depth_bodies, window_bodies
from monitor.web.shapes.program import latency_bodies, process_body, sink_bodies
from monitor.web.shapes.prometheus import silence_body
from monitor.web.shapes.rules import rule_body, signal_body

ASSETS = 40
BASES_PER_WINDOW = 10
ROWS_PER_RULE = 6
ALERTS = 500
"""The most urgent ones; a storm of ten thousand would be 24 MB a second to every page."""
HISTORY_ENTRIES = 60
SPARK_STEP_S = 30
SPARK_POINTS = 121
"""Both ends of an hour."""
LATE_POINTS = 4
"""How many points in a row may be late, as when a busy loop skips a reading; more are a gap."""


class Sparks:
    """Short histories of what the page draws: one point per `step_s` of the monitor's clock, `points` at most.

    A point is null where the value was missing. A reading that comes a little late leaves the last value standing until
    it comes; a jump of the clock leaves nulls, never a made-up line.
    """

    def __init__(self, step_s: float = SPARK_STEP_S, points: int = SPARK_POINTS) -> None:
        self._step_ns = int(step_s * NS_PER_S)
        self._points = points
        self._slot: int | None = None
        self._lines: dict[str, deque[float | None]] = {}

    def due(self, now_ns: int) -> bool:
        """Whether a new slot has begun since the last `add`."""
        return now_ns // self._step_ns != self._slot

    def add(self, now_ns: int, values: Mapping[str, float | None]) -> None:
        """Store one point per name; a name that was not seen before starts here."""
        slot = now_ns // self._step_ns
        skipped = min(slot - self._slot - 1, self._points) if self._slot is not None else 0
        for line in self._lines.values():
            line.extend([line[-1] if skipped <= LATE_POINTS and line else None] * skipped)
        for name in {*self._lines, *values}:
            self._lines.setdefault(name, deque(maxlen=self._points)).append(values.get(name))
        self._slot = slot

    def body(self) -> dict[str, list[float | None]]:
        """All lines, oldest point first."""
        return {name: list(line) for name, line in self._lines.items()}


def spark_values(view: MonitorView) -> dict[str, float | None]:
    """The values whose short history the page keeps: ``1h/bybit/long``, ``1h//`` for the whole, ``price/BTC``."""
    values: dict[str, float | None] = {}
    for window in window_bodies(view.windows(), BASES_PER_WINDOW):
        name = window["window"]
        values[f"{name}//"] = window["long_usd"] + window["short_usd"]
        for row in window["venues"]:
            values[f"{name}/{row['name']}/long"] = row["long_usd"]
            values[f"{name}/{row['name']}/short"] = row["short_usd"]
    for asset in asset_bodies(view.market(), ASSETS):
        values[f"price/{asset['base']}"] = asset["price_usd"]
        values[f"interest/{asset['base']}"] = asset["open_interest_usd"]
    return values


def sections(view: MonitorView) -> Iterator[tuple[str, Any]]:
    """What moves with the market, read at every update."""
    yield "process", process_body(view)
    yield "feeds", [feed_body(feed) for feed in view.feeds()]
    yield "assets", asset_bodies(view.market(), ASSETS)
    yield "depth", depth_bodies(view.market(), ASSETS)
    yield "windows", window_bodies(view.windows(), BASES_PER_WINDOW)
    yield "alerts", alert_bodies(view, ALERTS)
    yield "alert_counts", alert_counts(view.alerts())
    yield "sinks", sink_bodies(view)
    yield "latency", latency_bodies(view)
    now_ns = view.process().now_ns
    yield "silences", [silence_body(silence, now_ns) for silence in view.silences()]


def slow_sections(view: MonitorView) -> Iterator[tuple[str, Any]]:
    """What nobody reads four times a second, and what takes longest to write."""
    yield "rules", [rule_body(rule, ROWS_PER_RULE) for rule in view.rules()]
    yield "signals", [signal_body(row) for row in view.signals() or ()]


def encode(value: Any) -> bytes:
    """JSON; NaN becomes null, a dataclass an object."""
    return msgspec.json.encode(value)


def join_sections(parts: Mapping[str, bytes], now_ms: int) -> bytes:
    """One JSON object of encoded sections and the monitor's clock."""
    fields = [b'"now":%d' % now_ms, *(b'"%s":%s' % (name.encode(), body) for name, body in parts.items())]
    return b"{" + b",".join(fields) + b"}"
