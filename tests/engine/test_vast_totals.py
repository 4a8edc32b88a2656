"""Totals beyond 2**63 micro-dollars, 9.2 trillion dollars: a month of every venue's trades. Integers ran over into debts."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.events import Trade
from tests.engine.market import BYBIT_BTC, BYBIT_ETH, at, only, rules, table

HOUR_S = 3600
AN_HOUR_USD = 20_000_000_000
BTC, ETH = (("base", "BTC"),), (("base", "ETH"),)


def play(engine: Engine, first_h: int, last_h: int) -> None:
    for hour in range(first_h, last_h):
        s = hour * HOUR_S
        trades = [Trade(item, "buy", AN_HOUR_USD * 1_000_000, 1.0, at(s), at(s)) for item in (BYBIT_BTC, BYBIT_ETH)]
        engine.ingest(trades)
        engine.evaluate(at(s + 1))


def test_a_month_of_trades_is_no_debt() -> None:
    engine = Engine(rules("sum(trades[30d]) by (base) > 1", "sum(trades[30d]) > 1", "sum(trades[365d]) > 1"))
    play(engine, 0, 29 * 24)
    by_base, month, year = (engine.latest(f"g/r{number}") for number in range(3))
    assert by_base is not None
    assert month is not None
    assert year is not None
    want = 29 * 24 * AN_HOUR_USD
    assert {labels: value for labels, (_, value) in table(by_base).items()} == {
        BTC: pytest.approx(want), ETH: pytest.approx(want)
    }  # fmt: skip
    assert [float(found.value[0]) for found in (month, year)] == pytest.approx([2 * want] * 2)
    assert only([month]).truth.all()


def test_a_total_that_has_come_back_is_exact_again() -> None:
    engine = Engine(rules("sum(trades[30d]) by (base) > 1"))
    play(engine, 0, 29 * 24)
    s = 59 * 24 * HOUR_S + 2 * HOUR_S
    engine.ingest([Trade(BYBIT_BTC, "buy", 7, 1.0, at(s), at(s))])
    engine.evaluate(at(s + HOUR_S))
    (found,) = (value for labels, (_, value) in table(only([engine.latest("g/r0")])).items() if labels == BTC)  # type: ignore[list-item]
    assert found == 7e-6
