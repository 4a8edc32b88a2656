"""New numbers for the label sets that stay, in all that goes by numbers: rows, samples, and what conditions remember."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monitor.engine.leaving.gone import says
from monitor.engine.memory import Memory, Side
from monitor.engine.nodes.base import Bools
from monitor.engine.past.history import History
from monitor.engine.rows.log import Log
from monitor.engine.store import Store
from monitor.expression import selectors


def renumber(store: Store, past: Mapping[str, Log], stay: Mapping[str, Bools]) -> None:
    """Let all members leave that do not stay; whatever reads the logs must be made anew afterwards.

    Args:
        store: The rows and samples.
        past: Rows that are kept apart, by series.
        stay: For each series whether each of its members stays.
    """
    numbers = {series: np.where(chosen, np.cumsum(chosen) - 1, -1) for series, chosen in stay.items()}
    for (series, _), log in store.logs.items():
        log.renumber(numbers[series], stay[series])
    for series, log in past.items():
        log.renumber(numbers[series], stay[series])
    for key, history in store.histories.items():
        _narrow(history, _sampled_series(key), stay)
    store.catalog.keep(stay)


def _sampled_series(key: Any) -> str:
    """The series whose members a sampler's snapshots are of; by its key, which begins with the expression."""
    return next(selectors(key[0])).series


def renumbered(memories: Mapping[str, Memory], stay: Mapping[str, Bools]) -> dict[str, Memory]:
    """What conditions remember, without those who leave; to be asked before they do."""
    return {
        name: Memory(one.labels, one.columns, [_side(side, stay) for side in one.sides])
        for name, one in memories.items()
    }


def _side(side: Side, stay: Mapping[str, Bools]) -> Side:
    by, values = side
    return (by, values[stay[by][: len(values)]]) if isinstance(by, str) else side


def _narrow(history: History, series: str, stay: Mapping[str, Bools]) -> None:
    """Drop the rows that say nothing, and from what splices the samples the members that leave."""
    history.keep(np.flatnonzero(says(history)))

    def kept(who: Any) -> Any:
        if not isinstance(who, tuple):
            return who
        return tuple(None if part is None else part[stay[series][: len(part)]] for part in who)

    history.snapshot = kept(history.snapshot)
    history.openings = {at_ns: kept(who) for at_ns, who in history.openings.items()}
