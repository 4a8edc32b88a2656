"""What goes on after a restart or a reload, cause by cause; `tests.property.test_language` searches for more."""

from __future__ import annotations

import pytest

from monitor.clock import NS_PER_S
from monitor.engine import Engine, EngineSettings
from monitor.engine import engine as engine_module
from monitor.events import Funding, MarketEvent
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.reading import Evaluation
from monitor.rule import RuleSet
from tests.engine.market import BYBIT_BTC, OKX_BTC, at, engine, external, interest, liquidation, rules, table

LIMITS = EngineSettings(lateness_ns=NS_PER_S)


def funding(instrument: Instrument, rate: float, s: float) -> Funding:
    return Funding(instrument, rate, 8.0, at(s), at(s))


def readings(machine: Engine) -> list[object]:
    found: list[Evaluation | None] = [machine.latest(rule.id) for rule in machine.ruleset.alerts]
    return [table(one) for one in found if one is not None]


def stopped(loaded: RuleSet, events: list[MarketEvent], first: int, last: int, step: int = 5) -> list[Engine]:
    """Three engines over the same market: one that goes on, one that was restarted, one whose rules were reloaded."""
    machines = [Engine(loaded, settings=LIMITS) for _ in range(3)]
    for machine in machines:
        waiting = sorted(events, key=lambda event: event.ts_ns)
        for s in range(first, last + 1, step):
            machine.ingest([event for event in waiting if at(s - step) < event.ts_ns <= at(s)])
            machine.evaluate(at(s))
    machines[1] = Engine(loaded, settings=LIMITS)
    machines[1].load(machines[0].dump())
    machines[2].replace_rules(loaded)
    return machines


def all_say(machines: list[Engine], *instants: int) -> list[object]:
    """The reading that all of them give at each instant."""
    said: list[object] = []
    for s in instants:
        for machine in machines:
            machine.evaluate(at(s))
        first, *others = [readings(machine) for machine in machines]
        assert others == [first] * len(others), s
        said += first
    return said


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that no window reaches are forgotten at once."""
    monkeypatch.setattr(engine_module, "TRIM_EVERY", 1)


def test_a_sampler_that_has_not_begun_begins_where_it_would_have() -> None:
    """The first of the samples, which an hour lie apart, was due at 3600 s."""
    loaded = rules("count((sum(liquidations[1m]))[12h:1h]) > 0")
    machines = stopped(loaded, [], 1, 21)
    for machine in machines:
        machine.ingest([liquidation(BYBIT_BTC, 1e6, 5000)])
    assert all_say(machines, 7200) == [{(): (1, 2.0)}]


def test_after_a_silence_longer_than_the_window_the_sample_before_it_is_there() -> None:
    """``delta`` compares with the last sample before the window, which a start at the window's edge leaves out."""
    loaded = rules("delta((sum(liquidations[1h]))[2m:50s]) >= 0")
    machines = stopped(loaded, [liquidation(BYBIT_BTC, 1e6, 10)], 0, 60)
    assert all_say(machines, 1000) == [{(): (1, 0.0)}]


def test_what_a_sampled_condition_remembers_goes_on_through_a_silence() -> None:
    loaded = rules("max((held(sum(liquidations[1h]) > 1))[1m:10s]) >= 5m")
    machines = stopped(loaded, [], 0, 20)
    for machine in machines:
        machine.ingest([liquidation(BYBIT_BTC, 1e6, 300)])
    assert all_say(machines, 600) == [{(): (1, 300 * NS_PER_S)}]


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("external > 3", 40.0),
        ("external offset 10m > 3", 40.0),
        ("count(external) >= 1", 2.0),
        ("delta(external[10m]) >= 0", 0.0),
    ],
)
def test_what_stands_outlives_its_row(text: str, value: float) -> None:
    """The second name is pushed again and again: its newest row is kept, the one at the window's start is not."""
    events: list[MarketEvent] = [external("vix", 40, 0), *[external("fng", 40, s) for s in range(0, 1000, 100)]]
    machines = stopped(rules(text), events, 0, 1800)
    assert len(machines[0].store.log("external")) < len(events)
    (said,) = all_say(machines, 1805)
    assert isinstance(said, dict)
    assert {found for _, found in said.values()} == {value}


@pytest.mark.usefixtures("forgetful")
def test_a_sample_does_not_see_a_value_that_came_after_it() -> None:
    """A row that was forgotten stands from its own instant on, also for samples of before that are only now taken."""
    machine = Engine(rules("price > 1", "external > 1", "sum(liquidations[2h]) > 1"), settings=LIMITS)
    for s in range(0, 601, 10):
        machine.ingest([liquidation(BYBIT_BTC, 1e6, s)])
        if s == 300:
            machine.ingest([external("vix", 40, 300)])
        machine.evaluate(at(s))
    assert not len(machine.store.log("external"))
    more = rules("count(((sum(liquidations[2h])) * (sum(external)))[20m:10s]) > 0")
    machine.replace_rules(more)
    machine.evaluate(at(600))
    assert readings(machine) == [{(): (1, 31.0)}]


@pytest.mark.usefixtures("forgetful")
def test_a_recording_does_not_say_again_what_stands() -> None:
    text = """
groups:
  - name: g
    rules:
      - {record: "r:sum", expr: "sum(liquidations[2h]) by (base)"}
      - {alert: A, expr: "count(r:sum[1m]) > 0"}
"""
    machines = stopped(load_rules([("r.yaml", text)]), [liquidation(BYBIT_BTC, 1e6, 10)], 0, 600)
    assert not len(machines[0].store.log("r:sum"))
    assert all_say(machines, 605) == [{(("base", "BTC"),): (0, 0.0)}]


@pytest.mark.usefixtures("forgetful")
def test_rows_are_kept_until_readers_that_lag_behind_have_read_them() -> None:
    """The readers of samples follow a minute late at most, however little lateness is allowed."""
    machine = Engine(rules("max((sum(external))[10m:50s]) > 0"), settings=LIMITS)
    for s in range(1, 61):
        machine.ingest([external("vix", 40, s)] if s == 5 else [])
        machine.evaluate(at(s))
    assert readings(machine) == [{(): (1, 40.0)}]
    assert machine.store.histories
    assert [history.values[-1, 0] for history in machine.store.histories.values()] == [40.0]


def test_a_group_without_a_value_keeps_its_weights_with_its_members() -> None:
    """Funding stops while open interest goes on: what crosses is measured with the weights of when it last was known."""
    machine = engine("crosses_above(funding_8h by (base), 0.1%)")
    machine.ingest([funding(BYBIT_BTC, 0.0, 0), funding(OKX_BTC, 0.004, 0)])
    machine.ingest([interest(BYBIT_BTC, 9e6, 0), interest(OKX_BTC, 1e6, 0)])
    machine.evaluate(at(0))
    silent = int(machine.store.specs["funding_8h"].stale_s) + 10
    machine.ingest([interest(BYBIT_BTC, 1e6, silent), interest(OKX_BTC, 9e6, silent)])
    machine.evaluate(at(silent))
    machine.ingest([funding(BYBIT_BTC, 0.0, silent + 1), funding(OKX_BTC, 0.004, silent + 1)])
    machine.evaluate(at(silent + 1))
    assert readings(machine) == [{(("base", "BTC"),): (1, pytest.approx(0.0036))}]


def test_the_state_of_who_was_present_comes_back_with_weights_and_breaks() -> None:
    """A gap before the restart may be filled in after it: the first sample after the gap is spliced by who was there."""
    loaded = rules("delta(funding_8h[5m]) by (base) > 1", "stddev(funding_8h[5m]) by (base) > 1")
    events: list[MarketEvent] = [
        e for s in range(0, 60, 10) for e in (interest(BYBIT_BTC, 9e6, s), funding(BYBIT_BTC, 0.1, s))
    ]
    one, other, _ = stopped(loaded, events, 0, 60)
    assert one.store.histories
    for key, history in one.store.histories.items():
        mine = other.store.histories[key]
        assert history.openings
        assert mine.openings.keys() == history.openings.keys()
        for at_ns, who in history.openings.items():
            assert [column.tolist() for column in mine.openings[at_ns]] == [column.tolist() for column in who]
        assert [column.tolist() for column in mine.snapshot] == [column.tolist() for column in history.snapshot]
        assert mine.due_ns == history.due_ns


@pytest.mark.usefixtures("forgetful")
def test_totals_are_not_sampled_over_rows_that_are_forgotten() -> None:
    """A rule that is new to old rows, or comes back: totals of before would miss what is gone, and read too low."""
    short, sampled = rules("sum(liquidations[10m]) > 0"), rules("min((sum(liquidations[10m]))[1h:60s]) > 0")
    machine = Engine(sampled, settings=LIMITS)
    for s in range(0, 7201, 20):
        if s == 1200:
            machine.replace_rules(short)
        machine.ingest([liquidation(BYBIT_BTC, 1e6, s)])
        machine.evaluate(at(s))
    machine.replace_rules(sampled)
    machine.evaluate(at(7200))
    (history,) = machine.store.histories.values()
    since = history.times >= at(4000)
    assert set(history.values[since, 0].tolist()) == {30e6}
    assert readings(machine) == [{(): (1, 30e6)}]
