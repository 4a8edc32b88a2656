from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alert import AlertState, SavedAlert, Transition
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.language.template import render
from monitor.reading import Evaluation, Explanation
from tests.alerts.build import S, evaluation, rule

START = 1000.0


def play(lifecycle: Lifecycle, *evaluations: Evaluation) -> list[Transition]:
    return [t for e in evaluations for t in lifecycle.step([e], e.at_ns)]


def told(transitions: list[Transition]) -> list[tuple[str, str, float]]:
    return [(str(t.previous), str(t.state), t.at_ns / S) for t in transitions]


def timeline(lifecycle: Lifecycle, truth: str, *, step_s: float = 1.0, **extra: Any) -> list[tuple[str, str, float]]:
    """One evaluation of one row per character."""
    out: list[Transition] = []
    for number, sign in enumerate(truth):
        each = {name: value[number] for name, value in extra.items()}
        e = evaluation(START + number * step_s, sign, **each)
        out += lifecycle.step([e], e.at_ns)
    return told(out)


def test_without_for_it_fires_on_the_first_true_tick_and_resolves_on_the_first_false() -> None:
    assert timeline(Lifecycle([rule()]), "FTTF") == [
        ("inactive", "firing", 1001),
        ("firing", "resolved", 1003),
    ]


def test_for_needs_the_condition_for_the_whole_time() -> None:
    assert timeline(Lifecycle([rule(for_ns=3 * S)]), "TTFTTTTF") == [
        ("inactive", "pending", 1000),
        ("pending", "inactive", 1002),
        ("inactive", "pending", 1003),
        ("pending", "firing", 1006),
        ("firing", "resolved", 1007),
    ]


def test_for_fires_when_its_time_has_passed_although_no_input_changed() -> None:
    lifecycle = Lifecycle([rule(for_ns=2 * S)])
    play(lifecycle, evaluation(1000, "T"), evaluation(1001, "T"))
    assert told(play(lifecycle, evaluation(1007, "T"))) == [("pending", "firing", 1007)]


def test_the_start_is_the_moment_of_the_market_not_of_our_look() -> None:
    lifecycle = Lifecycle([rule(for_ns=2 * S)])
    (fired,) = play(lifecycle, evaluation(1000, "T"), evaluation(1007, "T"))[1:]
    assert fired.alert.starts_at_ns == 1002 * S
    assert fired.at_ns == 1007 * S


def test_keep_firing_for_resolves_at_exactly_its_end() -> None:
    assert timeline(Lifecycle([rule(keep_firing_for_ns=3 * S)]), "TFFTFFFF") == [
        ("inactive", "firing", 1000),
        ("firing", "resolved", 1007),
    ]


def test_hysteresis_keeps_it_firing_until_the_clear_condition_holds() -> None:
    assert timeline(Lifecycle([rule()]), "TFFFTF", clear="FFFTFT") == [
        ("inactive", "firing", 1000),
        ("firing", "resolved", 1003),
        ("inactive", "firing", 1004),
        ("firing", "resolved", 1005),
    ]


def test_the_duration_of_a_text_counts_from_when_the_condition_became_true() -> None:
    """Found by trying: it said 0 s when a pending alert fired, and nanoseconds for seconds afterwards."""
    lifecycle = Lifecycle([rule(for_ns=60 * S, annotations={"text": "{{ duration }}"})], render=render)
    moved = play(lifecycle, evaluation(1000, "T"), evaluation(1060, "T"), evaluation(1240, "F"))
    assert [t.alert.annotation_map().get("text") for t in moved] == [None, "1m", "4m"]


def test_hysteresis_says_why_it_still_fires() -> None:
    lifecycle = Lifecycle([rule()])
    timeline(lifecycle, "TF", clear="FF")
    assert lifecycle.alerts()[0].reason == "no longer beyond the threshold, but the clear condition does not hold yet"


def test_data_that_vanished_holds_and_never_resolves() -> None:
    lifecycle = Lifecycle([rule()])
    out = play(
        lifecycle,
        evaluation(1000, "T"),
        evaluation(1001, "F", coverage=0.5, value=0.0, reasons={0: "bybit liquidations silent 4m12s"}),
        evaluation(1002, "F", coverage=0.5, value=0.0),
        evaluation(1003, "F", value=0.5),
    )
    assert told(out) == [
        ("inactive", "firing", 1000),
        ("firing", "held", 1001),
        ("held", "resolved", 1003),
    ]
    assert out[1].reason == "held: bybit liquidations silent 4m12s"


def test_held_goes_on_firing_when_the_data_comes_back_and_still_says_so() -> None:
    out = timeline(Lifecycle([rule()]), "T?T")
    assert out == [("inactive", "firing", 1000), ("firing", "held", 1001), ("held", "firing", 1002)]


def test_absence_does_not_fire() -> None:
    assert timeline(Lifecycle([rule()]), "F?T", coverage=[1.0, 0.0, 0.1]) == []


def test_a_lower_bound_above_the_threshold_fires_on_thin_data_and_says_so() -> None:
    (fired,) = play(Lifecycle([rule()]), evaluation(1000, "T", coverage=0.3, lower_bound=True))
    assert fired.state is AlertState.FIRING
    assert fired.alert.lower_bound
    assert fired.alert.coverage == 0.3
    assert fired.reason == "the condition holds on the data that is there; more can only add to it"


def test_the_rule_s_own_coverage_wins_over_the_common_one() -> None:
    low = Lifecycle([rule(min_coverage=0.2)], LifecycleSettings(min_coverage=0.8))
    assert timeline(low, "T", coverage=[0.3]) == [("inactive", "firing", 1000)]
    high = Lifecycle([rule(min_coverage=0.9)], LifecycleSettings(min_coverage=0.1))
    assert timeline(high, "T", coverage=[0.3]) == []


@pytest.mark.parametrize(
    ("on_unknown", "expected"),
    [
        ("hold", [("inactive", "firing", 1000), ("firing", "held", 1001)]),
        ("fire", [("inactive", "firing", 1000)]),
        ("resolve", [("inactive", "firing", 1000), ("firing", "resolved", 1001)]),
    ],
)
def test_on_unknown(on_unknown: str, expected: list[tuple[str, str, float]]) -> None:
    assert timeline(Lifecycle([rule(on_unknown=on_unknown)]), "T?") == expected


def test_on_unknown_fire_fires_on_absence() -> None:
    assert timeline(Lifecycle([rule(on_unknown="fire")]), "F?") == [("inactive", "firing", 1001)]


def test_an_unknown_clear_condition_holds() -> None:
    assert timeline(Lifecycle([rule()]), "TFF", clear=["F", "?", "T"]) == [
        ("inactive", "firing", 1000),
        ("firing", "held", 1001),
        ("held", "resolved", 1002),
    ]


def test_a_pending_alert_does_not_fire_while_nobody_sees_and_needs_enough_of_for_to_be_seen() -> None:
    # 4 of the first 6 s unseen, 80 % wanted: 20 s must pass, of which 16 were seen
    out = timeline(Lifecycle([rule(for_ns=5 * S)]), "T????" + "T" * 30)
    assert out == [("inactive", "pending", 1000), ("pending", "firing", 1020)]


def test_a_ladder_escalates_at_once_in_the_same_alert() -> None:
    lifecycle = Lifecycle([rule(levels=["warning", "critical"], labels={"severity": "ignored"})])
    out = play(
        lifecycle,
        evaluation(1000, "T", level=[0]),
        evaluation(1001, "T", level=[1], value=9.0),
        evaluation(1002, "T", level=[0]),
        evaluation(1003, "F", level=[-1]),
    )
    assert [(str(t.state), t.alert.severity, t.escalation) for t in out] == [
        ("firing", "warning", 0),
        ("firing", "critical", 1),
        ("firing", "warning", -1),
        ("resolved", "warning", 0),
    ]
    assert len({t.alert.fingerprint for t in out}) == 1
    assert len({t.alert.starts_at_ns for t in out}) == 1
    assert ("severity", "critical") in out[1].alert.labels
    assert "escalated from warning to critical" in out[1].reason


def test_a_ladder_comes_down_after_keep_firing_for() -> None:
    lifecycle = Lifecycle([rule(levels=["warning", "critical"], keep_firing_for_ns=2 * S)])
    levels = [1, 0, 1, 0, 0, 0]
    out = [t for n, level in enumerate(levels) for t in play(lifecycle, evaluation(1000 + n, "T", level=[level]))]
    assert [(t.at_ns // S, t.alert.severity) for t in out] == [(1000, "critical"), (1005, "warning")]


def test_flapping_is_braked_and_named() -> None:
    settings = LifecycleSettings(flap_fires=3, flap_window_ns=60 * S, flap_calm_ns=5 * S)
    out = timeline(Lifecycle([rule()], settings), "TFTFTFTFFFFFFF")
    assert out == [
        ("inactive", "firing", 1000),
        ("firing", "resolved", 1001),
        ("inactive", "firing", 1002),
        ("firing", "resolved", 1003),
        ("inactive", "firing", 1004),
        ("firing", "resolved", 1012),
    ]


def test_peak_value_at_recovery_and_duration_are_told_on_resolve() -> None:
    lifecycle = Lifecycle([rule()])
    values = [(2.0, "T"), (7.5, "T"), (3.0, "T"), (0.25, "F")]
    out = [t for n, (v, sign) in enumerate(values) for t in play(lifecycle, evaluation(1000 + n, sign, value=v))]
    resolved = out[-1].alert
    assert (resolved.value, resolved.peak, resolved.duration_ns) == (0.25, 7.5, 3 * S)
    assert resolved.ends_at_ns == 1003 * S


def test_the_peak_of_a_falling_rule_is_its_lowest_value() -> None:
    lifecycle = Lifecycle([rule()])
    values = [(-0.2, "T"), (-0.9, "T"), (-0.1, "T"), (0.5, "F")]
    out = [
        t
        for n, (v, sign) in enumerate(values)
        for t in play(lifecycle, evaluation(1000 + n, sign, value=v, threshold=0.0))
    ]
    assert out[-1].alert.peak == -0.9


def test_labels_and_annotations_are_rendered_and_the_fingerprint_stays() -> None:
    def render(text: str, values: Any) -> str:
        return text.format(**{**values, "base": values["labels"]["base"]})

    lifecycle = Lifecycle(
        [rule(labels={"severity": "critical", "coin": "{base}!"}, annotations={"summary": "{base} at {value}"})],
        render=render,
        explain=lambda name, row: Explanation(largest=f"{name} {row}"),
    )
    fired, resolved = play(lifecycle, evaluation(1000, "T", value=5.0), evaluation(1001, "F", value=0.5))
    assert dict(fired.alert.labels) == {"alertname": "High", "base": "C0", "coin": "C0!", "severity": "critical"}
    assert fired.alert.annotations == (("summary", "C0 at 5.0"),)
    assert resolved.alert.annotations == (("summary", "C0 at 0.5"),)
    assert fired.alert.fingerprint == resolved.alert.fingerprint
    assert fired.alert.severity == "critical"
    assert fired.alert.explanation == Explanation(largest="g/High 0")


def test_not_finite_readings_become_missing() -> None:
    (fired,) = play(Lifecycle([rule()]), evaluation(1000, "T", value=float("nan"), threshold=float("nan")))
    assert (fired.alert.value, fired.alert.threshold, fired.alert.peak) == (None, None, None)


def test_history_that_is_loaded_never_alerts() -> None:
    lifecycle = Lifecycle([rule()])
    e = evaluation(1000, "T")
    assert lifecycle.step([e], e.at_ns, live=False) == []
    assert lifecycle.alerts() == []


def test_new_rows_join_without_disturbing_the_old() -> None:
    lifecycle = Lifecycle([rule(for_ns=2 * S)])
    out = play(lifecycle, evaluation(1000, "T"), evaluation(1001, "TT"), evaluation(1002, "TT"), evaluation(1003, "TT"))
    assert [(t.alert.label("base"), str(t.state), t.at_ns // S) for t in out] == [
        ("C0", "pending", 1000),
        ("C1", "pending", 1001),
        ("C0", "firing", 1002),
        ("C1", "firing", 1003),
    ]


def test_more_alerts_than_the_limit_wait_until_one_ends() -> None:
    """The limit of the rule goes before that of all; who waits is counted, and opens as soon as there is room."""
    for made in (Lifecycle([rule()], LifecycleSettings(max_alerts=2)), Lifecycle([rule(limit=2)])):
        assert len(play(made, evaluation(1000, "TTTT"))) == 2
        assert made.withheld("g/High") == 2
        assert play(made, evaluation(1001, "TTTF")) == []
        assert made.withheld("g/High") == 1
        out = play(made, evaluation(1002, "FTTF"))
        assert [(t.alert.label("base"), str(t.state)) for t in out] == [("C0", "resolved"), ("C2", "firing")]
        assert made.withheld("g/High") == 0


def test_who_waits_for_room_opens_without_a_new_reading() -> None:
    lifecycle = Lifecycle([rule(limit=1)])
    play(lifecycle, evaluation(1000, "FT"))
    play(lifecycle, evaluation(1001, "TT"))
    assert lifecycle.withheld("g/High") == 1
    play(lifecycle, evaluation(1002, "TF"))
    assert [t.alert.label("base") for t in lifecycle.step([], 1004 * S)] == ["C0"]


def restart(lifecycle: Lifecycle, **settings: Any) -> Lifecycle:
    fresh = Lifecycle([rule(**settings)])
    fresh.load(lifecycle.dump())
    return fresh


def test_a_restart_in_the_middle_of_for_goes_on() -> None:
    lifecycle = Lifecycle([rule(for_ns=10 * S)])
    play(lifecycle, evaluation(1000, "T"), evaluation(1004, "T"))
    fresh = restart(lifecycle, for_ns=10 * S)
    out = play(fresh, evaluation(1005, "T"), evaluation(1009, "T"), evaluation(1010, "T"))
    assert told(out) == [("pending", "firing", 1010)]
    assert out[0].alert.active_since_ns == 1000 * S


def test_downtime_is_a_gap_in_for() -> None:
    lifecycle = Lifecycle([rule(for_ns=10 * S)])
    play(lifecycle, evaluation(1000, "T"))
    fresh = restart(lifecycle, for_ns=10 * S)
    out = play(fresh, evaluation(1009, "T"), evaluation(1044, "T"), evaluation(1045, "T"))
    assert told(out) == [("pending", "firing", 1045)]  # 9 s unseen may be a fifth of 45 s


def test_a_restart_does_not_fire_again_and_finds_its_row_by_labels() -> None:
    lifecycle = Lifecycle([rule()])
    (first,) = play(lifecycle, evaluation(1000, "FT"))
    fresh = restart(lifecycle)
    turned = [(("base", "C1"),), (("base", "C0"),)]
    assert told(play(fresh, evaluation(1001, "TF", labels=turned))) == [("held", "firing", 1001)]
    (resolved,) = play(fresh, evaluation(1002, "FF", labels=turned))
    assert resolved.alert.fingerprint == first.alert.fingerprint
    assert resolved.alert.starts_at_ns == 1000 * S


def test_a_restored_alert_whose_data_is_not_back_is_held() -> None:
    lifecycle = Lifecycle([rule()])
    play(lifecycle, evaluation(1000, "T"))
    (view,) = restart(lifecycle).alerts()
    assert view.state is AlertState.HELD


def test_a_restart_keeps_the_hysteresis_latch_and_the_keep_timer() -> None:
    lifecycle = Lifecycle([rule(keep_firing_for_ns=5 * S)])
    play(lifecycle, evaluation(1000, "T", clear="F"), evaluation(1001, "F", clear="F"))
    fresh = restart(lifecycle, keep_firing_for_ns=5 * S)
    out = play(fresh, evaluation(1002, "F", clear="F"), evaluation(1003, "F", clear="T"))
    assert told(out) == [("held", "firing", 1002)]
    again = restart(fresh, keep_firing_for_ns=5 * S)
    assert told(play(again, evaluation(1007, "F", clear="T"), evaluation(1008, "F", clear="T"))) == [
        ("held", "firing", 1007),
        ("firing", "resolved", 1008),
    ]


def test_changes_name_what_to_write_and_what_to_delete() -> None:
    lifecycle = Lifecycle([rule()])
    play(lifecycle, evaluation(1000, "TF"))
    saved, gone = lifecycle.changes()
    assert ([row.view.label("base") for row in saved], gone) == (["C0"], [])
    assert lifecycle.changes() == ([], [])
    play(lifecycle, evaluation(1001, "FF"))
    assert lifecycle.changes() == ([], [saved[0].view.fingerprint])


def test_alerts_of_a_removed_rule_resolve_and_say_so() -> None:
    lifecycle = Lifecycle([rule(), rule("Other")])
    play(lifecycle, evaluation(1000, "T"), evaluation(1000, "T", name="Other"))
    lifecycle.changes()
    lifecycle.replace_rules([rule()])
    (resolved,) = lifecycle.step([], 1001 * S)
    assert (resolved.alert.name, resolved.reason) == ("Other", "the rule was removed")
    assert lifecycle.changes()[1] == [resolved.alert.fingerprint]
    assert [view.name for view in lifecycle.alerts()] == ["High"]


def test_a_reload_keeps_the_alerts_of_a_rule_that_stays() -> None:
    lifecycle = Lifecycle([rule()])
    play(lifecycle, evaluation(1000, "FT"))
    lifecycle.replace_rules([rule(for_ns=60 * S)])
    assert told(play(lifecycle, evaluation(1001, "T", labels=[(("base", "C1"),)]))) == [("held", "firing", 1001)]
    assert told(play(lifecycle, evaluation(1002, "F", labels=[(("base", "C1"),)]))) == [("firing", "resolved", 1002)]


def test_saved_alerts_survive_json() -> None:
    import msgspec

    lifecycle = Lifecycle([rule()], explain=lambda name, row: Explanation(spark=(1.0, float("nan"))))
    play(lifecycle, evaluation(1000, "T", value=float("inf")))
    (saved,) = lifecycle.dump()
    assert msgspec.json.decode(msgspec.json.encode(saved), type=SavedAlert) == saved
    assert replace(saved) == saved


def test_thousands_of_quiet_rows_cost_little() -> None:
    import time

    lifecycle = Lifecycle([rule()])
    quiet = evaluation(1000, "F" * 5000)
    lifecycle.step([quiet], quiet.at_ns)
    begin = time.perf_counter()
    for _ in range(200):
        lifecycle.step([quiet], quiet.at_ns)
    assert (time.perf_counter() - begin) / 200 < 1e-3  # about 20 us on an idle core; the bound only catches a loop


def test_two_rules_with_the_same_labels_make_one_alert_and_a_count_and_the_other_takes_over() -> None:
    """Found by reading: what was kept out once was never looked at again, however long it stayed true."""
    twin = replace(rule(), group="h")
    lifecycle = Lifecycle([rule(), twin])
    first = evaluation(1000, "T")
    second = replace(first, rule="h/High")
    assert len(lifecycle.step([first, second], first.at_ns)) == 1
    assert lifecycle.collided == 1
    still = evaluation(1003, "T")
    assert lifecycle.step([still], still.at_ns) == []
    assert lifecycle.collided == 1, "counted once"
    over = evaluation(1005, "F")
    moved = lifecycle.step([over], over.at_ns)
    assert [(t.alert.rule, str(t.state)) for t in moved] == [("g/High", "resolved"), ("h/High", "firing")]


rows = st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=rows)
def test_many_rows_at_once_equal_each_row_alone(data: st.DataObject, width: int) -> None:
    rules: dict[str, Any] = {
        "for_ns": data.draw(st.sampled_from([0, 2 * S, 3 * S])),
        "keep_firing_for_ns": data.draw(st.sampled_from([0, 2 * S])),
        "on_unknown": data.draw(st.sampled_from(["hold", "fire", "resolve"])),
    }
    length = data.draw(st.integers(1, 25))
    signs = st.text("TF?", min_size=width, max_size=width)
    truths = data.draw(st.lists(signs, min_size=length, max_size=length))
    clears = data.draw(st.none() | st.lists(signs, min_size=length, max_size=length))
    together = Lifecycle([rule(**rules)])
    alone = [Lifecycle([rule(**rules)]) for _ in range(width)]
    for tick, truth in enumerate(truths):
        clear = clears[tick] if clears else None
        e = evaluation(1000 + tick, truth, clear=clear)
        whole = {(t.alert.series, str(t.previous), str(t.state)) for t in together.step([e], e.at_ns)}
        parts = set()
        for row, lifecycle in enumerate(alone):
            one = evaluation(1000 + tick, truth[row], clear=clear[row] if clear else None, labels=[e.labels[row]])
            parts |= {(t.alert.series, str(t.previous), str(t.state)) for t in lifecycle.step([one], one.at_ns)}
        assert whole == parts


def unheld(transitions: list[Transition]) -> list[tuple[str, float]]:
    """Ends and beginnings."""
    return [(new, at) for old, new, at in told(transitions) if new != "held" and (old, new) != ("held", "firing")]


@settings(max_examples=60, deadline=None)
@given(truths=st.lists(st.sampled_from("TF?"), min_size=1, max_size=40), cut=st.integers(0, 40))
def test_a_restart_at_any_tick_changes_nothing_but_that_it_was_held_meanwhile(truths: list[str], cut: int) -> None:
    config: dict[str, Any] = {"for_ns": 2 * S, "keep_firing_for_ns": 2 * S}
    whole = Lifecycle([rule(**config)], LifecycleSettings(flap_fires=0))
    parted = Lifecycle([rule(**config)], LifecycleSettings(flap_fires=0))
    for tick, sign in enumerate(truths):
        if tick == cut:
            saved, parted = parted.dump(), Lifecycle([rule(**config)], LifecycleSettings(flap_fires=0))
            parted.load(saved)
        e = evaluation(1000 + tick, sign)
        assert unheld(whole.step([e], e.at_ns)) == unheld(parted.step([e], e.at_ns))
        assert [v.state for v in whole.alerts()] == [v.state for v in parted.alerts()]


def test_timers_run_on_a_reading_that_does_not_change() -> None:
    """The engine sends only what changed; five minutes of the same answer are still five minutes."""
    lifecycle = Lifecycle([rule(for_ns=300 * S, keep_firing_for_ns=120 * S)])
    assert told(play(lifecycle, evaluation(1000, "T"))) == [("inactive", "pending", 1000)]
    assert lifecycle.step([], 1299 * S) == []
    assert told(lifecycle.step([], 1300 * S)) == [("pending", "firing", 1300)]
    assert play(lifecycle, evaluation(1400, "F")) == []
    assert lifecycle.step([], 1519 * S) == []
    assert told(lifecycle.step([], 1520 * S)) == [("firing", "resolved", 1520)]


def test_the_value_that_ends_an_alert_is_not_its_peak() -> None:
    """``absent(...)`` and ``== 0`` end with a value beyond what they are compared with."""
    lifecycle = Lifecycle([rule()])
    lifecycle.step([evaluation(1, "T", value=0.0, threshold=0.0)], 0)
    (over,) = lifecycle.step([evaluation(2, "F", value=126.0, threshold=0.0)], 0)
    assert (over.alert.value, over.alert.peak) == (126.0, 0.0)


def test_the_words_of_an_alert_follow_its_value_where_people_look() -> None:
    lifecycle = Lifecycle([rule(annotations={"summary": "{{ value | usd }} gone"})], render=render)
    for at, value in ((1000, 2e9), (1010, 3e9)):
        play(lifecycle, evaluation(at, "T", value=value))
    (told_then,), (seen_now,) = lifecycle.alerts(), lifecycle.alerts(worded=True)
    assert (told_then.annotation_map()["summary"], seen_now.annotation_map()["summary"]) == ("2B gone", "3B gone")


def test_rows_that_waited_are_forgotten_when_rows_are_numbered_anew() -> None:
    """Found by reading: numbers of rows that are others now stayed in the count of withheld alerts."""
    lifecycle = Lifecycle([rule(limit=1)])
    play(lifecycle, evaluation(1000, "TTT"))
    assert lifecycle.withheld("g/High") == 2
    play(lifecycle, evaluation(1001, "T"))
    assert lifecycle.withheld("g/High") == 0
    assert [view.series for view in lifecycle.alerts()] == [(("base", "C0"),)]


def test_what_fired_long_ago_is_not_remembered_for_ever() -> None:
    """Found by reading: every row that ever fired stayed in memory and in the state file."""
    lifecycle = Lifecycle([rule()])
    play(lifecycle, evaluation(1000, "TF"), evaluation(1001, "FT"), evaluation(4000, "FF"))
    keys = {fires.id for fires in lifecycle.take_fired()}
    assert len(keys) == 2
    assert lifecycle.forget_fires(4000 * S) == []
    assert set(lifecycle.forget_fires(4601 * S)) == keys
    assert lifecycle.forget_fires(4601 * S) == []
