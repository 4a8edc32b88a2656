"""Reading what venues write: numbers, times, rows; what is impossible is refused in one way only."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from monitor.errors import DecodeError
from monitor.feed import Frame
from monitor.wire import Rows, exact, gauge, iso_ns, listed, ms_ns, positive, read
from tests.toy_venue import BTC

NOW_NS = 1_763_700_000_000_000_000  # 2025-11-21T04:40:00Z


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1e16", "-1e16", "1e999999999"])
def test_amounts_that_no_market_has_are_refused_before_arithmetic(text: str) -> None:
    with pytest.raises(DecodeError, match="out_of_range"):
        exact(Decimal(text))


def test_exact_and_positive() -> None:
    assert exact(Decimal("-0.1")) == Decimal("-0.1")
    assert positive(Decimal("9.99e15")) == Decimal("9.99e15")
    for text in ("0", "-0.1"):
        with pytest.raises(DecodeError):
            positive(Decimal(text))


@pytest.mark.parametrize(
    ("value", "number"), [(None, None), ("", None), ("0", 0.0), (0, 0.0), ("-1.5", -1.5), (2.5, 2.5)]
)
def test_gauge_knows_missing_from_zero(value: Any, number: float | None) -> None:
    assert gauge(value) == number


@pytest.mark.parametrize("value", ["abc", "NaN", "inf", "1e400", 1e15, float("nan")])
def test_gauge_refuses_what_is_no_value(value: Any) -> None:
    with pytest.raises(DecodeError):
        gauge(value)


@pytest.mark.parametrize("value", [-1, 4_102_444_800_000, "soon", float("inf"), 10**30])
def test_times_outside_of_this_century_are_refused(value: Any) -> None:
    with pytest.raises(DecodeError):
        ms_ns(value)


def test_times() -> None:
    assert ms_ns("1763700000123") == ms_ns(1763700000123.0) == 1763700000123 * 10**6
    assert (
        iso_ns("2025-11-21T04:40:00Z") == iso_ns("2025-11-21T05:40:00+01:00") == iso_ns("2025-11-21T04:40:00") == NOW_NS
    )
    assert iso_ns("2025-11-21T04:40:00.123456789Z") == NOW_NS + 123_456_000
    for text in (
        "2025-13-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "9999-12-31T00:00:00Z",
        "",
        "0001-01-01T00:00:00+12:00",
    ):
        with pytest.raises(DecodeError):
            iso_ns(text)


class Row(msgspec.Struct):
    price: Decimal


def test_numbers_are_read_as_they_are_written() -> None:
    decoder = msgspec.json.Decoder(Row)
    assert read(decoder, b'{"price":0.1}').price == read(decoder, '{"price":"0.1"}').price == Decimal("0.1")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "malformed"),
        (b"{}", "missing_field"),
        (b'{"price":[]}', "wrong_type"),
        ("\ud800", "malformed"),
        (b"[" * 10_000, "wrong_type"),
    ],
)
def test_reading_fails_in_one_way_only(data: Frame, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(msgspec.json.Decoder(Row), data)
    assert caught.value.reason == reason


def test_bad_rows_fail_alone() -> None:
    bad: list[DecodeError] = []
    rows = Rows(Row).decode(b'[{"price":1},{"price":null},{},{"price":2}]', bad.append)
    assert [row.price for row in rows] == [1, 2]
    assert [error.reason for error in bad] == ["wrong_type", "missing_field"]
    with pytest.raises(DecodeError):
        Rows(Row).decode(b'{"price":1}', bad.append)


def test_impossible_listings_are_left_out() -> None:
    rows = [Decimal(1), Decimal(0), Decimal(2)]
    assert [
        item.symbol for item in listed(rows, lambda row: msgspec.structs.replace(BTC, symbol=f"C{positive(row)}"))
    ] == ["C1", "C2"]
