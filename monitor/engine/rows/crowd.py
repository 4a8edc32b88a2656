"""Many events at once: runs of one type go in as columns, as history does (`monitor.engine.rows.bulk`); others one by one.

A batch is the backlog: a few events when the market is calm, thousands in a cascade or in a step of a replay. From some
hundred of a type on, reading their fields into columns costs a fraction of taking in one after the other, to the same
effect. Each type speaks of series of its own, so that runs of two types may be taken in one after the other, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from monitor.engine.rows.bulk import READINGS, Block, MarketRow, Rows, Subjects
from monitor.engine.rows.intake import IngestReport, Intake
from monitor.engine.settings import EngineSettings
from monitor.engine.store import Store
from monitor.events import Depth, Event, Funding, Liquidation, OpenInterest, Price, Sample, Trade
from monitor.instruments import Instrument
from monitor.window import Ints

CROWD = 128
"""How many events of a type are worth columns: below, their fixed cost of some 0.1 ms is more than they save."""
SERIES = frozenset(reading.series for readings in READINGS.values() for reading in readings)


class _Codes(dict[Instrument, int]):
    """The first code of each instrument, given when it is first asked for."""

    def __init__(self, subjects: Subjects) -> None:
        super().__init__()
        self._subjects = subjects

    def __missing__(self, instrument: Instrument) -> int:
        code = self[instrument] = self._subjects.add(instrument) * len(self._subjects.words)
        return code


class _Reader:
    """Reads events of one type into columns.

    Args:
        event: Their type.
        values: The fields that are its values, as `monitor.engine.rows.bulk.Rows` wants them, with their types.
        word: The field that stands in the labels, and what it can say.
    """

    def __init__(
        self, event: type[MarketRow], values: dict[str, type], word: str = "", words: Sequence[str] = ("",)
    ) -> None:
        self._event, self._word = event, word
        self._values = [(attrgetter(name), dtype) for name, dtype in values.items()]
        self._places = {text: place for place, text in enumerate(words)}
        self._subjects = Subjects(words)
        self._codes = _Codes(self._subjects)

    def rows(self, run: Sequence[Any]) -> Rows:
        """A run of events as columns."""
        return Rows(
            self._event,
            self._subjects,
            codes=self._code(run),
            recv_ns=np.array([event.recv_ns for event in run], np.int64),
            ts_ns=np.array([event.ts_ns for event in run], np.int64),
            values=[np.array(list(map(read, run)), dtype) for read, dtype in self._values],
            ends=np.array([len(run)]),
        )

    def _code(self, run: Sequence[Any]) -> Ints:
        codes = np.array([self._codes[event.instrument] for event in run], np.int64)
        if self._word:
            codes += np.array([self._places[text] for text in map(attrgetter(self._word), run)], np.int64)
        return codes


class Crowd:
    """Takes in batches of any size."""

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store, self._settings = store, settings
        self._intake = Intake(store, settings)
        self._readers: dict[type, _Reader] = {
            Liquidation: _Reader(Liquidation, {"usd_micros": np.int64}, "side", ("long", "short")),
            Trade: _Reader(Trade, {"usd_micros": np.int64}, "side", ("buy", "sell")),
            Price: _Reader(Price, {"value": np.float64}, "kind", ("mark", "index", "last", "mid")),
            Funding: _Reader(Funding, {"rate": np.float64, "interval_h": np.float64}),
            OpenInterest: _Reader(OpenInterest, {"usd": np.float64}),
            Depth: _Reader(Depth, {"bid_usd": np.float64, "ask_usd": np.float64, "spread_ratio": np.float64}),
        }

    def take(self, events: Sequence[Event], now_ns: int) -> IngestReport:
        """As `Intake.take`, to the same effect."""
        if len(events) < CROWD:
            return self._intake.take(events, now_ns)
        runs, rest = self._runs(events)
        if not runs:
            return self._intake.take(events, now_ns)
        report = self._intake.take(rest, now_ns)
        block = Block([self._readers[kind].rows(run) for kind, run in runs.items()])
        report.add(block.feed(self._store, self._settings, 0, now_ns))
        return report

    def _runs(self, events: Sequence[Event]) -> tuple[dict[type, list[Any]], list[Event]]:
        """Long runs by type, and all other events; no runs where the order of events of several types counts."""
        runs: dict[type, list[Any]] = {kind: [] for kind in self._readers}
        rest: list[Event] = []
        for event in events:
            runs.get(type(event), rest).append(event)
        mixed = any(type(event) is Sample and event.series in SERIES for event in rest)
        if mixed or any(_has_history(kind, run) for kind, run in runs.items()):
            return {}, rest
        for kind in [kind for kind, run in runs.items() if len(run) < CROWD]:
            rest += runs.pop(kind)
        return runs, rest


def _has_history(kind: type, run: Sequence[Any]) -> bool:
    return kind is not Depth and any([event.backfill for event in run])  # noqa: C419 - a list is three times as fast
