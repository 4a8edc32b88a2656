"""Alerts that are told together, and how far each such group is. Mutable state of the router."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from monitor.alerts.fingerprint import fingerprint
from monitor.alerts.plans import NEVER, GroupId
from monitor.alerts.routes import Route
from monitor.alerts.setback import come
from monitor.events import Labels


@dataclass(frozen=True, slots=True)
class Rest:
    """How far a group is: when it is to be looked at next, and when it last told something."""

    path: str
    labels: Labels
    due_ns: int = NEVER
    flushed_ns: int | None = None

    @property
    def id(self) -> str:
        """Key in the store."""
        return f"{self.path}/{fingerprint(self.labels)}"

    def come(self, now_ns: int) -> Rest:
        """As `monitor.alerts.setback` has it."""
        if self.flushed_ns is None or come(self.flushed_ns, now_ns) == self.flushed_ns:
            return self
        return replace(self, due_ns=NEVER, flushed_ns=now_ns)


@dataclass(slots=True)
class Group:
    """The alerts of one route that share the labels by which it groups.

    Attributes:
        route: By which they came.
        labels: What they share.
        members: Fingerprints, in the order in which they came.
        flush_ns: When it is to be looked at next.
        flushed_ns: When it last told something, None for never.
        kept: Whether the store has a record of its rest.
    """

    route: Route
    labels: Labels
    members: dict[str, None] = field(default_factory=dict)
    flush_ns: int = NEVER
    flushed_ns: int | None = None
    kept: bool = False

    @property
    def id(self) -> GroupId:
        """Path of the route, and labels."""
        return self.route.path, self.labels

    @property
    def rest(self) -> Rest:
        """How far it is."""
        return Rest(*self.id, self.flush_ns, self.flushed_ns)
