"""Folding only the groups that changed gives what folding all of them gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.engine.rows.catalog import Index
from monitor.engine.rows.gauges import Folder, Recent, fold_groups
from monitor.engine.rows.projection import Projection
from monitor.expression import Grouping
from monitor.series import Fold

VALUE = st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6))
CHANGES = st.lists(st.lists(st.tuples(st.integers(0, 29), VALUE), max_size=12), max_size=8)


@given(st.sampled_from([Fold.MEDIAN, Fold.MEAN, Fold.SUM, Fold.MAX]), CHANGES, st.integers(0, 29))
def test_few_changes_fold_as_all_values_do(fold: Fold, rounds: list[list[tuple[int, float]]], first_size: int) -> None:
    """With changes, values that go missing, and members that appear half-way."""
    members = Index()
    projection = Projection(members, (), Grouping(labels=("base",)))
    folder = Folder(fold)
    values = np.full(30, np.nan)
    for number, changes in enumerate(rounds):
        size = 30 if number > 2 else first_size
        for row in range(len(members), size):
            members.add((("base", f"B{row % 4}"), ("venue", f"v{row}")))
        projection.update()
        values = values.copy()
        for row, value in changes:
            values[row] = value
        got = folder.fold(values[:size].copy(), projection)
        np.testing.assert_array_equal(got, fold_groups(fold, values[:size], projection.group, len(projection.index)))


@given(st.sampled_from([Fold.MEDIAN, Fold.MEAN, Fold.SUM, Fold.MAX]), CHANGES, st.integers(0, 29))
def test_what_was_folded_a_moment_ago_is_what_folding_again_gives(
    fold: Fold, rounds: list[list[tuple[int, float]]], first_size: int
) -> None:
    """Also of values that are asked for with other members missing, and of a projection that has grown since."""
    members = Index()
    projection = Projection(members, (), Grouping(labels=("base",)))
    recent, found = Recent(), 0
    values = before = np.full(30, np.nan)
    for number, changes in enumerate(rounds):
        size = 30 if number > 2 else first_size
        for row in range(len(members), size):
            members.add((("base", f"B{row % 4}"), ("venue", f"v{row}")))
        projection.update()
        before, values = values, values.copy()
        for row, value in changes:
            values[row] = value
        now = values[:size].copy()
        recent.note(now, projection, fold_groups(fold, now, projection.group, len(projection.index)))
        for asked in (now.copy(), before[:size].copy(), np.where(np.isnan(now), before[:size], np.nan)):
            known = recent.find(asked, projection)
            if known is not None:
                found += 1
                again = fold_groups(fold, asked, projection.group, len(projection.index))
                np.testing.assert_array_equal(known, again)
    assert found >= len(rounds)
