"""All mistakes of the routes at once, each at its place, with what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.alerts.routes import RoutingConfig
from monitor.runtime.route_check import route_problems
from monitor.yamlsource import load_yaml

WRONG = """routes:
  root: {sinks: [consle]}
  routes:
    - matchers: ['severity="critcal"', 'severty="critical"', 'base=~"("']
      sinks: [lgo]
      group_wait: 10 sec
      mute_times: [nihgt]
      routes:
        - {active_times: [day], sinks: [pager], grup_by: [base]}
    - matchers: {team: risk, severity: waring}
      repeat_intervall: 1h
  inhibit:
    - {source: ['severity="Critical"'], target: ['severity=~"wraning|info"'], eqal: [venue]}
    - {source: [base=BTC]}
  mute_times:
    night: [{times: [{strat_time: "22:00", start_time: "22:00", end_time: "24:00"}], weekday: [monday]}]
  heartbeat: {sinks: [deadmn], interval: 0s, intervall: 1m}
  rotues: []
"""
FOUND = [
    (2, 18, "no sink named 'consle'", "did you mean 'console'?"),
    (4, 18, "matchers: unknown severity 'critcal'; did you mean 'critical'?", ""),
    (4, 40, "matchers: the matcher 'severty=\"critical\"' fits no alert; did you mean 'severity'?", ""),
    (5, 15, "no sink named 'lgo'", "did you mean 'log'?"),
    (6, 19, "group_wait: '10 sec' is not a duration; write 30s, 5m or 4h", ""),
    (7, 20, "no mute time named 'nihgt'", "did you mean 'night'?"),
    (9, 27, "no mute time named 'day'", "known: night"),
    (9, 41, "no sink named 'pager'", "known: console, log"),
    (9, 49, "unknown key 'grup_by'", "did you mean 'group_by'?"),
    (10, 40, "severity: unknown severity 'waring'; did you mean 'warning'?", ""),
    (11, 7, "unknown key 'repeat_intervall'", "did you mean 'repeat_interval'?"),
    (13, 17, "source: unknown severity 'Critical'; did you mean 'critical'?", ""),
    (13, 50, "target: unknown severity 'wraning'; did you mean 'warning'?", ""),
    (13, 79, "unknown key 'eqal'", "did you mean 'equal'?"),
    (14, 7, "missing key 'target'", ""),
    (16, 23, "unknown key 'strat_time'", "did you mean 'start_time'?"),
    (16, 86, "unknown key 'weekday'", "did you mean 'weekdays'?"),
    (17, 23, "no sink named 'deadmn'", "known: console, log"),
    (17, 42, "interval: must be 1s or more; anything shorter would never stop telling", ""),
    (17, 46, "unknown key 'intervall'", "did you mean 'interval'?"),
    (18, 3, "unknown key 'rotues'", "did you mean 'routes'?"),
]
REGEX = "matchers: the matcher 'base=~\"(\"': not a regular expression"
"""In the words of Python's version, further on."""


def found(text: str) -> list[tuple[int, int, str, str]]:
    document = load_yaml(text, "config.yaml")
    problems = route_problems(document.data["routes"], {"console", "log"}, document)
    return [(one.line, one.column, one.message, one.hint) for one in problems]


def test_all_mistakes_are_told_at_once_where_they_stand() -> None:
    told = found(WRONG)
    line, column, message, _ = told.pop(3)
    assert (line, column, message.partition(": missing")[0]) == (4, 62, REGEX)
    assert told == FOUND


@pytest.mark.parametrize(
    "text",
    [
        "routes:\n  - sinks: [consle]\n    routes: [{sinks: [log]}]\n",
        "routes: [{matchers: 'severity=critcal'}]\n",
        "routes: [{mute_times: [night]}]\n",
        "routes: 5\n",
        "routes: [5]\n",
        "routes: [{sinks: 5}]\n",
        "routes: {root: 5, routes: 5, inhibit: 5, mute_times: 5, heartbeat: 5}\n",
    ],
)
def test_whatever_stands_there_is_a_located_mistake(text: str) -> None:
    assert all(line for line, *_ in found(text))
    assert found(text)


@pytest.mark.parametrize("raw", [[{"sinks": ["log"]}], {"heartbeat": {"sinks": ["log"]}, "root": {}}])
def test_what_is_right_has_no_problems(raw: Any) -> None:
    RoutingConfig.model_validate(raw)
    assert route_problems(raw, {"log"}, load_yaml("routes: []\n", "config.yaml")) == []
