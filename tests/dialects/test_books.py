"""Polled order books: each venue's documented reply, valued in dollars."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.dialects.depth import depth
from monitor.errors import DecodeError
from monitor.events import Channel, Depth
from monitor.feed import Poll
from tests.feeds.support import NOW_NS, Opened, of, open_session, refuse

REPLIES: dict[str, tuple[str, Any, float]] = {
    # venue: (symbol, reply, dollars bid within 1 % of mid)
    "deribit": ("BTC-PERPETUAL", {"result": {"bids": [[84000.0, 5000.0], [80000.0, 9e9]], "asks": [[84001.0, 70.0]], "timestamp": 1763700000100}}, 5000.0),
    "bitmex": ("XBTUSD", [{"symbol": "XBTUSD", "id": 1, "side": "Buy", "size": 5000, "price": 84000}, {"side": "Sell", "size": 70, "price": 84001}], 5000.0),
    "bitget": ("BTCUSDT", {"code": "00000", "data": {"bids": [[84000, 0.5]], "asks": [["84001", "1"]], "ts": "1763700000100", "scale": "1"}}, 42_000.0),
    "gate": ("BTC_USDT", {"current": 1.5, "bids": [{"p": "84000", "s": 5000}], "asks": [{"p": "84001", "s": "1.5"}]}, 42_000.0),
    "htx": ("BTC-USDT", {"status": "ok", "tick": {"bids": [[84000, 500]], "asks": [[84001, 1]], "ts": 1763700000100}}, 42_000.0),
    "kraken_futures": ("PF_XBTUSD", {"result": "success", "orderBook": {"bids": [[84000, 0.5]], "asks": [[84001, 1]]}}, 42_000.0),
    "kraken": ("BTC/USD", {"error": [], "result": {"XXBTZUSD": {"bids": [["84000", "0.5", 1763700000]], "asks": [["84001", "1", 1763700000]]}}}, 42_000.0),
    "coinbase": ("BTC-USD", {"bids": [["84000", "0.5", 3]], "asks": [["84001", "1", 1]], "time": "2025-11-21T04:40:00.1Z"}, 42_000.0),
    "dydx": ("BTC-USD", {"bids": [{"price": "84000", "size": "0.5"}], "asks": [{"price": "84001", "size": "1"}]}, 42_000.0),
}  # fmt: skip


def polls(opened: Opened) -> dict[str, Poll]:
    found = opened.feed.polls(opened.feed.wanted(opened.registry))
    return {poll.symbol: poll for poll in found if poll.channel is Channel.DEPTH}


@pytest.mark.parametrize("venue", REPLIES)
def test_book_is_valued_in_dollars(venue: str) -> None:
    symbol, reply, bid_usd = REPLIES[venue]
    opened = open_session(venue)
    events = opened.feed.parse_poll(polls(opened)[symbol], msgspec.json.encode(reply), NOW_NS, opened.registry, refuse)
    found = of(Depth, events)[0]
    assert found.bid_usd == pytest.approx(bid_usd)
    assert found.spread_ratio == pytest.approx(1 / 84000.5)
    assert found.ts_ns in {NOW_NS, NOW_NS + 100_000_000}


@pytest.mark.parametrize("venue", REPLIES)
def test_empty_or_broken_book_is_an_error_not_zero(venue: str) -> None:
    symbol, reply, _ = REPLIES[venue]
    opened = open_session(venue)
    emptied = msgspec.json.encode(reply).replace(b"84001", b"-1")
    for body in (b"{}", b"[]", emptied):
        with pytest.raises(DecodeError):
            opened.feed.parse_poll(polls(opened)[symbol], body, NOW_NS, opened.registry, refuse)


def test_only_the_majors_are_polled_and_never_quanto_contracts() -> None:
    assert set(polls(open_session("bitmex"))) == {"XBTUSD"}
    assert set(polls(open_session("bitmex", extra={"depth_bases": ["LTC"]}))) == {"LTCUSDT"}
    assert polls(open_session("bitmex", Channel.PRICE)) == {}


def test_kraken_is_asked_by_its_old_names() -> None:
    opened = open_session("kraken", extra={"depth_bases": ["BTC", "DOGE"]})
    assert {poll.request.url.partition("pair=")[2] for poll in polls(opened).values()} == {
        "XBTUSD&count=500",
        "XDGUSD&count=500",
    }


def test_a_level_of_less_than_nothing_is_refused() -> None:
    """It was taken off the depth."""
    item = open_session("gate").registry.venue("gate")["BTC_USDT"]
    with pytest.raises(DecodeError, match="-5"):
        depth(item, [["84000", "10"], ["83999", "-5"]], [["84001", "1"]], NOW_NS, NOW_NS)
