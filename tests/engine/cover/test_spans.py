"""Stretches filled in, in any order, cover each second once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.cover.spans import Spans

STRETCHES = st.lists(st.tuples(st.integers(0, 40), st.integers(-2, 9)), max_size=12)


@given(STRETCHES, st.none() | st.integers(0, 40))
def test_filling_covers_the_union_and_what_is_open_stays_its_own(
    stretches: list[tuple[int, int]], open_since: int | None
) -> None:
    spans = Spans()
    if open_since is not None:
        spans.up(open_since)
    covered: set[int] = set() if open_since is None else set(range(open_since + 1, 61))
    for start, length in stretches:
        spans.fill(start, start + length)
        covered |= set(range(start + 1, start + length + 1))

    assert [spans.covered_ns(second - 1, second) for second in range(61)] == [second in covered for second in range(61)]
    assert spans.starts == sorted(spans.starts)
    assert all(end < start for end, start in zip(spans.ends, spans.starts[1:], strict=False))
