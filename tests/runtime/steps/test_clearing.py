"""Label sets leave the engine under alerts that follow, now and then, and nobody hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from monitor.alert import AlertState
from monitor.alerts.lifecycle import Lifecycle
from monitor.engine import engine as engine_module
from monitor.runtime.steps.clearing import EVERY_NS, Clearing
from tests.alerts.build import S
from tests.engine.market import at, engine, perp, price


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    """Rows are forgotten and label sets leave as soon as they may."""
    with mock.patch.multiple(engine_module, TRIM_EVERY=1, LEAST_LEAVING=1, LEAVING_SHARE=0.0):
        yield


def test_label_sets_leave_under_alerts_that_follow_and_nobody_hears_of_it() -> None:
    machine = engine("price > 50")
    (only,) = machine.ruleset.alerts
    life = Lifecycle([only], latest=machine.latest, attend=machine.attend)
    clearing = Clearing(machine, life)

    def turn(s: float, *values: tuple[str, float]) -> list[AlertState]:
        machine.ingest([price(perp("bybit", name), value, s) for name, value in values])
        clearing.pass_time(at(s))
        return [change.state for change in life.step(machine.evaluate(at(s), changed_only=True), at(s))]

    assert turn(0, ("OLD", 9.0), ("FALLING", 9.0)) == []
    assert turn(9000, ("UP", 60.0), ("LOW", 1.0)) == [AlertState.FIRING]
    assert turn(9000 + EVERY_NS / S) == [AlertState.HELD]
    assert machine.forgotten == 2
    assert turn(9700, ("UP", 70.0)) == [AlertState.FIRING]
    assert [view.peak for view in life.alerts()] == [70.0], "what is worse is heard of by its new number"
    assert turn(9701, ("UP", 40.0), ("LOW", 55.0)) == [AlertState.RESOLVED, AlertState.FIRING]


def test_nobody_is_asked_more_often_than_now_and_then() -> None:
    machine = engine("price > 5")
    clearing = Clearing(machine, Lifecycle(machine.ruleset.alerts))
    with mock.patch.object(machine, "compact", return_value=0) as asked:
        for s in (0, 1, EVERY_NS / S - 1, EVERY_NS / S, EVERY_NS / S + 1):
            clearing.pass_time(at(s))
    assert asked.call_count == 2
