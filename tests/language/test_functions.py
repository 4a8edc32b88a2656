"""The language's table of functions and the engine's implementations are one."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.language import parse_expression
from monitor.language.functions import FUNCTIONS, Form, Labels
from monitor.rule import Rule, RuleSet
from monitor.series import Unit
from monitor.windows import PAIRS, WINDOWS

ARGUMENTS = {
    Form.EVENTS: "liquidations[1h]",
    Form.GAUGE: "price[1h]",
    Form.SAMPLES: "price[1h:5m]",
    Form.VECTOR: "open_interest",
    Form.CONDITION: "price > 1",
}
FORMS = [
    (name, form, grouping)
    for name, one in FUNCTIONS.items()
    if not one.is_node
    for form, labels in one.accepts.items()
    for grouping in ("", " by (base)")
    if not grouping or labels in (Labels.FOLD, Labels.KEEP) or name == "topk"
]
MINUTE_NS = 60 * 10**9


def test_every_window_function_is_in_the_language_and_the_other_way_round() -> None:
    over_time = {name for name, one in FUNCTIONS.items() if Form.SAMPLES in one.accepts and name != "absent"}
    assert over_time == WINDOWS.keys() | PAIRS.keys()


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_units_agree(name: str) -> None:
    assert FUNCTIONS[name].unit == WINDOWS[name].unit


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_events_are_taken_by_both_or_neither(name: str) -> None:
    assert (Form.EVENTS in FUNCTIONS[name].accepts) == ("events" in WINDOWS[name].sources)


@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_plain_windows_of_gauges_are_taken_by_both_or_neither(name: str) -> None:
    takes = "gauge" in WINDOWS[name].sources or WINDOWS[name].step_ns > 0
    assert (Form.GAUGE in FUNCTIONS[name].accepts) == takes


@pytest.mark.parametrize(("name", "form", "grouping"), FORMS)
def test_whatever_the_language_accepts_the_engine_computes(name: str, form: Form, grouping: str) -> None:
    signature = FUNCTIONS[name]
    leading = {"": [], "whole number": ["2"], "share": ["0.5"]}[signature.leading]
    trailing = [ARGUMENTS[form]] if signature.trailing else []
    text = f"{name}({', '.join([*leading, ARGUMENTS[form], *trailing])}){grouping}"
    if not signature.gives_condition:
        text += " > 1h" if signature.unit is Unit.DURATION else " > 1"
    rule = Rule(name=name, group="g", expr=parse_expression(text, expect="condition"), text=text)
    engine = Engine(RuleSet((rule,)))
    engine.evaluate(10**18)
    assert engine.latest(rule.id) is not None


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
