"""Which rows of a rule are shown, and under which name."""

import numpy as np
import pytest

from monitor.alert import AlertState
from monitor.reading import Evaluation
from monitor.telemetry.rule_series import rule_families, rule_names
from monitor.telemetry.views.rules import RuleView

QUIET, FIRING = AlertState.INACTIVE, AlertState.FIRING


def rule(states: list[AlertState]) -> RuleView:
    count = len(states)
    labels = [(("base", f"B{row}"),) for row in range(count)]
    column = np.arange(count, dtype=np.float64)
    truth, lower_bound = np.zeros(count, np.int8), np.zeros(count, np.bool_)
    evaluation = Evaluation("g/A", 1, labels, truth, column, column, np.ones(count), lower_bound)
    return RuleView("A", "g", "x > 1", states, evaluation)


def test_rules_of_one_name_are_told_apart() -> None:
    rules = [RuleView("A", "g", "x > 1"), RuleView("A", "h", "x > 1"), RuleView("B", "g", "x > 1", [AlertState.FIRING])]
    assert rule_names(rules) == ["g/A", "h/A", "B"]


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ([QUIET, QUIET, QUIET], [0, 1]),
        ([QUIET, QUIET, FIRING], [0, 2]),
        ([FIRING, QUIET, FIRING], [0, 2]),
        ([FIRING, FIRING, FIRING], [0, 1]),
        ([QUIET, FIRING], [0, 1]),
        ([], []),
    ],
)
def test_active_rows_come_first_and_the_rest_in_their_order(states: list[AlertState], shown: list[int]) -> None:
    families = {family.spec.name: family.lines for family in rule_families([rule(states)], limit=2)}
    assert families["monitor_rule_value"] == [f'monitor_rule_value{{alert="A",base="B{row}"}} {row}' for row in shown]
    hidden = len(states) - len(shown)
    assert families["monitor_rule_hidden_series"] == [f'monitor_rule_hidden_series{{alert="A"}} {hidden}']
