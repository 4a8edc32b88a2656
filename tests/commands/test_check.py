"""``check``: every mistake with its place, in three forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.commands import dispatch

GOOD = "rules: [rules.yaml]\nfeeds:\n  - {venue: bybit, channels: [price]}\n"
RULES = """
groups:
  - name: desk
    rules:
      - {alert: BitcoinLow, expr: 'price{base="BTC"} by (base) < 90k'}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A good configuration."""
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_good_configuration_says_what_it_holds(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "--config", str(config)]) == 0
    assert "1 feeds, 1 rules, 0 tests, no problem found" in capsys.readouterr().out
    assert dispatch(["check", "--config", str(config), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_a_rule_is_explained(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "--config", str(config), "--explain", "BitcoinLow"]) == 0
    assert "BitcoinLow" in capsys.readouterr().out
    assert dispatch(["check", "--config", str(config), "--explain", "Nope"]) == 2
    assert "BitcoinLow" in capsys.readouterr().err


def test_mistakes_come_with_their_place_in_every_form(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(GOOD.replace("bybit", "bibit") + "lisen: x\n", encoding="utf-8")
    assert dispatch(["check", "--config", str(config)]) == 2
    assert "config.yaml:4:1:" in capsys.readouterr().err
    assert dispatch(["check", "--config", str(config), "--format", "json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [(problem["line"], problem["column"]) for problem in problems] == [(3, 13), (4, 1)]
    assert dispatch(["check", "--config", str(config), "--format", "github"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("::error file=") for line in lines] == [True, True]


def test_mistakes_of_configuration_rules_and_rule_tests_come_at_once(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(GOOD.replace("bybit", "bibit"), encoding="utf-8")
    (config.parent / "rules.yaml").write_text(RULES.replace("< 90k", "< 90Q"), encoding="utf-8")
    (config.parent / "tests").mkdir()
    (config.parent / "tests" / "one.yaml").write_text(
        "rule_files: [../rules.yaml]\ntests:\n  - nme: x\n", encoding="utf-8"
    )
    assert dispatch(["check", "--config", str(config), "--format", "json"]) == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    places = {(Path(problem["file"]).name, problem["line"]) for problem in problems}
    assert places == {("config.yaml", 3), ("rules.yaml", 5), ("one.yaml", 3)}


def test_the_tests_beside_the_rules_are_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "tests").mkdir()
    path = config.parent / "tests" / "one.yaml"
    path.write_text(
        "rule_files: [../rules.yaml]\ntests:\n  - alert_rule_test:\n"
        "      - {alertname: BitcoinLow, eval_time: 1m, exp_alerts: []}\n",
        encoding="utf-8",
    )
    assert dispatch(["check", "--config", str(config)]) == 0
    assert "1 feeds, 1 rules, 1 tests, no problem found" in capsys.readouterr().out


def test_a_command_that_does_not_exist_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["chek"]) == 2
    assert "did you mean 'check'" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["2024-01-01", "2025-11-22T00:00", "0"])
def test_the_demo_starts_only_within_its_scenario(moment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["demo", "--from", moment]) == 2
    assert "--from must lie in" in capsys.readouterr().err
