"""Opens a venue's session on the metadata of its golden folder, and feeds it frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import Connection, Feed, FeedOptions, Frame, Notice, Send, Session
from monitor.feeds import make_feed
from monitor.instruments import Registry

GOLDEN = Path(__file__).parent.parent / "golden" / "feeds"
NOW_NS = 1_763_700_000_000_000_000
"""When every session of these tests is opened: 21 November 2025, 04:40 UTC."""
EVERYTHING = frozenset(Channel)
E = TypeVar("E")


@dataclass
class Opened:
    """One open session with what stands around it."""

    feed: Feed
    registry: Registry
    connection: Connection
    session: Session
    sends: list[Send]

    def push(self, *frames: Frame | Mapping[str, Any] | list[Any], recv_ns: int = NOW_NS) -> list[MarketEvent]:
        """Decode frames (a mapping is sent as JSON) and return all events."""
        events: list[MarketEvent] = []
        for frame in frames:
            text = frame if isinstance(frame, (str, bytes)) else msgspec.json.encode(frame)
            events += self.session.on_frame(text, recv_ns)
        return events

    def notices(self, kind: type[E]) -> list[E]:
        """Notices of one kind so far."""
        return [notice for notice in self.session.notices if isinstance(notice, kind)]

    def skipped(self) -> dict[str, int]:
        """Counts of rows left out, by reason."""
        totals: dict[str, int] = {}
        for notice in self.session.notices:
            if type(notice).__name__ == "Skipped":
                totals[notice.reason] = totals.get(notice.reason, 0) + notice.count  # type: ignore[union-attr]
        return totals


def metadata(venue: str) -> dict[str, bytes]:
    """Metadata replies of the golden folder, by request name."""
    raw = msgspec.json.decode((GOLDEN / venue / "metadata.json").read_bytes(), type=dict[str, msgspec.Raw])
    return {name: bytes(body) for name, body in raw.items()}


def load(feed: Feed, registry: Registry) -> None:
    """Fill the registry as the shell does."""
    replies = metadata(feed.spec.venue)
    requests = feed.metadata()
    while requests:
        request = requests.pop(0)
        if request.name in replies:
            instruments, more = feed.parse_metadata(request, replies[request.name])
            registry.update(instruments)
            requests += more


def open_session(
    venue: str,
    *channels: Channel,
    symbols: Any = "*",
    connection: int | str = 0,
    include_tradfi: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> Opened:
    """Build a feed (all its channels unless some are given), load its metadata, open one of its connections.

    `connection` is an index, or the middle part of a name.
    """
    from monitor.feeds import feed_class

    wanted = frozenset(channels) or frozenset(feed_class(venue).spec.laws)
    feed = make_feed(
        venue, FeedOptions(channels=wanted, symbols=symbols, include_tradfi=include_tradfi, extra=extra or {})
    )
    registry = Registry()
    load(feed, registry)
    connections = feed.connections(feed.wanted(registry))
    chosen = connections[connection] if isinstance(connection, int) else named(connections, connection)
    session = feed.session(chosen, registry)
    sends = session.on_open(NOW_NS)
    return Opened(feed, registry, chosen, session, sends)


def named(connections: list[Connection], part: str) -> Connection:
    """The first connection of a group: ``market`` is ``binance_usdm/market/0``."""
    return next(connection for connection in connections if connection.name.split("/")[1] == part)


def of(kind: type[E], events: list[MarketEvent]) -> list[E]:
    """Events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def shown(event: MarketEvent | Notice) -> dict[str, Any]:
    """An event or notice as plain JSON: the instrument by its symbol."""
    names = getattr(event, "__struct_fields__", None) or [
        field.name for field in dataclasses.fields(cast("Any", event))
    ]
    fields = {name: getattr(event, name) for name in names}
    plain = {name: value.symbol if name == "instrument" else value for name, value in fields.items()}
    return {"type": type(event).__name__, **msgspec.to_builtins(plain)}


def refuse(error: DecodeError) -> None:
    """No row of this reply is bad."""
    raise error
