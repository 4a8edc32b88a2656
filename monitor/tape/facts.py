"""What a tape says besides the frames: subscriptions, instruments followed, liveness. Small JSON texts, written and read here.

Names start with the venue, so that a tape can be searched by venue: ``bybit/linear/0#3`` (the third link of the feed),
``bybit/metadata/0/NAME``, ``bybit/instruments`` (from the disk), ``bybit/poll/NAME``, ``bybit/chosen``, ``bybit/state``;
a slow source stands where the venue stands: ``coingecko/source/NAME``.
Headers of a connection are left out: they may hold a secret, and decoding does not need them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from monitor.events import Channel, FeedGap, FeedState
from monitor.feed import Connection, Topic
from monitor.instruments import Instrument

_OF_SOURCE = "/source/"
_OF_FEED = "/feed"
_OF_SEEN = "/seen"


class _Topic(msgspec.Struct, array_like=True):
    name: str
    channels: list[Channel]
    symbol: str
    payload: Any
    is_set: bool


class _Connection(msgspec.Struct):
    name: str
    url: str
    standby: bool
    topics: list[_Topic]


class _State(msgspec.Struct, tag="state"):
    venue: str
    channel: Channel
    up: bool
    ts_ns: int
    reason: str


class _Gap(msgspec.Struct, tag="gap"):
    venue: str
    channel: Channel
    start_ns: int
    end_ns: int
    reason: str
    dropped: int
    filled: bool = False


def venue_of(name: str) -> str:
    """The venue that a recorded name belongs to."""
    return name.partition("/")[0]


def link_name(connection: str, number: int) -> str:
    """Two links may serve one connection at the same time, so a tape tells them apart by their number."""
    return f"{connection}#{number}"


def link_number(name: str) -> int:
    """The number in a `link_name`.

    Raises:
        ValueError: There is none.
    """
    return int(name.rpartition("#")[2])


def metadata_name(venue: str, number: int, request: str) -> str:
    """The name of the `number`-th reply of one load of a venue's instruments."""
    return f"{venue}/metadata/{number}/{request}"


def snapshot_name(venue: str) -> str:
    """The name of instruments that were read from the disk, because the venue did not answer."""
    return f"{venue}/instruments"


def source_name(source: str, request: str) -> str:
    """The name of a slow source's reply. What was made of it is on the tape as events; the reply is kept for itself."""
    return f"{source}{_OF_SOURCE}{request}"


def is_of_source(name: str) -> bool:
    """Whether this is a `source_name`."""
    return _OF_SOURCE in name


def feed_name(venue: str) -> str:
    """The name of what all connections of a feed have learned together (`monitor.feed.Feed.memory`)."""
    return f"{venue}{_OF_FEED}"


def seen_name(venue: str) -> str:
    """The name of the liquidations that came last, so that repeats of them are known."""
    return f"{venue}{_OF_SEEN}"


def is_of_feed(name: str) -> bool:
    """Whether this is a `feed_name`."""
    return name.endswith(_OF_FEED)


def write_connection(connection: Connection, *, standby: bool) -> str:
    """A connection with its topics."""
    topics = [_write_topic(topic) for topic in connection.topics]
    return msgspec.json.encode(_Connection(connection.name, connection.url, standby, topics)).decode()


def read_connection(text: str | bytes) -> tuple[Connection, bool]:
    """The connection, and whether its link was a standby.

    Raises:
        ValueError: The text is something else.
    """
    found = msgspec.json.decode(text, type=_Connection)
    topics = tuple(
        Topic(topic.name, tuple(topic.channels), topic.symbol, _read_payload(topic)) for topic in found.topics
    )
    return Connection(found.name, found.url, topics), found.standby


def write_chosen(instruments: Sequence[Instrument]) -> str:
    """The instruments that a feed follows, by key."""
    return msgspec.json.encode([item.key for item in instruments]).decode()


def read_chosen(text: str | bytes) -> list[str]:
    """Keys of instruments.

    Raises:
        ValueError: The text is something else.
    """
    return msgspec.json.decode(text, type=list[str])


def write_instruments(instruments: Iterable[Instrument]) -> bytes:
    """Instruments, whole."""
    return msgspec.json.encode(list(instruments))


def read_instruments(body: str | bytes) -> list[Instrument]:
    """Instruments.

    Raises:
        ValueError: The text is something else.
    """
    return msgspec.json.decode(body, type=list[Instrument])


def write_states(events: Iterable[FeedState | FeedGap]) -> str:
    """Liveness as it was decided live."""
    return msgspec.json.encode([_write_state(event) for event in events]).decode()


def read_states(text: str | bytes) -> list[FeedState | FeedGap]:
    """Liveness events.

    Raises:
        ValueError: The text is something else.
    """
    return [_read_state(row) for row in msgspec.json.decode(text, type=list[_State | _Gap])]


def _write_topic(topic: Topic) -> _Topic:
    is_set = isinstance(topic.payload, frozenset)
    payload = sorted(topic.payload) if is_set else topic.payload
    return _Topic(topic.name, list(topic.channels), topic.symbol, payload, is_set)


def _read_payload(topic: _Topic) -> Any:
    return frozenset(topic.payload) if topic.is_set else topic.payload


def _write_state(event: FeedState | FeedGap) -> _State | _Gap:
    if isinstance(event, FeedState):
        return _State(event.venue, event.channel, event.up, event.ts_ns, event.reason)
    return _Gap(event.venue, event.channel, event.start_ns, event.end_ns, event.reason, event.dropped, event.filled)


def _read_state(row: _State | _Gap) -> FeedState | FeedGap:
    if isinstance(row, _State):
        return FeedState(row.venue, row.channel, row.up, row.ts_ns, row.reason)
    return FeedGap(row.venue, row.channel, row.start_ns, row.end_ns, row.reason, row.dropped, row.filled)
