from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from monitor.errors import DecodeError
from monitor.events import Channel, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Acked, BadRow, Closing, Refused, Reply
from monitor.feeds.htx import inflate
from tests.feeds.support import NOW_NS, Opened, of, open_session, refuse

NOW_MS = NOW_NS // 1_000_000
ROW = {
    "symbol": "O3", "contract_code": "O3-USDT", "direction": "sell", "offset": "close", "volume": 432, "amount": 432,
    "trade_turnover": 339.4656, "price": 0.7858, "created_at": NOW_MS, "contract_type": "swap", "pair": "O3-USDT",
    "business_type": "swap",
}  # fmt: skip


def packed(message: dict[str, Any]) -> bytes:
    return gzip.compress(msgspec.json.encode(message))


def notification(*channels: Channel, symbols: Any = "*") -> Opened:
    return open_session("htx", *channels, symbols=symbols, connection=-1)


def notify(kind: str, *rows: dict[str, Any], ts: int = NOW_MS + 20) -> bytes:
    return packed({"op": "notify", "topic": f"public.*.{kind}", "ts": ts, "data": list(rows)})


@pytest.mark.parametrize(("direction", "side"), [("sell", "long"), ("buy", "short")])
def test_liquidation_is_its_turnover(direction: str, side: str) -> None:
    """Vector 16."""
    found = of(Liquidation, notification().push(notify("liquidation_orders", {**ROW, "direction": direction})))
    assert [(event.side, event.usd_micros) for event in found] == [(side, 339_465_600)]


def test_missing_turnover_is_amount_times_price() -> None:
    row = {name: value for name, value in ROW.items() if name != "trade_turnover"}
    assert of(Liquidation, notification().push(notify("liquidation_orders", row)))[0].usd_micros == 339_465_600
    zero = {**ROW, "trade_turnover": 0}
    assert of(Liquidation, notification().push(notify("liquidation_orders", zero)))[0].usd_micros == 339_465_600


def test_both_sided_open_interest_is_halved() -> None:
    opened = open_session("htx", Channel.OPEN_INTEREST, Channel.PRICE)
    poll = opened.feed.polls([])[0]
    reply = {
        "status": "ok",
        "ts": NOW_MS,
        "data": [{"contract_code": "BTC-USDT", "amount": 78.696, "value": 3823138.0}],
    }
    events = opened.feed.parse_poll(poll, msgspec.json.encode(reply), NOW_NS, opened.registry, refuse)
    assert [event.usd for event in of(OpenInterest, events)] == [1_911_569.0]


def test_both_sided_trade_is_halved() -> None:
    opened = open_session("htx", Channel.TRADES)
    row = {
        "amount": 2,
        "quantity": 0.002,
        "trade_turnover": 168.24,
        "price": 84120,
        "direction": "buy",
        "ts": NOW_MS,
        "id": 1,
    }
    tick = {"ch": "market.BTC-USDT.trade.detail", "ts": NOW_MS, "tick": {"id": 1, "ts": NOW_MS, "data": [row]}}
    events = opened.push(packed(tick))
    assert [(event.side, event.usd_micros) for event in of(Trade, events)] == [("buy", 84_120_000)]


@pytest.mark.parametrize(
    ("channel", "tick", "kind", "value"),
    [
        ("bbo", {"bid": [84120.0, 5], "ask": [84121.0, 3]}, "mid", 84120.5),
        ("detail", {"close": 84119.5, "open": 1, "vol": 2}, "last", 84119.5),
        ("mark_price.1min", {"close": "84121.1", "open": "1"}, "mark", 84121.1),
    ],
)
def test_prices(channel: str, tick: dict[str, Any], kind: str, value: float) -> None:
    opened = open_session("htx", Channel.PRICE)
    message = {"ch": f"market.BTC-USDT.{channel}", "ts": NOW_MS, "tick": tick}
    assert [(event.kind, event.value) for event in of(Price, opened.push(packed(message)))] == [(kind, value)]


def test_liquidation_without_price_and_turnover_is_worth_its_mark() -> None:
    opened = notification()
    bare = {**ROW, "price": 0, "trade_turnover": 0, "amount": 432}
    assert of(Liquidation, opened.push(notify("liquidation_orders", bare))) == []
    assert len(opened.notices(BadRow)) == 1, "there is no mark price yet"
    other = opened.feed.session(opened.connection, opened.registry)
    index = next(each for each in opened.feed.connections(opened.feed.wanted(opened.registry)) if "index" in each.name)
    marks = opened.feed.session(index, opened.registry)
    marks.on_frame(packed({"ch": "market.O3-USDT.mark_price.1min", "ts": NOW_MS, "tick": {"close": 0.5}}), NOW_NS)
    (event,) = of(Liquidation, other.on_frame(notify("liquidation_orders", bare), NOW_NS))
    assert (event.usd_micros, event.price) == (216_000_000, 0.5)


def test_two_orders_of_one_size_in_one_millisecond_are_two() -> None:
    """The second passed for a repeat of the first, whatever it was filled at."""
    frame = notify("liquidation_orders", ROW, {**ROW, "trade_turnover": 340.0}, ROW)
    found = of(Liquidation, notification().push(frame))
    assert len({event.key for event in found}) == 3
    again = of(Liquidation, notification().push(frame))
    assert [event.key for event in again] == [event.key for event in found], "the same on another connection"


def test_funding_interval_is_learnt_from_settlements() -> None:
    opened = notification(Channel.FUNDING)
    row = {
        "contract_code": "BTC-USDT",
        "funding_rate": "0.0001",
        "settlement_time": str(NOW_MS),
        "estimated_rate": None,
    }
    first = opened.push(notify("funding_rate", row))
    second = opened.push(notify("funding_rate", {**row, "settlement_time": str(NOW_MS + 4 * 3_600_000)}))
    assert [(event.rate, event.interval_h) for event in of(Funding, first + second)] == [(0.0001, 8.0), (0.0001, 4.0)]


def test_funding_interval_that_is_cut_while_running_counts_at_once() -> None:
    """From eight hours to one: the next settlement moves to before the one that was told."""
    opened, ten, hour = notification(Channel.FUNDING), 1763719200000, 3_600_000
    row = {"contract_code": "BTC-USDT", "funding_rate": "0.0001", "settlement_time": str(ten + 6 * hour)}
    first = opened.push(notify("funding_rate", row, ts=ten))
    second = opened.push(notify("funding_rate", {**row, "settlement_time": str(ten + hour)}, ts=ten + 60_000))
    assert [event.interval_h for event in of(Funding, first + second)] == [8.0, 1.0]


def test_pings_of_both_dialects_are_answered() -> None:
    market, other = open_session("htx", Channel.PRICE), notification()
    market.push(packed({"ping": 1763700000000}))
    other.push(packed({"op": "ping", "ts": "1763700000000"}))
    assert market.notices(Reply) == [Reply('{"pong":1763700000000}')]
    assert other.notices(Reply) == [Reply('{"op":"pong","ts":"1763700000000"}')]


def test_announced_close() -> None:
    opened = notification()
    opened.push(packed({"op": "close", "ts": "1763700000000"}))
    assert opened.notices(Closing) == [Closing("close")]


def test_subscriptions_of_both_dialects() -> None:
    market, other = open_session("htx", Channel.PRICE), notification(Channel.LIQUIDATIONS)
    assert msgspec.json.decode(market.sends[0].frame) == {"sub": "market.BTC-USDT.bbo", "id": "1"}
    market.push(packed({"id": "1", "status": "ok", "subbed": "market.BTC-USDT.bbo", "ts": NOW_MS}))
    market.push(
        packed({"status": "error", "err-code": "bad-request", "err-msg": "invalid topic", "id": "2", "ts": NOW_MS})
    )
    assert market.notices(Acked) == [Acked(("market.BTC-USDT.bbo",))]
    assert market.notices(Refused) == [Refused("market.BTC-USDT.detail", "bad-request invalid topic")]
    topic = "public.*.liquidation_orders"
    assert msgspec.json.decode(other.sends[0].frame) == {
        "op": "sub",
        "cid": "1",
        "topic": topic,
        "business_type": "all",
    }
    other.push(packed({"op": "sub", "cid": "1", "topic": topic, "ts": NOW_MS, "err-code": 2011, "err-msg": "already"}))
    assert other.notices(Refused) == [Refused(topic, "2011 already")]


def test_bomb_is_refused_before_it_inflates() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with pytest.raises(DecodeError, match="too_large"):
        open_session("htx", Channel.PRICE).push(bomb)
    assert inflate(gzip.compress(b"x" * 10), limit=10) == b"x" * 10
    with pytest.raises(DecodeError, match="too_large"):
        inflate(gzip.compress(b"x" * 11), limit=10)


@pytest.mark.parametrize(
    "frame",
    [b"", b"plain", gzip.compress(b"{}", mtime=0)[:-9], gzip.compress(b"{1", mtime=0)],
    ids=["empty", "plain", "torn", "not JSON"],
)
def test_broken_gzip_is_a_decode_error(frame: bytes) -> None:
    with pytest.raises(DecodeError, match="malformed"):
        open_session("htx", Channel.PRICE).push(frame)
