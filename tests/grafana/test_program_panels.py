"""A real Prometheus scrapes the real demo: every panel of the market and feed dashboards has data."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.grafana.conftest import GRAFANA
from tests.grafana.prometheus_harness import Prometheus, assert_every_panel_has_data, run_prometheus
from tests.integration.program import demo

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.xdist_group("program")]

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


async def test_every_panel_of_the_demo_has_data(prometheus: Prometheus) -> None:
    for name in BOARDS:
        board = json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))
        await assert_every_panel_has_data(prometheus, board, within_s=20.0)
