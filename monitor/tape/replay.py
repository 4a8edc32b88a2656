"""From records back to events, through the same feeds and sessions that decode live. Pure.

Instruments come from the recorded metadata replies, subscriptions from the recorded openings of links, liveness
(`FeedState`, `FeedGap`) is what was decided live. Each link gets a session of its own, as it had. What is left out of
the stream live is left out here: repeats of liquidations, trades of a standby link.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError, FeedRefused
from monitor.events import FeedGap, FeedState, Liquidation, MarketEvent, Trade
from monitor.feed import Feed, Poll, Request, Session
from monitor.instruments import Registry
from monitor.tape.facts import (
    link_number,
    read_chosen,
    read_connection,
    read_instruments,
    read_states,
    snapshot_name,
    venue_of,
)
from monitor.tape.folder import read_lost
from monitor.tape.format import Record
from monitor.tape.reader import Loss

StreamEvent = MarketEvent | FeedState | FeedGap
IsNew = Callable[[Liquidation, int], bool]
_ANY_LINK = 0


@dataclass(slots=True)
class ReplayReport:
    """What a replay could not turn into events; nothing is left out without a count.

    Attributes:
        records: Records seen.
        events: Events given.
        losses: What the tape itself is missing.
        lost_frames: Frames that the recorder dropped, by reason.
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
    session: Session
    number: int
    standby: bool
    tick_ns: int


class _Venue:
    """One feed's state: its requests by name, its polls, its open links."""

    def __init__(self, feed: Feed, registry: Registry, is_new: IsNew) -> None:
        self.feed = feed
        self.registry = registry
        self.is_new = is_new
        self.links: dict[str, _Link] = {}
        self.polls: dict[str, Poll] = {}
        self.requests: dict[str, Request] = {}

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

    def filtered(self, events: list[MarketEvent], link: int, *, standby: bool) -> list[MarketEvent]:
        """What the live stream would have taken."""
        kept = [event for event in events if type(event) is not Liquidation or self.is_new(event, link)]
        return [event for event in kept if type(event) is not Trade] if standby else kept


class Replay:
    """Turns records into events, one at a time.

    Args:
        feeds: Built as live, with the options that were configured when the tape was recorded.
        repeats: Makes the filter of repeated liquidations of one venue (``Repeats().is_new`` of the shell).
    """

    def __init__(self, feeds: Iterable[Feed], repeats: Callable[[], IsNew]) -> None:
        self.registry = Registry()
        self.report = ReplayReport()
        self._venues = {feed.spec.venue: _Venue(feed, self.registry, repeats()) for feed in feeds}
        self._last_ns = 0
        self._hear: Mapping[str, Callable[[_Venue, Record], list[StreamEvent]]] = {
            "in": self._frame,
            "rest": self._reply,
            "connect": self._connect,
            "promote": self._promote,
            "disconnect": self._disconnect,
            "chosen": self._chosen,
            "state": self._state,
            "out": lambda _venue, _record: [],
        }

    def run(self, items: Iterable[Record | Loss]) -> Iterator[tuple[int, list[StreamEvent]]]:
        """Give (receive time, events) for each record that has any."""
        for item in items:
            if isinstance(item, Loss):
                self.report.losses.append(item)
            elif events := self.take(item):
                yield item.recv_ns, events

    def take(self, record: Record) -> list[StreamEvent]:
        """The events of one record; what cannot be used is counted in the report."""
        report = self.report
        report.records += 1
        if record.kind == "lost":
            return self._lost(record)
        venue = self._venues.get(venue_of(record.name))
        if venue is None:
            report.skipped["unknown_venue"] += 1
            return []
        try:
            events = self._hear[record.kind](venue, record)
        except DecodeError as error:
            report.decode_errors[error.reason] += 1
            return []
        except (ValueError, TypeError, FeedRefused):
            report.skipped["bad_fact"] += 1
            return []
        report.events += len(events)
        return events

    def _frame(self, venue: _Venue, record: Record) -> list[StreamEvent]:
        recv_ns, name, _, payload, _ = record
        link = venue.links.get(name)
        if link is None:
            return self._skip("unknown_link")
        if recv_ns < self._last_ns:
            self.report.steps_back += 1
        self._last_ns = recv_ns
        session = link.session
        if recv_ns >= link.tick_ns:
            session.on_tick(recv_ns)
            link.tick_ns = recv_ns + NS_PER_S
        try:
            events = session.on_frame(payload, recv_ns)
        except DecodeError:
            raise
        except Exception:  # noqa: BLE001  # a decoder's bug costs one frame, counted, as it does live
            self.report.decode_errors["internal"] += 1
            events = []
        if session.notices:
            self.report.notices.update(type(notice).__name__ for notice in session.notices)
            session.notices.clear()
        return [*venue.filtered(events, link.number, standby=link.standby)] if events else []

    def _reply(self, venue: _Venue, record: Record) -> list[StreamEvent]:
        name, body = record.name, _bytes(record)
        if name == snapshot_name(venue.feed.spec.venue):
            self.registry.update(read_instruments(body))
            return []
        _, what, rest = name.split("/", 2)
        if what == "metadata":
            number, _, request = rest.partition("/")
            return [] if venue.load(number, request, body) else self._skip("unknown_request")
        poll = venue.polls.get(rest)
        if poll is None:
            return self._skip("unknown_poll")
        events = venue.feed.parse_poll(poll, body, record.recv_ns, self.registry)
        return [*venue.filtered(events, _ANY_LINK, standby=False)]

    def _connect(self, venue: _Venue, record: Record) -> list[StreamEvent]:
        connection, standby = read_connection(record.payload)
        session = venue.feed.session(connection, self.registry)
        session.on_open(record.recv_ns)
        number = link_number(record.name)
        venue.links[record.name] = _Link(session, number, standby, record.recv_ns + NS_PER_S)
        return []

    def _promote(self, venue: _Venue, record: Record) -> list[StreamEvent]:
        if record.name not in venue.links:
            return self._skip("unknown_link")
        venue.links[record.name].standby = False
        return []

    @staticmethod
    def _disconnect(venue: _Venue, record: Record) -> list[StreamEvent]:
        venue.links.pop(record.name, None)
        return []

    @staticmethod
    def _chosen(venue: _Venue, record: Record) -> list[StreamEvent]:
        venue.choose(read_chosen(record.payload))
        return []

    @staticmethod
    def _state(_venue: _Venue, record: Record) -> list[StreamEvent]:
        return [*read_states(record.payload)]

    def _lost(self, record: Record) -> list[StreamEvent]:
        try:
            frames, reason = read_lost(record.payload)
        except ValueError:
            return self._skip("bad_fact")
        self.report.lost_frames[reason] += frames
        return []

    def _skip(self, reason: str) -> list[StreamEvent]:
        self.report.skipped[reason] += 1
        return []


def _bytes(record: Record) -> bytes:
    return record.payload.encode() if isinstance(record.payload, str) else record.payload
