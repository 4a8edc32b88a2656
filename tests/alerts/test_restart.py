"""Life cycle and router together over a restart, as the running program restores them."""

from __future__ import annotations

from monitor.alerts.lifecycle import Lifecycle
from monitor.alerts.routing import Router, SinkPolicy
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
