"""The clock was an hour fast, the process was killed, and the clock is right again: nothing may be mute for an hour."""

from __future__ import annotations

from monitor.alert import AlertState, AlertView, Transition
from monitor.alerts.lifecycle import Lifecycle
from monitor.alerts.plans import Planned, SinkPolicy
from monitor.alerts.routes import RoutingConfig
from monitor.alerts.routing import Router
from monitor.alerts.setback import LEAD_NS, come, come_alert
from tests.alerts.build import T0, H, S, alert, evaluation, rule

ROUTES = [{"sinks": ["a"], "group_by": ["severity"], "group_wait": "0s", "group_interval": "10s"}]


def router(routes: object = ROUTES, *, per_minute: float | None = None) -> Router:
    return Router(RoutingConfig.model_validate(routes), [SinkPolicy("a", per_minute=per_minute, burst=1)])


def push(target: Router, view: AlertView, now_ns: int) -> list[str]:
    return said(target.route([Transition(view, AlertState.INACTIVE, view.state, now_ns, view.reason)], now_ns))


def said(planned: list[Planned]) -> list[str]:
    return [p.notification.status for p in planned if p.notification is not None]


def test_what_lies_a_little_ahead_is_the_markets_time_and_stays() -> None:
    assert come(T0 + LEAD_NS, T0) == T0 + LEAD_NS
    assert come(T0 + LEAD_NS + 1, T0) == T0
    assert come(0, T0) == 0


def test_a_group_that_told_something_in_an_hour_tells_what_is_new_after_its_interval() -> None:
    fast, first = router(), alert(starts_s=3600, at_s=3600)
    assert push(fast, first, T0 + H) == ["firing"]
    slow = router()
    slow.load(fast.dump(), [first], T0)
    push(slow, alert("Other"), T0 + S)
    assert said(slow.due(T0 + 9 * S)) == []
    assert said(slow.due(T0 + 10 * S)) == ["firing"]


def test_a_repeat_is_due_an_interval_after_the_restart() -> None:
    fast, first = router([{"sinks": ["a"], "repeat_interval": "1h"}]), alert(starts_s=7200, at_s=7200)
    assert push(fast, first, T0 + 2 * H) == ["firing"]
    slow = router([{"sinks": ["a"], "repeat_interval": "1h"}])
    slow.load(fast.dump(), [first], T0)
    assert said(slow.due(T0 + H - S)) == []
    assert said(slow.due(T0 + H)) == ["repeat"]


def test_a_storm_s_next_digest_does_not_wait_for_the_old_time() -> None:
    fast, views = router([], per_minute=1), [alert(f"Rule{n}", starts_s=3600, at_s=3600) for n in range(3)]
    assert [push(fast, view, T0 + H) for view in views] == [["firing"], [], []]
    assert said(fast.due(T0 + H + 3 * S)) == ["digest"]
    slow = router([], per_minute=1)
    slow.load(fast.dump(), views, T0)
    push(slow, alert("New"), T0 + S)
    assert said(slow.due(T0 + 31 * S)) == ["digest"]


def test_a_for_that_began_in_an_hour_begins_with_the_restart() -> None:
    patient = rule(for_ns=10 * S)
    fast = Lifecycle([patient])
    fast.step([evaluation(3600, "T")], 3600 * S)
    slow = Lifecycle([patient])
    slow.load([come_alert(saved, 100 * S) for saved in fast.dump()], come(3600 * S, 100 * S))
    assert slow.step([evaluation(101, "T")], 101 * S) == []
    (fired,) = slow.step([evaluation(110, "T")], 110 * S)
    assert (fired.state, fired.alert.starts_at_ns) == (AlertState.FIRING, 110 * S)


def test_what_fires_keeps_the_start_by_which_receivers_know_it() -> None:
    fast = Lifecycle([rule()])
    fast.step([evaluation(3600, "T")], 3600 * S)
    (saved,) = (come_alert(saved, 100 * S) for saved in fast.dump())
    assert (saved.view.starts_at_ns, saved.view.updated_ns, saved.seen_ns) == (3600 * S, 100 * S, 100 * S)


def test_an_alert_of_before_never_ends_before_it_began() -> None:
    fast = Lifecycle([rule()])
    fast.step([evaluation(3600, "T")], 3600 * S)
    kept = [come_alert(saved, 100 * S) for saved in fast.dump()]
    seen, gone = Lifecycle([rule()]), Lifecycle([])
    for slow in (seen, gone):
        slow.load(kept, 100 * S)
    *_, cleared = seen.step([evaluation(110, "F")], 110 * S)
    (removed,) = gone.step([], 110 * S)
    for ended in (cleared.alert, removed.alert):
        assert (ended.state, ended.ends_at_ns) == (AlertState.RESOLVED, ended.starts_at_ns)
        assert (ended.duration_ns, ended.going_on_ns >= 0) == (0, True)


def test_what_ended_while_nobody_could_say_so_does_not_end_before_it_began() -> None:
    fast, first = router(), alert(starts_s=3600, at_s=3600)
    push(fast, first, T0 + H)
    slow = router()
    slow.load(fast.dump(), [], T0)
    ends = [v for p in slow.due(T0 + 10 * S) if p.notification is not None for v in p.notification.alerts]
    assert [(view.state, view.ends_at_ns) for view in ends] == [(AlertState.RESOLVED, first.starts_at_ns)]
