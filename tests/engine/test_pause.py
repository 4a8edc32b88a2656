"""Crossings of a group whose members come and go: compared over the same members, with their last value before a pause."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from monitor.engine import Engine
from monitor.events import Event, Funding
from monitor.reading import TRUE
from tests.engine.market import BYBIT_BTC, OKX_BTC, at, interest, price, rules

FLIPS = "crosses_below(weighted_avg(funding_8h, open_interest) by (base), 0)"
NATURAL = "crosses_below(funding_8h by (base), 0)"


def funding(instrument: object, bp: float, s: float) -> Funding:
    return Funding(instrument, bp / 1e4, 8.0, at(s), at(s))  # type: ignore[arg-type]


def told(text: str, course: Sequence[tuple[float, float | None, float]]) -> list[float]:
    """Seconds at which the rule is true, of (second, funding of bybit or nothing, funding of okx); bybit weighs most."""
    machine, found = Engine(rules(text)), []
    for s, bybit, okx in course:
        batch: list[Event] = [funding(OKX_BTC, okx, s), interest(OKX_BTC, 1e8, s), interest(BYBIT_BTC, 9e8, s)]
        if bybit is not None:
            batch.append(funding(BYBIT_BTC, bybit, s))
        machine.ingest(batch)
        machine.evaluate(at(s))
        latest = machine.latest("g/r0")
        assert latest is not None
        if (latest.truth == TRUE).any():
            found.append(s)
    return found


@pytest.mark.parametrize("text", [FLIPS, NATURAL])
def test_a_member_that_flips_while_it_is_missing_is_seen_when_it_is_back(text: str) -> None:
    assert told(text, [(0, 1.0, 1.0), (700, None, 1.0), (900, None, 1.0), (1000, -2.0, 1.0), (1100, -2.0, 1.0)]) == [
        1000
    ]


@pytest.mark.parametrize("text", [FLIPS, NATURAL])
def test_one_that_comes_back_as_it_was_is_no_crossing(text: str) -> None:
    course = [(0, 1.0, -1.0), (700, None, -1.0), (900, None, -1.0), (1000, 1.0, -1.0), (1100, 1.0, -1.0)]
    assert told(text, course) == []


@pytest.mark.parametrize("text", [FLIPS, NATURAL])
def test_after_more_than_an_hour_a_member_is_new(text: str) -> None:
    away: list[tuple[float, float | None, float]] = [(s, None, 1.0) for s in range(700, 4100, 300)]
    assert told(text, [(0, 1.0, 1.0), *away, (4100.0 + 600, -2.0, 1.0), (4800, -2.0, 1.0)]) == []
    assert told(text, [(0, 1.0, 1.0), *away, (4199, -2.0, 1.0), (4800, -2.0, 1.0)]) == [4199]


def test_a_group_without_any_member_is_compared_with_what_it_last_was() -> None:
    machine = Engine(rules("crosses_below(price by (base), 100)"))
    for s, value in ((0, 101.0), (7200, 99.0)):
        machine.evaluate(at(s - 1))
        machine.ingest([price(BYBIT_BTC, value, s)])
        machine.evaluate(at(s))
    latest = machine.latest("g/r0")
    assert latest is not None
    assert latest.truth.tolist() == [TRUE]


def test_a_pause_outlives_a_restart() -> None:
    text = NATURAL
    machine = Engine(rules(text))
    for s, bybit in ((0, 1.0), (700, None)):
        machine.ingest([funding(OKX_BTC, 1.0, s), interest(OKX_BTC, 1e8, s), interest(BYBIT_BTC, 9e8, s)])
        machine.ingest([] if bybit is None else [funding(BYBIT_BTC, bybit, s)])
        machine.evaluate(at(s))
    after = Engine(rules(text))
    after.load(machine.dump())
    after.ingest([funding(BYBIT_BTC, -2.0, 800)])
    after.evaluate(at(800))
    latest = after.latest("g/r0")
    assert latest is not None
    assert latest.truth.tolist() == [TRUE]
