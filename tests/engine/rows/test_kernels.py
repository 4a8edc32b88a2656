"""Inner loops: numpy's, compiled ones, and the plain loops that are compiled all say the same, to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine, EngineSettings
from monitor.engine.rows.kernels import NUMPY, ONES, Kernels, hold_loop, kernels, move_loop
from tests.engine.market import at
from tests.engine.rows.test_bulk import plain
from tests.engine.test_fences import EXPECTED, rule_set, story

PLAIN = Kernels(
    "plain",
    lambda totals, slots, rows, sign: move_loop(*totals, slots, rows[0], rows[1], rows[2], sign),
    lambda values, times, rows, oldest: hold_loop(values, times, *rows, oldest),
)
OTHERS = {"plain": lambda: PLAIN, "numba": lambda: kernels("numba")}


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest) -> Kernels:
    make: Callable[[], Kernels] = OTHERS[request.param]
    return make()


def test_what_is_chosen_says_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [kernels(choice).name for choice in ("auto", "numpy", "numba")] == ["numba", "numpy", "numba"]
    monkeypatch.setattr("monitor.engine.rows.kernels.find_spec", lambda _: None)
    assert kernels("auto") is NUMPY


@given(seed=st.integers(0, 2**32), size=st.integers(0, 40), sign=st.sampled_from([1, -1]), form=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_totals_move_alike(other: Kernels, seed: int, size: int, sign: int, form: int) -> None:
    rng = np.random.default_rng(seed)
    slots = rng.integers(0, 9, (7, 5))
    members = rng.integers(0, 7, size).astype(np.int32)
    amounts = rng.integers(-(10**15), 10**15, size) if form & 1 else ONES
    weights = rng.integers(1, 5, 2 * size)[::2] if form & 2 else ONES  # not contiguous, as a view may be
    amounts.flags.writeable = False  # as history's columns are
    totals = [(np.arange(9), np.arange(9) * 3) for _ in range(2)]
    for one, mine in zip((NUMPY, other), totals, strict=True):
        one.move(mine, slots, (members, amounts, weights), sign)
    np.testing.assert_array_equal(totals[0], totals[1])


@given(seed=st.integers(0, 2**32), size=st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_last_values_are_held_alike(other: Kernels, seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    members = rng.integers(0, 6, size).astype(np.int32)
    new = rng.uniform(0.5, 2, size) if rng.random() < 0.8 else rng.choice([1.0, 0.0, -1.0], size)
    values = rng.choice([1.0, 100.0, 3.0] if rng.random() < 0.6 else [1.0, 0.0, math.nan], 6)
    times = rng.integers(0, 10, 6)
    ts, oldest = np.arange(size) + 100, int(rng.choice([0, 0, 5]))
    held = [(values.copy(), times.copy()) for _ in range(2)]
    said = [one.hold(*mine, (ts, members, new), oldest) for one, mine in zip((NUMPY, other), held, strict=True)]
    np.testing.assert_array_equal(said[0], said[1])
    for one, another in zip(*held, strict=True):
        np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize("seed", range(4))
def test_an_engine_says_the_same_with_either(seed: int) -> None:
    each = [Engine(rule_set(), expected=EXPECTED, settings=EngineSettings(kernels=name)) for name in ("numpy", "numba")]
    for now, batch in story(seed):
        for machine in each:
            machine.ingest(batch)
        one, other = ([plain(item) for item in machine.evaluate(at(now), changed_only=True)] for machine in each)
        assert one == other
    for rule in each[0].ruleset.alerts:
        want, got = (machine.latest(rule.id) for machine in each)
        assert want is not None
        assert got is not None
        assert plain(want) == plain(got)
