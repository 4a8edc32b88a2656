"""What a hole in a tape means for coverage: nobody was listening there, as when a feed is away.

Where records are missing (a damaged block, a file that is gone, frames that were dropped, a program that was killed),
every channel that was live gets a `FeedState` down at the last record before. Once each link that carried it has given a
frame behind the hole (for what no link carries: its feed any record), it gets the `FeedGap` and the `FeedState` up, dated
when the tape goes on: what is quiet is unknown until it is heard. A link that was lost within the hole says nothing more,
and its channel stays unknown until the tape tells of it; so does a channel that came up within. What is put in are
records of the kind that told of the channel, so that they are read as those are.

A rerun at recorded steps goes without: the program that recorded has seen what is missing here. Pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from monitor.events import Channel, Event, FeedGap, FeedState
from monitor.tape.course import HEARD, START, read_events, write_events
from monitor.tape.facts import read_connection, read_states, venue_of, write_states
from monitor.tape.format import Row
from monitor.tape.reader import Loss

NOT_ON_TAPE = "not on the tape"
"""The reason of all that is put in."""
_TELLING = frozenset({"state", "events", "lost", "config", "connect", "disconnect"})
_LIFE = frozenset({"in", "rest", "events"})

_Source = tuple[str, Channel]
_Teller = tuple[str, str]
"""Name and kind of the records that tell of a channel."""


def with_holes(blocks: Iterable[list[Row] | Loss]) -> Iterator[list[Row] | Loss]:
    """The blocks of a tape, with records where something is missing that say which channels nobody heard meanwhile."""
    holes = _Holes()
    for block in blocks:
        if not isinstance(block, Loss):
            yield holes.read(block)
            continue
        if ends := holes.begin():
            yield ends
        yield block


def is_of_hole(event: Event) -> bool:
    """Whether an event was put in here."""
    return isinstance(event, FeedState | FeedGap) and event.reason == NOT_ON_TAPE


class _Holes:
    """Hears every record; knows which channels are live, and which of them are not heard again since a hole."""

    def __init__(self) -> None:
        self._live: dict[_Teller, set[_Source]] = {}
        self._away: dict[_Teller, dict[_Source, int]] = {}
        self._links: dict[str, frozenset[Channel]] = {}
        self._repeated: dict[str, frozenset[Channel]] = {}
        self._silent: dict[_Source, set[str]] = {}
        """Of those that are away: links that carried them and have said nothing since."""
        self._within = False
        self._last_ns = self._since_ns = self._end_ns = 0

    def read(self, block: list[Row]) -> list[Row]:
        """The block, with what its holes mean."""
        out: list[Row] = []
        for row in block:
            if self._within or self._away or row[2] in _TELLING:
                out += self._hear(row)
            else:
                out.append(row)
            if not row[4]:
                self._last_ns = row[0]
        return out

    def begin(self) -> list[Row]:
        """Something is missing from here on: what was live is not known to be."""
        if not self._last_ns:
            return []  # nothing was known yet
        self._within, self._since_ns = True, self._last_ns
        self._repeated.clear()
        rows = []
        for teller, sources in self._live.items():
            if not sources:
                continue
            self._away.setdefault(teller, {}).update(dict.fromkeys(sources, self._since_ns))
            self._silent |= {source: self._carriers(teller, source) for source in sources}
            downs: list[FeedState | FeedGap] = [_state(source, self._since_ns, up=False) for source in sorted(sources)]
            rows.append(_row(teller, self._since_ns, downs))
        self._live.clear()
        return rows

    def _hear(self, row: Row) -> list[Row]:
        recv_ns, name, kind, _, carried = row
        if kind == "lost":
            return [*self.begin(), row]
        if name == START and not carried:
            return [*self._restart(), row]
        if kind in {"connect", "disconnect"}:
            self._note_link(row)
        if self._within and carried:
            return self._hear_repeated(row)
        if self._within:
            self._within, self._end_ns = False, recv_ns
        if kind == "state" or name == HEARD:
            self._note(row)
        return [*self._back(row), row] if kind in _LIFE and not carried else [row]

    def _restart(self) -> list[Row]:
        """A program that starts says itself what is live; one that was killed did not say when it ceased to be."""
        rows = self.begin()
        self._away.clear()
        self._links.clear()
        self._within = False
        return rows

    def _note_link(self, row: Row) -> None:
        """Which link carries what; one that cannot be read carries nothing that is known of."""
        self._links.pop(row[1], None)
        with contextlib.suppress(ValueError, TypeError):
            if row[2] == "connect":
                topics = read_connection(row[3])[0].topics
                self._links[row[1]] = frozenset(channel for topic in topics for channel in topic.channels)
                if row[4]:
                    self._repeated[row[1]] = self._links[row[1]]

    def _carriers(self, teller: _Teller, source: _Source) -> set[str]:
        """The links that carry a channel."""
        owner = venue_of(teller[0])
        return {name for name, carried in self._links.items() if source[1] in carried and venue_of(name) == owner}

    def _hear_repeated(self, row: Row) -> list[Row]:
        """What is live behind the hole, as the next file repeats it; since when within the hole nobody knows."""
        if row[2] != "state":
            return [row]
        if self._repeated:
            self._links = dict(self._repeated)  # what is not repeated was lost within the hole
        teller = row[1], row[2]
        for state in _states(row):
            source, away = (state.venue, state.channel), self._away.setdefault(teller, {})
            if state.up:
                away.setdefault(source, self._since_ns)
                self._silent[source] = self._carriers(teller, source)
            else:
                away.pop(source, None)
        return []

    def _note(self, row: Row) -> None:
        teller = row[1], row[2]
        for state in _states(row):
            source = state.venue, state.channel
            self._away.get(teller, {}).pop(source, None)
            live = self._live.setdefault(teller, set())
            (live.add if state.up else live.discard)(source)

    def _back(self, row: Row) -> Iterator[Row]:
        """What a sign of life of a feed says of its channels."""
        owner = venue_of(row[1])
        for teller in [teller for teller in self._away if venue_of(teller[0]) == owner]:
            waiting = self._away.pop(teller)
            away = {source: since_ns for source, since_ns in waiting.items() if self._has_all(source, row)}
            if len(away) < len(waiting):
                self._away[teller] = {source: ns for source, ns in waiting.items() if source not in away}
            self._live.setdefault(teller, set()).update(away)
            events: list[FeedState | FeedGap] = []
            for source, since_ns in sorted(away.items()):
                end_ns = max(since_ns, self._end_ns)
                events += [FeedGap(*source, since_ns, end_ns, NOT_ON_TAPE), _state(source, end_ns, up=True)]
            if events:
                yield _row(teller, row[0], events)

    def _has_all(self, source: _Source, row: Row) -> bool:
        """Whether, with this record, every link that carried a channel has been heard again."""
        silent = self._silent.get(source, set())
        silent.discard(row[1])
        return not silent


def _row(teller: _Teller, recv_ns: int, events: list[FeedState | FeedGap]) -> Row:
    name, kind = teller
    return recv_ns, name, kind, write_states(events) if kind == "state" else write_events(events), False


def _state(source: _Source, at_ns: int, *, up: bool) -> FeedState:
    venue, channel = source
    return FeedState(venue, channel, up, at_ns, NOT_ON_TAPE)


def _states(row: Row) -> list[FeedState]:
    """What a record says is live or not; what cannot be read says nothing, and its reader counts it."""
    events: list[Event] = []
    with contextlib.suppress(ValueError, TypeError):
        events += read_states(row[3]) if row[2] == "state" else read_events(row[3])
    return [event for event in events if isinstance(event, FeedState)]
