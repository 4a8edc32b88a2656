"""Crowds of events against the same events one by one: the same counts, members, readings and verdicts, to the bit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine, IngestReport
from monitor.engine.rows import crowd
from monitor.engine.rows.crowd import CROWD
from monitor.events import Channel, Depth, Event, FeedState, Sample, Trade
from tests.engine.market import BYBIT_BTC, T0_NS, at, engine, feed
from tests.engine.rows.test_bulk import INSTRUMENTS, RULES, event, plain

ALONE = 1 << 30
NAMES = ("taken", "late", "too_late", "clock_rejected", "invalid")


def arrivals(rng: random.Random, size: int, arrival: float, *, rare: bool) -> list[Event]:
    """Market events, some of them backfilled, between samples and changes of feeds."""
    found: list[Event] = []
    for _ in range(size):
        one: Event = event(rng, arrival)
        if rare and rng.random() < 0.05:
            one = feed(rng.choice(["bybit", "okx"]), Channel.PRICE, arrival, up=rng.random() < 0.7)
        elif rare and rng.random() < 0.02:
            pairs = tuple(sorted({"venue": "okx", "symbol": "X", "base": "BTC", "quote": "USDT"}.items()))
            one = Sample("open_interest", pairs, rng.uniform(1, 9), at(arrival), at(arrival), "okx")
        elif rare and rng.random() < 0.01 and not isinstance(one, Depth | FeedState | Sample):
            one = msgspec.structs.replace(one, backfill=True)
        found.append(one)
    return found


def taken(machine: Engine, events: Sequence[Event], least: int) -> IngestReport:
    with patch.object(crowd, "CROWD", least):
        return machine.ingest(events)


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 10]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_crowd_says_what_one_by_one_says(seed: int, least: int, rare: bool) -> None:
    rng = random.Random(seed)
    alone, together = engine(*RULES), engine(*RULES)
    for step in range(1, 6):
        events = arrivals(rng, rng.randrange(60), step, rare=rare)
        one, many = taken(alone, events, ALONE), taken(together, events, least)
        assert one.newest_ns == many.newest_ns
        assert one.history == many.history
        for name in NAMES:
            assert dict(getattr(one, name)) == dict(getattr(many, name)), name
        now_ns = max(at(step), T0_NS)
        assert list(map(plain, alone.evaluate(now_ns))) == list(map(plain, together.evaluate(now_ns)))
    for series in alone.store.catalog.names():
        assert alone.store.catalog.series(series).labels == together.store.catalog.series(series).labels
    for key, log in alone.store.logs.items():
        other = together.store.logs[key]
        assert [c.tolist() for c in log.rows(log.first, log.end)] == [
            c.tolist() for c in other.rows(other.first, other.end)
        ]


def test_a_long_run_goes_in_as_columns() -> None:
    machine = engine("sum(trades[60s]) > 1")
    trades = [Trade(BYBIT_BTC, "buy", 10**6, 1.0, at(1), at(1)) for _ in range(CROWD)]
    with patch("monitor.engine.rows.intake.Intake._market") as one_by_one:
        assert dict(machine.ingest([*trades, feed("bybit", Channel.TRADES, 1)]).taken) == {"bybit": CROWD}
    one_by_one.assert_not_called()
    (found,) = machine.evaluate(at(2))
    assert found.value.tolist() == [CROWD]


def test_an_instrument_that_is_listed_later_is_numbered_when_it_trades() -> None:
    machine = engine("sum(trades[60s]) by (base) > 1")
    for number, instrument in enumerate(INSTRUMENTS[:3], start=1):
        machine.ingest([Trade(instrument, "buy", 10**6, 1.0, at(number), at(number)) for _ in range(CROWD)])
    (found,) = machine.evaluate(at(4))
    assert dict(zip(found.labels, found.value.tolist(), strict=True)) == {
        (("base", "BTC"),): 2.0 * CROWD,
        (("base", "ETH"),): 1.0 * CROWD,
    }
