"""What one transaction of the state file writes, and the rows of the outbox that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.alert import AlertState, MemoryRow, SavedAlert, Transition
from monitor.sink import Notification
from monitor.telemetry.views.alerting import DeliveryEntry


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A notification for one sink."""

    sink: str
    notification: Notification


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A notification that waits for delivery; ``id`` is its place in line."""

    id: int
    sink: str
    notification: Notification
    created_ns: int
    attempts: int = 0
    reason: str = ""

    @property
    def fingerprints(self) -> frozenset[str]:
        """The alerts in it; two rows that share one are delivered in order."""
        return frozenset(alert.fingerprint for alert in self.notification.alerts)


@dataclass(frozen=True, slots=True)
class Delivered(DeliveryEntry):
    """What the delivery log tells, and the row of the outbox that it ends or keeps waiting; 0: nothing stood in line."""

    row_id: int = 0


_QUIET = frozenset({AlertState.INACTIVE, AlertState.PENDING})
"""States of which nobody is told."""


@dataclass(slots=True)
class Change:
    """All that one transaction writes."""

    transitions: list[Transition] = field(default_factory=list)
    saved: list[SavedAlert] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    memory: list[MemoryRow] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)
    now_ns: int = 0

    def add(self, other: Change) -> None:
        """Append a later change. A transaction deletes before it writes, so what the later one deletes is dropped here."""
        if other.gone:
            gone = set(other.gone)
            self.saved = [row for row in self.saved if row.view.fingerprint not in gone]
        if other.forgotten:
            forgotten = set(other.forgotten)
            self.memory = [row for row in self.memory if (row.kind, row.id) not in forgotten]
        for name in ("transitions", "saved", "gone", "outgoing", "memory", "forgotten", "delivered"):
            getattr(self, name).extend(getattr(other, name))
        self.now_ns = max(self.now_ns, other.now_ns)

    @property
    def urgent(self) -> bool:
        """Whether it must reach the disk at once: somebody is told something by it, or was, or asked for it.

        Alerts that become pending and cease to be, of which there are hundreds a second when a price trembles about a
        threshold, may wait a moment for each other.
        """
        return bool(
            self.outgoing
            or self.delivered
            or self.forgotten
            or any(row.kind != "seen" for row in self.memory)
            or any(transition.state not in _QUIET for transition in self.transitions)
            or any(saved.view.state not in _QUIET for saved in self.saved)
        )

    def __bool__(self) -> bool:
        return bool(
            self.transitions
            or self.saved
            or self.gone
            or self.outgoing
            or self.memory
            or self.forgotten
            or self.delivered
        )
