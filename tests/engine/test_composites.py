"""Composite conditions: what the coverage of k_of is about, and when the stages of a sequence held."""

from __future__ import annotations

import pytest

from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, Sample
from monitor.format import utc_time
from monitor.reading import FALSE, TRUE, UNKNOWN

from .market import BYBIT_BTC, at, engine, feed, liquidation, price, rules

SIGNS = "price < {price}, price < {other}, sum(liquidations[100s]) > {usd}"
SEEN = 0.3
"""Of the liquidations' window: their feed has been live for 30 of 100 s."""


@pytest.mark.parametrize(
    ("k", "signs", "truth", "coverage"),
    [
        (2, {"price": 90, "other": 95, "usd": "1M"}, TRUE, 1.0),
        (2, {"price": 90, "other": 70, "usd": "1k"}, TRUE, SEEN),
        (3, {"price": 90, "other": 95, "usd": "1k"}, TRUE, SEEN),
        (2, {"price": 70, "other": 70, "usd": "1k"}, FALSE, 1.0),
        (2, {"price": 90, "other": 70, "usd": "1M"}, FALSE, SEEN),
        (3, {"price": 90, "other": 70, "usd": "1M"}, FALSE, 1.0),
    ],
)
def test_coverage_is_that_of_the_parts_which_decide(
    k: int, signs: dict[str, object], truth: int, coverage: float
) -> None:
    """Two signs of price are fully seen, one of liquidations is not: it counts only where the verdict needs it."""
    text = f"k_of({k}, {SIGNS.format(**signs)})".replace("price <", 'price{base="BTC"} by () <')
    machine = Engine(rules(text), expected={Channel.LIQUIDATIONS: ["bybit"], Channel.PRICE: ["bybit"]})
    machine.ingest([feed("bybit", Channel.PRICE, -500), feed("bybit", Channel.LIQUIDATIONS, 70)])
    machine.ingest([price(BYBIT_BTC, 80, 99), liquidation(BYBIT_BTC, 50_000, 99)])
    (found,) = machine.evaluate(at(100))
    assert found.truth.tolist() == [truth]
    assert found.coverage.tolist() == pytest.approx([coverage])


def test_what_is_still_open_has_the_coverage_of_all_its_parts() -> None:
    machine = Engine(
        rules('k_of(2, price{base="BTC"} by () < 90, sum(liquidations[100s]) > 1M, external{name="x"} by () > 1)'),
        expected={Channel.LIQUIDATIONS: ["bybit"], Channel.PRICE: ["bybit"]},
    )
    machine.ingest([feed("bybit", Channel.PRICE, -500), feed("bybit", Channel.LIQUIDATIONS, 70)])
    machine.ingest([price(BYBIT_BTC, 80, 99), liquidation(BYBIT_BTC, 50_000, 99)])
    (found,) = machine.evaluate(at(100))
    assert found.truth.tolist() == [UNKNOWN]
    assert found.coverage.max() <= SEEN


def test_an_explanation_says_when_each_stage_of_a_sequence_held() -> None:
    machine = engine("price by (base) < 95 then sum(liquidations[10s]) by (base) > 1k within 60s")
    machine.ingest([price(BYBIT_BTC, 100, 0)])
    machine.evaluate(at(1))
    assert machine.explain("g/r0", 0).notes[:2] == (
        "price by (base) < 95: not seen to hold yet",
        "then sum(liquidations[10s]) by (base) > 1k: does not hold",
    )
    machine.ingest([price(BYBIT_BTC, 90, 5)])
    machine.evaluate(at(5))
    machine.ingest([price(BYBIT_BTC, 100, 10)])
    machine.evaluate(at(10))
    machine.ingest([liquidation(BYBIT_BTC, 5_000, 20)])
    machine.evaluate(at(20))
    machine.evaluate(at(25))
    assert machine.explain("g/r0", 0).notes[:2] == (
        f"price by (base) < 95: last held at {utc_time(at(5))}",
        f"then sum(liquidations[10s]) by (base) > 1k: holds since {utc_time(at(20))}",
    )


def test_a_polled_series_is_not_stale_by_the_limit_of_a_feed_of_the_same_venue() -> None:
    """Skew is asked for every few minutes, the volatility index of the same venue streams: one channel, one name."""
    limits = {("deribit", Channel.VOLATILITY): 60.0}
    machine = Engine(rules("skew_25d by (tenor) > 5"), settings=EngineSettings(stale_s=limits))
    labels = (("base", "BTC"), ("tenor", "30d"), ("venue", "deribit"))
    machine.ingest([Sample("skew_25d", labels, 6.0, at(0), at(0), "deribit_options")])
    (found,) = machine.evaluate(at(600))
    assert found.truth.tolist() == [TRUE]
    (found,) = machine.evaluate(at(1000))
    assert found.truth.tolist() == [UNKNOWN]
