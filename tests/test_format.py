"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.04e9, "1.04B"), (-35e6, "-35M"), (820, "820"), (999_600, "1M"), (0, "0"), (3.19e12, "3.19T"), (0.0341, "0.0341"),
        (math.nan, "n/a"), (None, "n/a"), (math.inf, "n/a"), (12_345, "12.3k"), (100, "100"),
    ],
)  # fmt: skip
def test_usd(value: float | None, text: str) -> None:
    assert fmt.usd(value) == text


@pytest.mark.parametrize(
    ("value_ns", "text"),
    [
        (252e9, "4m12s"), (8 * 3600e9, "8h"), (26 * 3600e9, "1d2h"), (250e6, "250ms"), (0, "0s"), (-60e9, "-1m"),
        (3601e9, "1h1s"), (None, "n/a"), (1.25e9, "1s"),
    ],
)  # fmt: skip
def test_duration(value_ns: float | None, text: str) -> None:
    assert fmt.duration(value_ns) == text


def test_the_others() -> None:
    assert fmt.pct(0.0312) == "3.12%"
    assert fmt.pct(1.0) == "100%"
    assert fmt.bp(0.0025) == "25bp"
    assert fmt.price(82_010.5) == "82,010.50"
    assert fmt.price(0.000_012_345) == "0.000012345"
    assert fmt.utc_time(1_763_699_721 * 10**9) == "2025-11-21 04:35:21Z"
    assert [f(None) for f in (fmt.pct, fmt.bp, fmt.price, fmt.utc_time)] == ["n/a"] * 4


def test_a_scale_that_overflows_is_said() -> None:
    assert fmt.pct(1e307) == "inf%"
    assert fmt.bp(-1e305) == "-infbp"


@given(st.floats())
def test_every_number_has_a_text(value: float) -> None:
    for function in (fmt.usd, fmt.pct, fmt.bp, fmt.price, fmt.duration, fmt.utc_time):
        assert function(value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.998, "99.8%"), (0.947, "94%"), (1.0, "100%"), (0.9999, "99.9%"), (None, "n/a"), (0.0, "0%")]
)
def test_a_share_never_claims_more(value: float | None, text: str) -> None:
    assert fmt.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.000081, "-0.0081%"), (0.0001, "+0.0100%"), (0.0, "0.0000%"), (None, "n/a")]
)
def test_a_funding_rate_has_its_sign(value: float | None, text: str) -> None:
    assert fmt.rate(value) == text


def test_a_value_stands_in_the_unit_of_its_rule() -> None:
    shown = [
        fmt.in_unit(value, unit)
        for value, unit in ((0.0312, "ratio"), (82010.5, "price"), (8 * 3600e9, "duration"), (1.04e9, "USD"))
    ]
    assert shown == ["3.12%", "82,010.50", "8h", "1.04B"]


@pytest.mark.parametrize(
    ("value", "threshold", "unit", "text"),
    [
        (1.04e9, 1e9, "USD", "1.04B against 1B USD"),
        (-0.300_4, -0.3, "ratio", "-30.04% against -30%"),
        (-0.3, -0.3, "ratio", "-30% against -30%"),
        (999_960_000.0, 1e9, "USD", "999.96M against 1B USD"),
        (81_999.996, 82_000, "price", "81,999.996 against 82,000.000 USD"),
        (0.050_000_000_01, 0.05, "number", "0.05 against 0.05"),
        (7.55, 5, "vol points", "7.55 against 5 vol points"),
        (8 * 3600e9 + 3e9, 8 * 3600e9, "duration", "8h3s against 8h"),
        (1.4e9, 1e9, "duration", "1.4s against 1s"),
        (59.96e9, 60e9, "duration", "60s against 1m"),
        (-903e6, None, "USD", "-903M USD"),
        (None, 1e9, "USD", "n/a against 1B USD"),
    ],
)
def test_a_reading_and_its_threshold_can_be_told_apart(
    value: float | None, threshold: float | None, unit: str, text: str
) -> None:
    assert fmt.against(value, threshold, unit) == text
    assert fmt.against(value, threshold, unit, lower_bound=True) == f"≥ {text}"


def test_an_amount_names_what_it_counts() -> None:
    units = ("USD", "price", "ratio", "count", "vol points", "")
    texts = ["7.55 USD", "7.55 USD", "755%", "7.55", "7.55 vol points", "7.55"]
    assert [fmt.amount(7.55, unit) for unit in units] == texts
    assert fmt.amount(None, "USD") == "n/a"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.000_04, "0.00%"), (-0.000_04, "0.00%"), (0.000_06, "+0.01%"), (-0.0342, "-3.42%"), (0.0, "0.00%")],
)
def test_a_move_that_rounds_to_nothing_has_no_sign(value: float, text: str) -> None:
    assert fmt.move(value) == text


@pytest.mark.parametrize(
    ("value", "threshold", "unit", "text"),
    [
        (10.008e6, 10e6, "USD", "10.01M USD"),
        (-0.100_001, -0.1, "ratio", "-10.0001%"),
        (1.04e9, None, "USD", "1.04B USD"),
        (None, 1e9, "USD", "n/a"),
    ],
)
def test_a_peak_can_be_told_from_the_threshold(
    value: float | None, threshold: float | None, unit: str, text: str
) -> None:
    assert fmt.amount_apart(value, threshold, unit) == text
