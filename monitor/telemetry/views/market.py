"""The market as the engine holds it: tables of last values, totals of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one market series: row i has the label values ``keys[i]`` and the value ``values[i]``.

    ``keys`` only ever grows while ``generation`` stays the same, so a reader may keep what it worked out per row.
    A value may be NaN (float columns): missing.
    """

    keys: Sequence[tuple[str, ...]]
    values: Numbers
    generation: int = 0

    @classmethod
    def empty(cls) -> Table:
        """A series of which nothing has arrived."""
        return cls((), np.empty(0))


@dataclass(frozen=True, slots=True)
class MarketView:
    """The market as the engine holds it now. The label names of each table stand behind its name.

    Attributes:
        liquidations_usd_micros: (venue, base, side), micro-dollars since start, backfill not counted.
        liquidations_count: (venue, base, side), the same rows in the same order.
        price_usd: (venue, symbol, base, kind), US dollars (USD-like quotes) of one coin.
        funding_ratio: (venue, symbol, base), per the contract's own interval.
        funding_8h_ratio: (venue, symbol, base), scaled to eight hours.
        open_interest_usd: (venue, symbol, base), one side.
        depth_usd: (venue, symbol, base, side ``bid`` or ``ask``), resting orders within 1 % of mid.
        spread_ratio: (venue, symbol, base), best ask less best bid as a share of mid.
    """

    liquidations_usd_micros: Table
    liquidations_count: Table
    price_usd: Table
    funding_ratio: Table
    funding_8h_ratio: Table
    open_interest_usd: Table
    depth_usd: Table = field(default_factory=Table.empty)
    spread_ratio: Table = field(default_factory=Table.empty)


@dataclass(frozen=True, slots=True)
class WindowTotal:
    """Liquidations inside one rolling window. Exactly one of ``venue`` and ``base`` is set.

    ``coverage_ratio`` says in which share of the window the feeds behind it were live.
    """

    window: str
    side: Literal["long", "short"]
    usd_micros: int
    count: int
    coverage_ratio: float
    venue: str = ""
    base: str = ""
