"""The brake for flapping: when the rows of a rule fired of late. Pure, and kept over a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.alerts.fingerprint import fingerprint
from monitor.alerts.terms import LifecycleSettings
from monitor.events import Labels


@dataclass(frozen=True, slots=True)
class Fires:
    """When a row fired of late; survives a restart, so that the brake for flapping does."""

    rule: str
    series: Labels
    at_ns: tuple[int, ...]

    @property
    def id(self) -> str:
        """Key in the store."""
        return f"{self.rule}/{fingerprint(self.series)}"


class Flapping:
    """What is remembered of the rows of one rule."""

    def __init__(self, rule: str, settings: LifecycleSettings) -> None:
        self._rule = rule
        self._settings = settings
        self._at_ns: dict[Labels, tuple[int, ...]] = {}
        self._changed: set[Labels] = set()

    def note(self, series: Labels, at_ns: int) -> bool:
        """A row fires; whether it does so too often."""
        settings = self._settings
        if not settings.flap_fires:
            return False
        recent = tuple(t for t in self._at_ns.get(series, ()) if t > at_ns - settings.flap_window_ns)
        fires = (*recent, at_ns)[-settings.flap_fires :]
        self._at_ns[series] = fires
        self._changed.add(series)
        return len(fires) >= settings.flap_fires

    def of(self, series: Labels) -> tuple[int, ...]:
        """When a row fired of late."""
        return self._at_ns.get(series, ())

    def recall(self, series: Labels, at_ns: tuple[int, ...]) -> None:
        """When a row fired, from a former run; what this run knows already stands."""
        if at_ns:
            self._at_ns.setdefault(series, at_ns)

    def forget(self, now_ns: int) -> list[str]:
        """Drop what is too old to count; keys of what the store may forget, too."""
        before_ns = now_ns - self._settings.flap_window_ns
        old = [series for series, fires in self._at_ns.items() if fires[-1] <= before_ns]
        gone = [Fires(self._rule, series, self._at_ns.pop(series)).id for series in old]
        self._changed.difference_update(old)
        return gone

    @property
    def changed(self) -> bool:
        """Whether `take` has something."""
        return bool(self._changed)

    def take(self) -> list[Fires]:
        """The rows that fired since the last call."""
        changed, self._changed = self._changed, set()
        return self._records(sorted(changed))

    def dump(self) -> list[Fires]:
        """Every row that is remembered to have fired."""
        return self._records(self._at_ns)

    def _records(self, series: Iterable[Labels]) -> list[Fires]:
        return [Fires(self._rule, labels, self._at_ns[labels]) for labels in series if labels in self._at_ns]
