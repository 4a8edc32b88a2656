"""From records back to events, through the same feeds and sessions that decode live. Pure.

Instruments come from the recorded metadata replies, subscriptions from the recorded openings of links, liveness
(`FeedState`, `FeedGap`) is what was decided live, and so is what came by other ways than a feed (sources, inlets). Each
link gets a session of its own, as it had. What is left out of the stream live is left out here: repeats of liquidations,
trades of a standby link.

A carried frame is of the time before: its session learns from it, and its events are left out.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError, FeedRefused
from monitor.events import Event, Liquidation, MarketEvent, Trade
from monitor.feed import Connection, Feed, FeedOptions, Frame, Poll, Request, Session
from monitor.instruments import Registry
from monitor.tape.course import (
    DERIVED,
    RELOAD,
    REMEMBERED,
    START,
    read_events,
    read_seen,
    read_setting,
    write_seen,
)
from monitor.tape.facts import (
    feed_name,
    is_of_feed,
    is_of_source,
    link_number,
    read_chosen,
    read_connection,
    read_instruments,
    read_states,
    seen_name,
    snapshot_name,
    venue_of,
)
from monitor.tape.folder import read_lost
from monitor.tape.format import Record, Row
from monitor.tape.reader import Loss

IsNew = Callable[[Liquidation, int], bool]
Make = Callable[[Sequence[tuple[str, FeedOptions]]], Iterable[Feed]]
_ANY_LINK = 0
_OWN_EVENTS = frozenset({DERIVED, REMEMBERED})
_COURSE = frozenset({"config", "memory", "turn", "act"})
_KEPT_SEEN = 4096


@dataclass(slots=True)
class ReplayReport:
    """What a replay could not turn into events; nothing is left out without a count.

    Attributes:
        records: Records seen.
        events: Events given.
        losses: What the tape itself is missing of the time asked for.
        lost_frames: Records of that time that the recorder dropped, by reason.
        skipped: Records left out: ``unknown_venue``, ``unknown_link`` (no opening on this tape), ``unknown_poll``,
            ``unknown_request``, ``bad_fact`` (a subscription or the like that cannot be read).
        decode_errors: Frames and replies that could not be read, by reason, as live.
        notices: What sessions said besides events, by kind.
        steps_back: Times that the receive time of a frame lay before that of the frame before it.
    """

    records: int = 0
    events: int = 0
    losses: list[Loss] = field(default_factory=list)
    lost_frames: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    decode_errors: Counter[str] = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)
    steps_back: int = 0


@dataclass(slots=True)
class _Link:
    connection: Connection
    opened_ns: int
    session: Session
    number: int
    standby: bool
    tick_ns: int
    is_new: IsNew

    def learn(self, frame: Frame, recv_ns: int) -> None:
        """Decode a frame of the time before; it counts nowhere."""
        if recv_ns >= self.tick_ns:
            self.tick(recv_ns)
        with contextlib.suppress(Exception):  # as live, a decoder's bug costs one frame, which was counted then
            for event in self.session.on_frame(frame, recv_ns):
                self.takes(event)
        self.session.notices.clear()

    def tick(self, recv_ns: int) -> None:
        """Overdue acknowledgements, about once a second."""
        self.session.on_tick(recv_ns)
        self.tick_ns = recv_ns + NS_PER_S

    def takes(self, event: MarketEvent) -> bool:
        """Whether the live stream would have taken it."""
        if type(event) is Liquidation:
            return self.is_new(event, self.number)
        return not self.standby or type(event) is not Trade


class _Venue:
    """One feed's state: its requests by name, its polls."""

    def __init__(self, feed: Feed, registry: Registry, is_new: IsNew) -> None:
        self.feed = feed
        self.registry = registry
        self.seen: deque[tuple[int, Liquidation]] = deque(maxlen=_KEPT_SEEN)
        self._is_new = is_new
        self.polls: dict[str, Poll] = {}
        self.requests: dict[str, Request] = {}

    def is_new(self, event: Liquidation, link: int) -> bool:
        """Whether a liquidation is no repeat."""
        new = self._is_new(event, link)
        if new:
            self.seen.append((link, event))
        return new

    def load(self, number: str, name: str, body: bytes) -> bool:
        """Take one metadata reply; whether it was asked for."""
        if number == "0":
            self.requests = {request.name: request for request in self.feed.metadata()}
        request = self.requests.get(name)
        if request is None:
            return False
        instruments, following = self.feed.parse_metadata(request, body)
        self.registry.update(instruments)
        self.requests.update({more.name: more for more in following})
        return True

    def choose(self, keys: list[str]) -> None:
        """Follow these instruments."""
        table = self.registry.venue(self.feed.spec.venue)
        chosen = [table[key] for key in keys if key in table]
        self.feed.connections(chosen)  # some feeds note here what their polls and sessions go by
        self.polls = {poll.request.name: poll for poll in self.feed.polls(chosen)}


class Replay:
    """Turns records into events.

    Args:
        feeds: Built as live, with the options that were configured when the tape was recorded; not used elsewhere.
        repeats: Makes the filter of repeated liquidations of one venue (``Repeats().is_new`` of the shell).
        make: Builds the feeds that the tape names, instead of `feeds`.
    """

    def __init__(self, feeds: Iterable[Feed], repeats: Callable[[], IsNew], make: Make | None = None) -> None:
        self.report = ReplayReport()
        self._make = make
        self._repeats = repeats
        self.restart(feeds)
        self._last_ns = 0
        self._holed = False
        self._hear: Mapping[str, Callable[[_Venue, Row], Sequence[Event]]] = {
            "rest": self._reply,
            "connect": self._connect,
            "promote": self._promote,
            "disconnect": self._disconnect,
            "known": self._known,
            "chosen": self._chosen,
            "in": lambda _venue, _row: self._skip("unknown_link"),
            "out": lambda _venue, _row: (),
        }

    def restart(self, feeds: Iterable[Feed]) -> None:
        """Begin anew with these feeds: no instrument, no link."""
        self.registry = Registry()
        self._venues: dict[str, _Venue] = {}
        self._links: dict[str, _Link] = {}
        self.change(feeds)

    def change(self, feeds: Iterable[Feed]) -> None:
        """Go on with these feeds where they are new or have other options; links that are open stay what they are."""
        for feed in feeds:
            venue = feed.spec.venue
            if venue not in self._venues or self._venues[venue].feed.options != feed.options:
                self._venues[venue] = _Venue(feed, self.registry, self._repeats())

    def run(self, items: Iterable[Record | Loss]) -> Iterator[tuple[int, list[Event]]]:
        """Give (receive time, events) for each record that has any."""
        for item in items:
            if isinstance(item, Loss):
                self.lose(item)
            elif events := self.take(item):
                yield item.recv_ns, events

    def lose(self, loss: Loss) -> None:
        """Note what cannot be read, and go on without what was said before it."""
        if not loss.aside:
            self.report.losses.append(loss)
        self._mistrust()

    def take(self, record: Record) -> list[Event]:
        """The events of one record; what cannot be used is counted in the report."""
        events: list[Event] = []
        if self._make is not None and record.name in {START, RELOAD}:
            feeds = self._make(read_setting(record.payload).feeds)
            (self.restart if record.name == START else self.change)(feeds)
        if is_course(record) and record.name != REMEMBERED:  # what is derived, its reader derives anew
            self.report.records += 1
        elif record.kind != "in":
            self.report.records += 1
            self._other(record, events)
            self.report.events += len(events)
        else:
            self.read([record], 0, events)
        return events

    def steps(self, blocks: Iterable[list[Row] | Loss], grid_ns: int) -> Iterator[tuple[int, list[Event]]]:
        """What was received in each step of a grid that has records, with the grid instant at its end.

        A receive time that runs backwards belongs to the step at hand.
        """
        now_ns, line = 0, list[Event]()
        for block in blocks:
            if isinstance(block, Loss):
                self.lose(block)
                continue
            start = 0
            while start < len(block):
                stop = next((place for place in range(start, len(block)) if block[place][0] > now_ns), len(block))
                self._read_through(block, start, stop, line)
                start = stop
                if stop < len(block):
                    if now_ns:
                        yield now_ns, line
                    now_ns, line = -(-block[stop][0] // grid_ns) * grid_ns, []
        if now_ns:
            yield now_ns, line

    def _read_through(self, rows: Sequence[Row], start: int, stop: int, line: list[Event]) -> None:
        """Read on over what tells of the program's own course."""
        place = start
        while (place := self.read(rows, place, line, stop)) < stop:
            line += self.take(Record(*rows[place]))
            place += 1

    def read(self, rows: Sequence[Row], start: int, line: list[Event], stop: int | None = None) -> int:
        """Append the events of rows to `line`, up to the first row from `start` that tells of the program's own course.

        Returns:
            The place of that row, or `stop`, which is the number of rows where it is not given.
        """
        links, last_ns, before, put = self._links, self._last_ns, len(line), line.append
        place, end = start, len(rows) if stop is None else stop
        for place in range(start, end):
            recv_ns, name, kind, payload, carried = row = rows[place]
            if kind != "in" or (link := links.get(name)) is None:
                if is_course(row):
                    break
                self._other(row, line)
                continue
            if carried:
                link.learn(payload, recv_ns)
                continue
            self.report.steps_back += recv_ns < last_ns
            last_ns = recv_ns
            if recv_ns >= link.tick_ns:
                link.tick(recv_ns)
            try:
                events = link.session.on_frame(payload, recv_ns)
            except Exception as error:  # noqa: BLE001  # a decoder's bug costs one frame, counted, as it does live
                self._undecoded(error)
                events = []
            if link.session.notices:
                self._note(link.session)
            for event in events:
                if link.takes(event):
                    put(event)
        else:
            place = end
        self._last_ns = last_ns
        self.report.records += place - start
        self.report.events += len(line) - before
        return place

    def _undecoded(self, error: Exception) -> None:
        self.report.decode_errors[error.reason if isinstance(error, DecodeError) else "internal"] += 1

    def _note(self, session: Session) -> None:
        self.report.notices.update(type(notice).__name__ for notice in session.notices)
        session.notices.clear()

    def _other(self, row: Row, line: list[Event]) -> None:
        """Hear a row that is no frame of a known link."""
        kind, payload, carried = row[2:]
        try:
            if kind == "lost":
                self._lost(payload, counts=not carried)
            elif kind == "events":
                line += read_events(payload)
            elif kind == "rest" and is_of_source(row[1]):
                pass  # its events are on the tape
            else:
                line += self._of_venue(row)
        except DecodeError as error:
            self._undecoded(error)
        except (ValueError, TypeError, FeedRefused):
            self.report.skipped["bad_fact"] += 1

    def _of_venue(self, row: Row) -> Sequence[Event]:
        venue = self._venues.get(venue_of(row[1]))
        if venue is None:
            return self._skip("unknown_venue")
        return read_states(row[3]) if row[2] == "state" else self._hear[row[2]](venue, row)

    def _reply(self, venue: _Venue, row: Row) -> Sequence[Event]:
        recv_ns, name, _, payload, carried = row
        body = payload.encode() if isinstance(payload, str) else payload
        if name == snapshot_name(venue.feed.spec.venue):
            self.registry.update(read_instruments(body))
            return ()
        _, what, rest = name.split("/", 2)
        if what == "metadata":
            number, _, request = rest.partition("/")
            return () if venue.load(number, request, body) else self._skip("unknown_request")
        poll = venue.polls.get(rest)
        if poll is None:
            return self._skip("unknown_poll")
        events = venue.feed.parse_poll(poll, body, recv_ns, self.registry, self._undecoded)
        events = [event for event in events if type(event) is not Liquidation or venue.is_new(event, _ANY_LINK)]
        return () if carried else events

    def _known(self, venue: _Venue, row: Row) -> Sequence[Event]:
        """What decoders had learned before the tape begins; after it they go on as if they had read everything."""
        _, name, _, payload, _ = row
        memory = payload.encode() if isinstance(payload, str) else payload
        if name == seen_name(venue.feed.spec.venue):
            for number, event in read_seen(memory):
                venue.is_new(event, number)
        elif is_of_feed(name):
            venue.feed.recall(memory)
            if self._holed:  # the file behind the hole repeats what was known long before
                venue.feed.forget()
        elif (link := self._links.get(name)) is None:
            return self._skip("unknown_link")
        else:
            link.session = self._open(venue, link.connection, link.opened_ns)
            if memory:
                link.session.recall(memory)
        return ()

    def known(self, now_ns: int) -> list[Record]:
        """What all decoders have learned so far, as carried records for a tape that begins at `now_ns`."""
        kept = []
        for name, venue in self._venues.items():
            if memory := venue.feed.memory():
                kept.append((feed_name(name), memory))
            if venue.seen:
                kept.append((seen_name(name), write_seen(venue.seen)))
        kept += [(name, link.session.memory()) for name, link in self._links.items()]
        return [Record(now_ns, name, "known", memory, carried=True) for name, memory in kept]

    def _connect(self, venue: _Venue, row: Row) -> Sequence[Event]:
        recv_ns, name, _, payload, carried = row
        connection, standby = read_connection(payload)
        session = self._open(venue, replace(connection, joined=carried), recv_ns)
        tick_ns = recv_ns + NS_PER_S
        self._links[name] = _Link(connection, recv_ns, session, link_number(name), standby, tick_ns, venue.is_new)
        return ()

    def _open(self, venue: _Venue, connection: Connection, opened_ns: int) -> Session:
        session = venue.feed.session(connection, self.registry)
        session.on_open(opened_ns)
        return session

    def _promote(self, _venue: _Venue, row: Row) -> Sequence[Event]:
        if row[1] not in self._links:
            return self._skip("unknown_link")
        self._links[row[1]].standby = False
        return ()

    def _disconnect(self, _venue: _Venue, row: Row) -> Sequence[Event]:
        self._links.pop(row[1], None)
        return ()

    @staticmethod
    def _chosen(venue: _Venue, row: Row) -> Sequence[Event]:
        venue.choose(read_chosen(row[3]))
        return ()

    def _lost(self, payload: Frame, *, counts: bool) -> None:
        frames, reason = read_lost(payload)
        if counts:
            self.report.lost_frames[reason] += frames
        self._mistrust()

    def _mistrust(self) -> None:
        """Let nobody complete what is told from now on by what was told before: the change between may be missing."""
        self._holed = True
        for venue in self._venues.values():
            venue.feed.forget()
        for name, link in self._links.items():
            venue = self._venues[venue_of(name)]
            link.session = self._open(venue, replace(link.connection, joined=True), link.opened_ns)

    def _skip(self, reason: str) -> Sequence[Event]:
        self.report.skipped[reason] += 1
        return ()


def is_course(row: Row) -> bool:
    """Whether a record tells what the program did, not what it heard."""
    return row[2] in _COURSE or row[1] in _OWN_EVENTS
