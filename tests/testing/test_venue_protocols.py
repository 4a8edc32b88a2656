"""What a local venue says must be what the feed reads: the two sides of each protocol against each other."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec
import pytest

from monitor.events import Channel, Depth, Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import Acked, Connection, Feed, FeedOptions, Poll, Refused, Reply, Request, Session
from monitor.feeds import feed_class, make_feed
from monitor.instruments import Instrument, Registry
from monitor.testing.protocol import VenueProtocol
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venues import make_protocol
from tests.feeds.support import refuse

NOW_NS = 1_763_700_000_000_000_000
VENUES = {
    "binance_usdm": ("binance_usdm", "binance_coinm"),
    "binance_coinm": ("binance_coinm",),
    "binance_spot": ("binance_spot",),
    "bybit": ("bybit",),
    "okx": ("okx",),
}


class Wire:
    """A feed and a protocol, joined without a socket."""

    def __init__(
        self, venue: str, symbols: tuple[str, ...] | str = "*", extra: dict[str, object] | None = None
    ) -> None:
        self.protocol: VenueProtocol = make_protocol(venue, instruments_of(*VENUES[venue]))
        channels = frozenset(feed_class(venue).spec.laws)
        options = FeedOptions(channels=channels, symbols=symbols, extra=extra or {})  # type: ignore[arg-type]
        self.feed: Feed = make_feed(venue, options)
        self.registry = Registry()
        self._load()
        self.chosen = self.feed.wanted(self.registry)
        self.open: list[tuple[Connection, Session, set[str]]] = []

    def _load(self) -> None:
        todo = self.feed.metadata()
        while todo:
            request = todo.pop(0)
            found, more = self.feed.parse_metadata(request, self.fetch(request))
            self.registry.update(found)
            todo += more

    def fetch(self, request: Request) -> bytes:
        path, query = split(request.url)
        status, body = self.protocol.rest(request.method, path, query, b"", NOW_NS)
        assert status == 200, (request.url, body)
        return body

    def connect(self) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        for connection in self.feed.connections(self.chosen):
            path, query = split(connection.url)
            assert self.protocol.on_connect(path, "", NOW_NS) is not None, (connection.url, query)
            session, topics = self.feed.session(connection, self.registry), set[str]()
            self.open.append((connection, session, topics))
            for send in session.on_open(NOW_NS):
                events += self.say(connection, session, topics, send.frame)
        return events

    def say(self, connection: Connection, session: Session, topics: set[str], frame: str) -> list[MarketEvent]:
        path, _ = split(connection.url)
        reply = self.protocol.on_client_frame(path, frame, frozenset(topics), NOW_NS)
        topics |= set(reply.subscribed)
        frames = list(reply.frames)
        for topic in reply.subscribed:
            frames += self.protocol.snapshot_frames(path, topic, NOW_NS)
        events = [event for item in frames for event in session.on_frame(item, NOW_NS)]
        replies = [notice for notice in session.notices if isinstance(notice, Reply)]
        session.notices[:] = [notice for notice in session.notices if not isinstance(notice, Reply)]
        for notice in replies:
            events += self.say(connection, session, topics, notice.frame)
        return events

    def publish(self, sent: Iterable[MarketEvent]) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        for push in self.protocol.encode(sent):
            for connection, session, topics in self.open:
                if split(connection.url)[0] == push.path and (not push.topic or push.topic in topics):
                    events += session.on_frame(push.frame, NOW_NS)
        return events

    def poll(self) -> list[MarketEvent]:
        polls: list[Poll] = self.feed.polls(self.chosen)
        return [
            event
            for poll in polls
            for event in self.feed.parse_poll(poll, self.fetch(poll.request), NOW_NS, self.registry, refuse)
        ]


def split(url: str) -> tuple[str, dict[str, str]]:
    from urllib.parse import parse_qsl, urlsplit

    parts = urlsplit(url)
    return parts.path, dict(parse_qsl(parts.query))


def key(event: MarketEvent) -> tuple[object, ...]:
    assert not isinstance(event, msgspec.Raw)
    instrument: Instrument = event.instrument  # type: ignore[union-attr]
    kind = type(event).__name__
    what = getattr(event, "kind", "") or getattr(event, "side", "")
    value = getattr(event, "usd_micros", None)
    if value is None:
        value = getattr(event, "value", None) or getattr(event, "rate", None)
    return kind, instrument.venue, instrument.key, what, value, event.ts_ns


def stream(instrument: Instrument) -> list[MarketEvent]:
    """One of each event that a stream can carry."""
    spot = instrument.kind == "spot"
    events: list[MarketEvent] = [
        Price(instrument, "last", 84120.1, NOW_NS, NOW_NS),
        Trade(instrument, "sell", 123_400_000, 84120.5, NOW_NS, NOW_NS),
    ]
    if not spot:
        events += [
            Price(instrument, "index", 84135.2, NOW_NS, NOW_NS),
            Price(instrument, "mark", 84120.5, NOW_NS, NOW_NS),
            Funding(instrument, -0.000031, 4.0, NOW_NS, NOW_NS, NOW_NS + 7_200_000_000_000),
            Liquidation(instrument, "long", 3_018_186_500, 26245.1, NOW_NS, NOW_NS),
            Liquidation(instrument, "short", 2_500_000_000, 76000.0, NOW_NS, NOW_NS),
        ]
    return events


@pytest.mark.parametrize("venue", VENUES)
def test_every_subscription_is_confirmed(venue: str) -> None:
    wire = Wire(venue)
    wire.connect()
    for connection, session, _ in wire.open:
        confirmed = {name for notice in session.notices if isinstance(notice, Acked) for name in notice.topics}
        assert confirmed == {topic.name for topic in connection.topics}
        session.on_tick(NOW_NS + 10**12)  # what is not confirmed by then is refused
        assert not [notice for notice in session.notices if isinstance(notice, Refused)]


@pytest.mark.parametrize("venue", VENUES)
def test_events_survive_the_wire(venue: str) -> None:
    wire = Wire(venue)
    wire.connect()
    instruments = [wire.registry.get(item.venue, item.key) for item in wire.protocol.instruments]
    sent = [event for item in instruments if item is not None for event in stream(item)]
    if venue == "binance_usdm":  # of the other product, only liquidations are on this socket
        sent = [e for e in sent if isinstance(e, Liquidation) or e.instrument.venue == venue]  # type: ignore[union-attr]
    got = {key(event) for event in wire.publish(sent)}
    missing = [event for event in sent if key(event) not in got and not isinstance(event, Funding)]
    assert missing == []
    rates = {(event.instrument.key, event.rate) for event in wire.publish(sent) if isinstance(event, Funding)}
    if venue == "okx":  # polled: there are many instruments
        rates |= {(event.instrument.key, event.rate) for event in wire.poll() if isinstance(event, Funding)}
    assert {(e.instrument.key, e.rate) for e in sent if isinstance(e, Funding)} <= rates


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_coinm", "bybit", "okx"])
def test_open_interest_survives_the_wire(venue: str) -> None:
    wire = Wire(venue)
    wire.connect()
    instruments = [item for item in wire.registry if item.venue == venue]
    sent: list[MarketEvent] = [Price(item, "mark", 84120.5, NOW_NS, NOW_NS) for item in instruments]
    sent += [OpenInterest(item, 896_700_000.0, NOW_NS, NOW_NS) for item in instruments]
    got = [event for event in wire.publish(sent) + wire.poll() if isinstance(event, OpenInterest)]
    assert {event.instrument.key for event in got} == {item.key for item in instruments}
    assert all(event.usd == pytest.approx(896_700_000.0, rel=1e-9) for event in got)


@pytest.mark.parametrize("venue", VENUES)
def test_depth_is_polled_for_the_majors(venue: str) -> None:
    wire = Wire(venue)
    majors = [item for item in wire.chosen if item.base in {"BTC", "ETH"} and item.quote in {"USDT", "USD"}]
    wire.publish([Price(item, "mid", 84_000.0, NOW_NS, NOW_NS) for item in majors])
    wire.publish([Depth(item, 2e6, 3e6, 0.0002, NOW_NS, NOW_NS) for item in majors])
    got = [event for event in wire.poll() if isinstance(event, Depth)]
    assert {event.instrument.key for event in got} == {item.key for item in majors}
    for event in got:
        assert event.bid_usd == pytest.approx(2e6)
        assert event.ask_usd == pytest.approx(3e6)
        assert event.spread_ratio == pytest.approx(0.0002)


@pytest.mark.parametrize("venue", VENUES)
def test_ranking_covers_what_is_listed(venue: str) -> None:
    wire = Wire(venue)
    wire.publish([Price(item, "mark", 10.0, NOW_NS, NOW_NS) for item in wire.chosen])
    wire.publish([OpenInterest(item, 5e6, NOW_NS, NOW_NS) for item in wire.chosen])
    ranks: dict[str, float] = {}
    for request in wire.feed.ranking():
        ranks |= wire.feed.parse_ranking(request, wire.fetch(request), wire.registry)
    assert set(ranks) == {item.symbol for item in wire.chosen}
    assert all(value > 0 for value in ranks.values())


def test_bybit_refuses_a_bad_topic_and_the_rest_is_subscribed() -> None:
    wire = Wire("bybit")
    gone = Instrument(
        venue="bybit", symbol="GONEUSDT", base="GONE", quote="USDT", settle="USDT", kind="perp", category="linear"
    )
    wire.registry.update([gone])
    wire.chosen = wire.feed.wanted(wire.registry)
    wire.connect()
    linear = next(session for connection, session, _ in wire.open if connection.name == "bybit/linear/0")
    refused = {notice.topic for notice in linear.notices if isinstance(notice, Refused)}
    assert refused == {"tickers.GONEUSDT", "allLiquidation.GONEUSDT", "publicTrade.GONEUSDT"}
    words = next(notice.words for notice in linear.notices if isinstance(notice, Refused))
    assert words.startswith("Invalid topic: ")
    confirmed = {name for notice in linear.notices if isinstance(notice, Acked) for name in notice.topics}
    assert "tickers.BTCUSDT" in confirmed
    assert not confirmed & refused


def test_okx_refuses_a_bad_topic_in_its_words() -> None:
    wire = Wire("okx")
    wire.registry.update(
        [Instrument(venue="okx", symbol="GONE-USDT-SWAP", base="GONE", quote="USDT", settle="USDT", kind="perp",
                    contract_value=Decimal(1), category="SWAP")]
    )  # fmt: skip
    wire.chosen = wire.feed.wanted(wire.registry)
    wire.connect()
    refused = [notice for _, session, _ in wire.open for notice in session.notices if isinstance(notice, Refused)]
    assert {notice.topic for notice in refused} == {
        f"{channel}:GONE-USDT-SWAP" for channel in ("tickers", "mark-price", "trades", "funding-rate", "open-interest")
    } | {"index-tickers:GONE-USDT"}
    assert all("60018" in notice.words for notice in refused)


def test_okx_history_after_a_subscription_is_not_counted() -> None:
    wire = Wire("okx")
    swap = wire.registry.get("okx", "BTC-USDT-SWAP")
    assert swap is not None
    wire.publish([Liquidation(swap, "long", 5_000_000, 50_000.0, NOW_NS - 10**9, NOW_NS - 10**9)])
    assert [event for event in wire.connect() if isinstance(event, Liquidation)] == []


def test_binance_unrouted_address_acknowledges_and_stays_silent() -> None:
    protocol = make_protocol("binance_usdm", instruments_of("binance_usdm"))
    frame = '{"method":"SUBSCRIBE","params":["!forceOrder@arr","!bookTicker"],"id":1}'
    reply = protocol.on_client_frame("/ws", frame, frozenset(), NOW_NS)
    assert reply.frames == ('{"result":null,"id":1}',)
    assert reply.subscribed == ("!bookTicker",)


@pytest.mark.parametrize(
    ("venue", "path", "frame", "words"),
    [
        ("binance_usdm", "/market/ws", '{"method":"SUBSCRIB","params":["a"],"id":1}', "unknown variant `SUBSCRIB`"),
        ("binance_usdm", "/market/ws", "{", '"code":3'),
        ("binance_spot", "/ws", '{"method":"SUBSCRIBE","params":"a","id":1}', '"code":2'),
        ("bybit", "/v5/public/linear", '{"op":"subscribe","args":["ticker.BTCUSDT"],"req_id":"1"}', "Invalid topic: ticker.BTCUSDT"),
        ("bybit", "/v5/public/inverse", '{"op":"subscribe","args":["tickers.BTCUSDT"]}', "Invalid topic"),
        ("okx", "/ws/v5/public", '{"id":"1","op":"subscribe","args":[{"channel":"trade","instId":"BTC-USDT-SWAP"}]}', "60018"),
        ("okx", "/ws/v5/public", '{"op":"subscribe"}', "60012"),
    ],
)  # fmt: skip
def test_wrong_subscription_is_refused_in_the_venues_words(venue: str, path: str, frame: str, words: str) -> None:
    reply = make_protocol(venue, instruments_of(venue)).on_client_frame(path, frame, frozenset(), NOW_NS)
    assert words in str(reply.frames[0])
    assert reply.subscribed == ()


def test_unknown_address_is_not_upgraded() -> None:
    assert make_protocol("bybit", []).on_connect("/v5/public/option", "", NOW_NS) is None
    assert make_protocol("binance_usdm", []).on_connect("/private/ws", "", NOW_NS) is None
    assert make_protocol("okx", []).on_connect("/ws/v5/business", "", NOW_NS) is None


@pytest.mark.parametrize("channel", Channel)
def test_channels_are_those_of_the_laws(channel: Channel) -> None:
    for venue in VENUES:
        laws = feed_class(venue).spec.laws
        if channel in laws:
            make_feed(venue, FeedOptions(channels=frozenset({channel})))
        else:
            with pytest.raises(ValueError, match=channel.value):
                make_feed(venue, FeedOptions(channels=frozenset({channel})))
