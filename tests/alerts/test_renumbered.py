"""Rows that are numbered anew: every alert, timer and worst value goes with its label set, without a word."""

from __future__ import annotations

from monitor.alert import AlertState
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.events import Labels
from tests.alerts.build import S, evaluation, rule

COINS: tuple[Labels, ...] = tuple(((("base", name),)) for name in "ABCDEF")


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
