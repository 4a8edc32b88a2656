from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, BadRow, Refused, UnknownSymbol
from monitor.instruments import Registry
from tests.feeds.support import NOW_NS, Opened, metadata, of, open_session

ORDER = {"orderID": "df41", "symbol": "XBTUSD", "side": "Sell", "price": 83950.5, "leavesQty": 1000}


def table(name: str, action: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"table": name, "action": action, "data": list(rows)}


def started(*channels: Channel) -> Opened:
    """A session whose tables have begun, with the instruments of the golden metadata."""
    opened = open_session("bitmex", *channels)
    rows = msgspec.json.decode(metadata("bitmex")["instruments"])
    opened.push(table("instrument", "partial", *rows), table("liquidation", "partial"), table("trade", "partial"))
    opened.session.notices.clear()
    return opened


def reconnected(before: Opened) -> Opened:
    """Another session of the same feed."""
    session = before.feed.session(before.connection, before.registry)
    return Opened(before.feed, before.registry, before.connection, session, session.on_open(NOW_NS))


def test_bitmex_update_is_not_a_new_liquidation() -> None:
    """Vector 12: insert 1000, update to 400, delete: one liquidation of 1,000 USD."""
    opened = started()
    events = opened.push(
        table("liquidation", "insert", ORDER),
        table("liquidation", "update", {"orderID": "df41", "leavesQty": 400}),
        table("liquidation", "delete", {"orderID": "df41", "symbol": "XBTUSD"}),
    )
    found = of(Liquidation, events)
    assert [(event.side, event.usd_micros, event.key) for event in found] == [("long", 1_000_000_000, "df41")]
    assert found[0].ts_ns == found[0].recv_ns == NOW_NS


def test_increase_counts_the_increase_only() -> None:
    opened = started()
    opened.push(table("liquidation", "insert", ORDER))
    more = opened.push(table("liquidation", "update", {"orderID": "df41", "leavesQty": 1500, "price": 83000}))
    assert [event.usd_micros for event in of(Liquidation, more)] == [500_000_000]
    assert of(Liquidation, more)[0].key != "df41"


def test_snapshot_on_subscribe_is_history() -> None:
    opened = open_session("bitmex")
    events = opened.push(table("liquidation", "partial", ORDER), table("trade", "partial", FILL))
    assert not of(Liquidation, events)
    assert not of(Trade, events)
    assert opened.skipped() == {"history": 2}
    again = opened.push(table("liquidation", "update", {"orderID": "df41", "leavesQty": 400}))
    assert of(Liquidation, again) == []


def test_nothing_counts_before_the_partial() -> None:
    opened = open_session("bitmex")
    assert opened.push(table("liquidation", "insert", ORDER)) == []
    assert opened.skipped() == {"before_partial": 1}


@pytest.mark.parametrize(
    ("row", "position", "micros"),
    [
        # vector 13: quanto, settled at the bitcoin mark of 90,000
        ({"symbol": "ETHUSD", "side": "Sell", "leavesQty": 50, "price": 3000}, "long", 13_500_000_000),
        # vector 14: linear, 10,000 contracts are one coin
        ({"symbol": "LTCUSDT", "side": "Buy", "leavesQty": 10_000, "price": 80}, "short", 80_000_000),
        ({"symbol": "XBTUSD", "side": "Buy", "leavesQty": 1, "price": 84_000}, "short", 1_000_000),
    ],
)
def test_value_of_each_contract_form(row: dict[str, Any], position: str, micros: int) -> None:
    found = of(Liquidation, started().push(table("liquidation", "insert", {"orderID": "a", **row})))
    assert [(event.side, event.usd_micros) for event in found] == [(position, micros)]


def test_quanto_without_a_bitcoin_price_is_not_guessed() -> None:
    opened = open_session("bitmex", Channel.LIQUIDATIONS)
    row = {"orderID": "a", "symbol": "ETHUSD", "side": "Sell", "price": 3000, "leavesQty": 50}
    assert opened.push(table("liquidation", "partial"), table("liquidation", "insert", row)) == []
    assert [notice.reason for notice in opened.notices(BadRow)] == ["missing_field"]


def test_delta_without_field_keeps_the_value() -> None:
    opened = started(Channel.FUNDING, Channel.OPEN_INTEREST)
    opened.push(
        table(
            "instrument",
            "update",
            {"symbol": "XBTUSD", "fundingRate": 0.0001, "fundingTimestamp": "2025-11-21T12:00:00.000Z"},
        )
    )
    later = NOW_NS + 60_000_000_000
    events = opened.push(table("instrument", "update", {"symbol": "XBTUSD", "markPrice": 91000}), recv_ns=later)
    assert [(event.rate, event.interval_h) for event in of(Funding, events)] == [(0.0001, 8.0)]
    assert [event.usd for event in of(OpenInterest, events)] == [411_647_400.0]


def test_unchanged_slow_values_are_not_repeated_at_once() -> None:
    opened = started()
    first = opened.push(table("instrument", "update", {"symbol": "XBTUSD", "fundingRate": 0.0001}))
    second = opened.push(table("instrument", "update", {"symbol": "XBTUSD", "lastPrice": 90001}))
    assert len(of(Funding, first)) == 1
    assert of(Funding, second) == []
    assert [event.kind for event in of(Price, second)] == ["last"]


def test_open_interest_of_a_linear_contract_is_its_open_value() -> None:
    opened = started(Channel.OPEN_INTEREST)
    events = opened.push(table("instrument", "update", {"symbol": "LTCUSDT", "openValue": 538432500000}))
    assert [event.usd for event in of(OpenInterest, events)] == [538_432.5]


def test_open_interest_of_a_quanto_contract_is_settled_in_bitcoin() -> None:
    opened = started(Channel.OPEN_INTEREST)
    events = opened.push(table("instrument", "update", {"symbol": "ETHUSD", "openValue": 100_000_000}))
    assert [event.usd for event in of(OpenInterest, events)] == [90_000.0]


def test_interval_comes_from_the_instrument() -> None:
    opened = started(Channel.FUNDING)
    events = opened.push(table("instrument", "update", {"symbol": "LTCUSDT", "fundingRate": -0.0002}))
    assert [event.interval_h for event in of(Funding, events)] == [4.0]


FILL = {
    "timestamp": "2025-11-21T04:40:00.250Z", "symbol": "XBTUSD", "side": "Buy", "size": 300, "price": 84000.5,
    "trdMatchID": "m", "foreignNotional": 300,
}  # fmt: skip


def test_trade() -> None:
    trade = of(Trade, started().push(table("trade", "insert", FILL)))[0]
    assert (trade.side, trade.usd_micros, trade.price) == ("buy", 300_000_000, 84000.5)
    assert trade.ts_ns == NOW_NS + 250_000_000


def test_index_rows_are_not_unknown_symbols() -> None:
    opened = open_session("bitmex")
    opened.push(table("instrument", "partial", *msgspec.json.decode(metadata("bitmex")["instruments"])))
    assert opened.notices(UnknownSymbol) == []
    assert opened.skipped() == {"not_a_contract": 1}


def test_metadata() -> None:
    registry = open_session("bitmex").registry
    xbt, eth, ltc, dated = (registry.get("bitmex", name) for name in ("XBTUSD", "ETHUSD", "LTCUSDT", "XBTH26"))
    assert xbt is not None
    assert eth is not None
    assert ltc is not None
    assert dated is not None
    assert (xbt.base, xbt.form, str(xbt.contract_value)) == ("BTC", "inverse", "1")
    assert (eth.form, eth.contract_value) == ("quanto", Decimal("0.000001"))
    assert (ltc.form, ltc.contract_value, ltc.funding_interval_h) == ("linear", Decimal("0.0001"), 4.0)
    assert (dated.kind, dated.funding_interval_h) == ("future", None)
    assert registry.get("bitmex", ".BXBT") is None


def test_ranking() -> None:
    opened = open_session("bitmex")
    ranks = opened.feed.parse_ranking(opened.feed.ranking()[0], metadata("bitmex")["instruments"], opened.registry)
    assert ranks["XBTUSD"] == 411_647_400.0
    assert opened.feed.parse_ranking(opened.feed.ranking()[0], b"[]", Registry()) == {}


def test_acknowledgement_refusal_and_ping() -> None:
    opened = open_session("bitmex", Channel.LIQUIDATIONS)
    opened.push({"info": "Welcome to the BitMEX Realtime API.", "version": "x", "limit": {"remaining": 39}})
    opened.push({"success": True, "subscribe": "liquidation", "request": {"op": "subscribe", "args": ["liquidation"]}})
    assert opened.notices(Acked) == [Acked(("liquidation",))]
    words = "Unknown table: instrument"
    opened.push(
        {
            "status": 400,
            "error": words,
            "meta": {},
            "request": {"op": "subscribe", "args": ["liquidation", "instrument"]},
        }
    )
    assert opened.notices(Refused) == [Refused("instrument", words)]
    assert [send.frame for send in opened.session.on_tick(NOW_NS + 15_000_000_000)] == ["ping"]
    assert opened.push("pong") == []


def test_selected_symbols_bring_the_bitcoin_price_that_values_quanto_contracts() -> None:
    opened = open_session("bitmex", Channel.LIQUIDATIONS, symbols=("ETHUSD",))
    assert [topic.name for topic in opened.connection.topics] == [
        "liquidation",
        "instrument:ETHUSD",
        "instrument:XBTUSD",
    ]


def test_an_order_that_came_while_nobody_listened_counts_after_the_reconnect() -> None:
    first = started()
    first.push(table("liquidation", "insert", ORDER))
    again = reconnected(first)
    missed = {**ORDER, "orderID": "b7", "leavesQty": 700}
    events = again.push(table("instrument", "partial"), table("liquidation", "partial", ORDER, missed))
    assert [(event.key, event.usd_micros) for event in of(Liquidation, events)] == [("b7", 700_000_000)]
    assert again.skipped() == {"history": 1}
    later = again.push(table("liquidation", "update", {"orderID": "b7", "leavesQty": 300}))
    assert of(Liquidation, later) == []


def test_a_quanto_order_found_before_the_first_price_is_worth_the_last_one() -> None:
    """The table of orders comes first: 50 contracts x 100 satoshi x 3,000 x 90,000 dollars."""
    missed = {"orderID": "q1", "symbol": "ETHUSD", "side": "Buy", "price": 3000, "leavesQty": 50}
    events = reconnected(started()).push(table("liquidation", "partial", missed))
    assert [(event.side, event.usd_micros) for event in of(Liquidation, events)] == [("short", 13_500_000_000)]


def test_an_order_that_ended_meanwhile_stays_known() -> None:
    """Another connection's table may be a moment older."""
    first = started()
    first.push(table("liquidation", "insert", ORDER), table("liquidation", "delete", ORDER))
    assert of(Liquidation, reconnected(first).push(table("liquidation", "partial", ORDER))) == []


def test_known_orders_are_a_bounded_number() -> None:
    opened = started()
    for start in range(0, 150_000, 1_000):
        rows = [{**ORDER, "orderID": str(n)} for n in range(start, start + 1_000)]
        opened.push(table("liquidation", "insert", *rows))
    assert len(opened.feed.known_orders) <= 100_000  # type: ignore[attr-defined]
