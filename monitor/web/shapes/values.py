"""How times stand in JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from monitor.clock import NS_PER_MS, NS_PER_S

Json = dict[str, Any]
ZERO_TIME = "0001-01-01T00:00:00Z"


def rfc3339(ns: int) -> str:
    """A time as Prometheus and Alertmanager write it; their zero time for 0."""
    if not ns:
        return ZERO_TIME
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis(ns: int) -> int | None:
    """Unix milliseconds, None for "never"."""
    return ns // NS_PER_MS if ns else None
