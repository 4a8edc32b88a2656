"""Every row of the signal catalogue has an input, a series, a tested rule, a metric and a panel; nothing is made up."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monitor.events import Channel
from monitor.language.rules import load_rules
from monitor.reading import FALSE, TRUE, UNKNOWN, Evaluation
from monitor.series import SERIES
from monitor.signals import METRIC, SIGNALS, Signal, readings
from monitor.sources import SOURCES, source_class
from monitor.telemetry.specs import METRICS

ROOT = Path(__file__).resolve().parents[1]
RULES = load_rules([(path.name, path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))])
RECORDED = {recording.name for recording in RULES.recordings}
TESTED = {
    name
    for path in (ROOT / "rules" / "tests").glob("*.yaml")
    for name in re.findall(r"alertname: (\w+)", path.read_text())
}


def queries(board: str) -> dict[str, str]:
    """What each panel of a dashboard asks for."""
    text = (ROOT / "grafana" / "dashboards" / f"{board}.json").read_text()
    return {
        panel["title"]: " ".join(target["expr"] for target in panel.get("targets", ()))
        for panel in json.loads(text)["panels"]
    }


def test_all_rows_are_there() -> None:
    assert [signal.id for signal in SIGNALS] == [f"S{n:02}" for n in range(1, 38)]


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.id)
def test_a_row_lacks_nothing(signal: Signal) -> None:
    kind, what = signal.input
    if kind == "source":
        assert set(signal.series) & set(source_class(what).spec.series)
        assert what in SOURCES
    elif kind == "feeds":
        assert {Channel(word) for word in what.split(", ")} == {SERIES[name].channel for name in signal.series}
    assert set(signal.series) <= set(SERIES) | RECORDED
    known = {rule.name for rule in RULES.alerts}
    assert set(signal.rules) <= known, "a rule of this row is not in rules/"
    assert set(signal.rules) <= TESTED, "a rule of this row has no test"
    assert f"alertname: {signal.rules[0]}" in (ROOT / "rules" / "tests" / signal.test).read_text()
    assert signal.needs


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.id)
def test_a_row_has_a_metric_and_its_panel_asks_for_that(signal: Signal) -> None:
    assert {METRIC, signal.metric} <= set(METRICS)
    board, title = signal.panel
    asked = queries(board)[title]
    assert signal.metric in asked
    if signal.metric == "monitor_rule_value":
        assert signal.rules[0] in asked
    assert f"{METRIC}{{" in queries("slow-signals")["Signals now"], "the one panel that shows every row"


def test_every_rule_of_the_pack_belongs_to_a_row_or_is_known_to_be_extra() -> None:
    extra = {
        "FundingOverheated", "FundingVenuesDisagree", "LargeSingleLiquidation", "FallThenLiquidations", "PerpBelowIndex",
        "OpenInterestConcentrated", "VenuePriceApart", "LiquidationsUnusual", "MajorsMoveAsOne",
    }  # fmt: skip
    named = {rule for signal in SIGNALS for rule in signal.rules}
    assert {rule.name for rule in RULES.alerts} - named == extra


ALERTING = [path for path in sorted((ROOT / "rules").glob("*.yaml")) if "- alert:" in path.read_text()]


@pytest.mark.parametrize("path", ALERTING, ids=lambda path: path.stem)
def test_a_rule_file_says_where_its_figures_come_from_and_how_to_calibrate_them(path: Path) -> None:
    words = " ".join(line.strip(" #\n") for line in path.read_text().splitlines() if line.strip().startswith("#"))
    assert "Source:" in words
    assert re.search(r"[Cc]alibrate", words)


def test_the_page_is_fresh() -> None:
    script = ROOT / "scripts" / "gen_signals.py"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0


def evaluation(rule: str, truth: list[int], value: list[float], threshold: float = -0.2) -> Evaluation:
    return Evaluation(
        rule=f"group/{rule}",
        at_ns=7,
        labels=[(("base", str(n)),) for n in range(len(truth))],
        truth=np.array(truth, dtype=np.int8),
        value=np.array(value),
        threshold=np.full(len(truth), threshold),
        coverage=np.full(len(truth), 0.9),
        lower_bound=np.zeros(len(truth), dtype=np.bool_),
    )


def reading_of(*evaluations: Evaluation) -> tuple[float, str]:
    (row,) = readings(evaluations, [signal for signal in SIGNALS if signal.id == "S16"])
    return row.value, row.absent


def test_a_true_row_stands_for_the_signal_else_the_nearest() -> None:
    rule = "DrawdownFromYearHigh"
    assert reading_of(evaluation(rule, [FALSE, TRUE], [-0.19, -0.3])) == (-0.3, "")
    assert reading_of(evaluation(rule, [FALSE, FALSE], [-0.05, -0.15])) == (-0.15, "")
    assert reading_of(evaluation(rule, [UNKNOWN, FALSE], [-0.19, -0.1])) == (-0.1, "")


def test_of_several_true_rows_the_worst_stands_for_the_signal() -> None:
    """Funding of twenty coins is negative: the mildest of them says least about the market."""
    assert reading_of(evaluation("DrawdownFromYearHigh", [TRUE, TRUE, FALSE], [-0.21, -0.6, -0.19])) == (-0.6, "")


def test_a_signal_without_data_is_absent_and_says_what_to_configure() -> None:
    value, absent = reading_of(evaluation("DrawdownFromYearHigh", [UNKNOWN], [math.nan]))
    assert math.isnan(value)
    assert "type: candles" in absent
    assert "not loaded" in reading_of()[1]
