"""Each feed against the local protocol of its venue: what goes in as events comes out as the same events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, Depth, Funding, Liquidation, MarketEvent, OpenInterest, Price, Sample, Trade
from monitor.feed import Connection, Feed, FeedOptions, Refused, Reply, Session
from monitor.feeds import feed_class, make_feed
from monitor.instruments import Instrument, Registry
from monitor.testing.protocol import VenueProtocol
from monitor.testing.venues import make_protocol
from tests.feeds.support import NOW_NS, open_session, refuse

VENUES = ["deribit", "bitmex", "hyperliquid", "bitget", "gate", "htx", "kraken_futures", "kraken", "coinbase", "dydx"]
LIVE_NS = NOW_NS + 5_000_000_000


class Wire:
    """A feed joined to a local protocol without a network."""

    def __init__(self, venue: str) -> None:
        listed = open_session(venue).registry
        self.protocol: VenueProtocol = make_protocol(venue, [item for item in listed if item.status == "trading"])
        self.feed: Feed = make_feed(venue, FeedOptions(channels=frozenset(feed_class(venue).spec.laws)))
        self.registry = Registry()
        for request in self.feed.metadata():
            self.registry.update(self.feed.parse_metadata(request, self.fetch(request.url, request.body))[0])
        self.wanted = self.feed.wanted(self.registry)
        self.open: list[tuple[str, Connection, Session, set[str]]] = []
        self.early: list[MarketEvent] = []
        for connection in self.feed.connections(self.wanted):
            self._connect(connection)

    def fetch(self, url: str, body: bytes | None = None) -> bytes:
        parts = urlsplit(url)
        method = "POST" if body else "GET"
        status, reply = self.protocol.rest(method, parts.path, dict(parse_qsl(parts.query)), body or b"", NOW_NS)
        assert status == 200, url
        return reply

    def _connect(self, connection: Connection) -> None:
        path = urlsplit(connection.url).path
        session = self.feed.session(connection, self.registry)
        greeting = self.protocol.on_connect(path, "", NOW_NS)
        assert greeting is not None, path
        topics: set[str] = set()
        frames = list(greeting.frames)
        for send in session.on_open(NOW_NS):
            reply = self.protocol.on_client_frame(path, send.frame, frozenset(topics), NOW_NS)
            frames += reply.frames
            topics.update(reply.subscribed)
            for topic in reply.subscribed:
                frames += self.protocol.snapshot_frames(path, topic, NOW_NS)
        for frame in frames:
            self.early += session.on_frame(frame, NOW_NS)
        self.open.append((path, connection, session, topics))

    def tell(self, *events: MarketEvent) -> list[MarketEvent]:
        """Publish events and return what the feed makes of them."""
        heard: list[MarketEvent] = []
        for push in self.protocol.encode(events):
            for path, _, session, topics in self.open:
                if path == push.path and push.topic in topics:
                    heard += session.on_frame(push.frame, LIVE_NS)
        for poll in self.feed.polls(self.wanted):
            heard += self.feed.parse_poll(poll, self.fetch(poll.request.url), LIVE_NS, self.registry, refuse)
        return heard


@pytest.fixture(params=VENUES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return Wire(request.param)


def sample(instrument: Instrument, channel: Channel) -> Iterator[MarketEvent]:
    """One event of a channel."""
    at = (LIVE_NS, LIVE_NS)
    match channel:
        case Channel.PRICE:
            yield Price(instrument, "mark", 84121.5, *at)
            yield Price(instrument, "last", 84120.5, *at)
        case Channel.TRADES:
            yield Trade(instrument, "sell", 1_234_567_891, 84120.5, *at)
        case Channel.LIQUIDATIONS:
            yield Liquidation(instrument, "long", 10_000_000_001, 83999.5, *at)
            yield Liquidation(instrument, "short", 33_333_333, 84200.25, *at)
        case Channel.FUNDING if instrument.funding_interval_h:
            yield Funding(instrument, -0.000125, instrument.funding_interval_h, *at, next_ns=1_763_712_000_000_000_000)
        case Channel.OPEN_INTEREST if instrument.kind != "spot":
            yield OpenInterest(instrument, 250_000_000.0, *at)
        case _:
            return


def test_metadata_survives_the_trip(wire: Wire) -> None:
    assert wire.wanted
    for item in wire.wanted:
        told = next(each for each in wire.protocol.instruments if each.symbol == item.symbol)
        for name in ("base", "quote", "kind", "form", "contract_value", "base_units", "asset_class"):
            assert getattr(item, name) == getattr(told, name), (item.symbol, name)


def test_every_subscription_is_confirmed(wire: Wire) -> None:
    for _, connection, session, topics in wire.open:
        assert [notice for notice in session.notices if isinstance(notice, Refused)] == []
        assert len(topics) >= len(connection.topics)
        session.on_tick(NOW_NS + 3600 * 10**9)
        assert [notice for notice in session.notices if isinstance(notice, Refused)] == []


def test_amounts_and_sides_survive_the_trip(wire: Wire) -> None:
    for item in wire.wanted:
        wire.tell(*sample(item, Channel.PRICE))  # values quanto contracts and open interest
    for item in wire.wanted:
        if item.status == "trading" and not (wire.protocol.venue == "coinbase" and item.kind != "spot"):
            for event in (*sample(item, Channel.TRADES), *sample(item, Channel.LIQUIDATIONS)):
                heard = [each for each in wire.tell(event) if type(each) is type(event)]
                if heard or not _silent(wire, event):
                    assert [_money(each) for each in heard] == [_money(event)], item.symbol


def _silent(wire: Wire, event: MarketEvent) -> bool:
    """Whether the venue has no public source for such an event."""
    law = wire.feed.spec.laws.get(Channel.LIQUIDATIONS)
    return isinstance(event, Liquidation) and (law is None or law.kind == "not_covered")


def _money(event: MarketEvent) -> tuple[object, ...]:
    assert isinstance(event, (Trade, Liquidation))
    return event.instrument.symbol, event.side, event.usd_micros, event.price


def test_gauges_survive_the_trip(wire: Wire) -> None:
    laws = wire.feed.spec.laws
    for item in wire.wanted:
        for event in sample(item, Channel.PRICE):
            wire.tell(event)
        if Channel.FUNDING in laws and item.kind == "perp":
            told = list(sample(item, Channel.FUNDING))
            heard = [
                each for each in wire.tell(*told) if isinstance(each, Funding) and each.instrument.symbol == item.symbol
            ]
            assert [each.rate for each in heard[-1:]] == [-0.000125], item.symbol
        if Channel.OPEN_INTEREST in laws and item.kind != "spot":
            events = wire.tell(*sample(item, Channel.OPEN_INTEREST))
            usd = [
                each.usd for each in events if isinstance(each, OpenInterest) and each.instrument.symbol == item.symbol
            ]
            assert usd[-1:] == [pytest.approx(250_000_000.0)], item.symbol


def test_depth_survives_the_trip(wire: Wire) -> None:
    items = [
        item for item in wire.wanted if item.base == "BTC" and item.kind in {"perp", "spot"} and item.form != "quanto"
    ]
    if wire.protocol.venue == "coinbase":
        items = [item for item in items if item.kind == "spot"]
    assert items
    for item in items:
        price = Price(item, "mark", 84_000.0, LIVE_NS, LIVE_NS)
        told = Depth(item, 2_500_000.0, 1_250_000.0, 0.001, LIVE_NS, LIVE_NS)
        heard = [
            each for each in wire.tell(price, told) if isinstance(each, Depth) and each.instrument.symbol == item.symbol
        ]
        assert heard, item.symbol
        assert heard[-1].bid_usd == pytest.approx(2_500_000.0)
        assert heard[-1].ask_usd == pytest.approx(1_250_000.0)
        assert heard[-1].spread_ratio == pytest.approx(0.001)


def test_a_bad_row_of_a_polled_list_is_told_and_the_others_are_kept(wire: Wire) -> None:
    """Of an order book a bad level makes it all bad: without one it would say too little."""
    for item in wire.wanted:
        wire.tell(*sample(item, Channel.PRICE), *sample(item, Channel.FUNDING), *sample(item, Channel.OPEN_INTEREST))
    for poll in wire.feed.polls(wire.wanted):
        body = wire.fetch(poll.request.url)
        whole = wire.feed.parse_poll(poll, body, LIVE_NS, wire.registry, refuse)
        reply = json.loads(body)
        rows = _rows(reply)
        if not rows:
            continue
        gone, rows[0] = rows[0], [] if isinstance(rows[0], dict) else {}
        bad: list[DecodeError] = []
        if poll.channel is Channel.DEPTH:
            with pytest.raises(DecodeError):
                wire.feed.parse_poll(poll, json.dumps(reply).encode(), LIVE_NS, wire.registry, bad.append)
            continue
        kept = wire.feed.parse_poll(poll, json.dumps(reply).encode(), LIVE_NS, wire.registry, bad.append)
        assert len(bad) == 1, poll.request.name
        names = {str(value) for value in gone.values()}
        assert kept == [event for event in whole if _symbol(event) not in names], poll.request.name
        assert len(kept) >= len(rows) - 1 or not whole


def _rows(reply: Any) -> list[Any]:
    """The list of a reply that is its matter: the first that holds more than one row."""
    parts = list(reply.values()) if isinstance(reply, dict) else []
    if isinstance(reply, list) and len(reply) > 1 and isinstance(reply[0], dict | list):
        return reply
    return next((found for part in (parts or (reply if isinstance(reply, list) else [])) if (found := _rows(part))), [])


def _symbol(event: MarketEvent) -> str:
    assert not isinstance(event, Sample)
    return event.instrument.symbol


def test_an_unknown_topic_is_refused_in_the_venues_words(wire: Wire) -> None:
    path, connection, _, _ = wire.open[-1]
    session = wire.feed.session(connection, wire.registry)
    frames = [send.frame for send in session.on_open(NOW_NS)]
    known = next((topic.symbol for topic in connection.topics if topic.symbol), "")
    changed = [frame.replace(known, "NOPE") for frame in frames if known and known in frame]
    for frame in changed:
        for answer in wire.protocol.on_client_frame(path, frame, frozenset(), NOW_NS).frames:
            session.on_frame(answer, NOW_NS)
    if changed:
        assert [notice for notice in session.notices if isinstance(notice, Refused)]


def test_pings_are_answered(wire: Wire) -> None:
    for path, _, session, _ in wire.open:
        for send in session.on_tick(NOW_NS + 120 * 10**9):
            reply = wire.protocol.on_client_frame(path, send.frame, frozenset(), NOW_NS)
            assert reply.frames
            assert [event for frame in reply.frames for event in session.on_frame(frame, NOW_NS)] == []
        for ping in wire.protocol.pings(path, NOW_NS):
            session.on_frame(ping, NOW_NS)
            assert [notice for notice in session.notices if isinstance(notice, Reply)]


def test_wrong_paths_are_not_served(wire: Wire) -> None:
    assert wire.protocol.on_connect("/nowhere", "", NOW_NS) is None
    assert wire.protocol.rest("GET", "/nowhere", {}, b"", NOW_NS)[0] == 404
