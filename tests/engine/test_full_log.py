"""A log that is full forgets rows that readers who stand behind have not come by: they go on with what those left standing."""

from __future__ import annotations

import random

import pytest

from monitor.engine import Engine, EngineSettings
from monitor.events import Event, Price, Trade
from monitor.instruments import Instrument
from monitor.language import load_rules, parse_expression

S = 1_000_000_000
T0 = 1_763_700_000 * S
COINS = [
    Instrument(venue="v", symbol=f"C{n}USDT", base=f"C{n}", quote="USDT", settle="USDT", kind="perp") for n in range(5)
]
RULES = """
groups:
  - name: g
    rules:
      - {alert: Now, expr: 'price by (base) < 50'}
      - {alert: Change, expr: 'change(price[1h]) by (base) < -5%'}
      - {alert: Before, expr: 'price offset 10m by (base) < 50'}
      - {alert: Traded, expr: 'sum(trades[1h]) by (base) > 1B'}
      - {alert: Highest, expr: 'max(price[30m]) by (base) > 1M'}
      - {alert: Average, expr: 'sma(price[2h:5m]) by (base) > 1M'}
      - {alert: Fallen, expr: 'drawdown(price[1h]) by (base) < -50%'}
"""


def machine(most: int) -> Engine:
    return Engine(load_rules([("r.yaml", RULES)]), settings=EngineSettings(max_rows=most))


@pytest.mark.parametrize("seed", range(3))
def test_bursts_and_silence_over_a_full_log_never_stop_the_engine(seed: int) -> None:
    one, rng, now_ns = machine(500), random.Random(seed), T0
    for step in range(8_000):
        now_ns += S // 4
        count = rng.choice((0, 1, 3, 40)) if step % 500 > 100 else 0
        events: list[Event] = []
        for late_ns in range(count):
            coin, price = rng.choice(COINS), 100 + rng.random()
            events += [
                Price(coin, "mark", price, now_ns - late_ns, now_ns),
                Trade(coin, "buy", 1_000_000, 1.0, now_ns - late_ns, now_ns),
            ]
        one.ingest(events)
        one.evaluate(now_ns, changed_only=True)
    assert one.now_ns == now_ns


def test_a_reader_that_stands_behind_sees_what_the_forgotten_rows_left() -> None:
    one = machine(10)
    one.evaluate(T0)
    one.ingest([Price(COINS[0], "mark", 70.0, T0 + S, T0 + S)])
    one.ingest([Price(COINS[1], "mark", 100.0 + n, T0 + 2 * S + n, T0 + 2 * S) for n in range(50)])
    for second in range(3, 70):  # rows are forgotten every so many evaluations
        for quarter in range(4):
            one.evaluate(T0 + second * S + quarter * S // 4)
    found = one.query(parse_expression("price offset 1m by (base)"), T0 + 69 * S)
    assert dict(found[0][0])["base"] == "C0"
    assert [round(value or 0.0, 6) for _, value, _ in found] == [70.0, 149.0]
