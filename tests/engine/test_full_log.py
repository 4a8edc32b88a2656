"""A log that is full forgets rows that readers who stand behind have not come by: they go on with what those left standing."""

from __future__ import annotations

import random
from collections.abc import Callable

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


@pytest.mark.parametrize("seed", range(6))
def test_totals_and_extremes_are_those_of_the_rows_that_are_left(seed: int) -> None:
    texts: dict[str, Callable[[list[int]], int]] = {
        "sum(trades[1h]) by (base)": sum,
        "count(trades[10m]) by (base)": len,
        "max(trades[30m]) by (base)": max,
        "min(trades[1h]) by (base)": min,
        "sum(trades[2s]) by (base)": sum,
    }
    rules = "".join(f"      - {{alert: R{n}, expr: '{text} > 1B'}}\n" for n, text in enumerate(texts))
    one = Engine(
        load_rules([("r.yaml", f"groups:\n  - name: g\n    rules:\n{rules}")]), settings=EngineSettings(max_rows=300)
    )
    rng, now_ns, seen = random.Random(seed), T0, list[tuple[int, str, int]]()
    checked = 0
    for step in range(3_000):
        now_ns += rng.choice((S // 4, S, 30 * S if step % 400 == 0 else S // 2))
        events: list[Event] = []
        for _ in range(rng.choice((0, 1, 3, 40))):
            coin, at_ns, usd = rng.choice(COINS), now_ns - rng.randrange(2 * S), rng.randrange(1, 1_000)
            events.append(Trade(coin, "buy", usd * 1_000_000, 1.0, at_ns, now_ns))
            seen.append((at_ns, coin.base, usd))
        one.ingest(events)
        one.evaluate(now_ns, changed_only=True)
        log = one.store.log("trades")
        if step % 7 or not log.dropped:
            continue
        kept = seen[-4_000:]
        for text, fold in texts.items():
            window_ns = {"1h": 3600, "10m": 600, "30m": 1800, "2s": 2}[text.split("[")[1].split("]")[0]] * S
            start_ns = max(now_ns - window_ns, log.cut_ns)
            wanted: dict[str, list[int]] = {}
            for at_ns, base, usd in kept:
                if start_ns < at_ns <= now_ns:
                    wanted.setdefault(base, []).append(usd)
            found = {dict(labels)["base"]: value for labels, value, _ in one.query(parse_expression(text), now_ns)}
            assert {base: value for base, value in found.items() if value} == {
                base: float(fold(values)) for base, values in wanted.items()
            }, text
            checked += 1
    assert checked > 100
