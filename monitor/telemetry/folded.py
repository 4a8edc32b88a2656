"""A table of the market as one metric: what is on the watch list by itself, the rest together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monitor.telemetry.exposition import ColumnFamily, Family, MetricSpec
from monitor.telemetry.views.market import Table

OTHER = "other"
"""The label value of all that is not on the watch list."""


class FoldedTable:
    """One market table as a metric: watched rows as they are, the rest added into ``other`` or left out."""

    def __init__(
        self,
        spec: MetricSpec,
        watch: frozenset[str] | None,
        watched: Sequence[int],
        *,
        add_rest: bool,
        scale: float = 1.0,
    ) -> None:
        self._family = ColumnFamily(spec)
        self._watch, self._watched, self._add_rest, self._scale = watch, tuple(watched), add_rest, scale
        self._generation: int | None = None
        self._reset(0)

    def _reset(self, generation: int) -> None:
        if generation != self._generation:
            self._generation = generation
            self._seen = 0
            self._target: list[int] = []
            self._keys: list[tuple[str, ...]] = []
            self._index: dict[tuple[str, ...], int] = {}
            self._targets: npt.NDArray[np.intp] = np.empty(0, dtype=np.intp)
            self._identity = True
            self._family.reset()

    def _key(self, key: tuple[str, ...]) -> tuple[str, ...] | None:
        if self._watch is None or any(key[position] in self._watch for position in self._watched):
            return key
        if not self._add_rest:
            return None
        return tuple(OTHER if position in self._watched else value for position, value in enumerate(key))

    def _learn(self, keys: Sequence[tuple[str, ...]]) -> None:
        for row in range(self._seen, len(keys)):
            key = self._key(keys[row])
            if key is None:
                self._target.append(-1)
                continue
            slot = self._index.setdefault(key, len(self._keys))
            if slot == len(self._keys):
                self._keys.append(key)
            self._target.append(slot)
        self._seen = len(keys)
        self._targets = np.array(self._target, dtype=np.intp)
        self._identity = self._target == list(range(len(keys)))

    def read(self, table: Table) -> Family:
        """The family as it is now."""
        self._reset(table.generation)
        if len(table.keys) > self._seen:
            self._learn(table.keys)
        values = np.asarray(table.values[: self._seen], dtype=np.float64) * self._scale
        if not self._identity:
            values = self._fold(values)
        return self._family.update(self._keys, values)

    def _fold(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Add rows of one target; a target all of whose rows are missing is missing."""
        present = (self._targets >= 0) & ~np.isnan(values)
        slots = self._targets[present]
        sums: npt.NDArray[np.float64] = np.zeros(len(self._keys))
        np.add.at(sums, slots, values[present])
        sums[np.bincount(slots, minlength=len(self._keys)) == 0] = np.nan
        return sums
