"""The engine's inner loops: in numpy, and compiled where numba is installed. The same results, to the bit.

The loops at the end of this file are plain Python that says what happens row by row; numba compiles them as they stand
(``pip install 'market-risk-monitor[fast]'``). Which of the two is at work is decided here and nowhere else, when an engine
is made: before the feeds start, so that nothing is compiled while events wait.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Members = npt.NDArray[np.int32]
Column = npt.NDArray[Any]
Totals = tuple[Ints, Ints]
Choice = Literal["auto", "numpy", "numba"]

ONES: Ints = np.empty(0, np.int64)
"""As the weights of `Kernels.move`: every row counts as one."""


class Kernels(NamedTuple):
    """One set of inner loops.

    ``move(totals, slots, rows, sign)`` adds rows to totals (sums and counts) or, with a `sign` of -1, takes them away:
    `slots` has the place of each member (row) in each lane (column); `rows` are members, amounts and weights, each amount
    and weight an int64 (no amounts at all: only the counts move).

    ``hold(values, times, rows, oldest)`` puts rows (times, members, values) into the last values of members and returns the
    smallest and the greatest ratio of new over old; NaN for both where an old value is missing, older than `oldest` or, like
    a new one, not above zero. Several rows of a member all count from its value before.
    """

    name: str
    move: Callable[[Totals, Ints, tuple[Members, Ints, Ints], int], None]
    hold: Callable[[Floats, Ints, tuple[Ints, Members, Floats], int], tuple[float, float]]


def kernels(choice: Choice = "auto") -> Kernels:
    """The loops that are wanted: with ``auto`` compiled ones where they can be had.

    Raises:
        ModuleNotFoundError: ``numba`` is asked for and not installed.
    """
    compiled = choice == "numba" or (choice == "auto" and has_numba())
    return _compiled() if compiled else NUMPY


def has_numba() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def _move(totals: Totals, slots: Ints, rows: tuple[Members, Ints, Ints], sign: int) -> None:
    (sums, counts), (members, amounts, weights) = totals, rows
    places, lanes = slots.take(members, axis=0).ravel(), slots.shape[1]  # four times as fast as slots[members]
    if len(amounts):
        signed = amounts if sign > 0 else -amounts
        np.add.at(sums, places, signed if lanes == 1 else signed.repeat(lanes))
    np.add.at(counts, places, (weights * sign).repeat(lanes) if len(weights) else sign)


def _hold(values: Floats, times: Ints, rows: tuple[Ints, Members, Floats], oldest: int) -> tuple[float, float]:
    ts, members, new = rows
    least = np.minimum.reduce
    old = values[members]
    low = high = np.nan
    if least(times[members]) >= oldest and least(old) > 0 and least(new) > 0:  # not so either when one is missing
        ratio = new / old
        low, high = float(least(ratio)), float(np.maximum.reduce(ratio))
    values[members] = new
    times[members] = ts
    return low, high


NUMPY = Kernels("numpy", _move, _hold)


@cache
def _compiled() -> Kernels:
    """The loops below as machine code, kept on disk for the next start where that can be written."""
    from numba import njit, types

    i64, f64 = types.int64, types.float64  # a type for each argument, so that it is compiled now and not at a call
    own_i, own_f = types.Array(i64, 1, "C"), types.Array(f64, 1, "C")
    given = {kind: types.Array(kind, 1, "A", readonly=True) for kind in (types.int32, i64, f64)}
    table = types.Array(i64, 2, "C", readonly=True)
    move = [own_i, own_i, table, given[types.int32], given[i64], given[i64], i64]
    hold = [own_f, own_i, given[i64], given[types.int32], given[f64], i64]

    def made(loop: Callable[..., Any], arguments: list[Any]) -> Callable[..., Any]:
        try:
            return njit(tuple(arguments), cache=True)(loop)
        except RuntimeError:  # neither beside the program nor in the user's cache can anything be written
            return njit(tuple(arguments))(loop)

    move_rows, hold_rows = made(move_loop, move), made(hold_loop, hold)
    return Kernels(
        "numba",
        lambda totals, slots, rows, sign: move_rows(*totals, slots, *rows, sign),
        lambda values, times, rows, oldest: hold_rows(values, times, *rows, oldest),
    )


def move_loop(  # noqa: PLR0917 - what is compiled takes its arguments by position
    sums: Ints, counts: Ints, slots: Ints, members: Members, amounts: Ints, weights: Ints, sign: int
) -> None:
    """`Kernels.move`, row by row. Numbers without a sign need no look whether they count from the end: a third of the time."""
    for row in range(len(members)):
        member = np.uintp(members[row])
        weight = weights[row] * sign if len(weights) else sign
        amount = amounts[row] * sign if len(amounts) else 0
        for lane in range(slots.shape[1]):
            slot = np.uintp(slots[member, lane])
            counts[slot] += weight
            sums[slot] += amount


def hold_loop(  # noqa: PLR0917 - what is compiled takes its arguments by position
    values: Floats, times: Ints, ts: Ints, members: Members, new: Floats, oldest: int
) -> tuple[float, float]:
    """`Kernels.hold`, row by row."""
    low, high = np.inf, 0.0
    known = True
    for row in range(len(members)):
        member = members[row]
        old = values[member]
        known = known and times[member] >= oldest and old > 0 and new[row] > 0
        if known:
            ratio = new[row] / old
            low, high = min(low, ratio), max(high, ratio)
    for row in range(len(members)):
        values[members[row]] = new[row]
        times[members[row]] = ts[row]
    return (low, high) if known else (np.nan, np.nan)


__all__ = ["NUMPY", "ONES", "Choice", "Kernels", "has_numba", "kernels"]
