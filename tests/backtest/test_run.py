"""The driver against answers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_struct

from monitor.alert import AlertState
from monitor.backtest.ask import Answer, Ask, answer, default_grid_ns, reach
from monitor.backtest.history import Stretch
from monitor.backtest.run import Lane, chosen, drive
from monitor.backtest.sweep import parse_sweep
from monitor.clock import NS_PER_S
from monitor.errors import ConfigError
from monitor.events import Channel, Event, FeedGap
from tests.backtest.scene import (
    CONFIG,
    RULES,
    START_NS,
    Script,
    TinyHistory,
    at,
    cascade,
    feeds,
    liquidation,
    loaded,
    price,
)

HOUR_NS = 3600 * NS_PER_S


def ran(folder: Path, history: TinyHistory | None = None, ask: Ask | None = None, **texts: str) -> Answer:
    return answer(loaded(folder, **texts), history or TinyHistory(cascade()), ask or Ask())


def moments(found: Answer, name: str) -> list[tuple[str, float, str]]:
    """(labels, seconds, state) of every moment of a rule's alerts."""
    rule = next(rule for rule in found.report.rules if rule.rule.name == name)
    return [
        (dict(episode.labels).get("base", ""), (moment.at_ns - START_NS) / NS_PER_S, str(moment.state))
        for episode in rule.episodes
        for moment in episode.moments
    ]


def test_every_moment_is_where_it_must_be(tmp_path: Path) -> None:
    found = ran(tmp_path)
    # 140k from 80 s on; 80k when the first 60k leave (70 + 60). `for` is 10 s.
    assert moments(found, "MinuteOver100k") == [("", 80, "pending"), ("", 90, "firing"), ("", 130, "resolved")]
    # BTC alone: 60k at 70 s, 120k at 80 s, 60k at 130 s, 0 at 140 s. ETH never reaches 50k.
    assert moments(found, "Coin") == [("BTC", 70, "firing"), ("BTC", 140, "resolved")]
    assert moments(found, "NeverTrue") == []


def test_peak_duration_contributors_and_words(tmp_path: Path) -> None:
    rules = ran(tmp_path).report.rules
    (episode,) = rules[0].episodes
    assert episode.peak == 140_000
    assert episode.firing_ns(at(240)) == 40 * NS_PER_S
    assert episode.summary == "140k in a minute"
    assert [(dict(part.labels)["base"], part.value) for part in episode.contributors] == [
        ("BTC", 120_000),
        ("ETH", 20_000),
    ]
    assert rules[0].firing_ns == 40 * NS_PER_S
    assert (rules[0].dropped, rules[0].held, rules[0].resolved) == (0, 0, 1)


def test_the_greatest_value_is_at_least_what_an_alert_told_between_two_samples(tmp_path: Path) -> None:
    rule = ran(tmp_path).report.rules[0]
    rule.watch.low, rule.watch.high = 20_000.0, 90_000.0
    assert rule.extremes == (20_000, 140_000)
    rule.watch.low = rule.watch.high = math.nan
    assert rule.extremes[1] == 140_000


def test_the_value_at_recovery_is_that_of_the_moment_even_if_only_a_timer_ended_the_alert(tmp_path: Path) -> None:
    rules = RULES.replace("for: 10s\n", "for: 10s\n        keep_firing_for: 20s\n")
    (episode,) = ran(tmp_path, rules=rules).report.rules[0].episodes
    # False at 130 s with 80k in the window; called off at 150 s, when the window is empty.
    assert [(moment.at_ns, moment.value) for moment in episode.moments[1:]] == [(at(90), 140_000), (at(150), 0)]


def test_what_would_have_been_sent_follows_routes_and_sinks(tmp_path: Path) -> None:
    report = ran(tmp_path).report
    told = [((m.at_ns - START_NS) / NS_PER_S, m.sink, m.outcome, m.status) for m in report.messages]
    assert told == [
        (70, "screen", "send", "firing"),
        (70, "file", "below_severity", ""),
        (90, "screen", "send", "firing"),
        (90, "file", "send", "firing"),
        (130, "screen", "send", "resolved"),
        (130, "file", "send", "resolved"),
        (140, "screen", "send", "resolved"),
        (140, "file", "unannounced", ""),
    ]
    assert [(rule.rule.name, rule.sent) for rule in report.rules] == [
        ("MinuteOver100k", 4),
        ("Coin", 2),
        ("NeverTrue", 0),
    ]


def test_a_mute_time_and_a_group_are_honoured(tmp_path: Path) -> None:
    routes = """
routes:
  root: {sinks: [screen], group_by: [alertname], group_wait: 5s}
  routes:
    - {matchers: ['severity="critical"'], mute_times: [early]}
  mute_times:
    early: [{times: [{start_time: "05:00", end_time: "06:00"}]}]
"""
    report = ran(tmp_path, config=CONFIG + routes).report
    told = [((m.at_ns - START_NS) / NS_PER_S, m.outcome) for m in report.messages]
    assert told[:2] == [(75, "send"), (95, "muted")]  # both groups wait for 5 s
    assert "send" not in [outcome for second, outcome in told if second in (95, 135)]


def test_heartbeats_are_not_counted_among_notifications(tmp_path: Path) -> None:
    routes = "routes: {heartbeat: {sinks: [screen], interval: 10s}}\n"
    found = ran(tmp_path, config=CONFIG + routes).report.messages
    assert found
    assert {message.status for message in found if message.outcome == "send"} == {"firing", "resolved"}


def test_an_alert_is_held_while_the_feed_is_gone_and_resolves_when_enough_is_seen_again(tmp_path: Path) -> None:
    script = [*cascade(), (100, feeds(100, up=False)), (150, feeds(150, up=True))]
    found = ran(tmp_path, TinyHistory(script, end_s=300))
    # At 130 s the sum falls to 80k, but only 30 of the 60 seconds were seen. From 198 s on, 12 of 60 are missing: 80 %.
    assert moments(found, "MinuteOver100k") == [
        ("", 80, "pending"), ("", 90, "firing"), ("", 130, "held"), ("", 198, "resolved"),
    ]  # fmt: skip
    (episode,) = found.report.rules[0].episodes
    assert episode.held(at(300)) == [(at(130), at(198))]
    live = found.report.run.liveness
    assert {key[0]: live.share(key, found.report.stretch) for key in live.spans} == {"okx": pytest.approx(250 / 300)}


def test_what_begins_at_the_last_instant_lasts_for_no_time_and_not_for_less(tmp_path: Path) -> None:
    """The last instant of a coarse grid lies behind the end."""
    found = ran(tmp_path, TinyHistory(cascade(), end_s=70.5), ask=Ask(grid_ns=20 * NS_PER_S))
    assert moments(found, "Coin") == [("BTC", 80, "firing")]
    (episode,) = found.report.rules[1].episodes
    assert episode.firing_ns(found.report.stretch.end_ns) == 0
    script = [*cascade(), (100, feeds(100, up=False))]
    found = ran(tmp_path, TinyHistory(script, end_s=130.5), ask=Ask(grid_ns=20 * NS_PER_S))
    assert moments(found, "MinuteOver100k")[-1] == ("", 140, "held")
    (episode,) = found.report.rules[0].episodes
    assert episode.held(found.report.stretch.end_ns) == [(at(140), at(140))]


def test_an_alert_that_still_fires_at_the_end_is_open(tmp_path: Path) -> None:
    found = ran(tmp_path, TinyHistory(cascade(), end_s=100))
    (episode,) = found.report.rules[0].episodes
    assert (episode.state, episode.end_ns, episode.firing_ns(at(100))) == (AlertState.FIRING, None, 10 * NS_PER_S)


def test_a_pending_alert_that_never_fires_is_dropped_and_told_to_nobody(tmp_path: Path) -> None:
    found = ran(tmp_path, rules=RULES.replace("for: 10s", "for: 10m"))
    rule = found.report.rules[0]
    assert (rule.dropped, len(rule.fired), rule.sent) == (1, 0, 0)
    assert moments(found, "MinuteOver100k")[-1] == ("", 130, "inactive")


def test_windows_are_filled_before_the_stretch_and_what_is_true_at_its_start_is_news_there(tmp_path: Path) -> None:
    found = ran(tmp_path, ask=Ask(start_ns=at(100)))
    assert found.report.run.warm_from_ns == at(40)  # the longest window is one minute
    assert moments(found, "Coin") == [("BTC", 100, "firing"), ("BTC", 140, "resolved")]


def test_a_rule_is_warm_when_it_has_seen_enough_of_its_window(tmp_path: Path) -> None:
    script: Script = [(0, feeds(10, up=True)), (70, [liquidation(70, 60_000)])]
    found = ran(tmp_path, TinyHistory(script, end_s=120))
    # Live from 10 s on: 48 of 60 seconds are 80 %. By coin there is nothing to decide about before the first coin.
    assert [rule.watch.warm_ns for rule in found.report.rules] == [at(58), at(70), at(58)]
    assert 0.4 < found.report.rules[0].known_ratio < 0.6


def test_without_any_liveness_a_rule_never_decides(tmp_path: Path) -> None:
    found = ran(tmp_path, TinyHistory([(1, [liquidation(1, 10)])], end_s=120))
    assert [rule.watch.warm_ns for rule in found.report.rules] == [None] * 3


def test_only_the_asked_rules_run(tmp_path: Path) -> None:
    found = ran(tmp_path, ask=Ask(rules=("tiny/Coin",)))
    assert [rule.rule.name for rule in found.report.rules] == ["Coin"]


def test_recordings_that_a_rule_reads_come_with_it_and_others_do_not(tmp_path: Path) -> None:
    rules = """
groups:
  - name: r
    rules:
      - {record: "a:x", expr: "sum(liquidations[1m])"}
      - {record: "a:y", expr: "a:x * 2"}
      - {record: "a:z", expr: "sum(liquidations[2m])"}
      - {alert: A, expr: "a:y > 100k"}
"""
    one = chosen(loaded(tmp_path, rules), ["A"])
    assert [recording.name for recording in one.rules.recordings] == ["a:x", "a:y"]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (Ask(rules=("Coyn",)), "no rule 'Coyn'"),
        (Ask(rules=("Coin",), reference="Xyz", sweep=parse_sweep("limit=1M..2M")), "no rule 'Xyz'"),
        (Ask(rules=("Coin",), reference="Coin"), "a reference is for a sweep"),
        (Ask(start_ns=at(500)), "nothing was recorded in this stretch"),
        (Ask(start_ns=at(50), end_ns=at(40)), "it ends before it begins"),
    ],
)
def test_wrong_questions_are_refused(tmp_path: Path, ask: Ask, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ran(tmp_path, ask=ask)


def test_the_grid_does_not_change_what_fires_only_when_it_is_seen(tmp_path: Path) -> None:
    found = ran(tmp_path, ask=Ask(grid_ns=20 * NS_PER_S))
    assert moments(found, "Coin") == [("BTC", 80, "firing"), ("BTC", 140, "resolved")]


def test_two_lanes_in_one_pass_decide_as_two_passes(tmp_path: Path) -> None:
    one = loaded(tmp_path)
    history = TinyHistory(cascade())
    both = [Lane(chosen(one, ["Coin"])), Lane(chosen(one, ["MinuteOver100k"]))]
    drive(both, history, history.stretch, NS_PER_S, warm_from_ns=START_NS)
    alone = Lane(chosen(one, ["MinuteOver100k"]))
    drive([alone], history, history.stretch, NS_PER_S, warm_from_ns=START_NS)
    assert both[1].journal.episodes == alone.journal.episodes
    assert {episode.name for episode in both[0].journal.episodes} == {"Coin"}


def test_the_default_grid_is_the_live_one_until_that_would_be_very_often() -> None:
    interval_ns = NS_PER_S // 4
    day_ns = 24 * HOUR_NS
    assert default_grid_ns(interval_ns, Stretch(0, day_ns)) == interval_ns
    assert default_grid_ns(interval_ns, Stretch(0, 30 * day_ns)) == NS_PER_S
    assert default_grid_ns(interval_ns, Stretch(0, 365 * day_ns)) == 15 * NS_PER_S


def test_how_far_rules_look_back(tmp_path: Path) -> None:
    rules = """
groups:
  - name: r
    rules:
      - {alert: A, expr: "zscore(sum(liquidations[1h])[7d:5m]) > 4"}
      - {alert: B, expr: "price offset 3h > 1"}
      - {alert: C, expr: "price > 1"}
"""
    alerts = loaded(tmp_path, rules).rules.alerts
    assert [reach([rule]) for rule in alerts] == [(7 * 24 + 1) * HOUR_NS, 3 * HOUR_NS, 0]


def test_derived_series_follow_as_live(tmp_path: Path) -> None:
    rules = """
groups:
  - name: r
    rules:
      - {alert: BasketThere, expr: 'basket{basket="b"} > 99'}
"""
    config = CONFIG + "derived: {baskets: {b: [BTC]}, every_s: 5}\n"
    found = ran(tmp_path, rules=rules, config=config)
    assert moments(found, "BasketThere")[0][2] == "firing"


@pytest.mark.parametrize(("grid_ns", "second"), [(NS_PER_S, 20), (NS_PER_S // 4, 21)])
def test_history_that_comes_on_the_way_is_worked_in_once_it_has_settled(
    tmp_path: Path, grid_ns: int, second: int
) -> None:
    rules = """
groups:
  - name: r
    rules:
      - {alert: Fell, expr: 'drawdown(price[30d]) by (base) < -30%'}
"""
    day_s = 86_400
    closes: list[Event] = [replace_struct(price(-day * day_s, 120_000.0), backfill=True) for day in range(31, 0, -1)]
    seen = FeedGap("okx", Channel.PRICE, at(-31 * day_s), at(20), "history", filled=True)
    prices: Script = [(s, [price(s, 80_000.0)]) for s in range(1, 60)]
    script: Script = [(0, feeds(0, up=True)), *prices, (20, [*closes, seen])]
    found = ran(
        tmp_path, TinyHistory(sorted(script, key=lambda step: step[0]), end_s=60), Ask(grid_ns=grid_ns), rules=rules
    )
    assert moments(found, "Fell") == [("BTC", second, "firing")]


def test_a_run_leaves_the_loaded_configuration_alone(tmp_path: Path) -> None:
    one = loaded(tmp_path)
    before = replace(one)
    answer(one, TinyHistory(cascade()), Ask(rules=("Coin",)))
    assert one == before
