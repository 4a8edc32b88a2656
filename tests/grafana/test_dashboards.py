"""What can be checked of dashboards without a Grafana server, which is not available to tests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from monitor.telemetry.specs import METRICS
from tests.grafana.conftest import BOARD_FILES, GRAFANA
from tests.grafana.prometheus_harness import fill_in, panel_queries, variable_queries
from tests.grafana.sdk_schema import dashboard_schema

METRIC = re.compile(r"\b((?:market|monitor|process)_[a-z0-9_]+|ALERTS)\b")
LABEL_WORDS = {"market_risk"}


def test_committed_json_is_what_the_code_builds(builder: ModuleType) -> None:
    assert {path.stem for path in BOARD_FILES} == set(builder.BOARDS)
    for path in BOARD_FILES:
        assert path.read_text(encoding="utf-8") == builder.render(path.stem), (
            f"run python grafana/build.py: {path.name}"
        )


def test_every_dashboard_fits_the_schema_of_the_sdk(board: dict[str, Any]) -> None:
    faults = jsonschema.Draft202012Validator(dashboard_schema()).iter_errors(board)
    assert [(fault.json_path, jsonschema.exceptions.best_match([fault]).message[:200]) for fault in faults] == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("panels", 0, "gridPos", "w"), "wide"),
        (("panels", 0, "fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("panels", 0, "options", "graphMod"), "area"),
        (("panels", 0, "targets", 0, "expresion"), "up"),
        (("panels", 0, "titel"), "x"),
        (("templating", "list", 0, "typ"), "query"),
    ],
)
def test_the_schema_sees_what_is_wrong(place: tuple[str | int, ...], wrong: str) -> None:
    board = json.loads((GRAFANA / "dashboards" / "market-risk.json").read_text(encoding="utf-8"))
    *way, last = place
    inner = board
    for step in way:
        inner = inner[step]
    inner[last] = wrong
    assert not jsonschema.Draft202012Validator(dashboard_schema()).is_valid(board)


def test_every_panel_has_title_unit_description_and_place(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        title = panel["title"]
        assert title, panel
        assert len(panel["description"]) > 10, title
        assert panel["type"] == "alertlist" or panel["fieldConfig"]["defaults"]["unit"], title
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, title
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{title} covers another panel"
        taken |= cells
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles)), "two panels of one title"


def test_lines_show_their_legend(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"] is True, panel["title"]


def test_every_panel_reads_the_chosen_data_source(board: dict[str, Any]) -> None:
    for panel in board["panels"]:
        if panel["type"] == "alertlist":
            continue
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"]), panel["title"]
    assert any(variable["type"] == "datasource" for variable in board["templating"]["list"])


def test_variables_are_declared_and_used(board: dict[str, Any]) -> None:
    declared = {variable["name"] for variable in board["templating"]["list"]}
    used = {
        name for _, expr in panel_queries(board) for name in re.findall(r"\$(\w+)", expr) if not name.startswith("__")
    }
    assert used <= declared
    assert declared - {"datasource"} <= used, "a variable that no panel reads"


def test_queries_only_name_series_that_the_monitor_exposes(board: dict[str, Any]) -> None:
    known = set(METRICS) | {
        f"{name}_{part}" for name in METRICS for part in ("bucket", "sum", "count") if METRICS[name].kind == "histogram"
    }
    queries = [expr for _, expr in panel_queries(board)] + [metric for _, metric, _ in variable_queries(board)]
    named = {name for expr in queries for name in METRIC.findall(expr)}
    assert named, board["title"]
    assert named <= known, named - known


def test_counters_are_only_read_through_a_rate(board: dict[str, Any]) -> None:
    counters = {name for name, spec in METRICS.items() if spec.kind == "counter"}
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"]
            if panel["type"] == "stat" and expr.startswith("sum(monitor_events_dropped_total"):
                continue  # a total since start, on purpose: one loss must not scroll out of sight
            for name in counters & set(METRIC.findall(expr)):
                for position in (match.start() for match in re.finditer(rf"\b{name}\b", expr)):
                    assert re.search(r"(rate|increase)\($", expr[:position]), f"{panel['title']}: {name} without rate"
                    assert re.match(rf"{name}(\{{[^}}]*\}})?\[(\$__rate_interval|1h)\]", expr[position:]), panel[
                        "title"
                    ]


def test_boards_link_to_each_other_and_to_the_live_page(board: dict[str, Any]) -> None:
    kinds = {link["type"]: link for link in board["links"]}
    assert kinds["dashboards"]["tags"] == ["market-risk"]
    assert "market-risk" in board["tags"]
    assert kinds["link"]["url"].startswith("http")
    assert board["annotations"]["list"], "alerts are not drawn into the graphs"


def test_the_linter_sees_a_bare_counter(board: dict[str, Any]) -> None:
    panel = {"title": "bad", "type": "timeseries", "targets": [{"expr": "monitor_feed_frames_total"}]}
    with pytest.raises(AssertionError, match="without rate"):
        test_counters_are_only_read_through_a_rate({"panels": [panel]})


@pytest.mark.needs("promtool")
def test_promtool_parses_every_query(board: dict[str, Any], tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query:{number}", "expr": fill_in(expr)}
        for number, (_, expr) in enumerate(panel_queries(board))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    run = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(rules)} rules found" in run.stdout


def test_provisioning_agrees_with_itself() -> None:
    yaml = YAML(typ="safe")
    sources = yaml.load(GRAFANA / "provisioning" / "datasources" / "market-risk.yml")
    provider = yaml.load(GRAFANA / "provisioning" / "dashboards" / "market-risk.yml")
    assert sources["apiVersion"] == provider["apiVersion"] == 1
    uids = {source["uid"] for source in sources["datasources"]}
    assert sum(bool(source.get("isDefault")) for source in sources["datasources"]) == 1
    for path in BOARD_FILES:
        board = json.loads(path.read_text(encoding="utf-8"))
        chosen = next(v for v in board["templating"]["list"] if v["type"] == "datasource")
        assert chosen["current"]["value"] in uids
        for panel in board["panels"]:
            if panel["type"] == "alertlist":
                assert panel["options"]["datasource"] in uids
    assert {provider_entry["type"] for provider_entry in provider["providers"]} == {"file"}
