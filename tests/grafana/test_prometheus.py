"""Scrape configuration, recording rules and alerts, with the real promtool and the real Prometheus."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from ruamel.yaml import YAML

from monitor.runtime.alerting.self_rules import SELF_RULES
from monitor.testing.fake_view import FakeView
from monitor.web.server import make_app
from tests.grafana.conftest import BOARD_FILES, GRAFANA
from tests.grafana.prometheus_harness import assert_every_panel_has_data, run_prometheus

PROMETHEUS = GRAFANA / "prometheus"
OF_THE_DEMO = frozenset({
    "Market value from its peak", "Spot funds, a day", "Value locked, a week", "Treasuries, worst holder", "In US dollars",
})  # fmt: skip
"""Signals that the made-up monitor has not; the demo has them, see test_program_panels."""
RUNBOOKS = GRAFANA.parent / "docs" / "runbooks"


def mixin_alerts() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load(PROMETHEUS / "rules" / "monitor-alerts.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments: str | Path) -> str:
    run = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.needs("promtool")
def test_configuration_and_rules_are_valid() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.needs("promtool")
def test_alerts_about_the_monitor_fire_when_they_should() -> None:
    promtool("test", "rules", PROMETHEUS / "tests" / "monitor-alerts.yml")


def test_every_alert_has_a_unit_test_and_a_runbook() -> None:
    tests = YAML(typ="safe").load(PROMETHEUS / "tests" / "monitor-alerts.yml")["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    names = {alert["alert"] for alert in mixin_alerts()}
    assert fired == names
    assert {page.stem for page in RUNBOOKS.glob("Monitor*.md")} == names | set(SELF_RULES)
    for alert in mixin_alerts():
        page = RUNBOOKS / f"{alert['alert']}.md"
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{page.name}"
        text = page.read_text(encoding="utf-8")
        assert f"`{alert['expr']}`" in text, f"{page.name} tells of another condition"
        assert "## What to do" in text


@pytest.fixture
async def monitor_url() -> AsyncIterator[str]:
    """A served `FakeView` that moves."""
    view = FakeView()
    runner = web.AppRunner(make_app(view), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    moving = asyncio.create_task(_move(view))
    yield "http://127.0.0.1:{1}".format(*runner.addresses[0])
    moving.cancel()
    await runner.cleanup()


async def _move(view: FakeView) -> None:
    while True:
        await asyncio.sleep(0.5)
        view.advance(5)


@pytest.mark.needs("prometheus")
async def test_every_panel_of_every_dashboard_has_data(monitor_url: str, tmp_path: Path) -> None:
    async with run_prometheus(monitor_url, tmp_path) as server:
        for path in BOARD_FILES:
            board = json.loads(path.read_text(encoding="utf-8"))
            await assert_every_panel_has_data(server, board, allow_empty=OF_THE_DEMO)
        await recorded_rules_have_data(server)
        found = await server.get(
            "/api/v1/query_exemplars", query="monitor_stage_latency_seconds_bucket", start="0", end="9999999999"
        )
        assert found[0]["exemplars"][0]["labels"] == {"rule": "liquidations/LongsWipedOut"}


async def recorded_rules_have_data(server: Any) -> None:
    groups = YAML(typ="safe").load(PROMETHEUS / "rules" / "recording.yml")["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert await server.query(rule["record"]), rule["record"]
