from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, Depth, Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import Acked, BadRow, FeedOptions, Refused, Reply, UnknownSymbol
from monitor.feeds import make_feed
from monitor.instruments import Instrument, Registry
from tests.feeds.support import NOW_NS, Opened, of, open_session, refuse

ALL = {"categories": ["linear", "inverse", "spot"]}


def opened(category: str = "linear", *channels: Channel, **options: Any) -> Opened:
    chosen = channels or (Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS, Channel.FUNDING, Channel.OPEN_INTEREST)
    return open_session("bybit", *chosen, connection=category, extra=ALL, **options)


def ticker(kind: str, symbol: str = "BTCUSDT", **fields: str) -> dict[str, Any]:
    return {
        "topic": f"tickers.{symbol}",
        "type": kind,
        "data": {"symbol": symbol, **fields},
        "cs": 1,
        "ts": 1763700000630,
    }


def liquidations(*rows: tuple[str, str, str], symbol: str = "BTCUSDT") -> dict[str, Any]:
    data = [{"T": 1763700001929, "s": symbol, "S": side, "v": size, "p": price} for side, size, price in rows]
    return {"topic": f"allLiquidation.{symbol}", "type": "snapshot", "ts": 1763700002204, "data": data}


def interest(events: list[MarketEvent]) -> list[float]:
    return [event.usd for event in of(OpenInterest, events)]


@pytest.mark.parametrize(
    ("category", "symbol", "row", "side", "usd_micros"),
    [
        ("linear", "ROSEUSDT", ("Sell", "20000", "0.04499"), "short", 899_800_000),  # vector 5
        ("linear", "BTCUSDT", ("Buy", "0.5", "84000"), "long", 42_000_000_000),  # vector 6
        ("inverse", "BTCUSD", ("Buy", "13500", "84000"), "long", 13_500_000_000),  # vector 7
        ("linear", "BTCPERP", ("Buy", "0.1", "0.3"), "long", 30_000),
    ],
)
def test_liquidation(category: str, symbol: str, row: tuple[str, str, str], side: str, usd_micros: int) -> None:
    (event,) = of(Liquidation, opened(category).push(liquidations(row, symbol=symbol)))
    assert (event.side, event.usd_micros) == (side, usd_micros)


def test_bybit_side_is_the_position_side() -> None:
    events = of(Liquidation, opened().push(liquidations(("Buy", "1", "84000"), ("Sell", "1", "84000"))))
    assert [event.side for event in events] == ["long", "short"]


def test_trade_side_is_the_takers() -> None:
    row = {"T": 1763700002200, "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "16578.50", "i": "a", "BT": False}
    (event,) = of(Trade, opened().push({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1, "data": [row]}))
    assert (event.side, event.usd_micros) == ("buy", 16_578_500)


def test_inverse_contract_is_not_multiplied_by_price() -> None:
    session = opened("inverse")
    for price in ("84000", "1"):
        (event,) = of(Liquidation, session.push(liquidations(("Buy", "13500", price), symbol="BTCUSD")))
        assert event.usd_micros == 13_500_000_000


def test_equal_rows_of_a_batch_are_two_liquidations() -> None:
    batch = liquidations(("Buy", "0.5", "84000"), ("Buy", "0.5", "84000"))
    first, second = opened().push(batch), opened().push(batch)
    keys = [event.key for event in of(Liquidation, first)]
    assert len(set(keys)) == 2
    assert keys == [event.key for event in of(Liquidation, second)]  # the same batch on another connection


def test_delta_without_field_keeps_the_value() -> None:  # vector 23
    session = opened()
    snapshot = ticker("snapshot", markPrice="84121", singleOpenInterest="100", openInterest="200", fundingRate="0.0001")
    assert interest(session.push(snapshot)) == [8_412_100.0]
    assert interest(session.push(ticker("delta", fundingRate="0.000004"))) == []
    later = session.push(ticker("delta", fundingRate="0.000004"), recv_ns=NOW_NS + 31_000_000_000)
    assert interest(later) == [8_412_100.0]  # said again, so that it does not look stale
    assert [event.rate for event in of(Funding, later)] == [0.000004]


def test_both_sided_open_interest_is_halved() -> None:
    old = opened().push(ticker("snapshot", markPrice="84121", openInterest="49237.72"))
    new = opened().push(ticker("snapshot", markPrice="84121", openInterest="49237.72", singleOpenInterest="24618.86"))
    assert interest(old) == pytest.approx([24618.86 * 84121])
    assert interest(new) == pytest.approx([24618.86 * 84121])


def test_inverse_open_interest_is_dollars() -> None:
    row = ticker("snapshot", "BTCUSD", markPrice="84121", openInterest="480227934", openInterestValue="5709.79")
    assert interest(opened("inverse").push(row)) == [240_113_967.0]


def test_new_snapshot_replaces_the_state() -> None:
    session = opened()
    session.push(ticker("snapshot", markPrice="84121", singleOpenInterest="100"))
    assert interest(session.push(ticker("snapshot", markPrice="84121"))) == []


def test_delta_before_a_snapshot_is_left_out() -> None:
    session = opened()
    assert session.push(ticker("delta", markPrice="84121")) == []
    assert session.skipped() == {"delta_before_snapshot": 1}


def test_empty_strings_are_missing() -> None:
    empty = dict.fromkeys(
        ("fundingRate", "nextFundingTime", "openInterest", "bid1Price", "indexPrice", "lastPrice"), ""
    )
    events = opened().push(ticker("snapshot", markPrice="84121", ask1Price="84122", **empty))
    assert [(type(event).__name__, getattr(event, "kind", "")) for event in events] == [("Price", "mark")]


def test_best_bid_and_ask_may_come_apart() -> None:
    session = opened()
    assert of(Price, session.push(ticker("snapshot", bid1Price="100"))) == []
    (mid,) = of(Price, session.push(ticker("delta", ask1Price="102")))
    assert (mid.kind, mid.value) == ("mid", 101.0)
    assert of(Price, session.push(ticker("delta", bid1Price="103"))) == []  # crossed between two deltas


def test_funding_interval_change_is_taken_from_the_ticker() -> None:
    session = opened()
    rows = [
        ticker("snapshot", fundingRate="0.0001", fundingIntervalHour="8", nextFundingTime="1763712000000"),
        ticker("delta", fundingIntervalHour="1"),
    ]
    events = of(Funding, session.push(*rows))
    assert [(event.interval_h, event.next_ns) for event in events] == [
        (8.0, 1763712000000000000),
        (1.0, 1763712000000000000),
    ]


def test_one_bad_row_does_not_lose_the_others() -> None:
    session = opened()
    frame = liquidations(("Buy", "", "84000"), ("Buy", "1", "x"), ("Long", "1", "1"), ("Buy", "2", "84000"))
    assert [event.usd_micros for event in of(Liquidation, session.push(frame))] == [168_000_000_000]
    assert len(session.notices(BadRow)) == 3


def test_key_order_and_spaces_do_not_matter() -> None:
    row = b'{"data": [{"p": "84000", "v": "0.5", "S": "Buy", "s": "BTCUSDT", "T": 1763700001929}], "ts": 1, "topic": "allLiquidation.BTCUSDT"}'
    (event,) = of(Liquidation, opened().push(row))
    assert event.usd_micros == 42_000_000_000


def test_tradfi_perpetual_is_not_crypto() -> None:
    session = opened()
    assert session.push(liquidations(("Buy", "1", "270"), symbol="AAPLUSDT")) == []
    assert session.skipped() == {"tradfi": 1}


def test_unknown_symbol_is_not_guessed() -> None:
    session = opened()
    assert session.push(liquidations(("Buy", "1", "270"), symbol="GONEUSDT")) == []
    assert session.notices(UnknownSymbol) == [UnknownSymbol("GONEUSDT", Channel.LIQUIDATIONS)]


def test_spot_and_linear_of_one_name_are_two_instruments() -> None:
    row = {"T": 1, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "84000", "i": "a", "BT": False}
    frame = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1, "data": [row]}
    kinds = [of(Trade, opened(category).push(frame))[0].instrument.kind for category in ("linear", "spot")]
    assert kinds == ["perp", "spot"]
    named = opened(symbols=("BTCUSDT",)).feed
    registry = opened().registry
    assert {item.key for item in named.wanted(registry)} == {"BTCUSDT", "spot:BTCUSDT"}


@pytest.mark.parametrize(
    ("symbol", "base", "units"),
    [("1000PEPEUSDT", "PEPE", 1000), ("SHIB1000USDT", "SHIB", 1000), ("BTCPERP", "BTC", 1)],
)
def test_names(symbol: str, base: str, units: int) -> None:
    instrument = opened().registry.get("bybit", symbol)
    assert instrument is not None
    assert (instrument.base, instrument.base_units) == (base, units)


def test_prelaunch_is_listed_and_not_wanted() -> None:
    session = opened()
    assert session.registry.get("bybit", "SOONUSDT") is not None
    assert "SOONUSDT" not in {item.symbol for item in session.feed.wanted(session.registry)}


def many(count: int) -> list[Instrument]:
    return [
        Instrument(venue="bybit", symbol=f"COIN{n}USDT", base=f"COIN{n}", quote="USDT", settle="USDT", kind="perp", category="linear")
        for n in range(count)
    ]  # fmt: skip


def test_connections_keep_within_the_length_of_topics() -> None:
    feed = make_feed("bybit", FeedOptions(channels=frozenset({Channel.LIQUIDATIONS, Channel.PRICE, Channel.TRADES})))
    connections = feed.connections(many(800))
    assert len(connections) == 4
    for connection in connections:
        names = [topic.name for topic in connection.topics]
        assert len(msgspec.json.encode(names)) <= 21_000
    assert sum(len(connection.topics) for connection in connections) == 2400


def test_liquidations_alone_have_a_busy_companion() -> None:
    feed = make_feed("bybit", FeedOptions(channels=frozenset({Channel.LIQUIDATIONS})))
    (connection,) = feed.connections(many(2))
    assert [topic.name for topic in connection.topics if not topic.channels] == ["tickers.BTCUSDT"]


def test_spot_subscribes_ten_at_a_time() -> None:
    feed = make_feed("bybit", FeedOptions(channels=frozenset({Channel.TRADES}), extra={"categories": ["spot"]}))
    pairs = [Instrument(venue="bybit", symbol=f"C{n}USDT", base=f"C{n}", quote="USDT", settle="USDT", kind="spot", category="spot")
             for n in range(25)]  # fmt: skip
    (connection,) = feed.connections(pairs)
    sends = feed.session(connection, Registry(pairs)).on_open(NOW_NS)
    assert [len(msgspec.json.decode(send.frame)["args"]) for send in sends] == [10, 10, 6]


def test_refused_chunk_is_bisected_until_the_bad_topic_stands_alone() -> None:
    feed = make_feed("bybit", FeedOptions(channels=frozenset({Channel.LIQUIDATIONS, Channel.PRICE})))
    listed = many(5)
    (connection,) = feed.connections(listed)
    session = feed.session(connection, Registry(listed))
    frames = [send.frame for send in session.on_open(NOW_NS)]
    bad, confirmed = "tickers.COIN3USDT", set[str]()
    refused: list[Refused] = []
    while frames:
        request = msgspec.json.decode(frames.pop(0))
        good = bad not in request["args"]
        words = "" if good else f"Invalid topic: {bad}"
        session.on_frame(
            msgspec.json.encode({"success": good, "ret_msg": words, "req_id": request["req_id"], "op": "subscribe"}),
            NOW_NS,
        )
        frames += [notice.frame for notice in session.notices if isinstance(notice, Reply)]
        confirmed |= {name for notice in session.notices if isinstance(notice, Acked) for name in notice.topics}
        refused += [notice for notice in session.notices if isinstance(notice, Refused)]
        session.notices.clear()
    assert refused == [Refused(bad, f"Invalid topic: {bad}")]
    assert confirmed == {topic.name for topic in connection.topics} - {bad}


def test_ping_is_due_every_twenty_seconds() -> None:
    session = opened().session
    assert session.on_tick(NOW_NS + 5_000_000_000) == []
    assert [send.frame for send in session.on_tick(NOW_NS + 20_000_000_000)] == ['{"req_id":"ping","op":"ping"}']


def test_metadata_follows_pages() -> None:
    feed = make_feed("bybit", FeedOptions(channels=frozenset({Channel.PRICE})))
    first = feed.metadata()[0]
    page = {"retCode": 0, "result": {"category": "linear", "list": [], "nextPageCursor": "a%3D&b"}}
    instruments, (more,) = feed.parse_metadata(first, msgspec.json.encode(page))
    assert instruments == []
    assert more.url == "https://api.bybit.com/v5/market/instruments-info?category=linear&limit=1000&cursor=a%253D%26b"
    with pytest.raises(DecodeError, match="10006"):
        feed.parse_metadata(first, b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}')


def test_ranking_is_one_sided_dollars() -> None:
    session = opened()
    rows = [{"symbol": "BTCUSDT", "markPrice": "84121", "openInterest": "49237.72", "singleOpenInterest": "24618.86"}]
    body = msgspec.json.encode({"retCode": 0, "result": {"list": rows}})
    request = session.feed.ranking()[0]
    assert session.feed.parse_ranking(request, body, session.registry) == {"BTCUSDT": pytest.approx(24618.86 * 84121)}


def test_depth() -> None:
    session = opened("linear", Channel.DEPTH, Channel.PRICE)
    poll = session.feed.polls(session.feed.wanted(session.registry))[0]
    body = b'{"retCode":0,"result":{"s":"BTCUSDT","b":[["99.9","10"]],"a":[["100.1","20"]],"ts":1763700000000,"u":1}}'
    (event,) = session.feed.parse_poll(poll, body, NOW_NS, session.registry, refuse)
    assert isinstance(event, Depth)
    assert event.bid_usd == pytest.approx(999.0)
    assert event.ask_usd == pytest.approx(2002.0)


def test_rows_without_a_topic_are_no_trades() -> None:
    """Rows say nothing by themselves: without the topic they could be of any product line."""
    opened = open_session("bybit", Channel.TRADES)
    row = {"T": 1763700002200, "s": "BTCUSDT", "S": "Sell", "v": "0.01", "p": "84111.1", "i": "20f", "BT": False}
    with pytest.raises(DecodeError, match="unexpected"):
        opened.push({"type": "snapshot", "ts": 1763700002204, "data": [row]})
    assert opened.push({"topic": "kline.5.BTCUSDT", "type": "snapshot", "ts": 1763700002204, "data": [row]}) == []
    assert opened.skipped() == {"unrequested": 1}
