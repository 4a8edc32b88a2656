"""A gauge's value is one per member and time: a revision replaces what was said before, wherever it has been read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine
from monitor.engine.rows.log import Log
from monitor.events import Sample
from monitor.inlets.door import Door
from tests.engine.market import at, engine, external, table

READS = (
    "sum(external[1h])",
    "count(external[1h])",
    "mean(external[1h])",
    "min(external[1h])",
    "max(external[1h])",
    "last(external[1h])",
    "first(external[1h])",
    "quantile(0.5, external[1h])",
    "sum(external[3h])",
    "max(external[3h])",
    "min(external[3h])",
    "drawdown(external[3h])",
    "sum(external[30d])",
    "change(external[10m])",
    "delta(external[3h])",
    "external",
)


def conditions() -> tuple[str, ...]:
    return tuple(f"{text} > 0" for text in READS)


def flow(usd: float, s: float, *, backfill: bool = False) -> Sample:
    return Sample("etf_flow", (("asset", "BTC"), ("fund", "total")), usd, at(s), at(s), backfill=backfill)


def same_as_told_once(machine: Engine, first: list[tuple[float, float]], now_s: float) -> None:
    """A machine that heard only the last word says the same."""
    fresh = engine(*conditions())
    fresh.ingest([external("x", value, s) for s, value in sorted(dict(first).items())])
    fresh.evaluate(at(now_s))
    for rule in machine.ruleset.alerts:
        want, got = fresh.latest(rule.id), machine.latest(rule.id)
        assert want is not None
        assert got is not None
        np.testing.assert_equal(table(got), table(want), rule.text)


def test_a_revised_flow_is_summed_once() -> None:
    machine = engine("sum(etf_flow[7d]) by (asset) > 0")
    machine.ingest([flow(100e6, 0)])
    machine.evaluate(at(60))
    machine.ingest([flow(-40e6, 0, backfill=True)])
    machine.evaluate(at(120))
    assert table(machine.latest("g/r0")) == {(("asset", "BTC"),): (0, -40e6)}  # type: ignore[arg-type]


def test_the_last_word_of_one_batch_counts() -> None:
    machine = engine("sum(etf_flow[7d]) by (asset) > 0")
    machine.ingest([flow(1e6, 5), flow(2e6, 9), flow(3e6, 5), flow(4e6, 5)])
    machine.evaluate(at(60))
    assert table(machine.latest("g/r0")) == {(("asset", "BTC"),): (1, 6e6)}  # type: ignore[arg-type]


@pytest.mark.parametrize("gap_s", [0.0, 30.0, 4000.0])
def test_every_reading_follows_a_revision(gap_s: float) -> None:
    """The peak of an hour is taken back, after every window, extreme and pane has seen it."""
    told = [(60.0 * k, 100.0 + k % 7) for k in range(60)] + [(1810.0, 900.0)]
    machine = engine(*conditions())
    for s, value in sorted(told):
        machine.ingest([external("x", value, s)])
        machine.evaluate(at(s))
    now_s = told[-2][0] + gap_s
    machine.evaluate(at(now_s))
    machine.ingest([Sample("external", external("x", 0, 0).labels, 101.0, at(1810), at(now_s), backfill=True)])
    machine.evaluate(at(now_s + 1))
    same_as_told_once(machine, [*told, (1810.0, 101.0)], now_s + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-5, 5), st.booleans()), min_size=1, max_size=40),
    st.sampled_from([1.0, 61.0, 700.0]),
)
def test_any_order_of_revisions(words: list[tuple[int, int, bool]], step_s: float) -> None:
    """Values for few instants, told again and again in batches; what counts is the last word for each."""
    machine = engine(*conditions())
    machine.evaluate(at(0))
    batch, said, now_s = [], [], 40 * step_s
    for slot, value, flush in words:
        s = slot * step_s
        batch.append(Sample("external", external("x", 0, 0).labels, float(value), at(s), at(now_s), backfill=True))
        said.append((s, float(value)))
        if flush:
            machine.ingest(batch)
            batch = []
            machine.evaluate(at(now_s))
    machine.ingest(batch)
    machine.evaluate(at(now_s + 1))
    same_as_told_once(machine, said, now_s + 1)


async def test_a_revision_pushed_through_the_inlet_replaces() -> None:
    """The whole way of a pushed row: read, checked for its revision, taken in; twice in one payload, and later."""
    machine = engine("sum(etf_flow[7d]) by (asset) > 0", "mean(external[2h]) > 0")

    def take(samples: Sequence[Sample]) -> None:
        machine.ingest(samples)

    door = Door(take)

    async def push(*rows: tuple[str, float, int]) -> None:
        payload = [{"name": n, "value": v, "ts": at(0), "revision": r, "source": "desk"} for n, v, r in rows]
        await door.take("http", json.dumps(payload).encode(), "json", at(3700))
        machine.evaluate(at(3700))

    await push(('etf_flow{asset="BTC"}', 100e6, 0), ('etf_flow{asset="BTC"}', 120e6, 1), ("mine", 5, 0))
    assert [list(table(machine.latest(r.id)).values()) for r in machine.ruleset.alerts] == [[(1, 120e6)], [(1, 5.0)]]  # type: ignore[arg-type]
    await push(('etf_flow{asset="BTC"}', -523e6, 2), ("mine", -7, 3))
    assert [list(table(machine.latest(r.id)).values()) for r in machine.ruleset.alerts] == [[(0, -523e6)], [(0, -7.0)]]  # type: ignore[arg-type]


def test_the_same_value_again_is_no_news() -> None:
    machine = engine(*conditions())
    machine.ingest([external("x", 5, 0)])
    machine.evaluate(at(1))
    machine.ingest([external("x", 5, 0)])
    assert machine.evaluate(at(1)) == []


def test_a_replaced_row_keeps_its_place() -> None:
    log = Log(np.float64, unique=True)
    log.insert(np.array([1, 1, 2]), np.array([0, 1, 0], np.int32), np.array([1.0, 2.0, 3.0]))
    log.insert(np.array([1, 3]), np.array([1, 0], np.int32), np.array([9.0, 4.0]))
    ts, members, values = log.rows(log.first, log.end)
    assert (ts.tolist(), members.tolist(), values.tolist()) == ([1, 1, 2, 3], [0, 1, 0, 0], [1.0, 9.0, 3.0, 4.0])
