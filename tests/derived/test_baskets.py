"""Basket levels against polars; the price book's medians."""

from __future__ import annotations

import polars as pl
import pytest

from monitor.derived.baskets import DAY_NS, Basket, BasketSpec, PriceBook, starter_baskets
from monitor.events import Price
from monitor.instruments import Instrument

S = 10**9


def test_a_level_is_the_weighted_return_against_polars() -> None:
    frame = pl.DataFrame({"A": [10.0, 11.0, 9.0, 9.5], "B": [200.0, 190.0, 180.0, 210.0]})
    weights = {"A": 3.0, "B": 1.0}
    expected = frame.select(
        sum((pl.col(base) / pl.col(base).first() * (weight / 4) for base, weight in weights.items()), pl.lit(0.0)) * 100
    ).to_series()
    basket = Basket(BasketSpec("x", weights, rebalance_days=365))
    levels = [basket.update(row, n * S) for n, row in enumerate(frame.iter_rows(named=True))]
    assert levels == pytest.approx(expected.to_list())


def test_rebalancing_keeps_the_level_and_resets_the_weights() -> None:
    basket = Basket(BasketSpec("x", {"A": 1.0, "B": 1.0}, rebalance_days=1))
    assert basket.update({"A": 1.0, "B": 1.0}, 0) == 100.0
    assert basket.update({"A": 2.0, "B": 1.0}, DAY_NS) == pytest.approx(150.0)
    assert basket.update({"A": 4.0, "B": 1.0}, DAY_NS + 1) == pytest.approx(225.0)


def test_a_coin_without_a_price_takes_no_part_and_coverage_says_so() -> None:
    basket = Basket(BasketSpec("x", {"A": 1.0, "B": 1.0, "C": 1.0}))
    assert basket.update({"A": 1.0}, 0) is None
    assert basket.update({"B": 5.0}, 1) == pytest.approx(100.0)
    assert basket.coverage == pytest.approx(2 / 3)
    assert basket.update({"C": 9.0}, 2) == pytest.approx(100.0)
    assert basket.update({"A": 0.5, "B": float("nan")}, 3) == pytest.approx(75.0)


def test_bad_weights_are_refused() -> None:
    for weights in ({}, {"A": 0.0}, {"A": -1.0}, {"A": float("inf")}):
        with pytest.raises(ValueError, match="positive"):
            BasketSpec("x", weights)
    assert {spec.name for spec in starter_baskets()} >= {"layer-1", "layer-2", "meme", "privacy"}


def test_the_price_book_takes_the_median_of_fresh_marks_per_coin() -> None:
    def pair(venue: str, units: int = 1) -> Instrument:
        return Instrument(
            venue=venue, symbol="X", base="PEPE", quote="USDT", settle="USDT", kind="perp", base_units=units
        )

    book = PriceBook(stale_ns=10 * S)
    book.take(Price(pair("a", 1000), "mark", 5.0, 0, 0))
    book.take(Price(pair("b"), "mark", 0.007, 5 * S, 5 * S))
    book.take(Price(pair("c"), "index", 99.0, 5 * S, 5 * S))
    assert book.prices(5 * S) == {"PEPE": pytest.approx(0.006)}
    assert book.prices(11 * S) == {"PEPE": 0.007}
    assert book.prices(99 * S) == {}
