"""A ladder of severities: up at once, down after ``keep_firing_for`` at the lower level. Pure."""

from __future__ import annotations

from typing import NamedTuple

from monitor.rule import Rule


class Climb(NamedTuple):
    """What a sight of an alert means for its level.

    Attributes:
        level: The level to go to; None: it stays where it is.
        lower_since_ns: Since when the readings are at a lower level; 0: they are not.
        due_ns: When it goes down if they stay there; None: nothing is awaited.
    """

    level: int | None
    lower_since_ns: int
    due_ns: int | None = None


def climb(rule: Rule, now: int, seen: int, lower_since_ns: int, at_ns: int) -> Climb:
    """Where an alert at level `now` goes whose reading is at level `seen`."""
    level = max(seen, 0)
    if level == now:
        return Climb(None, 0)
    if level > now:
        return Climb(level, 0)
    lower_since_ns = lower_since_ns or at_ns
    due_ns = lower_since_ns + rule.keep_firing_for_ns
    return Climb(None, lower_since_ns, due_ns) if at_ns < due_ns else Climb(level, 0)


def words(rule: Rule, before: str, level: int, reason: str, *, up: bool) -> str:
    """Why an alert is at another level."""
    return f"{'escalated' if up else 'de-escalated'} from {before} to {rule.levels[level].severity}; {reason}"
