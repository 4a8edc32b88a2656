from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.events import Channel, Price, Trade
from monitor.feed import Acked, BadRow, Refused, SequenceGap
from tests.feeds.support import NOW_NS, of, open_session

ROW = {
    "symbol": "BTC/USD", "side": "buy", "price": 84120.1, "qty": 0.01, "ord_type": "market", "trade_id": 100,
    "timestamp": "2025-11-21T04:40:00.123456Z",
}  # fmt: skip


def trades(*rows: dict[str, Any], kind: str = "update") -> dict[str, Any]:
    return {"channel": "trade", "type": kind, "data": list(rows)}


def test_trade_is_exact() -> None:
    trade = of(Trade, open_session("kraken").push(trades(ROW)))[0]
    assert (trade.side, trade.usd_micros) == ("buy", 841_201_000)
    assert trade.ts_ns == NOW_NS + 123_456_000


def test_snapshot_on_subscribe_is_history() -> None:
    opened = open_session("kraken")
    assert opened.push(trades({**ROW, "trade_id": 99}, {**ROW, "trade_id": 98}, kind="snapshot")) == []
    assert opened.skipped() == {"history": 2}
    opened.push(trades(ROW), trades({**ROW, "trade_id": 105}))
    assert opened.notices(SequenceGap) == [SequenceGap(Channel.TRADES, 4)]


@pytest.mark.parametrize("kind", ["snapshot", "update"])
def test_ticker(kind: str) -> None:
    row = {
        "symbol": "BTC/USD",
        "bid": 84120.0,
        "bid_qty": 0.5,
        "ask": 84121.0,
        "ask_qty": 1.1,
        "last": 84120.1,
        "volume": 2931.1,
    }
    events = open_session("kraken").push({"channel": "ticker", "type": kind, "data": [row]})
    assert {event.kind: event.value for event in of(Price, events)} == {"last": 84120.1, "mid": 84120.5}


def test_rest_names_become_socket_names() -> None:
    opened = open_session("kraken")
    assert {topic.symbol for topic in opened.connection.topics} == {"BTC/USD", "DOGE/USD"}
    pair = opened.registry.get("kraken", "ETH/BTC")
    assert pair is not None
    assert not pair.usd_quoted


def test_trade_in_another_currency_is_not_counted_as_dollars() -> None:
    opened = open_session("kraken", symbols=("ETH/BTC",))
    assert opened.push(trades({**ROW, "symbol": "ETH/BTC", "price": 0.035})) == []
    assert opened.skipped() == {"quote_not_usd": 1}


def test_tokenised_share_is_not_crypto() -> None:
    opened = open_session("kraken")
    assert opened.push(trades({**ROW, "symbol": "AAPLx/USD"})) == []
    assert opened.skipped() == {"tradfi": 1}


def test_subscription_answers() -> None:
    opened = open_session("kraken")
    first = msgspec.json.decode(opened.sends[0].frame)
    assert first["params"]["event_trigger"] == "bbo"
    result = {"channel": "ticker", "symbol": "BTC/USD", "snapshot": True}
    opened.push({"channel": "status", "type": "update", "data": [{"system": "online"}]})
    opened.push({"method": "subscribe", "result": result, "success": True, "req_id": 1})
    words = "Currency pair not supported DOGE/USD"
    opened.push({"error": words, "method": "subscribe", "success": False, "symbol": "DOGE/USD", "req_id": 1})
    assert opened.notices(Acked) == [Acked(("ticker:BTC/USD",))]
    assert opened.notices(Refused) == [Refused("ticker:DOGE/USD", words)]
    assert opened.push({"channel": "heartbeat"}, {"method": "pong", "req_id": 1}) == []
    assert opened.skipped() == {}


def test_one_bad_row_never_loses_the_rest() -> None:
    opened = open_session("kraken")
    assert len(opened.push(trades({**ROW, "qty": None}, ROW, {**ROW, "timestamp": "soon", "trade_id": 101}))) == 1
    assert [notice.reason for notice in opened.notices(BadRow)] == ["wrong_type", "wrong_type"]
