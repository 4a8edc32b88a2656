"""What people say about alerts: "be quiet about these until then", "I have seen this one"."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.alert import AlertView
from monitor.alerts.matchers import matches
from monitor.expression import Matcher


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts whose labels match are not announced in [starts_ns, ends_ns)."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_ns: int
    ends_ns: int
    created_by: str
    comment: str = ""

    def covers(self, alert: AlertView, now_ns: int) -> bool:
        """Whether it keeps this alert quiet now."""
        return self.starts_ns <= now_ns < self.ends_ns and matches(self.matchers, dict(alert.labels))


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Someone takes care of one alert until ``until_ns``; the next firing of the same alert is another one."""

    fingerprint: str
    starts_at_ns: int
    by: str
    at_ns: int
    until_ns: int
    comment: str = ""

    def covers(self, alert: AlertView) -> bool:
        """Whether it is about this life of this alert."""
        return self.fingerprint == alert.fingerprint and self.starts_at_ns == alert.starts_at_ns
