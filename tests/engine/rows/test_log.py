"""The log against a plain list: what is read, where times lie, what readers are told, and that memory is used again."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine.rows import log as log_module
from monitor.engine.rows.log import Column, Log, Members
from monitor.window import Ints

BATCH = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=12)
STEPS = st.lists(
    st.one_of(st.tuples(st.just("insert"), BATCH), st.tuples(st.just("trim"), st.integers(0, 60))), max_size=25
)


class Told:
    """A reader that notes what it is told."""

    def __init__(self) -> None:
        self.rows = 0
        self.revisions = 0

    def late(self, log: Log, ts: Ints, members: Members, values: Column, counts: Ints | None) -> None:
        del log, members, values, counts
        self.rows += len(ts)

    def revised(self, log: Log, ts: Ints, members: Members, values: Column) -> None:
        del log, members, values
        self.revisions += len(ts)

    def leave(self, position: int) -> None:
        raise AssertionError("nothing was dropped")

    def cut(self) -> None:
        raise AssertionError("nothing was dropped")


def columns(rows: list[tuple[int, int, int]]) -> tuple[Ints, Members, Column]:
    ts, members, values = zip(*sorted(rows, key=lambda row: row[0]), strict=True)
    return np.array(ts, np.int64), np.array(members, np.int32), np.array(values, np.int64)


@settings(max_examples=80)
@given(STEPS, st.booleans())
def test_a_log_is_a_sorted_list(steps: list[tuple[str, object]], unique: bool) -> None:
    """In chunks of eight rows, with rows that come late, rows that are revised, and rows that are forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module, "CHUNK", 8)
        log, want, told = Log(np.int64, unique=unique, capacity=2), list[tuple[int, int, int]](), Told()
        log.readers.append(told)
        arrived = stood = 0
        for name, what in steps:
            if name == "trim":
                stood = max(stood, *(row[0] for row in want if row[0] <= what), 0) if unique else 0  # type: ignore[operator]
                log.trim(what)  # type: ignore[arg-type]
                want = [row for row in want if row[0] > what]  # type: ignore[operator]
            else:
                before = len(want)
                want = merged(want, what, unique=unique)  # type: ignore[arg-type]
                arrived += len(want) - before
                log.insert(*columns(what))  # type: ignore[arg-type]
            assert list(zip(*(column.tolist() for column in log.rows(log.first, log.end)), strict=True)) == want
            times = [row[0] for row in want]
            for time in range(-1, 62, 7):
                assert log.position(time) - log.first == bisect_right(times, time)
            assert len(log) == len(want)
            assert [log.time_at(log.first + at) for at in range(len(want))] == times
            middle = log.first + len(want) // 2
            assert log.rows(middle, log.end)[0].tolist() == times[len(want) // 2 :]
            assert log.newest_ns == max(times[-1] if times else 0, stood)
        assert (told.rows, log.arrived.value) == (arrived, arrived)


def merged(
    rows: list[tuple[int, int, int]], new: list[tuple[int, int, int]], *, unique: bool
) -> list[tuple[int, int, int]]:
    """Rows with `new` put in their places; in a unique log the last word on a member and time stands in the first place."""
    if not unique:
        return sorted([*rows, *sorted(new, key=lambda row: row[0])], key=lambda row: row[0])
    last = {(ts, member): value for ts, member, value in [*rows, *new]}
    old = [(ts, member, last[ts, member]) for ts, member, _ in rows]
    known = {(ts, member) for ts, member, _ in rows}
    order = {key: at for at, key in enumerate((ts, member) for ts, member, _ in new)}
    fresh = [(*key, last[key]) for key in order if key not in known]
    fresh.sort(key=lambda row: (row[0], order[row[0], row[1]]))
    return sorted([*old, *fresh], key=lambda row: row[0])


def test_a_log_in_steady_state_fills_what_it_has_forgotten() -> None:
    """A minute's rows are kept, an hour's come through: the arrays are those of a minute and a few chunks."""
    log = Log(np.float64)
    member, peak = np.zeros(500, np.int32), 0
    for second in range(3600):
        log.insert(np.full(500, second), member, member.astype(np.float64))
        log.trim(second - 60)
        if second == 600:
            peak = log.nbytes
    assert len(log) == 30_000
    assert log.nbytes == peak
    assert peak < 20 * (30_000 + 4 * log_module.CHUNK)


def test_amounts_and_rows_are_metered_and_negative_amounts_noted() -> None:
    log = Log(np.int64)
    log.insert(*columns([(1, 0, 5), (2, 0, 7)]))
    assert (log.arrived.value, log.amount.value, log.signed) == (2, 12, False)
    log.insert(*columns([(1, 0, -1)]))
    assert (log.arrived.value, log.amount.value, log.signed) == (3, 11, True)
