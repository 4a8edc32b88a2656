from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, FeedOptions, Refused, SequenceGap
from monitor.feeds import make_feed
from monitor.instruments import Instrument
from tests.feeds.support import NOW_NS, Opened, metadata, of, open_session

ROW = {
    "id": "0a1",
    "size": "0.25",
    "price": "84100",
    "side": "SELL",
    "createdAt": "2025-11-21T04:40:00.123Z",
    "type": "LIQUIDATED",
}


def trades_session() -> Opened:
    return open_session("dydx", connection=1)


def trades(kind: str = "channel_data", number: int = 2, **fields: Any) -> dict[str, Any]:
    contents: Any = {"trades": [{**ROW, **fields}]}
    if kind == "channel_batch_data":
        contents = [contents]
    return {
        "type": kind,
        "connection_id": "c",
        "message_id": number,
        "channel": "v4_trades",
        "id": "BTC-USD",
        "version": "2.1.0",
        "contents": contents,
    }


@pytest.mark.parametrize("kind", ["channel_data", "channel_batch_data"])
def test_liquidated_trade(kind: str) -> None:
    """Vector 19."""
    events = trades_session().push(trades(kind))
    assert [(event.side, event.usd_micros, event.key) for event in of(Liquidation, events)] == [
        ("long", 21_025_000_000, "0a1")
    ]
    assert [event.side for event in of(Trade, events)] == ["sell"]


def test_snapshot_on_subscribe_is_history() -> None:
    """Vector 20."""
    opened = trades_session()
    assert opened.push(trades("subscribed")) == []
    assert opened.skipped() == {"history": 1}
    assert "v4_trades:BTC-USD" in opened.notices(Acked)[0].topics


def test_deleveraging_is_counted_apart() -> None:
    opened = trades_session()
    assert opened.push(trades(type="DELEVERAGED")) == []
    assert opened.skipped() == {"deleveraged": 1}


def test_ordinary_trade_is_no_liquidation() -> None:
    assert [type(event) for event in trades_session().push(trades(type="LIMIT", side="BUY"))] == [Trade]


def test_hole_in_message_numbers_is_a_gap() -> None:
    opened = trades_session()
    opened.push({"type": "connected", "connection_id": "c", "message_id": 0}, trades(number=1), trades(number=4))
    assert opened.notices(SequenceGap) == [SequenceGap(Channel.TRADES, 2)]


def markets(kind: str, **contents: Any) -> dict[str, Any]:
    return {"type": kind, "connection_id": "c", "message_id": 1, "channel": "v4_markets", "contents": contents}


def snapshot() -> dict[str, Any]:
    return markets("subscribed", **msgspec.json.decode(metadata("dydx")["markets"]))


def test_market_state() -> None:
    opened = open_session("dydx", symbols=("BTC-USD",))
    events = opened.push(snapshot())
    assert {event.kind: event.value for event in of(Price, events)} == {"mark": 27752.92, "index": 27752.92}
    assert of(OpenInterest, events)[0].usd == pytest.approx(52_493_815.6, rel=1e-6)
    assert (of(Funding, events)[0].rate, of(Funding, events)[0].interval_h) == (0.0000125, 1.0)


def test_delta_without_field_keeps_the_value() -> None:
    opened = open_session("dydx")
    opened.push(snapshot())
    events = opened.push(markets("channel_data", trading={"BTC-USD": {"openInterest": "2000"}}))
    assert [event.usd for event in of(OpenInterest, events)] == [2000 * 27752.92]
    assert of(Price, events) == []
    moved = opened.push(
        markets(
            "channel_data", oraclePrices={"BTC-USD": {"oraclePrice": "28000", "effectiveAt": "2025-11-21T04:40:01Z"}}
        )
    )
    assert [event.usd for event in of(OpenInterest, moved)] == [2000 * 28000.0]
    later = opened.push(markets("channel_data", trading={"BTC-USD": {"trades24H": 5}}), recv_ns=NOW_NS + 60 * 10**9)
    assert [event.rate for event in of(Funding, later)] == [0.0000125]


def test_at_most_32_subscriptions_a_connection() -> None:
    feed = make_feed("dydx", FeedOptions(channels=frozenset({Channel.LIQUIDATIONS})))
    items = [
        Instrument(venue="dydx", symbol=f"C{n}-USD", base=f"C{n}", quote="USD", settle="USDC", kind="perp")
        for n in range(200)
    ]
    connections = feed.connections(items)
    sizes = [len(connection.topics) for connection in connections]
    assert sum(sizes) == 200
    assert max(sizes) <= 32
    assert len({connection.name for connection in connections}) == 7


def test_subscribing_is_slow_enough_and_refusals_are_named() -> None:
    opened = trades_session()
    delays = [send.after_ns for send in opened.sends]
    assert all(later - earlier >= 500_000_000 for earlier, later in pairwise(delays))
    assert msgspec.json.decode(opened.sends[0].frame) == {
        "type": "subscribe",
        "channel": "v4_trades",
        "batched": False,
        "id": "BTC-USD",
    }
    words = "Invalid subscription id for channel: (v4_trades-BTC-USD)"
    opened.push({"type": "error", "message": words, "connection_id": "c", "message_id": 3})
    assert opened.notices(Refused) == [Refused("v4_trades:BTC-USD", words)]


def test_odd_market_names_and_closed_markets() -> None:
    opened = open_session("dydx")
    odd = next(item for item in opened.feed.wanted(opened.registry) if item.symbol.startswith("BUFFI"))
    assert (odd.base, odd.quote) == ("BUFFI", "USD"), "the rest of the name says where it is priced"
    assert not any(item.symbol == "OLD-USD" for item in opened.feed.wanted(opened.registry))
