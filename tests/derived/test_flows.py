"""Flows since the first of the month: revised days count anew, a new month begins anew, old days change nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from monitor.derived.flows import MonthToDate
from monitor.events import Sample
from monitor.testing.scenario.slow import FLOWS_M_USD

BTC = (("asset", "BTC"), ("fund", "total"))


def flow(day: str, value: float, labels: tuple[tuple[str, str], ...] = BTC) -> Sample:
    ts_ns = int(datetime.fromisoformat(f"{day}T21:00:00+00:00").timestamp()) * 10**9
    return Sample("etf_flow", labels, value, ts_ns, ts_ns, "desk")


def after(*flows: Sample) -> list[float | None]:
    months = MonthToDate()
    return [None if (found := months.take(sample)) is None else found.value for sample in flows]


def test_days_of_a_month_add_up_and_the_first_day_of_the_next_begins_anew() -> None:
    assert after(flow("2025-10-30", -5.0), flow("2025-10-31", -2.0), flow("2025-11-03", 4.0)) == [-5.0, -7.0, 4.0]


def test_a_revised_day_counts_with_its_new_value() -> None:
    assert after(flow("2025-11-03", -5.0), flow("2025-11-04", -1.0), flow("2025-11-03", -6.0)) == [-5.0, -6.0, -7.0]


def test_a_day_that_another_tells_at_another_hour_is_not_counted_twice() -> None:
    by_hand = Sample("etf_flow", BTC, -7.0, flow("2025-11-03", 0.0).ts_ns + 3 * 3600 * 10**9, 0, "desk")
    assert after(flow("2025-11-03", -5.0), by_hand, flow("2025-11-04", -1.0)) == [-5.0, -7.0, -8.0]


def test_a_day_of_a_month_that_is_over_changes_nothing() -> None:
    assert after(flow("2025-11-03", -5.0), flow("2025-10-31", -9.0)) == [-5.0, None]


def test_funds_and_assets_are_counted_apart_and_other_series_not_at_all() -> None:
    one, other = (("asset", "BTC"), ("fund", "IBIT")), (("asset", "ETH"), ("fund", "total"))
    assert after(flow("2025-11-03", 1.0), flow("2025-11-03", 2.0, one), flow("2025-11-03", 3.0, other)) == [
        1.0,
        2.0,
        3.0,
    ]
    assert after(Sample("tvl", (), 1.0, 5, 5)) == [None]


def test_the_last_evening_of_a_month_in_new_york_belongs_to_it() -> None:
    late = int(datetime(2025, 12, 1, 3, tzinfo=UTC).timestamp()) * 10**9
    months = MonthToDate()
    months.take(flow("2025-11-28", -5.0))
    found = months.take(Sample("etf_flow", BTC, -1.0, late, late, "desk"))
    assert found is not None
    assert found.value == -6.0


def test_november_by_polars() -> None:
    days = FLOWS_M_USD["BTC"]
    table = pl.DataFrame({"day": list(days), "usd": list(days.values())}).with_columns(
        pl.col("day").str.to_date().dt.truncate("1mo").alias("month")
    )
    wanted = table.with_columns(pl.col("usd").cum_sum().over("month"))["usd"]
    assert pl.Series(after(*(flow(day, usd) for day, usd in days.items()))).round(9).equals(wanted.round(9))
