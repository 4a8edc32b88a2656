"""``python -m monitor test``."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from monitor.commands import dispatch

ROOT = Path(__file__).parents[2]

RULES = "groups: [{name: g, rules: [{alert: High, expr: 'price by (base) > 10'}, {alert: Other, expr: 'price > 1M'}]}]"
TESTS = """rule_files: [../*.yaml]
tests:
  - name: high
    input_series: [{series: 'price{base="A"}', values: "5 11"}]
    alert_rule_test:
      - {alertname: High, eval_time: 0m, exp_alerts: []}
      - {alertname: High, eval_time: 1m, exp_alerts: [{exp_labels: {base: WANTED}}]}
  - name: nothing
    alert_rule_test: [{alertname: High, eval_time: 0m, exp_alerts: []}]
"""


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "tests" / "high.yaml").write_text(TESTS.replace("WANTED", "A"))
    return tmp_path / "tests"


def test_success_is_0_and_names_what_is_untested(tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["test", str(tests)]) == 0
    out = capsys.readouterr().out
    assert "2 tests, 0 failed" in out
    assert "untested: Other: no test" in out


def test_failure_is_1_with_a_difference_and_its_line(tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tests / "high.yaml").write_text(TESTS.replace("WANTED", "B"))
    assert dispatch(["test", str(tests), "--junit", str(tests / "out.xml")]) == 1
    out = capsys.readouterr().out
    assert "high.yaml:7: High at 1m: the firing alerts differ" in out
    assert '- expected {base="B"}' in out
    suite = ET.parse(tests / "out.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert dispatch(["test", str(tests), "--run", "nothing"]) == 0


def test_json(tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["test", str(tests), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [test["name"] for test in found["tests"]] == ["high", "nothing"]
    assert found["untested"] == [{"rule": "Other", "why": "no test"}]


def test_wrong_files_are_2_with_every_mistake(tests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tests.parent / "rules.yaml").write_text(RULES.replace("price by", "prce by"))
    (tests / "other.yaml").write_text("rule_files: [nope*.yaml]\ntests: []\n")
    assert dispatch(["test", str(tests)]) == 2
    errors = capsys.readouterr().err
    assert "unknown series 'prce'" in errors
    assert "'nope*.yaml' matches no file" in errors
    assert dispatch(["test", str(tests / "absent.yaml")]) == 2


def test_every_shipped_rule_is_tested_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    code = dispatch(["test", str(ROOT / "rules" / "tests"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [failure for test in found["tests"] for failure in test["failures"]] == []
    assert found["untested"] == []
    assert code == 0
