"""The engine's promises, one by one, on markets of a few events."""

from __future__ import annotations

import pytest

from monitor.clock import NS_PER_S
from monitor.engine import Engine, EngineSettings
from monitor.errors import StateError
from monitor.events import Channel, FeedGap
from monitor.language import load_rules, parse_expression
from monitor.rule import Level, Override, Rule, RuleSet
from tests.engine.market import (
    BYBIT_BTC,
    BYBIT_ETH,
    OKX_BTC,
    at,
    engine,
    external,
    feed,
    interest,
    liquidation,
    only,
    price,
    rules,
    table,
)

SUM = "sum(liquidations[1h]) > 1M"


def test_the_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    machine = engine(SUM)
    machine.ingest([liquidation(BYBIT_BTC, 2e6, 0)])
    assert table(only(machine.evaluate(at(0)))) == {(): (1, 2e6)}
    assert machine.evaluate(at(3599.999)) == []
    assert table(only(machine.evaluate(at(3600)))) == {(): (0, 0.0)}


def test_coverage_is_the_share_of_the_window_in_which_the_feeds_were_live() -> None:
    machine = Engine(rules(SUM), expected={Channel.LIQUIDATIONS: ["bybit", "okx"]})
    machine.ingest([feed("bybit", Channel.LIQUIDATIONS, 0), feed("okx", Channel.LIQUIDATIONS, 0)])
    assert only(machine.evaluate(at(3600))).coverage[0] == 1.0
    machine.ingest([feed("okx", Channel.LIQUIDATIONS, 3600, up=False)])
    assert only(machine.evaluate(at(5400))).coverage[0] == 0.75
    machine.ingest([FeedGap("bybit", Channel.LIQUIDATIONS, at(4500), at(5400), "dropped")])
    assert only(machine.evaluate(at(5400))).coverage[0] == 0.625


def test_a_sum_above_its_threshold_is_a_sound_lower_bound() -> None:
    machine = Engine(rules(SUM, "sum(liquidations[1h]) < 9M"), expected={Channel.LIQUIDATIONS: ["bybit"]})
    machine.ingest([liquidation(BYBIT_BTC, 2e6, 0)])
    over, under = machine.evaluate(at(1))
    assert (over.truth[0], bool(over.lower_bound[0]), over.coverage[0]) == (1, True, 0.0)
    assert (under.truth[0], bool(under.lower_bound[0])) == (1, False)


def test_a_venue_clock_that_is_too_far_off_is_not_believed() -> None:
    machine = engine(SUM)
    report = machine.ingest([liquidation(BYBIT_BTC, 2e6, 500, recv=100), liquidation(OKX_BTC, 1e6, 0, recv=59)])
    assert (report.clock_rejected, report.newest_ns) == ({"bybit": 1}, at(100))


def test_late_events_correct_the_window_and_too_late_ones_are_counted() -> None:
    machine = engine(SUM)
    machine.evaluate(at(1000))
    report = machine.ingest([liquidation(BYBIT_BTC, 2e6, 950, recv=1000), liquidation(BYBIT_BTC, 5e6, 800, recv=810)])
    assert (report.late, report.too_late) == ({"bybit": 1}, {"bybit": 1})
    assert table(only(machine.evaluate(at(1000)))) == {(): (1, 2e6)}


def test_change_waits_for_its_history_and_says_so() -> None:
    machine = engine("change(price[1h]) by (base) < -5%")
    machine.ingest([price(BYBIT_BTC, 100, 0)])
    evaluation = only(machine.evaluate(at(720)))
    assert evaluation.truth.tolist() == [-1]
    assert evaluation.reasons == {0: "needs 1h of history, has 12m"}


def test_a_crossing_is_true_once() -> None:
    machine = engine("crosses_below(price by (base), 95)")
    for s, value, truth in ((0, 100, -1), (1, 96, 0), (2, 94, 1), (3, 93, 0), (4, 96, 0), (5, 90, 1)):
        machine.ingest([price(BYBIT_BTC, value, s)])
        found = machine.evaluate(at(s))
        latest = machine.latest("g/r0")
        assert latest is not None
        assert latest.truth.tolist() == [truth], s
        assert len(found) <= 1


def test_then_needs_the_order_and_the_time() -> None:
    text = "price by (base) < 95 then sum(liquidations[10s]) by (base) > 1M within 60s"
    for gap, truth in ((30, 1), (90, 0)):
        machine = engine(text)
        machine.ingest([price(BYBIT_BTC, 100, 0)])
        machine.evaluate(at(0))
        machine.ingest([price(BYBIT_BTC, 90, 1)])
        machine.evaluate(at(1))
        machine.ingest([price(BYBIT_BTC, 99, 2)])
        machine.evaluate(at(2))
        machine.ingest([price(BYBIT_BTC, 99, 1 + gap), liquidation(BYBIT_BTC, 2e6, 1 + gap)])
        machine.evaluate(at(1 + gap))
        latest = machine.latest("g/r0")
        assert latest is not None
        assert latest.truth.tolist() == [truth]


def test_levels_and_overrides() -> None:
    def condition(text: str) -> Level:
        return Level(text[-2:], parse_expression(f"sum(liquidations[1h]) by (base) > {text}"))

    base = parse_expression("sum(liquidations[1h]) by (base) > 1M")
    special = Override((("base", "ETH"),), parse_expression("sum(liquidations[1h]) by (base) > 5M"))
    rule = Rule("a", "g", base, "", levels=(condition("1M"), condition("3M")), overrides=(special,))
    machine = Engine(RuleSet((rule,)))
    machine.ingest([liquidation(BYBIT_BTC, 4e6, 0), liquidation(BYBIT_ETH, 4e6, 0)])
    evaluation = only(machine.evaluate(at(0)))
    assert evaluation.truth.tolist() == [1, 0]
    assert evaluation.threshold.tolist() == [3e6, 5e6]
    assert evaluation.level is not None
    assert evaluation.level.tolist()[0] == 1


def test_division_by_zero_is_unknown_with_a_reason() -> None:
    machine = engine('sum(liquidations{side="long"}[1m]) / sum(liquidations[1m]) > 50%')
    machine.ingest([liquidation(BYBIT_BTC, 1e6, 0)])
    machine.evaluate(at(0))
    evaluation = only(machine.evaluate(at(61)))
    assert (evaluation.truth.tolist(), evaluation.reasons) == ([-1], {0: "division by zero"})


def test_state_comes_back_from_its_dump() -> None:
    texts = (
        SUM,
        "sum(liquidations[9h]) by (base) > 1",
        "change(price[60s]) by (base) < 0",
        "max(price[1h]) by (base) > 1",
    )
    first = engine(*texts)
    for s in range(0, 4000, 20):
        first.ingest([liquidation(BYBIT_BTC, 1e5 + s, s), price(BYBIT_BTC, 100 + s % 70, s), price(OKX_BTC, 101, s)])
        first.evaluate(at(s))
    second = engine(*texts)
    second.load(first.dump())
    for machine in (first, second):
        machine.evaluate(at(4010))
    for rule in first.ruleset.alerts:
        one, other = first.latest(rule.id), second.latest(rule.id)
        assert one is not None
        assert other is not None
        assert table(one) == table(other), rule.text
    with pytest.raises(StateError):
        engine(*texts).load(b"not an archive")


def test_a_value_that_stands_for_days_outlives_its_row_and_a_restart() -> None:
    first = engine("external > 3")
    first.ingest([external("vix", 40, 0)])
    for k in range(600):
        first.evaluate(at(10 * k))
    assert not len(first.store.log("external"))
    second = engine("external > 3")
    second.load(first.dump())
    assert [list(table(e).values()) for e in second.evaluate(at(6001))] == [[(1, 40.0)]]


def test_a_recording_is_folded_as_the_loader_says() -> None:
    text = """
groups:
  - name: g
    rules:
      - {record: "top:liquidation", expr: "max(liquidations[1h]) by (venue, base)"}
      - {alert: A, expr: "top:liquidation by (base) > 1"}
      - {record: "open:usd", expr: "mean(open_interest[1h])"}
      - {alert: B, expr: "open:usd by (base) > 1"}
"""
    machine = Engine(load_rules([("r.yaml", text)]))
    machine.ingest([liquidation(BYBIT_BTC, 3e6, 0), liquidation(OKX_BTC, 4e6, 0)])
    machine.ingest([interest(BYBIT_BTC, 10, 0), interest(OKX_BTC, 30, 0)])
    machine.evaluate(at(1))
    top, mean = (machine.latest(rule.id) for rule in machine.ruleset.alerts)
    assert top is not None
    assert mean is not None
    assert (top.value.tolist(), mean.value.tolist()) == ([4e6], [20.0])


def test_a_recording_writes_what_changed() -> None:
    text = """
groups:
  - name: g
    rules:
      - {record: "r:sum", expr: "sum(liquidations[1m]) by (base)"}
      - {alert: A, expr: "count(r:sum[1h]) > 99"}
"""
    loaded = load_rules([("r.yaml", text)])
    machine = Engine(loaded)
    machine.ingest([liquidation(BYBIT_BTC, 3e6, 0), liquidation(BYBIT_ETH, 4e6, 30)])
    for s in (30, 40, 59, 60, 75, 90, 100):
        machine.evaluate(at(s))
    again = Engine(loaded)
    again.load(machine.dump())
    again.evaluate(at(101))
    (counts,) = [table(again.latest(rule.id)) for rule in loaded.alerts]  # type: ignore[arg-type]
    assert [value for _, value in counts.values()] == [2.0, 2.0]


def test_explain_names_who_it_was() -> None:
    machine = engine(SUM)
    machine.ingest([liquidation(BYBIT_BTC, 3e6, 0), liquidation(OKX_BTC, 1e6, 0, side="short")])
    machine.evaluate(at(1))
    explanation = machine.explain("g/r0", 0)
    assert [c.share for c in explanation.contributors] == [0.75, 0.25]
    assert explanation.largest.startswith("3M USD BTC")
    assert explanation.parts[0] == ("sum(liquidations[1h])", 4e6)


def test_explain_reads_what_a_long_window_is_made_of() -> None:
    """The rows of hours ago live on as totals of a minute; shares add up to the reading."""
    machine = engine("sum(liquidations[4h]) > 1M")
    for s in range(0, 3 * 3600, 50):
        machine.ingest([liquidation(BYBIT_BTC, 2e4, s), liquidation(OKX_BTC, 1e4, s + 1, side="short")])
        machine.evaluate(at(s + 1))
    for k in range(300):
        machine.evaluate(at(3 * 3600 + k))
    explanation = machine.explain("g/r0", 0)
    latest = machine.latest("g/r0")
    assert latest is not None
    assert sum(c.value for c in explanation.contributors) == latest.value[0] == 216 * 3e4
    assert [round(c.share, 6) for c in explanation.contributors] == [0.666667, 0.333333]
    assert explanation.largest == "40k USD BTC perp USDT long BTCUSDT bybit within 1m"
    assert sum(explanation.spark) == latest.value[0]


def test_a_series_with_too_many_rows_loses_coverage_not_truth_in_silence() -> None:
    """The oldest rows go, and are counted; what is left is counted right, and the window says how much of it is seen."""
    rule = rules(SUM, "max(liquidations[3h]) > 1M", "sum(liquidations[1m]) > 1")
    machine = Engine(rule, settings=EngineSettings(max_rows=100))
    sound = Engine(rule)
    for s in range(1, 1801):
        for one in (machine, sound):
            one.ingest([liquidation(BYBIT_BTC, 1e6 if s < 100 else 1e3, s)])
            one.evaluate(at(s))
    hour, extreme, minute = (machine.latest(item.id) for item in rule.alerts)
    assert hour is not None
    assert extreme is not None
    assert minute is not None
    dropped = machine.footprint("g/r0").dropped
    kept = machine.footprint("g/r0").rows
    assert dropped + kept == 1800
    assert 100 <= kept < 100 + 256
    assert hour.value[0] == sum(1e3 for _ in range(kept))
    assert hour.coverage[0] == pytest.approx(kept / 3600, abs=2e-3)
    assert extreme.value[0] == 1e3
    assert extreme.coverage[0] == pytest.approx(kept / 10800, abs=2e-3)
    assert (minute.value[0], minute.coverage[0]) == (60e3, 1.0)
    whole = sound.latest("g/r0")
    assert whole is not None
    assert (sound.footprint("g/r0").dropped, whole.coverage[0], whole.value[0]) == (0, 1.0, 99e6 + 1701e3)


def test_the_next_edge_is_when_the_oldest_event_leaves() -> None:
    machine = engine(SUM)
    machine.ingest([liquidation(BYBIT_BTC, 3e6, 7)])
    machine.evaluate(at(8))
    assert machine.next_edge_ns() == at(7) + 3600 * NS_PER_S


def test_query_gives_values_and_missing_ones() -> None:
    machine = engine(SUM, "price > 1")
    machine.ingest([liquidation(BYBIT_BTC, 3e6, 0), price(BYBIT_BTC, 5, 0)])
    machine.evaluate(at(0))
    assert machine.query(parse_expression("sum(liquidations[1h])"), at(1)) == [((), 3e6, 1.0)]
    ((_, value, _),) = machine.query(parse_expression("price"), at(100))
    assert value is None
