"""A severity ladder's reading says which limit was passed."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.events import Channel
from monitor.language.rules import load_rules
from tests.engine.market import BYBIT_BTC, BYBIT_ETH, at, feed, price

RULES = """
groups:
  - name: levels
    rules:
      - alert: Levels
        params: {low: 99, lower: 95}
        ladder:
          - {severity: warning, expr: 'price by (base) < $low'}
          - {severity: critical, expr: 'price by (base) < $lower', clear: 'price by (base) > 97'}
        overrides:
          - {labels: {base: ETH}, params: {low: 50, lower: 40}}
"""


@pytest.fixture
def engine() -> Engine:
    engine = Engine(load_rules([("levels.yaml", RULES)]))
    engine.ingest([feed("bybit", Channel.PRICE, 0)])
    return engine


@pytest.mark.parametrize(
    ("usd", "level", "limit"),
    [(100.0, -1, 99.0), (98.0, 0, 99.0), (94.0, 1, 95.0)],
)
def test_the_threshold_is_that_of_the_level(engine: Engine, usd: float, level: int, limit: float) -> None:
    assert readings(engine, usd, 45.0, 1.0) == {"BTC": (level, limit), "ETH": (0, 50.0)}


def test_a_level_that_only_waits_for_its_clear_is_not_what_is_passed(engine: Engine) -> None:
    assert readings(engine, 94.0, 45.0, 1.0)["BTC"] == (1, 95.0)
    assert readings(engine, 96.0, 39.0, 2.0) == {"BTC": (1, 99.0), "ETH": (1, 40.0)}


def readings(engine: Engine, btc: float, eth: float, s: float) -> dict[str, tuple[int, float]]:
    engine.ingest([price(BYBIT_BTC, btc, s), price(BYBIT_ETH, eth, s)])
    (found,) = engine.evaluate(at(s))
    assert found.level is not None
    rows = zip(found.labels, found.level.tolist(), found.threshold.tolist(), strict=True)
    return {dict(labels)["base"]: (level, limit) for labels, level, limit in rows}
