"""Hours between funding payments, where a venue says only when the next one is: a listing tells of a change late. Pure."""

from __future__ import annotations

import msgspec

from monitor.clock import NS_PER_MS
from monitor.instruments import Instrument

REGULAR_H = (8.0, 4.0, 2.0, 1.0)
"""Usual distances, longest first. Payments fall on whole multiples of theirs, counted from midnight UTC."""
_HOUR_MS = 3_600_000
_LATE_MS = 60_000


class Payments(msgspec.Struct):
    """What the payment times of one contract have shown.

    Attributes:
        next_ms: The next payment as told last, unix milliseconds.
        told_ms: When that time was first told.
        listed_h: The listing's interval.
        seen_h: Hours between the last two payments; None where they are not a usual distance apart, as after an outage.
        hours: What follows from these; 0 before the first payment was told.
    """

    next_ms: int = 0
    told_ms: int = 0
    listed_h: float | None = None
    seen_h: float | None = None
    hours: float = 0.0

    def interval_h(self, next_ms: int, now_ms: int, listed_h: float | None) -> float:
        """Hours that a rate stands for: the shorter of what was listed and seen, unless the next payment contradicts it.

        A listing that changed is newer than what was seen. Where both are contradicted, the interval has changed: then it
        is the longest usual one that the next payment allows.
        """
        if self.hours and next_ms == self.next_ms and listed_h == self.listed_h:
            return self.hours
        if listed_h != self.listed_h:
            self.listed_h, self.seen_h, self.told_ms = listed_h, None, now_ms
        if next_ms != self.next_ms:
            step_h = (next_ms - self.next_ms) / _HOUR_MS
            self.seen_h = step_h if step_h in REGULAR_H else None
            self.next_ms, self.told_ms = next_ms, now_ms
        self.hours = self._hours()
        return self.hours

    def _hours(self) -> float:
        seen_h, listed_h = self.seen_h, self.listed_h
        named = [seen_h] if seen_h and self._falls_on(seen_h) else []
        named += [listed_h] if listed_h and self._allows(listed_h) else []
        return min(named or [max(filter(self._allows, REGULAR_H), default=listed_h or REGULAR_H[0])])

    def _allows(self, hours: float) -> bool:
        """Whether the next payment is one of payments so many hours apart, and there is none before it."""
        return self._falls_on(hours) and self.next_ms - self.told_ms <= hours * _HOUR_MS + _LATE_MS

    def _falls_on(self, hours: float) -> bool:
        """Whether the next payment is a whole multiple; one that is not even on an hour says nothing about that."""
        return not _is_multiple(self.next_ms, _HOUR_MS) or _is_multiple(self.next_ms, hours * _HOUR_MS)


def hours_of(known: dict[str, Payments], instrument: Instrument, next_ns: int, now_ns: int) -> float | None:
    """Hours that a rate of an instrument stands for, by `Payments` of its symbol; the listing's where no payment is told.

    Args:
        known: By symbol; the instrument's are added.
        instrument: Of which the rate is.
        next_ns: Its next payment, unix nanoseconds; 0 when that is not told.
        now_ns: When that was told.
    """
    listed_h = instrument.funding_interval_h
    if not next_ns:
        return listed_h
    payments = known.setdefault(instrument.symbol, Payments())
    return payments.interval_h(next_ns // NS_PER_MS, now_ns // NS_PER_MS, listed_h)


def _is_multiple(time_ms: int, step_ms: float) -> bool:
    return (time_ms + _LATE_MS) % step_ms <= 2 * _LATE_MS
