"""What routing decides, what it must know of a sink, and what it remembers to have told. Immutable values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from monitor.alert import AlertView
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.sink import Notification, SinkOptions

NEVER = 2**63 - 1
"""An instant that does not come."""

GroupId: TypeAlias = tuple[str, Labels]
"""A group: the path of its route, and its labels."""


@dataclass(frozen=True, slots=True)
class SinkPolicy:
    """What routing must know of a sink; see `monitor.sink.SinkOptions`."""

    name: str
    min_severity: str = ""
    per_minute: float | None = None
    burst: int = 10
    digest_every_ns: int = 30 * NS_PER_S
    max_chars: int = 100_000

    @classmethod
    def of(cls, options: SinkOptions) -> SinkPolicy:
        """From a sink's settings."""
        return cls(
            options.id,
            options.min_severity,
            options.per_minute,
            options.burst,
            int(options.digest_every_s * NS_PER_S),
            options.max_chars,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A decision. Without ``notification`` nothing is sent, and ``reason`` says why; both belong into the history.

    ``outcome``: send, digest, silenced, inhibited, muted, acknowledged, below_severity, unannounced.
    """

    sink: str
    outcome: str
    reason: str
    fingerprints: tuple[str, ...]
    at_ns: int
    notification: Notification | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a sink was last told of an alert. ``count`` numbers the notifications of this life of the alert."""

    sink: str
    status: str
    at_ns: int
    count: int
    view: AlertView

    @property
    def id(self) -> str:
        """Key in the store."""
        return f"{self.sink}/{self.view.fingerprint}"


@dataclass(frozen=True, slots=True)
class RouteStep:
    """Where an alert with certain labels would go by one route, and when; for ``monitor route``."""

    path: str
    sinks: tuple[str, ...]
    group: Labels
    first_after_ns: int
    then_every_ns: int
    repeat_ns: int
    notes: tuple[str, ...]
