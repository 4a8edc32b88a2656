"""An explanation is of the condition that a row is judged by, and of the part that gives the rule its value."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.events import Channel
from monitor.language import load_rules
from monitor.reading import Explanation
from tests.engine.market import BYBIT_BTC, BYBIT_ETH, at, feed, liquidation, price

RULES = """
groups:
  - name: g
    rules:
      - alert: FallThenLiquidations
        params: {limit: 10M}
        expr: price by (base) < 90k then sum(liquidations[30m]) by (base) > $limit within 30m
        overrides:
          - {labels: {base: BTC}, params: {limit: 20M}}
          - {labels: {base: BTC}, params: {limit: 30M}}
"""


@pytest.fixture
def explained() -> dict[str, Explanation]:
    """Both coins fall, then 12M of each are liquidated: enough for ETH, not for BTC."""
    machine = Engine(load_rules([("rules.yaml", RULES)]))
    machine.ingest([feed("bybit", channel, 0) for channel in Channel])
    machine.ingest([price(BYBIT_BTC, 85_000, 1), price(BYBIT_ETH, 3_000, 1)])
    machine.evaluate(at(2))
    machine.ingest([liquidation(BYBIT_BTC, 12e6, 3), liquidation(BYBIT_ETH, 12e6, 3)])
    (found,) = machine.evaluate(at(4))
    rows = {dict(labels)["base"]: row for row, labels in enumerate(found.labels)}
    return {base: machine.explain("g/FallThenLiquidations", row) for base, row in rows.items()}


def test_a_row_with_an_override_is_told_its_own_condition(explained: dict[str, Explanation]) -> None:
    assert explained["BTC"].notes[1] == "then sum(liquidations[30m]) by (base) > 30M: does not hold"
    assert explained["ETH"].notes[1].startswith("then sum(liquidations[30m]) by (base) > 10M: holds since")


def test_who_made_up_the_value_of_a_sequence_is_who_made_up_its_last_stage(explained: dict[str, Explanation]) -> None:
    (told,) = explained["ETH"].contributors
    assert (dict(told.labels)["side"], told.value, told.share) == ("long", 12e6, 1.0)
    assert explained["ETH"].unit == "USD"
    assert explained["ETH"].largest.startswith("12M USD")
