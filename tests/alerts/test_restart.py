"""Life cycle and router together over a restart, as the running program restores them."""

from __future__ import annotations

import pytest

from monitor.alert import AlertState
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.alerts.plans import SinkPolicy
from monitor.alerts.routing import Router
from monitor.rule import OnUnknown, Rule
from tests.alerts.build import S, evaluation, rule


def test_a_firing_alert_is_not_told_again_nor_as_held_when_its_data_comes_back() -> None:
    lifecycle, router = Lifecycle([rule()]), Router(None, [SinkPolicy("a")])
    said: list[tuple[int, str]] = []

    def play(at_s: int, truth: str) -> None:
        e = evaluation(at_s, truth)
        planned = router.route(lifecycle.step([e], e.at_ns), e.at_ns)
        said.extend((at_s, p.notification.status) for p in planned if p.notification is not None)

    play(1000, "T")
    kept, told = lifecycle.dump(), router.dump()
    lifecycle, router = Lifecycle([rule()]), Router(None, [SinkPolicy("a")])
    lifecycle.load(kept)
    router.load(told, lifecycle.alerts(), 5000 * S)
    for at_s in range(5000, 5200, 10):
        play(at_s, "T")
    play(5200, "F")
    assert said == [(1000, "firing"), (5200, "resolved")]


def test_a_firing_alert_whose_data_stays_away_is_told_as_held_after_its_time() -> None:
    lifecycle, router = Lifecycle([rule()]), Router(None, [SinkPolicy("a")])
    e = evaluation(1000, "T")
    router.route(lifecycle.step([e], e.at_ns), e.at_ns)
    kept, told = lifecycle.dump(), router.dump()
    lifecycle, router = Lifecycle([rule()]), Router(None, [SinkPolicy("a")])
    lifecycle.load(kept)
    router.load(told, lifecycle.alerts(), 5000 * S)
    assert router.due(5059 * S) == []
    (planned,) = router.due(5060 * S)
    assert planned.notification is not None
    assert planned.notification.status == "held"
    assert "no data since the restart" in planned.reason


def restarted(lifecycle: Lifecycle, r: Rule, settings: LifecycleSettings | None = None, seen_s: float = 0) -> Lifecycle:
    """A new life cycle with what a former one kept."""
    fires = lifecycle.take_fired()
    fresh = Lifecycle([r], settings)
    fresh.recall(fires)
    fresh.load(lifecycle.dump(), seen_ns=round(seen_s * S))
    return fresh


def test_what_was_seen_before_the_stop_counts_for_a_pending_alert_though_it_was_saved_long_ago() -> None:
    patient = rule(for_ns=8 * 3600 * S)
    lifecycle = Lifecycle([patient])
    lifecycle.step([evaluation(1000, "T")], 1000 * S)
    six_hours = 1000 + 6 * 3600
    lifecycle = restarted(lifecycle, patient, seen_s=six_hours)
    lifecycle.step([evaluation(six_hours + 30, "T")], 0)
    eight_hours = 1000 + 8 * 3600
    assert lifecycle.step([evaluation(eight_hours - 1, "T")], 0) == []
    (fired,) = lifecycle.step([evaluation(eight_hours, "T")], 0)
    assert (fired.state, fired.alert.starts_at_ns) == (AlertState.FIRING, eight_hours * S)


def test_the_brake_for_flapping_survives_a_restart() -> None:
    settings = LifecycleSettings(flap_fires=3, flap_window_ns=3600 * S, flap_calm_ns=600 * S)
    lifecycle = Lifecycle([rule()], settings)
    for at_s in (1000, 1020):
        lifecycle.step([evaluation(at_s, "T")], 0)
        lifecycle.step([evaluation(at_s + 10, "F")], 0)
    assert lifecycle.dump() == []
    lifecycle = restarted(lifecycle, rule(), settings)
    (third,) = lifecycle.step([evaluation(1040, "T")], 0)
    assert third.alert.flapping
    assert lifecycle.step([evaluation(1050, "F")], 0) == []
    (over,) = lifecycle.step([evaluation(1650, "F")], 0)
    assert over.state is AlertState.RESOLVED


def test_the_brake_for_flapping_survives_a_reload() -> None:
    settings = LifecycleSettings(flap_fires=2, flap_window_ns=3600 * S, flap_calm_ns=600 * S)
    lifecycle = Lifecycle([rule()], settings)
    lifecycle.step([evaluation(1000, "T")], 0)
    lifecycle.step([evaluation(1010, "F")], 0)
    lifecycle.replace_rules([rule()])
    (second,) = lifecycle.step([evaluation(1020, "T")], 0)
    assert second.alert.flapping


@pytest.mark.parametrize(("on_unknown", "given_up_after_s"), [("hold", 86_400.0), ("resolve", 300.0), ("fire", None)])
def test_a_restored_alert_whose_series_never_returns(on_unknown: OnUnknown, given_up_after_s: float | None) -> None:
    lost = rule(on_unknown=on_unknown)
    lifecycle = Lifecycle([lost])
    lifecycle.step([evaluation(1000, "T")], 0)
    lifecycle = restarted(lifecycle, lost, seen_s=1000)
    other = [(("base", "OTHER"),)]
    ended = []
    for at_s in range(1010, 1010 + 2 * 86_400, 60):
        ended += [(at_s, t) for t in lifecycle.step([evaluation(at_s, "F", labels=other)], at_s * S)]
    if given_up_after_s is None:
        assert ended == []
        assert [view.state for view in lifecycle.alerts()] == [AlertState.HELD]
        return
    ((at_s, over),) = ended
    assert given_up_after_s <= at_s - 1000 <= given_up_after_s + 130
    assert (over.previous, over.state) == (AlertState.FIRING, AlertState.RESOLVED)
    assert over.reason == "abandoned: no data since 1970-01-01 00:16:40Z"
    assert lifecycle.alerts() == []
    assert lifecycle.changes()[1] == [over.alert.fingerprint]


def test_no_alert_is_given_up_right_after_a_long_downtime() -> None:
    lifecycle = Lifecycle([rule()])
    lifecycle.step([evaluation(1000, "T")], 0)
    lifecycle = restarted(lifecycle, rule(), seen_s=1000)
    back_s = 1000 + 7 * 86_400
    assert lifecycle.step([], back_s * S) == []
    assert lifecycle.step([], (back_s + 299) * S) == []
    (back,) = lifecycle.step([evaluation(back_s + 299, "T")], (back_s + 299) * S)
    assert (back.state, back.alert.starts_at_ns) == (AlertState.FIRING, 1000 * S)


def test_a_pending_alert_whose_series_never_returns_ends_quietly() -> None:
    slow = rule(for_ns=600 * S)
    lifecycle = Lifecycle([slow])
    lifecycle.step([evaluation(1000, "T")], 0)
    lifecycle = restarted(lifecycle, slow, seen_s=1000)
    lifecycle.step([], 2000 * S)
    (gone,) = lifecycle.step([], 90_000 * S)
    assert (gone.previous, gone.state) == (AlertState.PENDING, AlertState.INACTIVE)


def test_an_abandoned_alert_is_told_as_resolved_with_its_reason() -> None:
    lifecycle, router = Lifecycle([rule()]), Router(None, [SinkPolicy("a")])
    e = evaluation(1000, "T")
    router.route(lifecycle.step([e], e.at_ns), e.at_ns)
    told = router.dump()
    lifecycle = restarted(lifecycle, rule(), seen_s=1000)
    router = Router(None, [SinkPolicy("a")])
    router.load(told, lifecycle.alerts(), 2000 * S)
    lifecycle.step([], 2000 * S)
    (planned,) = router.route(lifecycle.step([], 90_000 * S), 90_000 * S)
    assert planned.notification is not None
    assert planned.notification.status == "resolved"
    assert "abandoned: no data since" in planned.notification.text
