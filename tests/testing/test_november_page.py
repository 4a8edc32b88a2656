"""docs/november.md is what the real backtest gives over the synthetic autumn, and every line of the timeline fires."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from monitor.testing.november import FROM_NS, TO_NS, November
from monitor.testing.scenario.curves import at
from monitor.testing.storm import Played

pytestmark = pytest.mark.xdist_group("november")


@pytest.mark.timeout(600)
def test_every_rule_fires_when_the_timeline_says_and_the_page_is_fresh(
    script: ModuleType, autumn: Path, played: Played
) -> None:
    report = script.backtest(autumn)
    assert script.missed(report, played) == []
    assert script.PAGE.read_text(encoding="utf-8") == script.page(report, played), "python scripts/november.py"


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
