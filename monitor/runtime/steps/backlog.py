"""What waited while nobody read, cut into the pieces in which it would have been read in time.

A process that is not scheduled for half a second finds half a second of the market in one batch. Evaluated at once, a
condition that was false in between would not have been; so the batch is cut by event time, and a verdict does not hang on
when this process happened to run. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.clock import NS_PER_S
from monitor.events import Event, FeedGap, FeedState, Sample

FINE = 25
"""A step of the grid is cut into so many pieces at most,"""
MOST = 64
"""and a batch into so many; a longer one is cut more coarsely."""
REACH = 64
"""Who was late by more steps than this is not made up for: nobody looked, and that is a gap."""
AHEAD_NS = 5 * NS_PER_S
"""A time further ahead of its receipt is a wrong clock's, as in `monitor.engine.settings`."""


@dataclass(frozen=True, slots=True)
class Part:
    """Events that are read together.

    ``own_ns`` is our own time at that reading, None that of the clock; its instant is the later of this and of the newest event.
    """

    events: Sequence[Event]
    own_ns: int | None = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """Our own time, in steps of a grid and behind the clock.

    Attributes:
        step_ns: Own time counts in steps of this.
        lag_ns: It runs so far behind the clock: what is on its way for less counts at its own time.
        beat_ns: So often somebody looks when nobody is late; longer than a step where market time is sped up.
    """

    step_ns: int = 1
    lag_ns: int = 0
    beat_ns: int = 0

    def own_ns(self, now_ns: int) -> int:
        """Our own time when the clock says `now_ns`."""
        return now_ns - now_ns % self.step_ns - self.lag_ns

    def missed(self, seen_ns: int, own_ns: int) -> range:
        """The beats in (seen_ns, own_ns]; none when that is longer than anybody makes up for."""
        if not seen_ns or own_ns - seen_ns > REACH * self.beat_ns:
            return range(0)
        return range((seen_ns // self.beat_ns + 1) * self.beat_ns, own_ns + 1, self.beat_ns)

    def late(self, seen_ns: int, newest_ns: int) -> bool:
        """Whether so much market time came at once that it is worth cutting."""
        return bool(seen_ns) and self.beat_ns // FINE < newest_ns - seen_ns <= REACH * self.beat_ns


def merged(events: Sequence[Event]) -> list[Event]:
    """In order of time, where each connection's backlog came as a whole; not across a change of a feed's state."""
    if any(isinstance(event, FeedState | FeedGap) for event in events):
        return list(events)
    return sorted(events, key=_time)


def newest_ns(events: Sequence[Event]) -> int:
    """Time of the newest event, by whatever clock; quick, for it is asked of every batch."""
    try:
        return max([event.ts_ns for event in events])  # type: ignore[union-attr]  # see below
    except AttributeError:  # a gap among them
        return max(map(_time, events))


def parts(events: Sequence[Event], pace: Pace, seen_ns: int, own_ns: int) -> Iterator[Part]:
    """Cut a batch that came late.

    Args:
        events: In the order in which they are to be read.
        pace: How finely.
        seen_ns: Instant of the last evaluation.
        own_ns: Our own time now.
    """
    fine_ns = pace.beat_ns // FINE
    cell_ns = fine_ns * max(1, -(-len({_time(event) // fine_ns for event in events}) // MOST))
    part: list[Event] = []
    high_ns = seen_ns
    for event in events:
        ts_ns = _time(event)
        if ts_ns // cell_ns > high_ns // cell_ns:
            if part:
                yield Part(part)
                part = []
            yield from (Part((), beat_ns) for beat_ns in pace.missed(high_ns, pace.own_ns(ts_ns)))
        high_ns = max(high_ns, ts_ns)
        part.append(event)
    yield Part(part)
    yield from (Part((), beat_ns) for beat_ns in pace.missed(high_ns, own_ns))


def _time(event: Event) -> int:
    """When an event counts, as far as that matters here."""
    kind = type(event)  # half the price of isinstance; the type checker does not follow, hence the ignores
    if kind is FeedGap:
        return event.end_ns  # type: ignore[union-attr]
    ts_ns: int = event.ts_ns  # type: ignore[union-attr]
    if kind is Sample or kind is FeedState or ts_ns - event.recv_ns <= AHEAD_NS:  # type: ignore[union-attr]
        return ts_ns
    return event.recv_ns  # type: ignore[union-attr]
