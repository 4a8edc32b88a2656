from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, BadRow, Found, Poll, Refused
from monitor.feeds.gate import SignCalibration
from tests.feeds.support import NOW_NS, Opened, of, open_session, refuse

NOW_MS = NOW_NS // 1_000_000
ROW = {"price": "90000", "size": -1200, "time_ms": NOW_MS + 123, "contract": "BTC_USDT"}


def update(channel: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"time": NOW_MS // 1000, "time_ms": NOW_MS, "channel": channel, "event": "update", "result": list(rows)}


def liquidation(**fields: Any) -> dict[str, Any]:
    return update("futures.public_liquidates", {**ROW, **fields})


@pytest.mark.parametrize(
    ("sign", "size", "side"),
    [("position", 1200, "long"), ("position", -1200, "short"), ("order", -1200, "long"), ("order", "1200", "short")],
)
def test_sign_is_a_setting(sign: str, size: Any, side: str) -> None:
    """Vector 15: 1,200 contracts of 0.0001 bitcoin at 90,000 are 10,800 USD, whichever way."""
    opened = open_session("gate", extra={"liquidation_sign": sign})
    found = of(Liquidation, opened.push(liquidation(size=size)))
    assert [(event.side, event.usd_micros) for event in found] == [(side, 10_800_000_000)]


def test_a_batch_of_liquidations_with_their_time_as_the_venue_writes_it_now() -> None:
    """Since August 2026 ``time`` is in milliseconds and ``time_ms`` is gone: every row was unreadable."""
    row = {"price": "90000", "size": "-1200", "time": NOW_MS + 123, "contract": "BTC_USDT"}
    opened = open_session("gate", extra={"liquidation_sign": "order"})
    found = of(Liquidation, opened.push(update("futures.public_liquidates", row, {**row, "size": "-10"}, row)))
    assert [(event.side, event.usd_micros) for event in found] == [
        ("long", 10_800_000_000), ("long", 90_000_000), ("long", 10_800_000_000)
    ]  # fmt: skip
    assert {event.ts_ns for event in found} == {(NOW_MS + 123) * 1_000_000}
    assert len({event.key for event in found}) == 3, "two equal orders are two"


def test_liquidation_times_in_seconds_and_none_at_all() -> None:
    row = {"price": "90000", "size": -1, "contract": "BTC_USDT"}
    opened = open_session("gate")
    (event,) = of(Liquidation, opened.push(update("futures.public_liquidates", {**row, "time": NOW_MS // 1000}, row)))
    assert event.ts_ns == NOW_MS // 1000 * NS_PER_S
    assert [notice.reason for notice in opened.notices(BadRow)] == ["missing_field"]


def test_inverse_contract_is_not_multiplied_by_price() -> None:
    opened = open_session("gate", connection=1)
    found = of(Liquidation, opened.push(liquidation(contract="BTC_USD", size=500)))
    assert [event.usd_micros for event in found] == [500_000_000]


def test_fractional_size_is_asked_for_and_read() -> None:
    opened = open_session("gate")
    assert ("X-Gate-Size-Decimal", "1") in opened.connection.headers
    assert of(Liquidation, opened.push(liquidation(size="-0.5")))[0].usd_micros == 4_500_000


def calibration_polls(opened: Opened) -> list[Poll]:
    """REST liquidations that are still asked for."""
    return [
        poll for poll in opened.feed.polls(opened.feed.wanted(opened.registry)) if poll.channel is Channel.LIQUIDATIONS
    ]


def rest(opened: Opened, *rows: tuple[int, int]) -> None:
    """One REST reply: (size, offset in seconds) per row."""
    reply = [
        {"contract": "BTC_USDT", "size": size, "order_size": -size, "time": NOW_MS // 1000 + at} for size, at in rows
    ]
    poll = calibration_polls(opened)[0]
    assert opened.feed.parse_poll(poll, msgspec.json.encode(reply), NOW_NS, opened.registry, refuse) == []


def test_calibration_finds_the_orders_sign_and_says_so() -> None:
    opened = open_session("gate")
    for at in range(3):
        before = opened.push(liquidation(size=-100 - at, time_ms=NOW_MS + 1000 * at))
        assert of(Liquidation, before)[0].side == "short", "read as the position's until REST says otherwise"
    rest(opened, (100, 0), (101, 1), (102, 2))
    after = opened.push(liquidation(size=-100, time_ms=NOW_MS + 9000))
    assert of(Liquidation, after)[0].side == "long"
    found = opened.notices(Found)
    assert [(each.setting, each.value) for each in found] == [("liquidation_sign", "order")]
    assert "3 rows agree with REST, 0 do not" in found[0].words
    assert "inverted" in found[0].words
    opened.push(liquidation())
    assert len(opened.notices(Found)) == 1, "said once"
    assert calibration_polls(opened) == [], "nothing left to learn"


def test_calibration_waits_for_agreement() -> None:
    calibration = SignCalibration("auto")
    for second, size in enumerate((5, 5, -5, 5)):
        calibration.saw("A", Decimal(size), second * 1000)
    assert calibration.compare([("A", Decimal(5), second) for second in range(4)]) is None, "3 against 1 is not enough"
    assert calibration.compare([("B", Decimal(1), 0)]) is None
    calibration.saw("A", Decimal(7), 9000)
    verdict = calibration.compare([("A", Decimal(7), 9)])
    assert verdict is not None
    assert verdict.value == calibration.sign == "position"


def test_calibration_forgets_what_never_matches() -> None:
    calibration = SignCalibration("auto")
    for second in range(3 * SignCalibration.KEPT):
        calibration.saw("A", Decimal(1), second * 1000)
    assert len(calibration._seen) == SignCalibration.KEPT


def test_given_sign_is_not_calibrated() -> None:
    opened = open_session("gate", extra={"liquidation_sign": "order"})
    assert calibration_polls(opened) == []


def test_ticker() -> None:
    row = {
        "contract": "BTC_USDT", "last": "84120.1", "mark_price": "84121.0", "index_price": "84150.2",
        "funding_rate": "-0.000031", "total_size": "412345678", "quanto_base_rate": "",
    }  # fmt: skip
    events = open_session("gate").push(update("futures.tickers", row))
    assert {event.kind: event.value for event in of(Price, events)} == {
        "last": 84120.1,
        "mark": 84121.0,
        "index": 84150.2,
    }
    assert of(OpenInterest, events)[0].usd == pytest.approx(412345678 * 0.0001 * 84121.0)
    assert (of(Funding, events)[0].rate, of(Funding, events)[0].interval_h) == (-0.000031, 8.0)


def test_interval_is_the_contracts_own() -> None:
    events = open_session("gate").push(update("futures.tickers", {"contract": "DOGE_USDT", "funding_rate": "0.0001"}))
    assert of(Funding, events)[0].interval_h == 4.0


def test_internal_takeover_is_no_trade() -> None:
    opened = open_session("gate", Channel.TRADES)
    row = {"size": -10, "id": 1, "create_time_ms": NOW_MS, "price": "90000", "contract": "BTC_USDT"}
    events = opened.push(update("futures.trades", row, {**row, "is_internal": True}))
    assert [(event.side, event.usd_micros) for event in of(Trade, events)] == [("sell", 90_000_000)]
    assert opened.skipped() == {"internal": 1}


def test_impossible_listing_is_left_out_and_the_rest_kept() -> None:
    registry = open_session("gate").registry
    assert registry.get("gate", "BAD_USDT") is None
    assert registry.get("gate", "DOGE_USDT") is not None


def test_subscriptions_are_confirmed_and_refused_by_id() -> None:
    opened = open_session("gate", Channel.LIQUIDATIONS, Channel.PRICE)
    first = msgspec.json.decode(opened.sends[0].frame)
    assert (first["channel"], first["payload"]) == ("futures.public_liquidates", ["!all"])
    answer = {"time": 1, "id": first["id"], "channel": first["channel"], "event": "subscribe", "payload": ["!all"]}
    opened.push({**answer, "result": {"status": "success"}})
    assert opened.notices(Acked) == [Acked(("futures.public_liquidates:!all",))]
    opened.push({**answer, "id": 2, "error": {"code": 2, "message": "unknown contract BTC_USDT"}, "result": None})
    assert opened.notices(Refused) == [Refused("futures.tickers:BTC_USDT", "2 unknown contract BTC_USDT")]


def test_ping() -> None:
    opened = open_session("gate")
    ping = msgspec.json.decode(opened.session.on_tick(NOW_NS + 15 * 10**9)[0].frame)
    assert ping == {"time": NOW_MS // 1000 + 15, "channel": "futures.ping"}
    assert opened.push({"time": 1, "channel": "futures.pong", "event": "", "result": None}) == []
    assert opened.skipped() == {}


def opened_with(ratios: dict[str, float], **extra: Any) -> tuple[Opened, list[float]]:
    """Contracts of which the list says 1,000, and tickers that say so many times as much; open interest in USD."""
    opened = open_session("gate", extra=extra)
    listing = {"type": "direct", "quanto_multiplier": "1", "position_size": 1000}
    request = opened.feed.metadata()[0]
    body = msgspec.json.encode([{"name": name, **listing} for name in ratios])
    opened.registry.update(opened.feed.parse_metadata(request, body)[0])
    rows = [{"contract": name, "mark_price": "2", "total_size": str(1000 * ratio)} for name, ratio in ratios.items()]
    return opened, [
        event.usd for row in rows for event in of(OpenInterest, opened.push(update("futures.tickers", row)))
    ]


def test_open_interest_of_both_sides_is_found_and_halved() -> None:
    """Measured by others: ``total_size`` is twice the ``position_size`` of the contract list."""
    opened, found = opened_with({"A_USDT": 2.0, "B_USDT": 1.96, "C_USDT": 2.1})
    assert found == [2000.0, 1960.0, 2100.0]
    assert [(each.setting, each.value) for each in opened.notices(Found)] == [], "said with the next frame"
    opened.push(update("futures.tickers", {"contract": "A_USDT"}))
    assert [(each.setting, each.value) for each in opened.notices(Found)] == [("open_interest_sides", "both")]
    later = opened.push(update("futures.tickers", {"contract": "A_USDT", "mark_price": "2", "total_size": "1000"}))
    assert [event.usd for event in of(OpenInterest, later)] == [1000.0], "a fall by half is one"


def test_open_interest_of_one_side_is_left_as_it_is() -> None:
    assert opened_with({"A_USDT": 1.0, "B_USDT": 1.1, "C_USDT": 2.0})[1] == [2000.0, 2200.0, 4000.0]


def test_sides_of_open_interest_are_a_setting() -> None:
    assert opened_with({"A_USDT": 1.0}, open_interest_sides="both")[1] == [1000.0]
    assert opened_with({"A_USDT": 2.0}, open_interest_sides="one")[1] == [4000.0]


def test_what_was_found_of_sides_is_remembered() -> None:
    opened, _ = opened_with({"A_USDT": 2.0})
    again = open_session("gate")
    again.feed.recall(opened.feed.memory())
    row = {"contract": "BTC_USDT", "mark_price": "2", "total_size": "10000"}
    assert [event.usd for event in of(OpenInterest, again.push(update("futures.tickers", row)))] == [1.0]


def test_past_open_interest_is_of_as_many_sides_as_the_live_one() -> None:
    """Both are told twice: halving one of them alone would be a crash of the whole venue."""
    hour_ns, start_ns = 3600 * NS_PER_S, NOW_NS // (3600 * NS_PER_S) * 3600 * NS_PER_S
    for ratio, usd in ((2.0, 50.0), (1.0, 100.0)):
        opened, _ = opened_with({"A_USDT": ratio})
        item = opened.registry.venue("gate")["A_USDT"]
        (page,) = opened.feed.history(item, Channel.OPEN_INTEREST, start_ns - hour_ns, start_ns, hour_ns)
        body = msgspec.json.encode([{"time": (start_ns - hour_ns) // NS_PER_S, "open_interest_usd": 100.0}])
        events, _ = opened.feed.parse_history(page, body, NOW_NS, opened.registry)
        assert [event.usd for event in of(OpenInterest, events)] == [usd]


def test_past_open_interest_waits_for_the_first_ticker() -> None:
    opened = open_session("gate")
    item = opened.registry.venue("gate")["BTC_USDT"]
    (page, *_) = opened.feed.history(item, Channel.OPEN_INTEREST, NOW_NS - 7200 * NS_PER_S, NOW_NS, 3600 * NS_PER_S)
    with pytest.raises(DecodeError, match="both sides"):
        opened.feed.parse_history(page, b"[]", NOW_NS, opened.registry)
