"""All state that outlives a change of rules: logs, members, coverage; and the readers' instants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monitor.engine.cover.coverage import Ledger
from monitor.engine.memory import Memory
from monitor.engine.nodes.base import Sources
from monitor.engine.rows.catalog import Catalog
from monitor.engine.rows.extremes import Extremes
from monitor.engine.rows.gauges import LastValues
from monitor.engine.rows.kernels import NUMPY, Kernels
from monitor.engine.rows.log import Log
from monitor.engine.rows.panes import PaneFeed
from monitor.engine.rows.projection import Projection
from monitor.engine.rows.sums import Bank
from monitor.events import Channel
from monitor.series import SERIES, SeriesSpec

MICROS = 1e6
Key = tuple[str, int]
"""Series and pane width (0: raw)."""


class Store:
    """The logs of every series that a rule reads, raw and in panes."""

    def __init__(self, expected: Mapping[Channel, Sequence[str]], kernels: Kernels = NUMPY) -> None:
        self.kernels = kernels
        self.catalog = Catalog()
        self.ledger = Ledger(expected)
        self.sources = Sources(self.ledger)
        self.specs: dict[str, SeriesSpec] = dict(SERIES)
        self.logs: dict[Key, Log] = {}
        self.feeds: dict[Key, PaneFeed] = {}
        self.keep_ns: dict[Key, int] = {}
        self.floors: dict[Key, int] = {}
        """Rows at or before this instant were forgotten; nothing where none was."""
        self.histories: dict[object, Any] = {}
        self.memories: dict[str, Memory] = {}
        """What conditions of the last run or of the last rules knew, until the rules are compiled."""

    def log(self, series: str, pane_ns: int = 0) -> Log:
        """The log of a series at one pane width, made on first use."""
        key = (series, pane_ns)
        if key not in self.logs:
            events = self.specs[series].form == "events"
            dtype = np.int64 if events else np.float64
            self.logs[key] = log = Log(dtype, counted=events and pane_ns > 0, unique=not events)
            if pane_ns:
                self.feeds[key] = PaneFeed(self.log(series), log, pane_ns)
        return self.logs[key]

    def need(self, series: str, pane_ns: int, reach_ns: int) -> None:
        """Keep rows of a log for at least `reach_ns`."""
        self.log(series, pane_ns)
        for key, reach in ((series, pane_ns), reach_ns), ((series, 0), 2 * pane_ns):
            self.keep_ns[key] = max(self.keep_ns.get(key, 0), reach)

    def roll(self, now_ns: int) -> None:
        """Close panes."""
        for feed in self.feeds.values():
            feed.roll(now_ns)

    def trim(self, now_ns: int, slack_ns: int) -> None:
        """Forget rows that no window can reach any more."""
        for key, log in self.logs.items():
            before_ns = now_ns - self.keep_ns.get(key, 0) - slack_ns
            if len(log) and log.time_at(log.first) <= before_ns:
                self.floors[key] = before_ns
            log.trim(before_ns)

    def shrink(self, most: int) -> None:
        """Keep at most so many rows of each log; the ledger is told, so that coverage is worked out anew."""
        for log in self.logs.values():
            if log.shrink(most):
                self.ledger.version += 1


class Domain:
    """Readers that stand at one common instant (less a delay each)."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.banks: dict[tuple[str, int, int], Bank] = {}
        self.lasts: dict[tuple[str, int, int], LastValues] = {}
        self.extremes: dict[object, tuple[int, Extremes]] = {}
        self.now_ns = -(1 << 62)

    def extreme(self, series: str, projection: Projection, ufunc: np.ufunc, window_ns: int, delay_ns: int) -> Extremes:
        """The greatest or smallest value of one window by one projection."""
        key = (series, id(projection), ufunc, window_ns, delay_ns)
        if key not in self.extremes:
            scale = MICROS if self.store.specs[series].form == "events" else 1.0
            found = Extremes(self.store.log(series), projection, ufunc, window_ns, scale)
            self.extremes[key] = (delay_ns, found)
        return self.extremes[key][1]

    def bank(self, series: str, pane_ns: int, delay_ns: int) -> Bank:
        """The totals over one log as of `delay_ns` ago."""
        key = (series, pane_ns, delay_ns)
        if key not in self.banks:
            amounts, log = self.store.specs[series].form == "events", self.store.log(series, pane_ns)
            self.banks[key] = Bank(log, amounts=amounts, vast=pane_ns > 0, kernels=self.store.kernels)
        return self.banks[key]

    def last(self, series: str, pane_ns: int, delay_ns: int) -> LastValues:
        """The last values of one log as of `delay_ns` ago."""
        key = (series, pane_ns, delay_ns)
        if key not in self.lasts:
            store = self.store
            self.lasts[key] = LastValues(store.log(series, pane_ns), store.catalog.series(series), store.kernels)
        return self.lasts[key]

    def seek(self, now_ns: int) -> None:
        """Move every reader to `now_ns` less its delay."""
        self.now_ns = now_ns
        for (_, _, delay_ns), bank in self.banks.items():
            bank.seek(now_ns - delay_ns)
        for (_, _, delay_ns), last in self.lasts.items():
            last.seek(now_ns - delay_ns)
        for delay_ns, extreme in self.extremes.values():
            extreme.seek(now_ns - delay_ns)

    def settle(self) -> None:
        """Count all rows that wait, before the logs forget some."""
        for bank in self.banks.values():
            bank.settle()
        for _, extreme in self.extremes.values():
            extreme.settle()

    def close(self) -> None:
        """Stop reading the logs."""
        readers: list[Bank | LastValues | Extremes] = [*self.banks.values(), *self.lasts.values()]
        readers += [extreme for _, extreme in self.extremes.values()]
        for reader in readers:
            reader.log.readers.remove(reader)
