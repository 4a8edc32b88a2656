"""The language's table of functions and the engine's implementations are one."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.language import parse_expression
from monitor.language.functions import FUNCTIONS, Form
from monitor.rule import Rule, RuleSet
from monitor.windows import PAIRS, WINDOWS

SOURCES = {"events": Form.EVENTS, "gauge": Form.GAUGE, "samples": Form.SAMPLES}
MINUTE_NS = 60 * 10**9


def test_every_window_function_is_in_the_language_and_the_other_way_round() -> None:
    over_time = {name for name, one in FUNCTIONS.items() if Form.GAUGE in one.accepts and name != "absent"}
    assert over_time == WINDOWS.keys() | PAIRS.keys()


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_units_agree(name: str) -> None:
    assert FUNCTIONS[name].unit == WINDOWS[name].unit


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_events_are_taken_by_both_or_neither(name: str) -> None:
    assert (Form.EVENTS in FUNCTIONS[name].accepts) == ("events" in WINDOWS[name].sources)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_example_of_every_function_evaluates(name: str) -> None:
    text = FUNCTIONS[name].example
    rule = Rule(name=name, group="docs", expr=parse_expression(text, expect="condition"), text=text)
    engine = Engine(RuleSet((rule,)))
    engine.evaluate(10**18)
    engine.evaluate(10**18 + MINUTE_NS)
    found = engine.latest(rule.id)
    assert found is not None
    assert len(found.labels) == len(found.truth)
