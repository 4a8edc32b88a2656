"""Rows that no window reaches are forgotten now and then; nothing that is said may hang on whether they are by now."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.engine import engine as engine_module
from monitor.language import parse_expression
from tests.engine.market import BYBIT_BTC, OKX_BTC, at, price, rules

RULES = rules("change(price[1h]) by (base) < -5%")


def one_venue_after_another(machine: Engine, *, somebody_looks: bool = False) -> Engine:
    """One venue gives prices for 100 minutes; after as many, another gives them for 50."""
    prices = parse_expression("price by (base)")
    for minute in (*range(100), *range(200, 250)):
        machine.ingest([price(BYBIT_BTC if minute < 100 else OKX_BTC, 100.0, minute * 60)])
        machine.evaluate(at(minute * 60))
        if somebody_looks:
            machine.query(prices, machine.now_ns)
    return machine


@pytest.mark.parametrize("trim_every", [1, 1_000_000])
def test_why_a_change_has_no_value_does_not_hang_on_it(trim_every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "TRIM_EVERY", trim_every)
    machine = one_venue_after_another(Engine(RULES))
    latest = machine.latest("g/r0")
    assert latest is not None
    assert latest.reasons == {0: "no value 1h ago to compare with"}
    assert machine.explain("g/r0", 0).missing == ("no value 1h ago to compare with",)
    assert bool(machine.store.floors) == (trim_every == 1), "they were forgotten, or were not"


def test_looking_does_not_move_when_rows_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at a rerun, which must say what the live run said."""
    monkeypatch.setattr(engine_module, "TRIM_EVERY", 20)
    alone, watched = (one_venue_after_another(Engine(RULES), somebody_looks=looks) for looks in (False, True))
    assert alone.store.floors == watched.store.floors != {}
