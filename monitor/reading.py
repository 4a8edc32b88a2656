"""What the engine says about a rule at one instant: three-valued, with coverage. Columns, one row per label set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitor.events import Labels

TRUE, FALSE, UNKNOWN = 1, 0, -1

Truth = npt.NDArray[np.int8]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A rule's readings at ``at_ns``.

    Row i stands for the same label set in every later evaluation of the rule: label sets are only ever appended.

    Attributes:
        rule: The rule's identity, ``group/name``.
        at_ns: The instant of evaluation (event time).
        labels: One label set per row.
        truth: TRUE, FALSE or UNKNOWN per row; for a severity ladder: whether its lowest level holds.
        value: The left side of the deciding comparison; NaN when missing.
        threshold: The right side of it; NaN when there is none.
        coverage: 0..1 per row: share of the needed window in which the needed feeds were live.
        lower_bound: True where the reading holds on the data that did arrive whatever is missing (a sum above its
            threshold), so that low coverage does not put the truth in doubt.
        clear: Truth of the ``clear:`` condition; None when the rule has none.
        level: For a ladder: index of the highest level that holds, -1 for none; None for a rule without a ladder.
        reasons: Why a row is unknown or held, by row; only such rows are present. Worked out when looked at.
    """

    rule: str
    at_ns: int
    labels: Sequence[Labels]
    truth: Truth
    value: Values
    threshold: Values
    coverage: Values
    lower_bound: npt.NDArray[np.bool_]
    clear: Truth | None = None
    level: npt.NDArray[np.int8] | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contributor:
    """A part of a reading: a label set (venue, symbol, side...), its amount, and its share of the whole (0: not a sum)."""

    labels: Labels
    value: float
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stands behind one row of an evaluation; worked out only when asked for.

    ``parts`` are the sub-expressions as text with their values; ``signs`` the conditions that are counted, a line each, with
    whether it is on, where the value is a count of them; ``missing`` names feeds or inputs that are not there;
    ``largest`` is the largest single event of the window as text; ``spark`` is the value over the window, oldest first.
    ``notes`` say what to bear in mind although nothing is missing: which venues publish a part only; where
    the value stands among those recorded. ``links`` are names and addresses of where to look further.
    ``unit`` is that of the contributors, as in `monitor.series.Unit`: it need not be the rule's own.
    """

    contributors: tuple[Contributor, ...] = ()
    parts: tuple[tuple[str, float | None], ...] = ()
    missing: tuple[str, ...] = ()
    largest: str = ""
    spark: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    unit: str = ""
    signs: tuple[str, ...] = ()
