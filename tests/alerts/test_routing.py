"""Who is told what and when, through the whole router."""

from __future__ import annotations

from dataclasses import replace
from time import process_time
from typing import Any

import pytest
from pydantic import ValidationError

from monitor.alert import AlertState, AlertView, Transition
from monitor.alerts.matchers import parse_matcher
from monitor.alerts.plans import Planned, SinkPolicy
from monitor.alerts.routes import RoutingConfig
from monitor.alerts.routing import Router
from monitor.alerts.silences import Silence
from tests.alerts.build import T0, H, S, alert


def router(routes: Any = None, *sinks: SinkPolicy) -> Router:
    config = RoutingConfig.model_validate(routes if routes is not None else [])
    return Router(config, sinks or (SinkPolicy("a"), SinkPolicy("b")))


def push(target: Router, view: AlertView, at_s: float = 0) -> list[Planned]:
    t = Transition(view, AlertState.INACTIVE, view.state, T0 + round(at_s * S), view.reason)
    return target.route([t], T0 + round(at_s * S))


def later(target: Router, at_s: float) -> list[Planned]:
    return target.due(T0 + round(at_s * S))


def sent(planned: list[Planned]) -> list[tuple[str, str]]:
    return [(p.sink, p.notification.status) for p in planned if p.notification is not None]


def quiet(planned: list[Planned]) -> list[tuple[str, str]]:
    return [(p.sink, p.outcome) for p in planned if p.notification is None]


def resolved(view: AlertView, at_s: float) -> AlertView:
    return replace(view, state=AlertState.RESOLVED, ends_at_ns=T0 + round(at_s * S), updated_ns=T0 + round(at_s * S))


def test_without_routes_every_sink_hears_at_once_and_hears_the_end() -> None:
    r = router()
    assert sent(push(r, alert())) == [("a", "firing"), ("b", "firing")]
    assert sent(push(r, resolved(alert(), 5), 5)) == [("a", "resolved"), ("b", "resolved")]
    assert later(r, 10_000_000) == []


def test_pending_is_not_told() -> None:
    assert push(router(), alert(state=AlertState.PENDING)) == []


def test_severity_picks_the_sink() -> None:
    r = router([{"matchers": ['severity="critical"'], "sinks": ["b"]}, {"matchers": [], "sinks": ["a"]}])
    assert sent(push(r, alert(severity="critical"))) == [("b", "firing")]
    assert sent(push(r, alert("Mild", severity="warning"))) == [("a", "firing")]


def test_continue_goes_on_to_later_siblings_and_a_sink_hears_once() -> None:
    r = router([{"continue": True, "sinks": ["a"]}, {"sinks": ["a", "b"]}])
    assert sent(push(r, alert())) == [("a", "firing"), ("b", "firing")]


def test_nested_routes_inherit() -> None:
    r = router({"root": {"group_wait": "7s"}, "routes": [{"sinks": ["a"], "routes": [{"matchers": {"base": "BTC"}}]}]})
    (step,) = r.explain_route({"alertname": "X", "base": "BTC"}, T0)
    assert (step.path, step.sinks, step.first_after_ns) == ("root/0/0", ("a",), 7 * S)


def test_a_group_waits_then_tells_all_at_once_then_keeps_its_interval() -> None:
    r = router({"root": {"group_by": ["base"], "group_wait": "10s", "group_interval": "60s", "sinks": ["a"]}})
    assert push(r, alert("One", base="BTC")) == []
    assert push(r, alert("Two", base="BTC"), 3) == []
    (first,) = later(r, 10)
    assert first.notification is not None
    assert [a.name for a in first.notification.alerts] == ["One", "Two"]
    assert first.notification.group_labels == (("base", "BTC"),)
    assert push(r, alert("Three", base="BTC"), 20) == []
    assert later(r, 69) == []
    (second,) = later(r, 70)
    assert second.fingerprints == (alert("Three", base="BTC").fingerprint,)
    assert second.notification is not None
    assert len(second.notification.alerts) == 3


def test_what_comes_and_goes_within_the_wait_is_not_told_but_recorded() -> None:
    r = router({"root": {"group_wait": "10s", "sinks": ["a"]}})
    push(r, alert())
    push(r, resolved(alert(), 5), 5)
    assert quiet(later(r, 10)) == [("a", "unannounced")]


def test_repeat_after_its_interval_with_a_new_key() -> None:
    r = router({"root": {"repeat_interval": "1h", "sinks": ["a"]}})
    (first,) = push(r, alert())
    assert later(r, 3599) == []
    (again,) = later(r, 3600)
    assert again.notification is not None
    assert first.notification is not None
    assert again.notification.status == "repeat"
    assert again.notification.key != first.notification.key
    assert sent(later(r, 7200)) == [("a", "repeat")]


def test_held_is_told_when_it_lasts_and_the_return_only_if_it_was_told() -> None:
    r = router(None, SinkPolicy("a"))
    push(r, alert())
    assert push(r, alert(state=AlertState.HELD, at_s=10), 10) == []
    assert push(r, alert(at_s=20), 20) == []
    assert push(r, alert(state=AlertState.HELD, at_s=30), 30) == []
    assert sent(later(r, 90)) == [("a", "held")]
    assert sent(push(r, alert(at_s=100), 100)) == [("a", "firing")]


def test_escalation_is_told_in_the_same_alert() -> None:
    r = router(None, SinkPolicy("a"))
    (first,) = push(r, alert(severity="warning", ladder=True))
    (second,) = push(r, alert(severity="critical", ladder=True, at_s=1), 1)
    (third,) = push(r, alert(severity="warning", ladder=True, at_s=2), 2)
    assert sent([first, second, third]) == [("a", "firing"), ("a", "escalated"), ("a", "deescalated")]
    assert first.fingerprints == second.fingerprints == third.fingerprints


def test_escalation_into_another_route_tells_the_new_sink_and_ends_for_both() -> None:
    r = router([{"matchers": ['severity="critical"'], "sinks": ["b"]}, {"sinks": ["a"]}])
    assert sent(push(r, alert(severity="warning", ladder=True))) == [("a", "firing")]
    assert sent(push(r, alert(severity="critical", ladder=True, at_s=1), 1)) == [("a", "escalated"), ("b", "firing")]
    end = resolved(alert(severity="critical", ladder=True), 2)
    assert sent(push(r, end, 2)) == [("a", "resolved"), ("b", "resolved")]


def silence(until_s: float, *matchers: str) -> Silence:
    return Silence("s1", tuple(map(parse_matcher, matchers)), T0, T0 + round(until_s * S), "ann", "maintenance")


def test_a_silence_keeps_quiet_says_why_and_tells_when_it_ends() -> None:
    r = router(None, SinkPolicy("a"))
    r.silence(silence(100, 'base=~"BTC|ETH"'), T0)
    planned = push(r, alert(base="BTC"), 1)
    assert quiet(planned) == [("a", "silenced")]
    assert "ann" in planned[0].reason
    assert sent(push(r, alert(base="SOL"), 1)) == [("a", "firing")]
    assert later(r, 99) == []
    assert sent(later(r, 100)) == [("a", "firing")]


def test_a_silence_does_not_hide_the_end_of_what_was_announced() -> None:
    r = router(None, SinkPolicy("a"))
    push(r, alert())
    r.silence(silence(100, "alertname=High"), T0)
    assert sent(push(r, resolved(alert(), 5), 5)) == [("a", "resolved")]


def test_expiring_a_silence_by_hand_tells_at_once() -> None:
    r = router(None, SinkPolicy("a"))
    r.silence(silence(100, "alertname=High"), T0)
    push(r, alert(), 1)
    assert r.expire_silence("s1", T0 + 2 * S)
    assert sent(later(r, 2)) == [("a", "firing")]
    assert not r.expire_silence("s1", T0 + 2 * S)


def test_acknowledged_means_no_repeats_until_it_expires_and_then_a_reminder() -> None:
    r = router({"root": {"repeat_interval": "10m"}}, SinkPolicy("a"))
    push(r, alert())
    assert r.acknowledge(alert().fingerprint, "bob", T0 + S, 3600 * S)
    assert later(r, 3600) == []
    (reminder,) = later(r, 3601)
    assert "bob" in reminder.reason
    assert sent([reminder]) == [("a", "repeat")]


def test_acknowledged_still_hears_an_escalation_and_the_end() -> None:
    r = router(None, SinkPolicy("a"))
    view = alert(severity="warning", ladder=True)
    push(r, view)
    r.acknowledge(view.fingerprint, "bob", T0)
    assert sent(push(r, alert(severity="critical", ladder=True, at_s=1), 1)) == [("a", "escalated")]
    assert sent(push(r, resolved(view, 2), 2)) == [("a", "resolved")]
    assert r.acknowledgements() == []


def test_only_active_alerts_can_be_acknowledged() -> None:
    assert not router().acknowledge("00", "bob", T0)


def test_inhibition_while_the_source_fires_with_equal_labels() -> None:
    r = router(
        {"inhibit": [{"source": ["alertname=VenueDown"], "target": ["alertname=High"], "equal": ["venue"]}]},
        SinkPolicy("a"),
    )
    down = alert("VenueDown", venue="okx")
    push(r, down)
    assert quiet(push(r, alert(venue="okx"), 1)) == [("a", "inhibited")]
    assert sent(push(r, alert(venue="bybit"), 1)) == [("a", "firing")]
    push(r, resolved(down, 2), 2)
    assert sent(later(r, 7)) == [("a", "firing")]


def test_mute_times_in_their_time_zone() -> None:
    night = {"times": [{"start_time": "00:00", "end_time": "07:00"}], "location": "Europe/Berlin"}
    r = router({"root": {"mute_times": ["night"]}, "mute_times": {"night": [night]}}, SinkPolicy("a"))
    assert quiet(push(r, alert(), 0)) == [("a", "muted")]  # 01:00 in Berlin
    assert later(r, 6 * 3600 - 60) == []  # 06:59
    assert sent(later(r, 6 * 3600 + 60)) == [("a", "firing")]


def test_active_times_are_the_reverse() -> None:
    office = {"weekdays": ["monday:friday"], "times": [{"start_time": "09:00", "end_time": "17:00"}]}
    r = router({"root": {"active_times": ["office"]}, "mute_times": {"office": [office]}}, SinkPolicy("a"))
    assert quiet(push(r, alert(), 0)) == [("a", "muted")]
    assert sent(later(r, 9 * 3600)) == [("a", "firing")]


def test_a_sink_with_a_severity_takes_only_worse() -> None:
    r = router(None, SinkPolicy("a"), SinkPolicy("pager", min_severity="critical"))
    planned = push(r, alert(severity="warning"))
    assert sent(planned) == [("a", "firing")]
    assert quiet(planned) == [("pager", "below_severity")]


def test_a_storm_becomes_one_digest_that_fits_with_the_worst_first() -> None:
    r = router(None, SinkPolicy("tg", per_minute=20, burst=5, max_chars=4096), SinkPolicy("log"))
    planned: list[Planned] = []
    for n in range(1000):
        severity = "critical" if n == 777 else "warning"
        planned += push(r, alert(f"Rule{n}", severity=severity, base=f"COIN{n}"), n / 1000)
    assert sum(p.sink == "log" for p in planned) == 1000
    assert sum(p.sink == "tg" for p in planned) == 5
    (digest,) = later(r, 3)
    note = digest.notification
    assert note is not None
    assert (note.status, note.total, len(note.alerts)) == ("digest", 995, 995)
    assert note.alerts[0].name == "Rule777"
    assert len(note.text) <= 4096
    assert note.text.splitlines()[0] == "995 firing (1 critical, 994 warning)"
    assert note.text.splitlines()[1].startswith("FIRING [critical] Rule777")
    assert note.text.splitlines()[-1].endswith("more")


def test_what_fires_and_ends_within_a_storm_is_in_the_digest_as_ended() -> None:
    r = router(None, SinkPolicy("tg", per_minute=1, burst=1))
    push(r, alert("First"))
    push(r, alert("Short"), 0.1)
    push(r, resolved(alert("Short"), 0.5), 0.5)
    (digest,) = later(r, 3)
    assert digest.notification is not None
    assert [(a.name, str(a.state)) for a in digest.notification.alerts] == [("Short", "resolved")]


def test_heartbeat_once_per_interval_with_a_key_of_its_slot() -> None:
    r = router({"heartbeat": {"sinks": ["a"], "interval": "1m"}}, SinkPolicy("a"))
    (first,) = later(r, 0)
    assert later(r, 59) == []
    (second,) = later(r, 60)
    assert first.notification is not None
    assert second.notification is not None
    assert first.notification.status == "heartbeat"
    assert first.notification.key != second.notification.key
    assert first.notification.alerts[0].name == "MonitorHeartbeat"


def reborn(r: Router, alerts: list[AlertView], at_s: float, routes: Any = None) -> Router:
    fresh = router(routes, SinkPolicy("a"))
    fresh.load(r.dump(), alerts, T0 + round(at_s * S))
    return fresh


def test_a_restart_tells_nothing_twice() -> None:
    r = router(None, SinkPolicy("a"))
    push(r, alert())
    fresh = reborn(r, [alert()], 5)
    assert later(fresh, 5) == []
    assert sent(push(fresh, resolved(alert(), 6), 6)) == [("a", "resolved")]


def test_a_restart_tells_what_was_not_told_with_the_same_key() -> None:
    r = router(None, SinkPolicy("a"))
    (lost,) = push(r, alert())
    fresh = router(None, SinkPolicy("a"))
    fresh.load([], [alert(at_s=5)], T0 + 9 * S)
    (again,) = later(fresh, 9)
    assert lost.notification is not None
    assert again.notification is not None
    assert again.notification.key == lost.notification.key


def test_what_ended_unannounced_before_a_restart_is_called_off() -> None:
    r = router(None, SinkPolicy("a"))
    push(r, alert())
    assert sent(later(reborn(r, [], 5), 5)) == [("a", "resolved")]


def test_silences_and_acknowledgements_survive_a_restart() -> None:
    r = router(None, SinkPolicy("a"))
    push(r, alert())
    r.silence(silence(1000, "base=BTC"), T0)
    r.acknowledge(alert().fingerprint, "bob", T0, 500 * S)
    fresh = reborn(r, [alert()], 5)
    assert [s.id for s in fresh.silences(T0 + 5 * S)] == ["s1"]
    assert [a.by for a in fresh.acknowledgements()] == ["bob"]


def test_changes_are_handed_out_once_and_cover_deletion() -> None:
    r = router(None, SinkPolicy("a"))
    push(r, alert())
    saved, gone = r.changes()
    assert ([row.kind for row in saved], gone) == (["told"], [])
    assert r.changes() == ([], [])
    push(r, resolved(alert(), 1), 1)
    assert r.changes() == ([], [("told", f"a/{alert().fingerprint}")])


def test_a_sink_lists_what_it_was_told_and_is_not_over() -> None:
    r = router([{"matchers": ["severity=critical"], "sinks": ["b"]}, {"sinks": ["a"]}])
    push(r, alert(severity="critical"))
    push(r, alert("Mild", severity="info"))
    assert [view.name for view in r.active_for("b")] == ["High"]
    push(r, resolved(alert(severity="critical"), 1), 1)
    assert r.active_for("b") == []


def test_explaining_a_route_says_what_keeps_quiet() -> None:
    r = router(None, SinkPolicy("a"), SinkPolicy("pager", min_severity="critical"))
    r.silence(silence(100, "base=BTC"), T0)
    (step,) = r.explain_route({"alertname": "X", "base": "BTC", "severity": "warning"}, T0 + S)
    assert any("silenced" in note for note in step.notes)
    assert any("takes critical" in note for note in step.notes)


@pytest.mark.parametrize(
    "wrong",
    [
        [{"matchers": ["severity = = x"]}],
        [{"matchers": ['base=~"("']}],
        [{"group_wait": "soon"}],
        [{"sink": ["a"]}],
        {"root": {"mute_times": ["nights"]}},
        {"root": {"repeat_interval": "0"}},
        {"heartbeat": {"sinks": ["a"], "interval": "0s"}},
        {"heartbeat": {"sinks": ["a"], "interval": "20ms"}},
        {"mute_times": {"n": [{"location": "Mars/Base"}]}},
        {"mute_times": {"n": [{"weekdays": ["funday"]}]}},
    ],
)
def test_wrong_routes_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        RoutingConfig.model_validate(wrong)


@pytest.mark.parametrize(
    ("matchers", "meant"),
    [
        (['severty="critical"'], "severity"),
        (['severity="critcal"'], "critical"),
        (['severity=~"critical|warnning"'], "warning"),
        ({"Severity": "critical"}, "severity"),
        (['alert_name="X"'], "alertname"),
    ],
)
def test_a_slip_that_would_keep_a_route_from_ever_taking_an_alert_is_refused(matchers: Any, meant: str) -> None:
    with pytest.raises(ValidationError, match=f"did you mean '{meant}'"):
        RoutingConfig.model_validate([{"matchers": matchers, "sinks": ["pager"]}])


@pytest.mark.parametrize(
    "matcher", ['severity=~"crit.*|P[12]"', 'severity!=""', "severity=P1", "team=alerts", 'base=~".*"']
)
def test_a_matcher_of_somebodys_own_words_is_taken(matcher: str) -> None:
    (route,) = RoutingConfig.model_validate([{"matchers": [matcher]}]).routes
    assert route.matchers == (parse_matcher(matcher),)


def test_a_restart_waits_for_data_before_it_tells_of_a_held_alert() -> None:
    from monitor.alerts.ends import AWAITED

    r = router(None, SinkPolicy("a"))
    push(r, alert())
    awaited = replace(alert(), state=AlertState.HELD, reason=AWAITED)
    fresh = reborn(r, [awaited], 7200)
    assert later(fresh, 7200) == []
    assert push(fresh, alert(at_s=7201), 7201) == []
    lost = reborn(r, [awaited], 7200)
    later(lost, 7200)
    assert sent(later(lost, 7260)) == [("a", "held")]


def test_whom_the_worse_was_told_is_told_that_it_is_milder_and_that_it_is_over() -> None:
    """Found by reading: an incident at a pager that takes critical alerts only stayed open for ever."""
    r = router(None, SinkPolicy("pager", min_severity="critical"))
    assert quiet(push(r, alert(severity="warning", ladder=True))) == [("pager", "below_severity")]
    assert sent(push(r, alert(severity="critical", ladder=True, at_s=1), 1)) == [("pager", "firing")]
    assert sent(push(r, alert(severity="warning", ladder=True, at_s=2), 2)) == [("pager", "deescalated")]
    assert sent(later(r, 5 * 3600)) == [], "what is too mild for it is not repeated"
    end = resolved(alert(severity="warning", ladder=True), 5 * 3600 + 1)
    assert sent(push(r, end, 5 * 3600 + 1)) == [("pager", "resolved")]
    assert not r._alerts
    assert not r._told


def test_inhibition_of_a_storm_looks_at_each_alert_once() -> None:
    """Twenty thousand alerts that another one keeps quiet: it took a look at every other alert for each of them."""
    inhibit = [{"source": ['severity="critical"'], "target": ['severity="warning"'], "equal": ["base"]}]
    r = router({"inhibit": inhibit}, SinkPolicy("a"))
    storm = [alert(f"Low{n}", severity="warning", base=str(n)) for n in range(3000)]
    source = alert("Crash", severity="critical", base="7")
    t = [Transition(view, AlertState.INACTIVE, view.state, T0, view.reason) for view in (source, *storm)]
    began_s = process_time()
    planned = r.route(t, T0)
    taken_s = process_time() - began_s
    assert quiet(planned) == [("a", "inhibited")]
    assert len(sent(planned)) == 3000
    assert taken_s < 3, "it was a minute"
    assert sent(push(r, resolved(source, 1), 1)) == [("a", "resolved")]
    assert sent(later(r, 10)) == [("a", "firing")], "nobody keeps it quiet any more"


def test_when_something_is_due_is_known_without_a_look_at_every_group() -> None:
    r = router([{"group_by": ["base"], "group_wait": "30s"}], SinkPolicy("a"))
    assert r.next_due_ns() > T0 + H
    push(r, alert(base="BTC"))
    assert r.next_due_ns() == T0 + 30 * S
    push(r, alert(base="ETH", at_s=1), 1)
    assert r.next_due_ns() == T0 + 30 * S
    assert len(sent(later(r, 30))) == 1
    assert r.next_due_ns() == T0 + 31 * S
    r._groups = {}
    assert r.next_due_ns() == T0 + 31 * S, "remembered"


def test_an_acknowledgement_of_an_alert_that_is_gone_is_forgotten_at_the_start() -> None:
    r = router(None, SinkPolicy("a"))
    view = alert()
    push(r, view)
    assert r.acknowledge(view.fingerprint, "ann", T0)
    records = [record for record in r.dump() if record.kind == "ack"]
    after = router(None, SinkPolicy("a"))
    after.load(records, [view], T0)
    assert len(after.acknowledgements()) == 1
    gone = router(None, SinkPolicy("a"))
    gone.load(records, [], T0)
    assert gone.acknowledgements() == []
    assert ("ack", view.fingerprint) in gone.changes()[1]


@pytest.mark.parametrize("digest", [False, True])
def test_title_and_text_fit_the_channel_together_so_that_the_count_of_the_rest_is_not_cut_off(digest: bool) -> None:
    policy = SinkPolicy("a", per_minute=1.0 if digest else None, burst=1, max_chars=500)
    r = router([{"group_by": []}], policy)
    views = [alert(f"Rather{n}LongName", severity="critical", base=f"COIN{n}") for n in range(60)]
    if digest:
        push(r, alert("First"))
    t = [Transition(view, AlertState.INACTIVE, view.state, T0, view.reason) for view in views]
    note = next(p.notification for p in [*r.route(t, T0 + S), *later(r, 100)] if p.notification is not None)
    assert note.text.splitlines()[-1].startswith("... and ")
    assert len(f"**{note.title}**\n{note.text}") <= policy.max_chars
