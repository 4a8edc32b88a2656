"""Joins kept up as members appear, against the same joins worked out from all rows at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.engine.nodes.align import Join, Places, key_of, match_names
from monitor.engine.nodes.base import Node, Tick, row_of
from monitor.engine.rows.catalog import Index
from monitor.events import Labels
from monitor.expression import Matching

BASES, VENUES = ("BTC", "ETH", "SOL"), ("bybit", "okx")
NAMES = (("base",), ("base", "venue"), ("venue",), ())
MATCHINGS = (Matching(), Matching(on=("base",)), Matching(on=("base",), many="left"), Matching(ignoring=("venue",)))
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.booleans()), max_size=30)
"""Which side gains a row, of which label set, and whether somebody looks then."""


class Rows(Node):
    """Rows without values."""

    def __init__(self, label_names: tuple[str, ...]) -> None:
        super().__init__()
        self.index, self.label_names = Index(), label_names

    def refresh(self, tick: Tick) -> bool:
        del tick
        return False

    def gain(self, number: int) -> None:
        """A label set of this node's names."""
        whole = {"base": BASES[number % 3], "venue": VENUES[number // 3]}
        self.index.add(tuple((name, whole[name]) for name in self.label_names))


def met(join: Join, kept: set[str], matching: Matching) -> dict[Labels, tuple[int, int, bool]]:
    """For each output row: the row of the many side, that of the one side, and whether there were several."""
    many, one = (join.right, join.left) if join.many_right else (join.left, join.right)
    names = frozenset(match_names(join.left, join.right, matching))
    table: dict[Labels, list[int]] = {}
    for row, labels in enumerate(one.index.labels):
        table.setdefault(key_of(labels, names), []).append(row)
    found = {}
    for row, labels in enumerate(many.index.labels):
        candidates = table.get(key_of(labels, names), [])
        found[key_of(labels, frozenset(kept))] = (
            row,
            candidates[0] if len(candidates) == 1 else -1,
            len(candidates) > 1,
        )
    if kept == names:
        lonely = {key: rows for key, rows in table.items() if key not in found}
        found |= {key: (-1, rows[0] if len(rows) == 1 else -1, len(rows) > 1) for key, rows in lonely.items()}
    return found


@given(
    st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(MATCHINGS), st.sampled_from([*NAMES, None]), STEPS
)
def test_a_join_that_grew_is_the_join_of_all_rows(
    mine: tuple[str, ...],
    theirs: tuple[str, ...],
    matching: Matching,
    out: tuple[str, ...] | None,
    steps: Sequence[tuple[bool, int, bool]],
) -> None:
    left, right = Rows(mine), Rows(theirs)
    kept = set(out) if out is not None else max(set(mine), set(theirs))
    assume(kept >= set(match_names(left, right, matching)))  # as the checker has it
    join = Join(left, right, matching, out)
    before: list[Labels] = []
    for is_left, number, looked_at in [*steps, (True, 0, True)]:
        (left if is_left else right).gain(number)
        if not looked_at:
            continue
        join.update()
        want = met(join, kept, matching)
        many, one = (join.rows_right, join.rows_left) if join.many_right else (join.rows_left, join.rows_right)
        got = {
            labels: (int(many[row]), int(one[row]), row in join.ambiguous)
            for row, labels in enumerate(join.index.labels)
        }
        assert got == want
        assert join.index.labels[: len(before)] == before, "a row has moved"
        before = list(join.index.labels)
        own = [list(range(len(side.index))) for side in (left, right)]
        straight = [join.rows_left.tolist() == own[0], join.rows_right.tolist() == own[1]]
        assert join.same is all(straight)
        assert join.scalar_right is (straight[0] and right.index.labels == [()] and not join.ambiguous)


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), STEPS)
def test_places_that_grew_are_those_of_all_rows(
    mine: tuple[str, ...], theirs: tuple[str, ...], steps: Sequence[tuple[bool, int, bool]]
) -> None:
    of, among = Rows(mine), Rows(theirs)
    exact, loose = (
        Places(of.index, among.index),
        Places(of.index, among.index, lambda labels: row_of(among, labels)),
    )
    for is_of, number, looked_at in [*steps, (True, 0, True)]:
        (of if is_of else among).gain(number)
        if looked_at:
            labels = of.index.labels
            assert exact.update().tolist() == [among.index.ids.get(item, -1) for item in labels]
            assert loose.update().tolist() == [row_of(among, item) for item in labels]


def test_several_candidates_are_ambiguous_from_the_moment_they_appear() -> None:
    left, right = Rows(("base",)), Rows(("base", "venue"))
    join = Join(left, right, Matching(on=("base",)), ("base",))
    right.gain(0)
    join.update()
    assert (join.rows_left.tolist(), join.rows_right.tolist(), join.ambiguous) == ([-1], [0], set())
    right.gain(3)
    join.update()
    assert (join.rows_right.tolist(), join.ambiguous) == ([-1], {0})


def test_rows_of_one_side_alone_are_no_longer_alone_when_the_other_comes() -> None:
    left, right = Rows(("base",)), Rows(("base",))
    join = Join(left, right, Matching())
    right.gain(1)
    join.update()
    assert not join.same
    left.gain(1)
    join.update()
    assert join.same
    np.testing.assert_array_equal(join.rows_left, [0])
