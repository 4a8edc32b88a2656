"""What is known of the monitor now: the newest sections, and how the connection fares. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor import format as fmt
from monitor.clock import NS_PER_MS, NS_PER_S

OLD_AFTER_S = 5.0
"""Four updates a second are usual; after this long without one the picture is called old."""


@dataclass(slots=True)
class Picture:
    """The newest sections by name, as the event stream names them.

    Attributes:
        sections: Each as it came last.
        now_ms: The monitor's clock at the last update, unix milliseconds.
        taken_s: Our monotonic clock at that moment.
        trouble: Why there is no connection; empty while there is one.
    """

    sections: dict[str, Any] = field(default_factory=dict)
    now_ms: int = 0
    taken_s: float = float("-inf")
    trouble: str = "connecting"

    def take(self, update: Mapping[str, Any], at_s: float) -> set[str]:
        """Keep an update; the names of what changed."""
        changed = {name for name in update if name != "now"}
        self.sections |= {name: update[name] for name in changed}
        self.now_ms = int(update.get("now") or self.now_ms)
        self.taken_s, self.trouble = at_s, ""
        return changed

    def rows(self, name: str) -> list[Any]:
        """A section that is a list; empty before it came."""
        return self.sections.get(name) or []

    def spark(self, name: str) -> list[float | None]:
        """A short history."""
        return (self.sections.get("sparks") or {}).get(name) or []

    def title(self, venue: str) -> str:
        """A venue's name for people."""
        return next((str(feed["title"]) for feed in self.rows("feeds") if feed["venue"] == venue), venue)

    def unit(self, rule: str) -> str:
        """The unit of a rule's value."""
        return next((str(known["unit"]) for known in self.rows("rules") if known["id"] == rule), "")

    def ago(self, at_ms: float | None) -> str:
        """How long before the last update something was."""
        if not at_ms:
            return "never"
        return fmt.duration(max(0, self.now_ms - at_ms) // 1000 * NS_PER_S)

    def clock(self) -> str:
        """The monitor's time of day at the last update, in UTC."""
        return fmt.utc_time(self.now_ms * NS_PER_MS)[11:19] if self.now_ms else "--:--:--"

    def condition(self, at_s: float) -> tuple[str, str]:
        """How the connection is, as words and a tone."""
        if self.trouble:
            old = f"; the numbers are {_age(at_s - self.taken_s)} old" if self.now_ms else ""
            return f"NO CONNECTION: {self.trouble}{old}", "bad"
        if at_s - self.taken_s > OLD_AFTER_S:
            return f"OLD: no update for {_age(at_s - self.taken_s)}", "warn"
        return "live", "ok"

    def is_old(self, at_s: float) -> bool:
        """Whether the numbers must not be taken for the present."""
        return self.condition(at_s)[1] != "ok"


def _age(seconds: float) -> str:
    return fmt.duration(int(seconds) * NS_PER_S)
