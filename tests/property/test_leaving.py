"""Label sets that leave change nothing: random rules over markets whose instruments come and go, with and without."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest import mock

import msgspec
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.clock import NS_PER_S
from monitor.engine import Engine, EngineSettings
from monitor.engine import engine as engine_module
from monitor.events import Event, Funding, Liquidation, OpenInterest, Price
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.reading import TRUE
from monitor.rule import Rule, RuleSet
from tests.engine.market import at
from tests.property.test_language import SEEDS, Timeline, market, rule_file, spread_out, ticks

LIMITS = EngineSettings(lateness_ns=NS_PER_S)


@contextmanager
def eager() -> Iterator[None]:
    """Rows are forgotten and label sets leave as soon as they may."""
    with mock.patch.multiple(engine_module, TRIM_EVERY=1, LEAST_LEAVING=1, LEAVING_SHARE=0.0):
        yield


def markets(rng: random.Random) -> tuple[Timeline, list[float]]:
    """Some markets one after the other, with hours of silence between; when to look at the rules."""
    timeline: Timeline = []
    looks: list[float] = []
    begin = 0.0
    for number in range(rng.randint(2, 3)):
        one = market(rng, late=False)
        name = f"-{number}" if rng.random() < 0.3 else ""
        timeline += [(moved(event, begin, name), arrival + begin) for event, arrival in one]
        looks += [now + begin for now in ticks(one, rng)]
        begin = looks[-1] + rng.choice([1000, 5000, 9000])
        looks += [begin - 900, begin - 1]
    return timeline, looks


@cache
def renamed(old: Instrument, name: str) -> Instrument:
    return msgspec.structs.replace(old, symbol=old.symbol + name, base=old.base + name)


def moved(event: Event, by: float, name: str) -> Event:
    """The same later, of an instrument of another name."""
    assert isinstance(event, Liquidation | Price | OpenInterest | Funding)
    old, by_ns = event.instrument, int(by * NS_PER_S)
    other = renamed(old, name) if name else old
    return msgspec.structs.replace(event, instrument=other, ts_ns=event.ts_ns + by_ns, recv_ns=event.recv_ns + by_ns)


def compare(rule: Rule, whole: Engine, leaner: Engine, now: float) -> None:
    """Who is there says the same; who left was not true."""
    want, got = whole.latest(rule.id), leaner.latest(rule.id)
    assert want is not None
    assert got is not None
    where = f"{rule.text} at {now}"
    row_of = {labels: row for row, labels in enumerate(got.labels)}
    assert row_of.keys() <= set(want.labels), where
    left = [row for row, labels in enumerate(want.labels) if labels not in row_of]
    assert not (want.truth[left] == TRUE).any(), f"{[want.labels[row] for row in left]} of {where}"
    stayed = [row for row, labels in enumerate(want.labels) if labels in row_of]
    order = [row_of[want.labels[row]] for row in stayed]
    for column in ("truth", "clear", "level"):
        mine, theirs = getattr(got, column), getattr(want, column)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_array_equal(mine[order], theirs[stayed], f"{column} of {where}")
    true = want.truth[stayed] == TRUE
    for column in ("value", "threshold"):
        mine, theirs = getattr(got, column)[order][true], getattr(want, column)[stayed][true]
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9, err_msg=f"{column} of {where}")


def spoken(rules: RuleSet, engine: Engine) -> dict[str, list[tuple[tuple[str, str], ...]]]:
    """As of alerts that fire."""
    found = {}
    for rule in rules.alerts:
        seen = engine.latest(rule.id)
        assert seen is not None
        found[rule.id] = [seen.labels[row] for row in np.flatnonzero(seen.truth == TRUE).tolist()]
    return found


def run(seed: int, *, samples: bool) -> int:
    rng = random.Random(seed)
    text = rule_file(rng, samples=samples)
    loaded = load_rules([("r.yaml", text)])
    timeline, looks = markets(rng)
    whole, leaner = (Engine(loaded, settings=LIMITS) for _ in range(2))
    done = 0
    for now in looks:
        upto = spread_out(whole, timeline, now, done, random.Random(seed))
        spread_out(leaner, timeline, now, done, random.Random(seed))
        done = upto
        whole.evaluate(at(now))
        leaner.evaluate(at(now))
        for rule in loaded.alerts:
            compare(rule, whole, leaner, now)
        leaner.compact(spoken(loaded, leaner))
    return leaner.forgotten


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.booleans())
@example(0, False)  # a crossing beside what comes back
@example(36, False)  # a second stage without a row shows no threshold
@example(42, False)  # what is true because a side is missing
@example(15, True)
def test_who_leaves_is_not_missed(seed: int, samples: bool) -> None:
    with eager():
        run(seed, samples=samples)
