"""A venue's REST allowance: polls are noted, history waits for what they leave."""

from __future__ import annotations

from monitor.clock import NS_PER_S
from monitor.runtime.feeds.rest_budget import RestBudget


def test_history_takes_what_is_left_in_the_window() -> None:
    budget = RestBudget(10, 60.0)
    assert [budget.take(4, 0), budget.take(4, NS_PER_S)] == [0, 0]
    assert budget.take(4, 2 * NS_PER_S) == 58 * NS_PER_S
    assert budget.take(2, 2 * NS_PER_S) == 0
    assert budget.used_ratio == 1.0
    assert budget.take(4, 60 * NS_PER_S) == 0


def test_polls_are_never_held_back_but_hold_history_back() -> None:
    budget = RestBudget(10, 60.0)
    for second in range(20):
        budget.note(1, second * NS_PER_S)
    assert budget.used_ratio == 2.0
    assert budget.take(1, 20 * NS_PER_S) > 0
    assert budget.take(1, 75 * NS_PER_S) == 0


def test_a_request_heavier_than_the_allowance_is_made_when_nothing_else_was() -> None:
    budget = RestBudget(10, 60.0)
    assert budget.take(50, 0) == 0
    assert budget.take(1, NS_PER_S) > 0
