"""Every window function agrees with its slow, obvious twin, for every source that it takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import NS_PER_S
from monitor.window import Columns, Path, Source
from monitor.windows import PAIRS, WINDOWS

STEP_NS = 60 * NS_PER_S
START_NS, END_NS = 0, 20 * STEP_NS
CASES = [(name, source) for name, function in WINDOWS.items() for source in function.sources]
value = st.floats(0.5, 1e6) | st.integers(1, 5).map(float)
maybe = st.one_of(st.just(math.nan), value)


@st.composite
def paths(draw: st.DrawFn, source: Source) -> Path:
    if source == "samples":
        times = [t * STEP_NS for t in draw(st.sets(st.integers(1, 20)))]
    else:
        times = draw(st.lists(st.integers(START_NS + 1, END_NS), max_size=12))
    times = sorted(times)
    return Path(
        times,
        draw(st.lists(value, min_size=len(times), max_size=len(times))),
        START_NS,
        END_NS,
        source,
        stale_ns=draw(st.sampled_from([STEP_NS * 1.0, STEP_NS * 5.0, math.inf])),
        now=math.nan if source == "events" else draw(maybe),
        before=math.nan if source == "events" else draw(maybe),
        step_ns=STEP_NS if source == "samples" else 0,
        q=0.7,
    )


def columns(keys: list[Path], source: Source) -> Columns:
    return Columns(
        ts=np.array([t for key in keys for t in key.times], np.int64),
        values=np.array([v for key in keys for v in key.values], np.float64),
        offsets=np.cumsum([0, *(len(key.times) for key in keys)]),
        start_ns=START_NS,
        end_ns=END_NS,
        stale_ns=np.array([key.stale_ns for key in keys]),
        now=np.array([key.now for key in keys]),
        before=np.array([key.before for key in keys]),
        source=source,
        step_ns=STEP_NS if source == "samples" else 0,
        q=0.7,
    )


@pytest.mark.parametrize(("name", "source"), CASES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_agrees_with_its_twin(name: str, source: Source, data: st.DataObject) -> None:
    keys = data.draw(st.lists(paths(source), min_size=1, max_size=4))
    got = WINDOWS[name].compute(columns(keys, source))
    want = [WINDOWS[name].naive(key) for key in keys]
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_pairs_agree_with_their_twins(name: str, data: st.DataObject) -> None:
    size, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3))
    x, y = (
        np.array(data.draw(st.lists(st.lists(maybe, min_size=width, max_size=width), min_size=size, max_size=size)))
        for _ in range(2)
    )
    want = [PAIRS[name].naive(x[:, k].tolist(), y[:, k].tolist()) for k in range(width)]
    np.testing.assert_allclose(PAIRS[name].compute(x, y), want, rtol=1e-7, atol=1e-7)


def test_every_function_of_the_language_has_an_implementation() -> None:
    from monitor.language.functions import FUNCTIONS, Form

    over_time = {n for n, f in FUNCTIONS.items() if f.accepts.keys() & {Form.EVENTS, Form.GAUGE, Form.SAMPLES}}
    assert over_time - WINDOWS.keys() - PAIRS.keys() == {"absent"}
