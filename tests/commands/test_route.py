"""``python -m monitor route``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.commands import dispatch

CONFIG = """rules: [r.yaml]
feeds: [{venue: okx}]
sinks:
  - {type: console}
  - {type: webhook, name: pager, url: "http://127.0.0.1:1/x", min_severity: critical}
routes:
  root: {sinks: [console]}
  routes:
    - matchers: ['severity=~"critical|info"']
      sinks: [pager]
      group_by: [base]
      group_wait: 10s
      group_interval: 1m
      repeat_interval: 2h
      mute_times: [night]
  mute_times:
    night: [{times: [{start_time: "22:00", end_time: "24:00"}], location: Europe/Berlin}]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "r.yaml").write_text("groups: [{name: g, rules: [{alert: A, expr: 'price > 1'}]}]")
    (tmp_path / "config.yaml").write_text(CONFIG)
    return str(tmp_path / "config.yaml")


def test_it_says_who_is_told_and_when(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    noon = ["--at", "2025-11-21T12:00+01:00"]
    assert dispatch(["route", "--config", config, "--labels", "severity=critical", "base=BTC", "venue=okx", *noon]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "route root/0",
        "  sinks   pager",
        "  group   base=BTC",
        "  first   after 10s",
        "  then    at most every 1m",
        "  repeat  after 2h while it still fires",
        '  note    matched severity=~"critical|info"',
    ]


def test_what_no_route_takes_goes_to_the_root(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["route", "--config", config, "--labels", "severity=warning", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)
    assert [(step["path"], step["sinks"], step["first_after_ns"]) for step in steps] == [("root", ["console"], 0)]


@pytest.mark.parametrize(
    ("severity", "moment", "reason"),
    [
        ("info", "2025-11-21T12:00", "below_severity: pager takes critical and worse"),
        ("critical", "2025-11-21T21:30", "muted: mute time night"),
    ],
)
def test_1_when_nobody_would_be_told(
    config: str, capsys: pytest.CaptureFixture[str], severity: str, moment: str, reason: str
) -> None:
    assert dispatch(["route", "--config", config, "--labels", f"severity={severity}", "--at", moment]) == 1
    assert f"pager: {reason}" in capsys.readouterr().out


def test_wrong_labels_are_2(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["route", "--config", config, "--labels", "severity"]) == 2
    assert "expected" in capsys.readouterr().err


def test_a_wrong_time_is_2(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dispatch(["route", "--config", config, "--labels", "a=b", "--at", "tomorrow"])
    assert ended.value.code == 2
    assert "--at: 'tomorrow' is not a time; write unix seconds or ISO 8601" in capsys.readouterr().err
