"""A real Prometheus scrapes the real demo: every panel has data, and figures of the market that can be true."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.testing.ports import free_port
from tests.grafana.conftest import GRAFANA
from tests.grafana.prometheus_harness import (
    Prometheus,
    assert_every_panel_has_data,
    fill_in,
    panel_queries,
    run_prometheus,
    until_samples,
)
from tests.integration.program import demo

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.xdist_group("program"), pytest.mark.timeout(300)]
SCRAPE_S = 3
"""A scrape may take as long; one that takes longer leaves no sample, and a busy machine needs more than a second."""
WITHIN_S = 90.0

PLAUSIBLE = {
    "Share of longs, 1 h": (0.0, 1.0),
    "Coverage, 1 h": (0.0, 1.0),
    "Open interest": (5e10, 5e11),
    "Funding heat map": (-0.01, 0.01),
    "Funding, weighted by open interest": (-0.01, 0.01),
    "Open interest below its peak": (-0.6, 0.0),
    "Price below its peak": (-0.3, 0.0),
    "Price against its mean of the hour": (-0.1, 0.1),
    "Realized volatility, 1 h": (0.0, 8.0),
    "Breadth": (0.0, 1.0),
    "Basis": (-0.05, 0.05),
    "Depth within 1 %": (1e6, 1e9),
    "Spread": (0.0, 0.01),
    "Coverage by window": (0.0, 1.0),
}
"""Between which values each figure of the scenario lies: prices under the names of other coins had a basis of 2,000."""
PRICES = {"BTC": (70_000, 100_000), "ETH": (2_000, 3_500), "SOL": (90, 160), "DOGE": (0.1, 0.2)}
BOARDS = ("market-risk", "alerts", "feeds-and-engine", "slow-signals")


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes a running demo."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "prometheus").mkdir()
    async with demo(tmp_path / "demo", "--speed", "60", "--from", "2025-11-21T07:15") as program:
        await program.ready(within_s=60.0)
        async with run_prometheus(program.url, tmp_path / "prometheus", SCRAPE_S) as server:
            yield server


@pytest.fixture
async def prometheus_alone(tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes itself: it answers, and knows nothing of a market."""
    port = free_port()
    async with run_prometheus(f"http://127.0.0.1:{port}", tmp_path, port=port) as server:
        yield server


async def test_every_panel_of_the_demo_has_data_and_it_is_right(prometheus: Prometheus) -> None:
    boards = {
        name: json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8")) for name in BOARDS
    }
    for board in boards.values():
        await assert_every_panel_has_data(prometheus, board, within_s=WITHIN_S)
    market = {title: fill_in(expr, None, SCRAPE_S) for title, expr in panel_queries(boards["market-risk"])}
    for title, (low, high) in PLAUSIBLE.items():
        samples = await until_samples(prometheus, market[title], WITHIN_S)
        assert all(low <= value(sample) <= high for sample in samples), (title, samples)
    prices = {sample["metric"]["base"]: value(sample) for sample in await until_samples(prometheus, market["Price"], WITHIN_S)}  # fmt: skip
    assert all(low <= prices[base] <= high for base, (low, high) in PRICES.items()), prices


def value(sample: Mapping[str, Any]) -> float:
    return float(sample["value"][1])


async def test_a_figure_without_a_sample_is_not_taken_for_a_right_one(prometheus_alone: Prometheus) -> None:
    with pytest.raises(AssertionError, match="no sample"):
        await until_samples(prometheus_alone, "market_price_usd", 0.0)
