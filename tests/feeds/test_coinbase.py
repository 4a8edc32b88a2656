from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, Funding, OpenInterest, Price, Trade
from monitor.feed import Acked, Refused, SequenceGap
from tests.feeds.support import NOW_NS, metadata, of, open_session, refuse

ADVANCED = {"api": "advanced"}
MATCH = {
    "type": "match", "trade_id": 10, "sequence": 50, "time": "2025-11-21T04:40:00.123456Z", "product_id": "BTC-USD",
    "size": "0.25", "price": "84100.10", "side": "sell",
}  # fmt: skip


@pytest.mark.parametrize(("maker", "taker"), [("sell", "buy"), ("buy", "sell")])
def test_side_is_the_makers(maker: str, taker: str) -> None:
    events = open_session("coinbase").push({**MATCH, "side": maker})
    assert [(event.side, event.usd_micros) for event in of(Trade, events)] == [(taker, 21_025_025_000)]


def test_snapshot_on_subscribe_is_history() -> None:
    opened = open_session("coinbase")
    assert opened.push({**MATCH, "type": "last_match", "trade_id": 9}) == []
    assert opened.skipped() == {"history": 1}
    opened.push(MATCH, {**MATCH, "trade_id": 13})
    assert opened.notices(SequenceGap) == [SequenceGap(Channel.TRADES, 2)]


def test_ticker() -> None:
    row = {
        "type": "ticker",
        "sequence": 5,
        "product_id": "BTC-USD",
        "price": "84120.1",
        "best_bid": "84120",
        "best_ask": "84121",
        "side": "buy",
        "time": "2025-11-21T04:40:00Z",
    }
    events = open_session("coinbase").push(row)
    assert {event.kind: event.value for event in of(Price, events)} == {"last": 84120.1, "mid": 84120.5}
    assert of(Price, events)[0].ts_ns == NOW_NS


def test_exchange_subscription_answers() -> None:
    opened = open_session("coinbase", Channel.PRICE)
    assert msgspec.json.decode(opened.sends[0].frame) == {
        "type": "subscribe",
        "product_ids": ["BTC-USD", "ETH-USD"],
        "channels": ["ticker"],
    }
    opened.push({"type": "subscriptions", "channels": [{"name": "ticker", "product_ids": ["BTC-USD"]}]})
    opened.push({"type": "error", "message": "Failed to subscribe", "reason": "ETH-USD is not a valid product"})
    assert opened.notices(Acked) == [Acked(("ticker:BTC-USD",))]
    assert {notice.topic for notice in opened.notices(Refused)} == {"ticker:ETH-USD", "heartbeat:ETH-USD"}
    assert opened.push({"type": "heartbeat", "last_trade_id": 0, "product_id": "BTC-USD", "sequence": 1}) == []


def advanced(channel: str, number: int, *events: dict[str, Any]) -> dict[str, Any]:
    return {
        "channel": channel,
        "client_id": "",
        "timestamp": "2025-11-21T04:40:00.228568804Z",
        "sequence_num": number,
        "events": list(events),
    }


def market_trades(kind: str, number: int = 0) -> dict[str, Any]:
    row = {
        "product_id": "BTC-USD",
        "trade_id": "1",
        "price": "65083.67",
        "size": "0.01034361",
        "time": "2025-11-21T04:40:00.167634Z",
        "side": "SELL",
    }
    return advanced("market_trades", number, {"type": kind, "trades": [row]})


def test_advanced_trades() -> None:
    opened = open_session("coinbase", extra=ADVANCED)
    assert opened.push(market_trades("snapshot")) == []
    assert opened.skipped() == {"history": 1}
    trade = of(Trade, opened.push(market_trades("update", 1)))[0]
    assert (trade.side, trade.usd_micros) == ("buy", 673_200_100)


def test_advanced_numbers_count_every_message() -> None:
    opened = open_session("coinbase", extra=ADVANCED)
    opened.push(
        advanced("heartbeats", 0, {"heartbeat_counter": 1}), market_trades("update", 1), advanced("heartbeats", 5)
    )
    assert opened.notices(SequenceGap) == [SequenceGap(Channel.TRADES, 3)]


def test_advanced_ticker_and_answers() -> None:
    opened = open_session("coinbase", Channel.PRICE, extra=ADVANCED)
    frames = [msgspec.json.decode(send.frame) for send in opened.sends]
    assert frames == [
        {"type": "subscribe", "channel": "ticker", "product_ids": ["BTC-USD"]},
        {"type": "subscribe", "channel": "heartbeats"},
    ]
    row = {"product_id": "BTC-USD", "price": "65086.18", "best_bid": "65083.66", "best_ask": "65083.68"}
    events = opened.push(advanced("ticker", 0, {"type": "snapshot", "tickers": [row]}))
    assert {event.kind: event.value for event in of(Price, events)} == {"last": 65086.18, "mid": 65083.67}
    opened.push(advanced("subscriptions", 1, {"subscriptions": {"ticker": ["BTC-USD"], "heartbeats": ["heartbeats"]}}))
    assert opened.notices(Acked) == [Acked(("ticker:BTC-USD",)), Acked(("heartbeats:",))]
    opened.push({"type": "error", "message": "channel not found"})
    assert opened.notices(Refused) == [Refused("", "channel not found")]


def test_alias_is_one_book() -> None:
    assert open_session("coinbase", extra=ADVANCED).registry.get("coinbase", "BTC-USDC") is None


def test_futures_are_polled() -> None:
    opened = open_session("coinbase")
    instruments = opened.feed.wanted(opened.registry)
    poll = next(each for each in opened.feed.polls(instruments) if each.request.name == "futures")
    events = opened.feed.parse_poll(poll, metadata("coinbase")["futures"], NOW_NS, opened.registry, refuse)
    assert [event.usd for event in of(OpenInterest, events)] == [pytest.approx(126_337_000, rel=1e-4)]
    assert [(event.rate, event.interval_h) for event in of(Funding, events)] == [(0.000012, 1.0)]
    assert not any(topic.symbol.endswith("CDE") for topic in opened.connection.topics)


def test_match_without_a_price_is_a_decode_error() -> None:
    with pytest.raises(DecodeError, match=r"wrong_type|missing_field"):
        open_session("coinbase").push({**MATCH, "price": None})
