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


def test_a_coin_whose_first_price_comes_later_joins_at_its_weight_and_moves_nothing() -> None:
    basket = Basket(BasketSpec("x", {"A": 2.0, "B": 1.0, "C": 1.0}))
    assert basket.update({"A": 10.0, "B": 5.0}, 0) == 100.0
    assert basket.update({"A": 20.0, "B": 5.0}, 1) == pytest.approx(500 / 3)
    assert basket.update({"A": 20.0, "B": 5.0, "C": 9.0}, 2) == pytest.approx(500 / 3)
    assert basket.update({"A": 20.0, "B": 5.0, "C": 18.0}, 3) == pytest.approx(500 / 3 * 1.25), "C has its quarter"
    assert basket.update({"A": 40.0, "B": 5.0, "C": 18.0}, 4) == pytest.approx(500 / 3 * (1.25 + 0.75 * 4 / 5))


def test_less_than_half_of_the_weight_with_a_price_is_no_level_and_what_is_lost_meanwhile_shows_afterwards() -> None:
    basket = Basket(BasketSpec("x", {"A": 1.0, "B": 1.0, "C": 1.0}))
    assert basket.update({"A": 1.0}, 0) is None
    assert basket.update({"A": 1.0, "B": 5.0}, 1) == 100.0
    assert basket.update({"B": 5.0, "A": float("nan")}, 2) is None
    assert basket.update({"B": 5.0, "C": 4.0}, 3) == pytest.approx(100.0)
    assert basket.update({"A": 0.5, "B": 5.0, "C": 4.0}, 4) == pytest.approx(100 * (2 / 3 * 0.75 + 1 / 3))


def test_bad_weights_are_refused() -> None:
    for weights in ({}, {"A": 0.0}, {"A": -1.0}, {"A": float("inf")}):
        with pytest.raises(ValueError, match="positive"):
            BasketSpec("x", weights)
    assert {spec.name for spec in starter_baskets()} >= {"layer-1", "layer-2", "meme", "privacy"}


def test_a_future_has_a_premium_and_is_no_price_of_now() -> None:
    book = PriceBook()
    kinds = (("perp", "mark", 100.0), ("future", "mark", 130.0), ("spot", "last", 101.0), ("option", "mark", 5.0))
    for kind, said, value in kinds:
        coin = Instrument(venue="v", symbol=kind, base="BTC", quote="USD", settle="BTC", kind=kind)  # type: ignore[arg-type]
        book.take(Price(coin, said, value, 0, 0))  # type: ignore[arg-type]
    assert book.prices(0) == {"BTC": 100.5}


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
