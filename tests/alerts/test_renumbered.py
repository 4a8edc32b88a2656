"""Rows that are numbered anew: every alert, timer and worst value goes with its label set, without a word."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from monitor.alert import AlertState
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.engine import engine as engine_module
from monitor.events import Labels
from monitor.runtime.steps.clearing import EVERY_NS, Clearing
from tests.alerts.build import S, evaluation, rule
from tests.engine.market import at, engine, perp, price

COINS: tuple[Labels, ...] = tuple(((("base", name),)) for name in "ABCDEF")


@pytest.fixture
def eager() -> Iterator[None]:
    with mock.patch.multiple(engine_module, TRIM_EVERY=1, LEAST_LEAVING=1, LEAVING_SHARE=0.0):
        yield


def test_alerts_timers_and_worst_values_go_with_their_label_sets() -> None:
    life = Lifecycle([rule(for_ns=10 * S)])
    before = life.step([evaluation(0, "FTFTTF", value=[0, 9, 0, 7, 8, 0], labels=COINS)], 0)
    assert [change.state for change in before] == [AlertState.PENDING] * 3
    life.step([evaluation(5, "FTFFTF", value=[0, 3, 0, 0, 2, 0], labels=COINS)], 5 * S)
    fewer = (COINS[4], COINS[1], COINS[5])
    assert life.step([evaluation(6, "TTF", value=[2, 3, 0], labels=fewer)], 6 * S) == []
    fired = life.step([evaluation(10, "TTT", value=[2, 3, 4], labels=fewer)], 10 * S)
    told = {change.alert.series: (change.state, change.alert.peak) for change in fired}
    assert told == {
        COINS[4]: (AlertState.FIRING, 8.0),
        COINS[1]: (AlertState.FIRING, 9.0),
        COINS[5]: (AlertState.PENDING, 4.0),
    }


def test_as_many_rows_in_another_order_are_numbered_anew_too() -> None:
    life = Lifecycle([rule()])
    life.step([evaluation(0, "TF", labels=COINS[:2])], 0)
    assert life.step([evaluation(1, "FT", labels=COINS[1::-1])], S) == []
    (end,) = life.step([evaluation(2, "FF", labels=COINS[1::-1])], 2 * S)
    assert (end.state, end.alert.series) == (AlertState.RESOLVED, COINS[0])


def test_an_alert_whose_row_is_gone_waits_for_it() -> None:
    life = Lifecycle([rule()])
    life.step([evaluation(0, "FT", labels=COINS[:2])], 0)
    assert life.step([evaluation(1, "F", labels=COINS[2:3])], S) == []
    (held,) = life.alerts()
    assert (held.series, held.state) == (COINS[1], AlertState.HELD)
    (back,) = life.step([evaluation(2, "FT", labels=(COINS[2], COINS[1]))], 2 * S)
    assert (back.alert.series, back.state) == (COINS[1], AlertState.FIRING)


def test_who_is_kept_out_is_spoken_of_and_let_in_by_its_own_name() -> None:
    life = Lifecycle([rule()], LifecycleSettings(max_alerts=1))
    life.step([evaluation(0, "FTT", labels=COINS[:3])], 0)
    assert life.spoken_of() == {"g/High": [COINS[2], COINS[1]]}
    life.step([evaluation(1, "TT", labels=COINS[1:3])], S)
    end, begin = life.step([evaluation(3, "FT", labels=COINS[1:3])], 3 * S)
    assert (end.alert.series, begin.alert.series) == (COINS[1], COINS[2])


def test_label_sets_leave_under_alerts_that_follow_and_nobody_hears_of_it(eager: None) -> None:
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


def test_nobody_is_asked_more_often_than_now_and_then(eager: None) -> None:
    machine = engine("price > 5")
    clearing = Clearing(machine, Lifecycle(machine.ruleset.alerts))
    with mock.patch.object(machine, "compact", return_value=0) as asked:
        for s in (0, 1, EVERY_NS / S - 1, EVERY_NS / S, EVERY_NS / S + 1):
            clearing.pass_time(at(s))
    assert asked.call_count == 2
