from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, Refused, SequenceGap, UnknownSymbol
from tests.feeds.support import NOW_NS, metadata, of, open_session

NOW_MS = NOW_NS // 1_000_000


def trade(**fields: Any) -> dict[str, Any]:
    row = {
        "feed": "trade", "product_id": "PF_XBTUSD", "uid": "05af78ac", "side": "sell", "type": "liquidation", "seq": 653355,
        "time": NOW_MS, "qty": 0.45, "price": 84100.0,
    }  # fmt: skip
    return {**row, **fields}


@pytest.mark.parametrize(
    ("fields", "side", "micros"),
    [
        ({}, "long", 37_845_000_000),  # vector 17
        ({"product_id": "PI_XBTUSD", "side": "buy", "qty": 5000}, "short", 5_000_000_000),  # vector 18
        ({"qty": 0.1, "price": 0.7}, "long", 70_000),
    ],
)
def test_liquidation(fields: dict[str, Any], side: str, micros: int) -> None:
    events = open_session("kraken_futures").push(trade(**fields))
    assert [(event.side, event.usd_micros, event.key) for event in of(Liquidation, events)] == [
        (side, micros, "05af78ac")
    ]
    taker = "sell" if side == "long" else "buy"
    assert [(event.side, event.usd_micros) for event in of(Trade, events)] == [(taker, micros)]


def test_fill_is_no_liquidation_and_other_types_are_neither() -> None:
    opened = open_session("kraken_futures")
    assert [type(event) for event in opened.push(trade(type="fill"))] == [Trade]
    assert opened.push(trade(type="assignment", seq=653356)) == []
    assert opened.skipped() == {"trade_type": 1}


def test_snapshot_on_subscribe_is_history() -> None:
    opened = open_session("kraken_futures")
    snapshot = {"feed": "trade_snapshot", "product_id": "PF_XBTUSD", "trades": [trade(seq=9), trade(seq=8)]}
    assert opened.push(snapshot) == []
    assert opened.skipped() == {"history": 2}
    opened.push(trade(seq=10))
    assert opened.notices(SequenceGap) == []
    opened.push(trade(seq=13))
    assert opened.notices(SequenceGap) == [SequenceGap(Channel.LIQUIDATIONS, 2)]


TICKER = {
    "time": 1783587648112, "feed": "ticker", "product_id": "PF_ETHUSD", "bid": 1751.6, "ask": 1751.8, "last": 1751.7,
    "index": 1751.75, "markPrice": 1751.9755, "openInterest": 24085.822, "funding_rate": 0.032725177,
    "relative_funding_rate": 0.0000186711875, "next_funding_rate_time": 1783591200000, "tag": "perpetual", "suspended": False,
}  # fmt: skip


def test_ticker_uses_the_relative_hourly_rate() -> None:
    events = open_session("kraken_futures").push(TICKER)
    funding = of(Funding, events)[0]
    assert (funding.rate, funding.interval_h, funding.next_ns) == (0.0000186711875, 1.0, 1783591200000 * 10**6)
    assert of(OpenInterest, events)[0].usd == pytest.approx(24085.822 * 1751.9755)
    assert {event.kind for event in of(Price, events)} == {"mark", "index", "last", "mid"}


def test_absent_rate_is_not_zero() -> None:
    row = {name: value for name, value in TICKER.items() if "funding" not in name}
    assert of(Funding, open_session("kraken_futures").push(row)) == []


def test_inverse_open_interest_is_dollars() -> None:
    row = {**TICKER, "product_id": "PI_XBTUSD", "openInterest": 30072580}
    assert of(OpenInterest, open_session("kraken_futures").push(row))[0].usd == 30_072_580.0


def test_tradfi_perpetual_is_not_crypto() -> None:
    opened = open_session("kraken_futures")
    assert opened.push(trade(product_id="PF_AAPLXUSD")) == []
    assert opened.skipped() == {"tradfi": 1}


def test_xbt_is_btc() -> None:
    registry = open_session("kraken_futures").registry
    found = {name: registry.get("kraken_futures", name) for name in ("PI_XBTUSD", "FI_XBTUSD_260327")}
    assert {item.base for item in found.values() if item} == {"BTC"}
    dated = found["FI_XBTUSD_260327"]
    assert dated is not None
    assert (dated.kind, dated.funding_interval_h) == ("future", None)


def test_old_metadata_without_base_is_read_from_the_symbol() -> None:
    opened = open_session("kraken_futures")
    old = {"result": "success", "instruments": [{"symbol": "pi_ltcusd", "type": "futures_inverse", "contractSize": 1}]}
    found, more = opened.feed.parse_metadata(opened.feed.metadata()[0], msgspec.json.encode(old))
    assert [(item.symbol, item.base, item.quote) for item in found] == [("PI_LTCUSD", "LTC", "USD")]
    assert more == []


def test_failed_metadata_is_an_error() -> None:
    opened = open_session("kraken_futures")
    with pytest.raises(DecodeError, match="error"):
        opened.feed.parse_metadata(opened.feed.metadata()[0], b'{"result":"error"}')
    assert b"success" in metadata("kraken_futures")["instruments"]


def test_one_feed_per_subscribe_frame() -> None:
    opened = open_session("kraken_futures")
    frames = [msgspec.json.decode(send.frame) for send in opened.sends]
    assert [frame["feed"] for frame in frames] == ["ticker", "trade"]
    opened.push(
        {"event": "info", "version": 1}, {"event": "subscribed", "feed": "ticker", "product_ids": ["PF_XBTUSD"]}
    )
    opened.push({"event": "subscribed_failed", "feed": "trade", "product_ids": ["PF_XBTUSD"]})
    opened.push({"event": "error", "message": "Invalid product id"})
    assert opened.notices(Acked) == [Acked(("ticker:PF_XBTUSD",))]
    assert opened.notices(Refused) == [
        Refused("trade:PF_XBTUSD", "subscribed_failed"),
        Refused("", "Invalid product id"),
    ]


def test_unknown_product() -> None:
    opened = open_session("kraken_futures")
    opened.push(trade(product_id="PF_NEWUSD"))
    assert opened.notices(UnknownSymbol) == [UnknownSymbol("PF_NEWUSD", Channel.LIQUIDATIONS)]
