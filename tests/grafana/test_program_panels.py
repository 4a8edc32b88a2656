"""A real Prometheus scrapes the real demo: every panel has data, and figures of the market that can be true."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.grafana.conftest import GRAFANA
from tests.grafana.prometheus_harness import (
    Prometheus,
    assert_every_panel_has_data,
    fill_in,
    panel_queries,
    run_prometheus,
)
from tests.integration.program import demo

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.xdist_group("program")]

PLAUSIBLE = {
    "Share of longs, 1 h": (0.0, 1.0),
    "Coverage, 1 h": (0.0, 1.0),
    "Open interest": (5e10, 5e11),
    "Funding heat map": (-0.01, 0.01),
    "Funding, weighted by open interest": (-0.01, 0.01),
    "Open interest below its peak": (-0.6, 0.0),
    "Price below its peak": (-0.3, 0.0),
    "Breadth": (0.0, 1.0),
    "Basis": (-0.05, 0.05),
    "Depth within 1 %": (1e6, 1e9),
    "Spread": (0.0, 0.01),
    "Coverage by window": (0.0, 1.0),
}
"""Between which values each figure of the scenario lies: prices under the names of other coins had a basis of 2,000."""
BOARDS = ("market-risk", "alerts", "feeds-and-engine", "slow-signals")


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes a running demo."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "prometheus").mkdir()
    async with demo(tmp_path / "demo", "--speed", "60", "--from", "2025-11-21T07:15") as program:
        await program.ready()
        async with run_prometheus(program.url, tmp_path / "prometheus") as server:
            yield server


async def test_every_panel_of_the_demo_has_data_and_it_is_right(prometheus: Prometheus) -> None:
    boards = {
        name: json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8")) for name in BOARDS
    }
    for board in boards.values():
        await assert_every_panel_has_data(prometheus, board, within_s=20.0)
    market = {title: expr for title, expr in panel_queries(boards["market-risk"]) if title in PLAUSIBLE}
    for title, (low, high) in PLAUSIBLE.items():
        samples = await prometheus.query(fill_in(market[title], None, prometheus.interval_s))
        values = [float(sample["value"][1]) for sample in samples]
        assert all(low <= value <= high for value in values), (title, samples)
