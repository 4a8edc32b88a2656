"""The whole language against the naive reference: random rules over random markets."""

from __future__ import annotations

import json
import random
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from monitor.clock import NS_PER_S
from monitor.engine import Engine, EngineSettings
from monitor.engine import engine as engine_module
from monitor.events import Channel, Event, FeedState, Funding, Labels, Liquidation, OpenInterest, Price
from monitor.language import ExpressionError, load_rules, parse_expression
from monitor.reading import Evaluation
from monitor.rule import Rule, RuleSet
from monitor.series import SeriesSpec
from tests.engine.follower import Follower
from tests.engine.market import at, perp
from tests.property.grammar import Grammar
from tests.property.naive import Naive, Row, Verdict

INSTRUMENTS = [perp(venue, base) for venue in ("bybit", "okx", "binance_usdm") for base in ("BTC", "ETH", "SOL")]
Timeline = list[tuple[Event, float]]
VENUES = ("bybit", "okx", "binance_usdm")
SEEDS = st.integers(0, 2**32)


def market(rng: random.Random, *, late: bool, feeds: bool = False) -> Timeline:
    """Events with the seconds of their arrival: bursts and silences, members that come and go, feeds that die."""
    span = rng.choice([40, 200, 900])
    instruments = rng.sample(INSTRUMENTS, rng.randint(1, 5))
    kinds = {i: rng.choice(["mark", "mark", "last"]) for i in instruments}
    born = {i: rng.choice([0, 0, span / 3]) for i in instruments}
    out: Timeline = []
    for _ in range(rng.randint(1, 50)):
        s = round(rng.uniform(0.001, span), rng.choice([0, 3])) or 0.5
        arrival = s + (rng.choice([0, 0, 0.2, 3, 40]) if late else 0)
        i = rng.choice(instruments)
        if s < born[i]:
            continue
        match rng.choice(["liq", "liq", "price", "price", "oi", "funding"]):
            case "liq":
                usd = rng.choice([1, 64, rng.randrange(1, 2**20)]) * 15625 * rng.choice([1, 1000])
                event: Event = Liquidation(i, rng.choice(["long", "short"]), usd, 1.0, at(s), at(arrival))
            case "price":
                value = rng.choice([100.0, rng.uniform(60, 160)])
                event = Price(i, kinds[i], value, at(s), at(arrival))  # type: ignore[arg-type]
            case "oi":
                event = OpenInterest(i, rng.choice([0.0, rng.uniform(1e3, 1e8)]), at(s), at(arrival))
            case _:
                event = Funding(i, rng.uniform(-0.001, 0.001), 8.0, at(s), at(arrival))
        out.append((event, arrival))
    if feeds:
        for _ in range(rng.randint(0, 8)):
            s = round(rng.uniform(0, span), 1)
            channel = rng.choice([Channel.LIQUIDATIONS, Channel.PRICE, Channel.OPEN_INTEREST])
            out.append((FeedState(rng.choice(VENUES), channel, up=rng.random() < 0.6, ts_ns=at(s), reason="x"), s))
    return sorted(out, key=lambda pair: pair[1])


def rows_of(event: Event, order: int) -> list[Row]:
    if isinstance(event, FeedState):
        return []
    assert isinstance(event, Liquidation | Price | OpenInterest | Funding)
    i = event.instrument
    labels = {"venue": i.venue, "symbol": i.symbol, "base": i.base, "quote": i.quote}
    more: dict[str, str] = {}
    if isinstance(event, Liquidation):
        name, value, more = "liquidations", event.usd_micros / 1e6, {"kind": "perp", "side": event.side}
    elif isinstance(event, Price):
        name, value, more = "price", event.value, {"kind": event.kind, "market": "perp"}
    elif isinstance(event, OpenInterest):
        name, value = "open_interest", event.usd
    else:
        name, value = "funding_8h", event.rate / event.interval_h * 8.0
    return [Row(name, tuple(sorted({**labels, **more}.items())), event.ts_ns, value, order)]


def ticks(timeline: Timeline, rng: random.Random) -> list[float]:
    end = timeline[-1][1] if timeline else 10.0
    times = {arrival for _, arrival in timeline if rng.random() < 0.4} | {rng.uniform(0, end + 80) for _ in range(4)}
    return sorted({0.0, *times, end, end + 45.0, end + 61.0, end + 700.0})


def condition(grammar: Grammar, depth: int) -> str:
    """A condition that the loader takes; the grammar is right nearly always, the checker is the judge."""
    for _ in range(50):
        try:
            text = grammar.condition(depth, grammar.labels())
            parse_expression(text, grammar.recordings, expect="condition")
        except ExpressionError:
            continue
        return text
    raise AssertionError("the grammar makes nothing that loads")


def rule_file(rng: random.Random, *, samples: bool, depth: int = 3) -> str:
    """One file: perhaps a recording, plain rules, and a ladder with overrides."""
    grammar = Grammar(rng, samples=samples)
    entries: list[dict[str, object]] = []
    if rng.random() < 0.4:
        names = grammar.labels()
        text = recording(grammar, names)
        entries.append({"record": "rec:one", "expr": text, "labels": {"made": "here"} if rng.random() < 0.3 else {}})
        loaded = load_rules([("r.yaml", json.dumps({"groups": [{"name": "g", "rules": entries}]}))])
        grammar.recordings = [spec_of(loaded)]
    for number in range(rng.randint(2, 4)):
        entry: dict[str, object] = {"alert": f"A{number}", "expr": condition(grammar, depth)}
        if rng.random() < 0.3:
            entry["clear"] = entry["expr"]
        entries.append(entry)
    entries.append(ladder(rng))
    return json.dumps({"groups": [{"name": "g", "rules": entries}]})


def recording(grammar: Grammar, names: tuple[str, ...]) -> str:
    for _ in range(50):
        try:
            text = grammar.value(2, names)
            parse_expression(text, expect="value")
        except ExpressionError:
            continue
        return text
    raise AssertionError("the grammar makes nothing that loads")


def spec_of(loaded: RuleSet) -> SeriesSpec:
    return Engine(loaded).store.specs["rec:one"]


def ladder(rng: random.Random) -> dict[str, object]:
    steps: list[dict[str, object]] = [
        {"severity": "warning", "expr": "x > $low"},
        {"severity": "critical", "expr": "x > $high"},
    ]
    if rng.random() < 0.6:
        steps[1]["clear"] = "x < $low"
    return {
        "alert": "Ladder",
        "params": {"low": "3100", "high": "51k"},
        "let": {"x": "sum(liquidations[60s]) by (base)"},
        "ladder": steps,
        "overrides": [
            {"labels": {"base": "BTC"}, "params": {"low": "71k", "high": "131k"}},
            {"labels": {"base": "ETH"}, "params": {"low": "0.7"}},
        ],
    }


def spread_out(machine: Engine, timeline: Timeline, now: float, done: int, rng: random.Random) -> int:
    """Ingest what has arrived, in parts."""
    while done < len(timeline) and timeline[done][1] <= now:
        upto = done + 1
        while upto < len(timeline) and timeline[upto][1] <= now and rng.random() < 0.6:
            upto += 1
        machine.ingest([event for event, _ in timeline[done:upto]])
        done = upto
    return done


def agree(rule: Rule, got: Evaluation, want: dict[Labels, Verdict], now: float) -> None:
    """Every label set of either side has the same truth, value, clear and level; one that only one side has is unknown."""
    where = f"{rule.text}\nat {now}"
    row_of = {labels: row for row, labels in enumerate(got.labels)}
    assert row_of.keys() == want.keys(), where
    for labels, verdict in want.items():
        row = row_of[labels]
        assert int(got.truth[row]) == verdict.truth, (where, labels, got.value[row], verdict)
        assert float(got.value[row]) == pytest.approx(verdict.value, rel=1e-9, abs=1e-9, nan_ok=True), (where, labels)
        threshold = float(got.threshold[row])
        assert threshold == pytest.approx(verdict.threshold, rel=1e-9, abs=1e-9, nan_ok=True), (where, labels)
        if got.clear is not None:
            assert int(got.clear[row]) == verdict.clear, (where, labels)
        if got.level is not None:
            assert int(got.level[row]) == verdict.level, (where, labels)


def run(text: str, timeline: Timeline, rng: random.Random) -> None:
    loaded = load_rules([("r.yaml", text)])
    machine, naive = Engine(loaded), Naive()
    naive.market.specs.update(machine.store.specs)
    done = order = 0
    for now in ticks(timeline, rng):
        done = spread_out(machine, timeline, now, done, rng)
        while order < done:
            naive.market.rows += rows_of(timeline[order][0], len(naive.market.rows))
            order += 1
        machine.evaluate(at(now))
        naive.record(loaded, at(now))
        for rule in loaded.alerts:
            want = naive.judge(rule, at(now))
            assume(not naive.near)
            got = machine.latest(rule.id)
            assert got is not None
            agree(rule, got, want, now)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
@example(400048)  # a group whose weights add up to nothing keeps who was there, and with what weight
def test_rules_over_late_events(seed: int) -> None:
    rng = random.Random(seed)
    text = rule_file(rng, samples=False)
    run(text, market(rng, late=True), rng)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
@example(357667)  # a fold that is sampled for one rule is the fold that another compares: of the same labels
@example(400359)  # samples with an offset are in the terms of the members of then
def test_rules_with_samples(seed: int) -> None:
    rng = random.Random(seed)
    text = rule_file(rng, samples=True)
    run(text, market(rng, late=False), rng)


EXPECTED = {channel: list(VENUES) for channel in (Channel.LIQUIDATIONS, Channel.PRICE, Channel.OPEN_INTEREST)}


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_leaving_out_what_stands_loses_no_verdict(seed: int) -> None:
    """Evaluating only what changed says the same, while feeds die and come back and coverage moves."""
    rng = random.Random(seed)
    loaded = load_rules([("r.yaml", rule_file(rng, samples=rng.random() < 0.3))])
    timeline = market(rng, late=True, feeds=True)
    full, brief = (Engine(loaded, expected=EXPECTED) for _ in range(2))
    seen: dict[str, Evaluation] = {}
    hears_all, follower = Follower(), Follower()
    done = 0
    for now in ticks(timeline, rng):
        upto = spread_out(full, timeline, now, done, rng)
        spread_out(brief, timeline, now, done, random.Random(seed + 1))
        done = upto
        for item in full.evaluate(at(now)):
            hears_all.hear(item)
        heard = brief.evaluate(at(now), changed_only=True)
        seen.update({item.rule: item for item in heard})
        follower.attend(brief, heard)
        look = rng.random() < 0.2  # looking brings what sleeps up to date: most turns do without
        for rule in loaded.alerts:
            want, last = full.latest(rule.id), seen[rule.id]
            assert want is not None
            where = f"{rule.text} at {now}"
            for column in ("truth", "coverage", "clear", "level", "lower_bound"):
                np.testing.assert_array_equal(getattr(last, column), getattr(want, column), f"{column} of {where}")
            np.testing.assert_array_equal(follower.worst[rule.id], hears_all.worst[rule.id], f"worst of {where}")
            if look:
                got = brief.latest(rule.id)
                assert got is not None
                np.testing.assert_array_equal(got.value, want.value, where)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
@example(100540)  # dumped before the first sample
@example(100727)  # reloaded, then silent for longer than the window of the samples
@example(301434)
@example(301441)
@example(37)  # of a member that stands still the row was forgotten
@example(41)  # so was a recording's
@example(65)  # the value at the start of a window
@example(187)
def test_a_restart_changes_no_verdict(seed: int) -> None:
    """State that was dumped and loaded, or compiled anew at a reload, goes on like the engine that never stopped.

    Odd seeds forget every row that no window reaches as soon as they can.
    """
    if seed % 2:
        with mock.patch.object(engine_module, "TRIM_EVERY", 1):
            stop_and_go_on(seed, EngineSettings(lateness_ns=NS_PER_S))
    else:
        stop_and_go_on(seed, EngineSettings())


def stop_and_go_on(seed: int, limits: EngineSettings) -> None:
    rng = random.Random(seed)
    loaded = load_rules([("r.yaml", rule_file(rng, samples=rng.random() < 0.4))])
    timeline = market(rng, late=False)
    one, other = (Engine(loaded, settings=limits) for _ in range(2))
    times, done = ticks(timeline, rng), 0
    stops = [number for number, now in enumerate(times) if now > 61]  # sampling has begun
    stops = rng.sample(stops, min(2, len(stops)))
    for number, now in enumerate(times):
        upto = spread_out(one, timeline, now, done, random.Random(seed))
        spread_out(other, timeline, now, done, random.Random(seed))
        done = upto
        one.evaluate(at(now))
        other.evaluate(at(now))
        for rule in loaded.alerts:
            same_verdicts(other, one, rule, now)
        if number in stops and rng.random() < 0.7:
            data, other = other.dump(), Engine(loaded, settings=limits)
            other.load(data)
        elif number in stops:
            other.replace_rules(loaded)


def same_verdicts(other: Engine, one: Engine, rule: Rule, now: float) -> None:
    want, got = one.latest(rule.id), other.latest(rule.id)
    assert want is not None
    assert got is not None
    row_of = {labels: row for row, labels in enumerate(got.labels)}
    assert row_of.keys() == set(want.labels)
    order = [row_of[labels] for labels in want.labels]
    where = f"{rule.text} at {now}"
    for column in ("truth", "clear", "level"):
        mine, theirs = getattr(got, column), getattr(want, column)
        np.testing.assert_array_equal(None if mine is None else mine[order], theirs, f"{column} of {where}")
    np.testing.assert_allclose(got.value[order], want.value, rtol=1e-9, atol=1e-9, err_msg=where)
