from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.events import Channel, Depth, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, Refused, UnknownSymbol
from monitor.feeds import feed_class
from tests.feeds.support import NOW_NS, of, open_session

NOW_MS = NOW_NS // 1_000_000
CTX = {
    "funding": "-0.0000041", "openInterest": "27353.17682", "prevDayPx": "86000.0", "oraclePx": "84150.0",
    "markPx": "77562", "midPx": "84120.5", "impactPxs": ["84120.0", "84121.0"],
}  # fmt: skip


def message(channel: str, data: Any) -> dict[str, Any]:
    return {"channel": channel, "data": data}


def trade(**fields: Any) -> dict[str, Any]:
    row = {"coin": "BTC", "side": "A", "px": "84120.0", "sz": "0.017", "hash": "0x0", "time": NOW_MS + 5, "tid": 1}
    return {**row, **fields}


def test_liquidations_are_declared_as_not_covered() -> None:
    law = feed_class("hyperliquid").spec.laws[Channel.LIQUIDATIONS]
    assert law.kind == "not_covered"
    opened = open_session("hyperliquid", Channel.LIQUIDATIONS, Channel.PRICE)
    assert not any(Channel.LIQUIDATIONS in topic.channels for topic in opened.connection.topics)


def test_context_is_price_hourly_funding_and_open_interest() -> None:
    events = open_session("hyperliquid").push(message("activeAssetCtx", {"coin": "BTC", "ctx": CTX}))
    assert {event.kind: event.value for event in of(Price, events)} == {
        "mark": 77562.0,
        "index": 84150.0,
        "mid": 84120.5,
    }
    funding = of(Funding, events)[0]
    assert (funding.rate, funding.interval_h) == (-0.0000041, 1.0)
    assert 0 < funding.next_ns - NOW_NS <= 3600 * 10**9
    assert of(OpenInterest, events)[0].usd == pytest.approx(27353.17682 * 77562)


def test_zero_hash_is_no_liquidation() -> None:
    opened = open_session("hyperliquid")
    events = opened.push(message("trades", [trade(hash="0x" + "0" * 64)]))
    assert of(Liquidation, events) == []
    assert [(event.side, event.usd_micros) for event in of(Trade, events)] == [("sell", 1_430_040_000)]


def test_snapshot_on_subscribe_is_history() -> None:
    opened = open_session("hyperliquid")
    old = trade(time=NOW_MS - 60_000)
    assert opened.push(message("trades", [old, old])) == []
    assert opened.skipped() == {"history": 2}
    assert len(opened.push(message("trades", [trade(time=NOW_MS - 1)]))) == 1, (
        "later messages are live, whatever the clocks say"
    )


def test_first_message_keeps_what_is_new() -> None:
    assert len(open_session("hyperliquid").push(message("trades", [trade(time=NOW_MS - 9000), trade()]))) == 1


def test_multiplied_coin_has_one_name() -> None:
    instrument = open_session("hyperliquid").registry.get("hyperliquid", "kPEPE")
    assert instrument is not None
    assert (instrument.base, instrument.base_units) == ("PEPE", 1000)


def test_tradfi_perpetual_is_not_crypto() -> None:
    extra = {"dexes": ["xyz"]}
    opened = open_session("hyperliquid", extra=extra)
    assert not any(topic.symbol == "xyz:AAPL" for topic in opened.connection.topics)
    assert opened.push(message("activeAssetCtx", {"coin": "xyz:AAPL", "ctx": CTX})) == []
    assert opened.skipped() == {"tradfi": 1}
    with_shares = open_session("hyperliquid", extra=extra, include_tradfi=True)
    assert with_shares.push(message("activeAssetCtx", {"coin": "xyz:AAPL", "ctx": CTX})) != []


def test_delisted_coin_is_not_wanted() -> None:
    assert not any(topic.symbol == "OLD" for topic in open_session("hyperliquid").connection.topics)


def test_depth_within_one_percent_of_mid() -> None:
    opened = open_session("hyperliquid", Channel.DEPTH)
    book = {"coin": "BTC", "time": NOW_MS, "levels": [
        [{"px": "100", "sz": "2", "n": 1}, {"px": "99.5", "sz": "4", "n": 1}, {"px": "98", "sz": "1000", "n": 1}],
        [{"px": "100.5", "sz": "3", "n": 1}, {"px": "102", "sz": "1000", "n": 1}],
    ]}  # fmt: skip
    assert opened.push(message("l2Book", book)) == [], "without best prices mid is not known"
    best = {
        "coin": "BTC",
        "time": NOW_MS,
        "bbo": [{"px": "100", "sz": "1", "n": 1}, {"px": "100.2", "sz": "1", "n": 1}],
    }
    depth = of(Depth, opened.push(message("bbo", best), message("l2Book", book)))[0]
    assert (depth.bid_usd, depth.ask_usd) == (598.0, 301.5)
    assert depth.spread_ratio == pytest.approx(0.2 / 100.1)


def test_each_subscription_is_confirmed_or_refused_by_name() -> None:
    opened = open_session("hyperliquid", Channel.PRICE)
    first = msgspec.json.decode(opened.sends[0].frame)
    assert first == {"method": "subscribe", "subscription": {"type": "activeAssetCtx", "coin": "BTC"}}
    opened.push(message("subscriptionResponse", first))
    assert opened.notices(Acked) == [Acked(("activeAssetCtx:BTC",))]
    words = 'Invalid subscription {"type":"activeAssetCtx","coin":"kPEPE"}'
    opened.push(message("error", words))
    assert opened.notices(Refused) == [Refused("activeAssetCtx:kPEPE", words)]


def test_ping_before_the_venue_hangs_up() -> None:
    opened = open_session("hyperliquid")
    assert opened.session.on_tick(NOW_NS + 1_000_000_000) == []
    assert [send.frame for send in opened.session.on_tick(NOW_NS + 50_000_000_000)] == ['{"method":"ping"}']
    assert opened.push({"channel": "pong"}) == []


def test_non_ascii_symbol_works() -> None:
    opened = open_session("hyperliquid")
    opened.push(message("activeAssetCtx", {"coin": "币安人生", "ctx": CTX}))
    assert opened.notices(UnknownSymbol) == [UnknownSymbol("币安人生", Channel.PRICE)]
