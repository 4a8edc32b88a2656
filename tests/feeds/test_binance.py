from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from monitor.errors import DecodeError, FeedRefused
from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, BadRow, Connection, FeedOptions, Poll, Refused, Skipped, Topic, UnknownSymbol
from monitor.feeds import make_feed, make_feeds
from monitor.instruments import Instrument, Registry
from tests.feeds.support import NOW_NS, Opened, load, of, open_session, refuse

MS = 1_000_000


def usdm(*channels: Channel, **options: Any) -> Opened:
    return open_session("binance_usdm", *channels, connection="market", **options)


def order(symbol: str, side: str, filled: str, price: str, *, product: int | None = 1, **fields: str) -> dict[str, Any]:
    row = {"s": symbol, "S": side, "o": "LIMIT", "f": "IOC", "q": filled, "p": price, "ap": price, "X": "FILLED",
           "l": filled, "z": filled, "T": 1763700001230, **fields}  # fmt: skip
    return {"e": "forceOrder", "E": 1763700001234, **({} if product is None else {"st": product}), "o": row}


def mark(symbol: str, **fields: Any) -> dict[str, Any]:
    return {"e": "markPriceUpdate", "E": 1763700000000, "s": symbol, "p": "84120.5", "i": "84135.2", "r": "-0.000031",
            "T": 1763712000000, "st": 1, **fields}  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "venue", "side", "usd_micros"),
    [
        (order("BTCUSDT", "SELL", "0.115", "26245.10"), "binance_usdm", "long", 3_018_186_500),  # vector 1
        (order("BTCUSD_PERP", "SELL", "25", "76000", product=2), "binance_coinm", "long", 2_500_000_000),  # vector 2
        (order("LINKUSD_PERP", "BUY", "300", "13.2", product=2), "binance_coinm", "short", 3_000_000_000),  # vector 3
        (order("1000PEPEUSDT", "BUY", "250000", "0.0071"), "binance_usdm", "short", 1_775_000_000),  # vector 4
        (order("BTCUSD_PERP", "SELL", "25", "76000", product=None), "binance_coinm", "long", 2_500_000_000),
        (order("BTCUSDT", "SELL", "0.3", "0", ap="0", p="0.1"), "binance_usdm", "long", 30_000),
    ],
)
def test_liquidation(frame: dict[str, Any], venue: str, side: str, usd_micros: int) -> None:
    (event,) = of(Liquidation, usdm().push(frame))
    assert (event.instrument.venue, event.side, event.usd_micros) == (venue, side, usd_micros)
    assert event.ts_ns == 1763700001230 * MS


def test_inverse_contract_is_not_multiplied_by_price() -> None:
    opened = open_session("binance_coinm")
    for price in ("76000", "1"):
        (event,) = of(Liquidation, opened.push(order("BTCUSD_PERP", "SELL", "25", price, product=2)))
        assert event.usd_micros == 2_500_000_000
    trade = {"e": "aggTrade", "E": 1, "s": "BTCUSD_PERP", "p": "76000", "q": "25", "T": 1, "m": True}
    assert of(Trade, opened.push(trade))[0].usd_micros == 2_500_000_000


def test_merged_stream_is_counted_once() -> None:
    options = FeedOptions(channels=frozenset({Channel.PRICE, Channel.LIQUIDATIONS}))
    counted, owners = counted_of("BTCUSD_PERP", binance_usdm=options, binance_coinm=options)
    assert [(event.instrument.venue, event.usd_micros) for event in counted] == [("binance_coinm", 2_500_000_000)]
    assert owners == ["binance_usdm"]


WITH = frozenset({Channel.PRICE, Channel.LIQUIDATIONS})
WITHOUT = frozenset({Channel.PRICE})
BTC_ONLY = FeedOptions(WITH, ("BTCUSDT",))


@pytest.mark.parametrize(
    ("usdm", "coinm", "owner"),
    [
        (None, FeedOptions(WITH), "binance_coinm"),
        (None, FeedOptions(WITH, extra={"liquidations_via_merged": True}), ""),
        (FeedOptions(WITH), None, "binance_usdm"),
        (FeedOptions(WITH), FeedOptions(WITHOUT), "binance_usdm"),
        (FeedOptions(WITHOUT), FeedOptions(WITH), "binance_coinm"),
        (FeedOptions(WITHOUT), FeedOptions(WITHOUT), ""),
        (FeedOptions(WITH), FeedOptions(WITH), "binance_usdm"),
        (FeedOptions(WITH), FeedOptions(WITH, extra={"liquidations_via_merged": False}), "binance_coinm"),
        (BTC_ONLY, None, "binance_usdm"),
        (BTC_ONLY, FeedOptions(WITH), "binance_coinm"),
        (replace(BTC_ONLY, symbols="*", top=5), FeedOptions(WITH), "binance_coinm"),
        (BTC_ONLY, FeedOptions(WITH, extra={"liquidations_via_merged": True}), "binance_usdm"),
    ],
)
def test_coin_margined_liquidations_have_one_owner(
    usdm: FeedOptions | None, coinm: FeedOptions | None, owner: str
) -> None:
    """Who counts them also says whether they are live, and nobody else does either."""
    entries = {"binance_usdm": usdm, "binance_coinm": coinm}
    counted, owners = counted_of("BTCUSD_PERP", **{name: o for name, o in entries.items() if o is not None})
    assert owners == ([owner] if owner else [])
    assert len(counted) == len(owners)


def test_a_short_list_of_usdm_does_not_hide_the_other_coins_of_coin_margined() -> None:
    """Found by reading: USD-M left out what it does not follow, and COIN-M, which follows it, did not ask for it."""
    counted, _ = counted_of("LINKUSD_PERP", binance_usdm=BTC_ONLY, binance_coinm=FeedOptions(WITH))
    assert [(event.instrument.venue, event.instrument.base) for event in counted] == [("binance_coinm", "LINK")]


def counted_of(symbol: str, **entries: FeedOptions) -> tuple[list[Any], list[str]]:
    """Events of one liquidation on the merged stream, over every connection that asks for it, and who answers for them."""
    frame = msgspec.json.encode(order(symbol, "SELL", "25", "76000", product=2))
    counted: list[Any] = []
    owners = []
    for feed in make_feeds(list(entries.items())):
        registry = Registry()
        load(feed, registry)
        owners += [feed.spec.venue for source in feed.sources() if source == ("binance_coinm", Channel.LIQUIDATIONS)]
        for connection in feed.connections(feed.wanted(registry)):
            if "!forceOrder@arr" in {topic.name for topic in connection.topics}:
                counted += feed.session(connection, registry).on_frame(frame, NOW_NS)
    return counted, owners


def test_rows_of_usdm_on_the_coin_margined_socket_are_left_out() -> None:
    opened = open_session("binance_coinm")
    assert opened.push(order("BTCUSDT", "SELL", "1", "84000")) == []
    assert opened.skipped() == {"other_product": 1}


def test_a_short_list_takes_coin_margined_liquidations_of_its_coins() -> None:
    opened = usdm(Channel.LIQUIDATIONS, symbols=("BTCUSDT",))
    events = opened.push(
        order("BTCUSD_PERP", "SELL", "25", "76000", product=2), order("LINKUSD_PERP", "BUY", "3", "13", product=2)
    )
    assert [event.instrument.symbol for event in of(Liquidation, events)] == ["BTCUSD_PERP"]
    assert opened.skipped() == {"unselected": 1}


@pytest.mark.parametrize("path", ["/ws", "/stream", "/public/ws", "/private/ws", ""])
def test_binance_unrouted_address_is_refused(path: str) -> None:
    feed = make_feed("binance_usdm", FeedOptions(channels=frozenset({Channel.LIQUIDATIONS})))
    connection = Connection(
        "binance_usdm/market/0", f"wss://fstream.binance.com{path}", (Topic("!forceOrder@arr", ()),)
    )
    with pytest.raises(FeedRefused, match="stays silent"):
        feed.session(connection, Registry())


def test_every_address_is_routed_and_an_override_keeps_the_path() -> None:
    channels = frozenset({Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS})
    feed = make_feed(
        "binance_usdm", FeedOptions(channels=channels, ws_url="ws://127.0.0.1:9/x", rest_url="http://[::1]:8")
    )
    registry = Registry()
    load(feed, registry)
    connections = feed.connections(feed.wanted(registry))
    assert {connection.url for connection in connections} == {
        "ws://127.0.0.1:9/market/ws",
        "ws://127.0.0.1:9/public/ws",
    }
    assert [request.url for request in feed.metadata()] == [
        "http://[::1]:8/fapi/v1/fundingInfo",
        "http://[::1]:8/dapi/v1/exchangeInfo",
    ]


def test_tradfi_perpetual_is_not_crypto() -> None:  # vector 24
    opened = usdm()
    assert opened.push(order("AAPLUSDT", "SELL", "10", "270"), [mark("AAPLUSDT")]) == []
    assert opened.skipped() == {"tradfi": 2}
    assert "AAPLUSDT" not in {item.symbol for item in opened.feed.wanted(opened.registry)}
    asked = usdm(include_tradfi=True)
    assert of(Liquidation, asked.push(order("AAPLUSDT", "SELL", "10", "270")))[0].usd_micros == 2_700_000_000


def test_non_ascii_symbol_works() -> None:
    opened = usdm()
    assert any("币安人生usdt@aggTrade" in send.frame for send in opened.sends)
    (event,) = of(Liquidation, opened.push(order("币安人生USDT", "BUY", "10", "0.21")))
    assert (event.instrument.base, event.usd_micros) == ("币安人生", 2_100_000)


def test_thousands_are_one_unit_of_the_venue() -> None:
    pepe = usdm().registry.get("binance_usdm", "1000PEPEUSDT")
    assert pepe is not None
    assert (pepe.base, pepe.base_units, pepe.contract_value) == ("PEPE", 1000, Decimal(1))


def test_partial_fills_are_not_counted_twice() -> None:
    first = order("ETHUSDT", "SELL", "0.4", "2700", X="PARTIALLY_FILLED", q="1", p="2690")
    second = order("ETHUSDT", "SELL", "0.7", "2700", X="PARTIALLY_FILLED", q="1", p="2690", l="0.3")
    last = order("ETHUSDT", "SELL", "1", "2700", q="1", p="2690", l="0.3")
    events = of(Liquidation, usdm().push(first, second, last, last))
    assert [event.usd_micros for event in events] == [1_080_000_000, 810_000_000, 810_000_000, 2_700_000_000]


def test_dated_contract_pays_no_funding() -> None:
    events = usdm().push(mark("BTCUSDT_260327", r="", T=0), mark("BTCUSDT_260327", r="0", T=0))
    assert of(Funding, events) == []
    assert [event.kind for event in of(Price, events)] == ["mark", "index"] * 2


def test_funding_interval_comes_from_metadata_then_from_two_payments() -> None:
    opened, hour = usdm(), 3_600_000
    start = 1763712000000
    rows = [mark("1000PEPEUSDT", T=start), mark("1000PEPEUSDT", T=start + hour), mark("1000PEPEUSDT", T=start + hour)]
    assert [event.interval_h for event in of(Funding, opened.push(*rows))] == [4.0, 1.0, 1.0]


def test_funding_interval_that_is_cut_while_running_counts_at_once() -> None:
    """In stress the venue pays hourly instead of every eight hours, and the listing says so up to an hour later."""
    opened, hour = usdm(), 3_600_000
    ten = 1763719200000 + 300_000
    rows = [mark("BTCUSDT", E=ten - hour, T=ten - 300_000 + 6 * hour), mark("BTCUSDT", E=ten, T=ten - 300_000 + hour)]
    assert [event.interval_h for event in of(Funding, opened.push(*rows))] == [8.0, 1.0]


def test_closed_market_has_no_price() -> None:
    opened = usdm()
    assert opened.push(mark("OLDUSDT")) == []
    assert of(Liquidation, opened.push(order("OLDUSDT", "SELL", "10", "1")))[0].usd_micros == 10_000_000


def test_missing_index_is_not_zero() -> None:
    events = usdm().push(mark("BTCUSDT", i=""), mark("BTCUSDT", i="0"))
    assert [event.kind for event in of(Price, events)] == ["mark", "mark"]


def test_one_bad_row_does_not_lose_the_others() -> None:
    opened = usdm()
    events = opened.push([mark("BTCUSDT"), mark("ETHUSDT", p="nan"), {"e": "?"}, 7, mark("1000PEPEUSDT")])
    assert {event.instrument.symbol for event in of(Price, events)} == {"BTCUSDT", "1000PEPEUSDT"}
    assert [notice.reason for notice in opened.notices(BadRow)] == ["wrong_type", "wrong_type"]
    assert opened.skipped() == {"unrequested": 1}


def test_price_in_another_coin_is_no_dollar_price() -> None:
    opened = usdm()
    assert opened.push([mark("ETHBTC", p="0.03")]) == []
    assert opened.skipped() == {"quote_not_usd": 1}
    named = usdm(symbols=("ETHBTC",))
    assert [event.value for event in of(Price, named.push(mark("ETHBTC", p="0.03", i="")))] == [0.03]


def test_bad_index_is_a_bad_row() -> None:
    opened = usdm()
    assert opened.push(mark("BTCUSDT", i="abc")) == []
    assert [notice.reason for notice in opened.notices(BadRow)] == ["wrong_type"]


def test_unknown_symbol_is_not_guessed() -> None:
    opened = usdm()
    assert opened.push(order("NEWUSDT", "SELL", "10", "1"), order("NEWUSD_PERP", "SELL", "10", "1", product=2)) == []
    assert opened.notices(UnknownSymbol) == [
        UnknownSymbol("NEWUSDT", Channel.LIQUIDATIONS),
        UnknownSymbol("NEWUSD_PERP", Channel.LIQUIDATIONS),
    ]


def test_unselected_rows_of_an_all_market_stream_are_left_out() -> None:
    opened = usdm(Channel.LIQUIDATIONS, symbols=("BTCUSDT",))
    assert opened.push(order("ETHUSDT", "SELL", "1", "2700")) == []
    assert opened.skipped() == {"unselected": 1}


def test_acknowledgement_confirms_and_its_lack_refuses() -> None:
    opened = usdm(Channel.LIQUIDATIONS)
    opened.push({"result": None, "id": 1})
    assert [set(notice.topics) for notice in opened.notices(Acked)] == [{"!forceOrder@arr", "btcusdt@markPrice@1s"}]
    silent = usdm(Channel.LIQUIDATIONS)
    silent.session.on_tick(NOW_NS + 11_000_000_000)
    assert {notice.topic for notice in silent.notices(Refused)} == {"!forceOrder@arr", "btcusdt@markPrice@1s"}


@pytest.mark.parametrize(
    "frame",
    [
        {"code": 2, "msg": "Invalid request", "id": 1},
        {"code": 2, "msg": "Invalid request"},
        {"error": {"code": 2, "msg": "Invalid request"}, "id": 1},
    ],
)
def test_refusal_keeps_the_venues_words(frame: dict[str, Any]) -> None:
    opened = usdm(Channel.LIQUIDATIONS)
    opened.push(frame)
    assert {notice.words for notice in opened.notices(Refused)} == {"2: Invalid request"}


def test_streams_are_chunked_and_connections_sharded() -> None:
    feed = make_feed("binance_usdm", FeedOptions(channels=frozenset({Channel.TRADES})))
    many = [Instrument(venue="binance_usdm", symbol=f"C{n}USDT", base=f"C{n}", quote="USDT", settle="USDT", kind="perp")
            for n in range(450)]  # fmt: skip
    connections = feed.connections(many)
    assert [len(connection.topics) for connection in connections] == [150, 150, 150]
    sends = feed.session(connections[0], Registry(many)).on_open(NOW_NS)
    assert [len(msgspec.json.decode(send.frame)["params"]) for send in sends] == [100, 50]
    assert [send.after_ns for send in sends] == [0, 300_000_000]


def test_open_interest_is_polled_within_the_weight() -> None:
    feed = make_feed("binance_usdm", FeedOptions(channels=frozenset({Channel.OPEN_INTEREST})))
    many = [Instrument(venue="binance_usdm", symbol=f"C{n}USDT", base=f"C{n}", quote="USDT", settle="USDT", kind="perp")
            for n in range(600)]  # fmt: skip
    per_minute = sum(poll.request.weight * 60 / poll.every_s for poll in feed.polls(many))
    assert per_minute <= 1000


def test_open_interest_is_valued_at_the_mark() -> None:
    opened = usdm()
    polls = {poll.request.name: poll for poll in opened.feed.polls(opened.feed.wanted(opened.registry))}
    poll = polls["binance_usdm/openInterest/BTCUSDT"]
    body = b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1763700000011}'
    with pytest.raises(DecodeError, match="no mark price"):
        opened.feed.parse_poll(poll, body, NOW_NS, opened.registry, refuse)
    opened.push(mark("BTCUSDT"))
    (event,) = opened.feed.parse_poll(poll, body, NOW_NS, opened.registry, refuse)
    assert isinstance(event, OpenInterest)
    assert event.usd == pytest.approx(10659.509 * 84120.5)
    premium = b'[{"symbol":"BTCUSDT","markPrice":"80000"}]'
    assert opened.feed.parse_poll(polls["binance_usdm/premiumIndex"], premium, NOW_NS, opened.registry, refuse) == []
    (event,) = opened.feed.parse_poll(poll, body, NOW_NS, opened.registry, refuse)
    assert isinstance(event, OpenInterest)
    assert event.usd == pytest.approx(10659.509 * 80000)


def test_inverse_open_interest_needs_no_price() -> None:
    opened = open_session("binance_coinm")
    poll = next(p for p in opened.feed.polls(opened.feed.wanted(opened.registry)) if p.symbol == "BTCUSD_PERP")
    body = b'{"symbol":"BTCUSD_PERP","pair":"BTCUSD","openInterest":"15004","contractType":"PERPETUAL","time":1}'
    assert opened.feed.parse_poll(poll, body, NOW_NS, opened.registry, refuse)[0].usd == 1_500_400.0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"symbol":"BTCUSDT"}', b'{"symbol":"BTCUSDT","openInterest":"nan"}', b"\xff"]
)
def test_bad_poll_is_a_decode_error(body: bytes) -> None:
    opened = usdm()
    poll = next(p for p in opened.feed.polls(opened.feed.wanted(opened.registry)) if p.symbol == "BTCUSDT")
    with pytest.raises(DecodeError):
        opened.feed.parse_poll(poll, body, NOW_NS, opened.registry, refuse)


def test_depth_is_a_sum_within_one_percent() -> None:
    opened = usdm()
    poll: Poll = next(p for p in opened.feed.polls(opened.feed.wanted(opened.registry)) if p.channel is Channel.DEPTH)
    body = b'{"T":1763700000000,"bids":[["99.9","10"],["98.9","1000"]],"asks":[["100.1","20"],["101.5","1000"]]}'
    (event,) = opened.feed.parse_poll(poll, body, NOW_NS, opened.registry, refuse)
    assert event.bid_usd == pytest.approx(999.0)  # type: ignore[union-attr]
    assert event.ask_usd == pytest.approx(2002.0)  # type: ignore[union-attr]
    assert event.spread_ratio == pytest.approx(0.002)  # type: ignore[union-attr]


def test_spot_book_ticker_has_no_type() -> None:
    opened = open_session("binance_spot")
    frame = {"u": 400900217, "s": "BTCUSDT", "b": "84110.10", "B": "31.2", "a": "84110.20", "A": "40.6"}
    (event,) = of(Price, opened.push(frame))
    assert (event.kind, event.value, event.ts_ns) == ("mid", 84110.15, NOW_NS)


def test_spot_pair_against_another_coin_is_no_dollar_price() -> None:
    opened = open_session("binance_spot")
    assert "ETHBTC" not in {item.symbol for item in opened.feed.wanted(opened.registry)}
    trade = {"e": "aggTrade", "E": 1, "s": "ETHBTC", "p": "0.03", "q": "25", "T": 1, "m": True}
    assert opened.push(trade) == []
    assert opened.notices(Skipped) == [Skipped("quote_not_usd")]


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_coinm", "binance_spot"])
def test_unknown_setting_is_refused(venue: str) -> None:
    with pytest.raises(ValueError, match="colour"):
        make_feed(venue, FeedOptions(channels=frozenset({Channel.PRICE}), extra={"colour": 1}))
