"""Where a reading stands among those recorded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.ranks import ENOUGH, MAX_ROWS, Ranks, Sketch, bucket_of
from monitor.errors import StateError
from tests.alerts.build import evaluation

BTC = (("base", "C0"),)


def recorded(values: list[float]) -> Ranks:
    ranks = Ranks()
    for number, value in enumerate(values):
        ranks.observe(evaluation(1_763_683_200 + 60 * number, "F", value=value))
    return ranks


def test_a_value_is_placed_among_those_recorded_and_the_beginning_is_told() -> None:
    ranks = recorded([float(n) for n in range(1, 201)])
    assert ranks.words("g/High", BTC, 1000.0) == "higher than 100.0% of 200 readings since 2025-11-21 00:00:00Z"
    assert ranks.words("g/High", BTC, 0.5).startswith("lower than 100.0% of 200 readings")
    assert ranks.words("g/High", BTC, 150.0).startswith("higher than 7")


def test_nothing_is_said_without_enough_of_a_past_or_without_a_value() -> None:
    ranks = recorded([1.0] * (ENOUGH - 1))
    assert ranks.words("g/High", BTC, 2.0) == ""
    ranks.observe(evaluation(1_763_690_000, "F", value=1.0))
    assert ranks.words("g/High", BTC, 2.0) != ""
    assert ranks.words("g/High", BTC, float("nan")) == ""
    assert ranks.words("g/High", (("base", "OTHER"),), 2.0) == ""


def test_missing_readings_are_not_counted() -> None:
    ranks = recorded([float("nan")] * 500)
    assert ranks.words("g/High", BTC, 2.0) == ""


def test_the_number_of_rows_is_bounded_and_what_is_left_out_is_counted() -> None:
    ranks = Ranks()
    for number in range(MAX_ROWS // 500 + 1):
        ranks.observe(evaluation(1000, "F" * 700, name=f"R{number}"))
    assert ranks.left_out == 500


def test_a_dump_goes_on_where_it_was() -> None:
    before = recorded([float(n) for n in range(1, 201)])
    after = Ranks()
    after.load(before.dump())
    assert after.words("g/High", BTC, 77.0) == before.words("g/High", BTC, 77.0) != ""


@pytest.mark.parametrize("data", [b"", b"\xff\x00", b"\x81\xa7version\x01"])
def test_a_damaged_dump_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="damaged"):
        Ranks().load(data)


numbers = st.floats(-1e15, 1e15, allow_nan=False)


@given(numbers, numbers)
def test_buckets_are_in_the_order_of_the_values(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)


@given(st.lists(st.floats(0.001, 1e12), min_size=1, max_size=200), st.floats(0.001, 1e12))
def test_a_rank_is_right_but_for_values_within_two_percent(values: list[float], value: float) -> None:
    sketch = Sketch(0)
    for each in values:
        sketch.add(each)
    column = np.array(values)
    assert (column < value / 1.021).mean() - 1e-9 <= sketch.below(value) <= (column < value * 1.021).mean() + 1e-9
