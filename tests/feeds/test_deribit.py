from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Sample, Trade
from monitor.feed import Acked, BadRow, Refused, Reply, SequenceGap, UnknownSymbol
from tests.feeds.support import of, open_session

TRADE = {
    "trade_seq": 30289442, "trade_id": "48079269", "timestamp": 1763700000100, "tick_direction": 2, "price": 8950.0,
    "mark_price": 8948.9, "instrument_name": "BTC-PERPETUAL", "index_price": 8955.88, "direction": "sell",
    "amount": 750.0, "contracts": 75.0,
}  # fmt: skip


def data(channel: str, rows: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": rows}}


def trades(**fields: Any) -> dict[str, Any]:
    return data("trades.future.any.100ms", [{**TRADE, **fields}])


@pytest.mark.parametrize(
    ("direction", "letters", "sides"),
    [
        ("sell", "T", ["long"]),  # vector 10
        ("sell", "M", ["short"]),  # vector 11
        ("buy", "T", ["short"]),
        ("buy", "M", ["long"]),
        ("sell", "MT", ["long", "short"]),
    ],
)
def test_letter_says_who_was_liquidated(direction: str, letters: str, sides: list[str]) -> None:
    opened = open_session("deribit")
    events = opened.push(trades(direction=direction, liquidation=letters))
    found = of(Liquidation, events)
    assert [(event.side, event.usd_micros) for event in found] == [(side, 750_000_000) for side in sides]
    assert len({event.key for event in found}) == len(sides)
    assert [event.usd_micros for event in of(Trade, events)] == [750_000_000]


def test_inverse_contract_is_not_multiplied_by_price() -> None:
    events = open_session("deribit").push(trades(liquidation="T", price=84000.5))
    assert of(Liquidation, events)[0].usd_micros == 750_000_000


def test_linear_contract_is_exact() -> None:
    events = open_session("deribit").push(
        trades(instrument_name="ETH_USDC-PERPETUAL", amount=0.1, price=0.3, liquidation="T")
    )
    assert of(Liquidation, events)[0].usd_micros == 30_000


def test_option_is_valued_at_its_underlying() -> None:
    opened = open_session("deribit", Channel.LIQUIDATIONS, extra={"options": True})
    row = {
        **TRADE,
        "instrument_name": "BTC-27MAR26-90000-C",
        "amount": 0.5,
        "price": 0.0525,
        "index_price": 84000.0,
        "liquidation": "T",
    }
    events = opened.push(data("trades.option.any.100ms", [row]))
    assert of(Liquidation, events)[0].usd_micros == 42_000_000_000


def test_ordinary_trade_is_no_liquidation() -> None:
    events = open_session("deribit").push(trades())
    assert of(Liquidation, events) == []
    assert of(Trade, events)[0].side == "sell"


TICKER = {
    "instrument_name": "BTC-PERPETUAL", "timestamp": 1763700000123, "state": "open", "last_price": 84120.5,
    "mark_price": 84121.07, "index_price": 84150.22, "best_bid_price": 84120.0, "best_ask_price": 84121.0,
    "open_interest": 1132329370, "current_funding": 0.0, "funding_8h": -0.00001203, "stats": {"volume_usd": None},
}  # fmt: skip


def test_ticker_of_an_inverse_perpetual() -> None:
    events = open_session("deribit").push(data("ticker.BTC-PERPETUAL.100ms", TICKER))
    assert {event.kind: event.value for event in of(Price, events)} == {
        "mark": 84121.07, "index": 84150.22, "last": 84120.5, "mid": 84120.5,
    }  # fmt: skip
    assert of(OpenInterest, events)[0].usd == 1132329370.0
    funding = of(Funding, events)[0]
    assert (funding.rate, funding.interval_h) == (-0.00001203, 8.0)
    assert funding.ts_ns == 1763700000123 * 1_000_000


def test_ticker_of_a_linear_perpetual_counts_coins() -> None:
    row = {**TICKER, "instrument_name": "ETH_USDC-PERPETUAL", "open_interest": 1000.0, "mark_price": 3000.0}
    assert (
        of(OpenInterest, open_session("deribit").push(data("ticker.ETH_USDC-PERPETUAL.100ms", row)))[0].usd
        == 3_000_000.0
    )


def test_null_is_missing_not_zero() -> None:
    row = {**TICKER, "open_interest": None, "funding_8h": None, "last_price": None, "best_bid_price": 0.0}
    events = open_session("deribit").push(data("ticker.BTC-PERPETUAL.100ms", row))
    assert of(OpenInterest, events) == []
    assert of(Funding, events) == []
    assert {event.kind for event in of(Price, events)} == {"mark", "index"}


def test_dated_future_has_no_funding() -> None:
    row = {**TICKER, "instrument_name": "BTC-27MAR26"}
    assert of(Funding, open_session("deribit").push(data("ticker.BTC-27MAR26.100ms", row))) == []


def test_option_ticker_gives_no_price_of_the_base() -> None:
    opened = open_session("deribit", extra={"options": True})
    row = {
        **TICKER,
        "instrument_name": "BTC-27MAR26-90000-C",
        "mark_price": 0.05,
        "index_price": 84000.0,
        "open_interest": 10.0,
    }
    events = opened.push(data("ticker.BTC-27MAR26-90000-C.100ms", row))
    assert of(Price, events) == []
    assert of(OpenInterest, events)[0].usd == 840_000.0


def test_options_are_taken_only_when_asked() -> None:
    topics = [topic.name for topic in open_session("deribit").connection.topics]
    assert "trades.option.any.100ms" not in topics
    assert not any(topic.endswith("-C.100ms") for topic in topics)


def test_volatility_index() -> None:
    rows = {"volatility": 52.31, "timestamp": 1763700000000, "index_name": "btc_usd"}
    sample = of(Sample, open_session("deribit").push(data("deribit_volatility_index.btc_usd", rows)))[0]
    assert (sample.series, sample.value) == ("iv", 52.31)
    assert sample.labels == (("base", "BTC"), ("tenor", "index"), ("venue", "deribit"))


def test_subscribe_is_checked_channel_by_channel() -> None:
    opened = open_session("deribit")
    heartbeat, subscribe = (msgspec.json.decode(send.frame) for send in opened.sends)
    assert heartbeat["method"] == "public/set_heartbeat"
    channels = subscribe["params"]["channels"]
    opened.push({"jsonrpc": "2.0", "id": subscribe["id"], "result": channels[1:], "usIn": 1, "usOut": 2, "usDiff": 1})
    assert set(opened.notices(Acked)[0].topics) == set(channels[1:])
    assert [notice.topic for notice in opened.notices(Refused)] == channels[:1]


def test_error_refuses_the_whole_frame_in_the_venues_words() -> None:
    opened = open_session("deribit")
    opened.push({"jsonrpc": "2.0", "id": 1, "error": {"code": 10028, "message": "too_many_requests"}})
    refused = opened.notices(Refused)
    assert {notice.words for notice in refused} == {"10028 too_many_requests"}
    assert len(refused) == len(opened.connection.topics)


def test_heartbeat_is_answered() -> None:
    opened = open_session("deribit")
    opened.push({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}})
    assert opened.notices(Reply) == []
    opened.push({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}})
    assert msgspec.json.decode(opened.notices(Reply)[0].frame)["method"] == "public/test"


def test_hole_in_trade_numbers_is_a_gap() -> None:
    opened = open_session("deribit")
    opened.push(trades(trade_seq=10), trades(trade_seq=11), trades(trade_seq=14))
    assert opened.notices(SequenceGap) == [SequenceGap(Channel.LIQUIDATIONS, 2)]


def test_one_bad_row_never_loses_the_rest() -> None:
    opened = open_session("deribit")
    rows = [
        {**TRADE, "direction": "sideways"},
        {**TRADE, "liquidation": "T"},
        {**TRADE, "trade_seq": 30289443, "price": -1},
    ]
    events = opened.push(data("trades.future.any.100ms", rows))
    assert len(of(Liquidation, events)) == 1
    assert [notice.reason for notice in opened.notices(BadRow)] == ["wrong_type", "out_of_range"]


def test_unknown_instrument_is_named() -> None:
    opened = open_session("deribit")
    assert opened.push(trades(instrument_name="DOGE-PERPETUAL")) == []
    assert opened.notices(UnknownSymbol) == [UnknownSymbol("DOGE-PERPETUAL", Channel.TRADES)]


def test_whole_market_trades_are_filtered_to_the_selection() -> None:
    opened = open_session("deribit", Channel.LIQUIDATIONS, symbols=("BTC-PERPETUAL",))
    assert opened.push(trades(instrument_name="ETH_USDC-PERPETUAL", liquidation="T")) == []
    assert opened.skipped() == {"unselected": 1}
