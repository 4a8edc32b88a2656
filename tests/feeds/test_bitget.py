from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, BadRow, Refused, UnknownSymbol
from monitor.instruments import Registry
from tests.feeds.support import NOW_NS, of, open_session

NOW_MS = NOW_NS // 1_000_000
ROW = {"symbol": "BTCUSDT", "side": "buy", "price": "89000", "amount": "37.722858", "ts": str(NOW_MS)}


def liquidations(*rows: dict[str, Any], action: str = "update") -> dict[str, Any]:
    arg = {"instType": "usdt-futures", "topic": "liquidation"}
    return {"data": list(rows), "arg": arg, "action": action, "ts": NOW_MS + 100}


def ticker(action: str, **fields: Any) -> dict[str, Any]:
    arg = {"instType": "usdt-futures", "topic": "ticker", "symbol": "BTCUSDT"}
    return {"action": action, "arg": arg, "data": [fields], "ts": NOW_MS}


@pytest.mark.parametrize(("unit", "micros"), [("quote", 37_722_858), ("base", 3_357_334_362_000)])
def test_amount_unit_is_a_setting(unit: str, micros: int) -> None:
    """Vector 22, and what it would be in coins."""
    opened = open_session("bitget", extra={"amount_unit": unit})
    assert [event.usd_micros for event in of(Liquidation, opened.push(liquidations(ROW)))] == [micros]


@pytest.mark.parametrize(("side", "position"), [("buy", "long"), ("sell", "short")])
def test_side_is_the_position_side(side: str, position: str) -> None:
    found = of(Liquidation, open_session("bitget").push(liquidations({**ROW, "side": side})))
    assert [event.side for event in found] == [position]


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="amount_unit"):
        open_session("bitget", extra={"amount_unit": "contracts"})
    with pytest.raises(ValueError, match="amont_unit"):
        open_session("bitget", extra={"amont_unit": "quote"})


FULL = {
    "symbol": "BTCUSDT", "lastPrice": "27000", "bid1Price": "26999", "ask1Price": "27001", "markPrice": "27000",
    "indexPrice": "27010", "fundingRate": "0.0001", "nextFundingTime": "1763712000000", "openInterest": "929.502",
}  # fmt: skip


def test_ticker_snapshot() -> None:
    events = open_session("bitget").push(ticker("snapshot", **FULL))
    assert {event.kind: event.value for event in of(Price, events)} == {
        "mark": 27000,
        "index": 27010,
        "last": 27000,
        "mid": 27000,
    }
    assert of(OpenInterest, events)[0].usd == pytest.approx(25_096_554)
    funding = of(Funding, events)[0]
    assert (funding.rate, funding.interval_h, funding.next_ns) == (0.0001, 8.0, 1763712000000 * 10**6)


def test_delta_without_field_keeps_the_value() -> None:
    opened = open_session("bitget")
    opened.push(ticker("snapshot", **FULL))
    later = opened.push(ticker("update", lastPrice="27005"), recv_ns=NOW_NS + 60 * 10**9)
    assert {event.kind: event.value for event in of(Price, later)} == {"last": 27005, "mid": 27000}
    assert [event.rate for event in of(Funding, later)] == [0.0001]
    assert of(OpenInterest, later)[0].usd == pytest.approx(25_096_554)


def test_empty_string_is_missing_not_zero() -> None:
    events = open_session("bitget").push(
        ticker("snapshot", symbol="BTCUSDT", markPrice="27000", fundingRate="", openInterest="")
    )
    assert of(Funding, events) == []
    assert of(OpenInterest, events) == []


def test_snapshot_on_subscribe_is_history() -> None:
    opened = open_session("bitget")
    old = {**ROW, "ts": str(NOW_MS - 5000)}
    assert len(of(Liquidation, opened.push(liquidations(old, ROW, action="snapshot")))) == 1
    assert opened.skipped() == {"history": 1}


def test_tradfi_perpetual_is_not_crypto() -> None:
    opened = open_session("bitget")
    assert opened.push(liquidations({**ROW, "symbol": "AAPLUSDT"})) == []
    assert opened.skipped() == {"tradfi": 1}


def test_trades() -> None:
    arg = {"instType": "usdt-futures", "topic": "publicTrade", "symbol": "BTCUSDT"}
    opened = open_session("bitget", Channel.TRADES)
    row = {"i": "1", "p": "84000.1", "v": "0.5", "S": "sell", "T": str(NOW_MS + 1), "isRPI": "no"}
    events = opened.push({"action": "update", "arg": arg, "data": [row], "ts": NOW_MS})
    assert [(event.side, event.usd_micros) for event in of(Trade, events)] == [("sell", 42_000_050_000)]


def test_bad_row_and_unknown_symbol_leave_the_rest() -> None:
    opened = open_session("bitget")
    rows = [{**ROW, "amount": "much"}, {**ROW, "symbol": "新币USDT"}, ROW]
    assert len(of(Liquidation, opened.push(liquidations(*rows)))) == 1
    assert [notice.reason for notice in opened.notices(BadRow)] == ["wrong_type"]
    assert opened.notices(UnknownSymbol) == [UnknownSymbol("新币USDT", Channel.LIQUIDATIONS)]


def test_subscriptions_are_confirmed_and_refused_by_arg() -> None:
    opened = open_session("bitget", Channel.LIQUIDATIONS)
    args = msgspec.json.decode(opened.sends[0].frame)["args"]
    assert {"instType": "usdt-futures", "topic": "liquidation"} in args
    opened.push({"event": "subscribe", "arg": args[0], "connId": "c"})
    opened.push({"event": "error", "arg": args[1], "code": 30001, "msg": "channel doesn't exist", "op": "subscribe"})
    assert opened.notices(Acked) == [Acked(("usdt-futures/liquidation",))]
    assert opened.notices(Refused) == [Refused("usdc-futures/liquidation", "30001 channel doesn't exist")]


def test_ping_is_plain_text() -> None:
    opened = open_session("bitget")
    assert [send.frame for send in opened.session.on_tick(NOW_NS + 25 * 10**9)] == ["ping"]
    assert opened.push("pong") == []


def test_topics_are_sharded_as_the_venue_recommends() -> None:
    opened = open_session("bitget")
    assert all(
        len(connection.topics) <= 50 for connection in opened.feed.connections(opened.feed.wanted(opened.registry))
    )


def test_coin_margined_contract_of_the_unified_line_is_sized_in_dollars() -> None:
    """Read as coins, as v2's BTCUSD is, a trade of 500 dollars is one of 42 millions."""
    opened = open_session("bitget", Channel.TRADES, Channel.LIQUIDATIONS, Channel.PRICE, Channel.OPEN_INTEREST)
    item = opened.registry.venue("bitget")["BTCUSD_CM"]
    assert (item.base, item.form, item.kind, item.settle) == ("BTC", "inverse", "perp", "BTC")
    arg = {"instType": "coin-futures", "symbol": "BTCUSD_CM"}
    trade = {"i": "1", "p": "84000", "v": "500", "S": "sell", "T": str(NOW_MS)}
    frame = {"action": "update", "arg": {**arg, "topic": "publicTrade"}, "data": [trade], "ts": NOW_MS}
    assert [(event.side, event.usd_micros) for event in of(Trade, opened.push(frame))] == [("sell", 500_000_000)]
    row = {"symbol": "BTCUSD_CM", "side": "buy", "price": "84000", "amount": "700", "ts": str(NOW_MS)}
    forced = {
        "action": "update",
        "arg": {"instType": "coin-futures", "topic": "liquidation"},
        "data": [row],
        "ts": NOW_MS,
    }
    found = of(Liquidation, opened.push(forced))
    assert [(event.side, event.usd_micros) for event in found] == [("long", 700_000_000)]
    told = {"markPrice": "84000", "openInterest": "10"}
    ticker = {"action": "snapshot", "arg": {**arg, "topic": "ticker"}, "data": [told], "ts": NOW_MS}
    assert [event.usd for event in of(OpenInterest, opened.push(ticker))] == [840_000.0]


def test_coin_margined_contracts_are_those_that_the_socket_has() -> None:
    feed = open_session("bitget").feed
    (coin,) = (request for request in feed.metadata() if request.name == "contracts/coin-futures")
    assert coin.url == "https://api.bitget.com/api/v3/market/instruments?category=COIN-FUTURES"
    body = b'{"code":"00000","data":[{"symbol":"BTCCMZ26","baseCoin":"BTC","quoteCoin":"USD","type":"delivery","status":"online","deliveryTime":"1798185600000"},{"symbol":"X_CM","baseCoin":"X","quoteCoin":"USD","type":"perpetual","status":"offline"}]}'
    dated, ended = feed.parse_metadata(coin, body)[0]
    assert (dated.kind, dated.form, dated.status, dated.funding_interval_h) == ("future", "inverse", "trading", None)
    assert ended.status == "halted"
    rank = b'{"code":"00000","data":[{"symbol":"BTCUSD_CM","openInterest":"10","markPrice":"84000"}]}'
    (request,) = (each for each in feed.ranking() if each.name == "tickers/coin-futures")
    assert feed.parse_ranking(request, rank, Registry()) == {"BTCUSD_CM": 840_000.0}


def test_a_gap_with_coin_margined_trades_is_not_called_filled() -> None:
    """v2's history has no trades of v3's line."""
    opened = open_session("bitget", Channel.TRADES)
    table = opened.registry.venue("bitget")
    assert opened.feed.gap(Channel.TRADES, [table["BTCUSDT"]], NOW_NS - 10**9, NOW_NS)
    assert opened.feed.gap(Channel.TRADES, [table["BTCUSDT"], table["BTCUSD_CM"]], NOW_NS - 10**9, NOW_NS) == []
