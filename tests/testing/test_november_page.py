"""docs/november.md is what the real backtest gives over the synthetic autumn, and every line of the timeline fires."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from monitor.signals import SIGNALS
from monitor.testing.november import FROM_NS, TO_NS, November
from monitor.testing.november_figures import FIGURES, Autumn, Figure, Report
from monitor.testing.scenario.curves import at
from monitor.testing.storm import Played

pytestmark = pytest.mark.xdist_group("november")

CRITICAL_BY_WEEK = {
    "2025-W40": 0, "2025-W41": 0, "2025-W42": 0, "2025-W43": 0, "2025-W44": 1, "2025-W45": 1, "2025-W46": 2, "2025-W47": 8,
    "2025-W48": 0,
}  # fmt: skip
"""Before the sell-off: a coin 30 % from its high, a drained protocol, a quarter of the market's value gone."""


@pytest.fixture(scope="session")
def report(script: ModuleType, autumn: Path) -> Report:
    """What the real command says of the autumn."""
    found: Report = script.backtest(autumn)
    return found


@pytest.mark.timeout(600)
def test_every_rule_fires_when_the_timeline_says_and_the_page_is_fresh(
    script: ModuleType, report: Report, played: Played
) -> None:
    assert script.missed(report, played) == []
    assert script.PAGE.read_text(encoding="utf-8") == script.page(report, played), "python scripts/november.py"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: f"{figure.row} {figure.said}")
def test_the_autumn_gives_each_figure_of_the_catalogue_or_says_why_not(figure: Figure, report: Report) -> None:
    value = figure.given(Autumn(November().scenario, report))
    assert figure.holds(value) != bool(figure.why), f"{value} for {figure.wanted_text()}"


def test_every_row_of_the_catalogue_with_a_figure_has_one_here() -> None:
    assert {row.id for row in SIGNALS} - {figure.row for figure in FIGURES} == {"S18", "S31"}


@pytest.mark.timeout(600)
def test_no_critical_alert_wakes_anybody_in_a_calm_week(script: ModuleType, report: Report) -> None:
    critical = {week: counts["critical"] for week, counts in script.weeks(report).items()}
    assert critical == CRITICAL_BY_WEEK


def test_calm_hours_come_in_order_and_bring_what_is_pushed_and_polled() -> None:
    november = November(7)
    received = november.received()
    (first_ns, live), *rest = [next(received) for _ in range(60)]
    assert first_ns == FROM_NS < rest[-1][0] < TO_NS
    assert [at_ns for at_ns, _ in rest] == sorted(at_ns for at_ns, _ in rest)
    assert {type(event).__name__ for event in live} == {"FeedState", "Price", "Sample"}
    assert {type(event).__name__ for _, events in rest for event in events} == {
        "Price", "OpenInterest", "Funding", "Trade", "Depth", "Liquidation", "Sample",
    }  # fmt: skip
    series = {event.series for _, events in rest for event in events if hasattr(event, "series")}
    assert {
        "market_cap",
        "sector_cap",
        "tvl",
        "stablecoin_supply",
        "skew_25d",
        "external",
        "long_short_ratio",
    } <= series


def test_the_path_goes_through_what_the_timeline_names() -> None:
    scenario = November(7).scenario
    assert scenario.price("BTC", at("2025-10-06T12:00")) > 126_000
    assert 114_000 < scenario.price("BTC", at("2025-10-31")) < 116_000
    assert min(scenario.price("BTC", at(f"2025-11-21T{hour:02}:35")) for hour in range(12)) < 82_000
