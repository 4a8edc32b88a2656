"""Names to numbers: label sets of a series become member ids, and market events become (series, member, value) rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monitor.events import (
    Depth,
    Funding,
    Labels,
    Liquidation,
    MarketEvent,
    OpenInterest,
    Price,
    Sample,
    Trade,
)
from monitor.instruments import Instrument

HOURS_8 = 8.0
HOURS_YEAR = 8760.0


class Index:
    """Label sets in order of first appearance; row numbers are never reused."""

    __slots__ = ("_filed", "_rows_by", "ids", "labels")

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self.ids: dict[Labels, int] = {}
        self._rows_by: dict[str, dict[str, list[int]]] = {}
        self._filed = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def value(self) -> int:
        """The size, as a number that only grows."""
        return len(self.labels)

    def add(self, labels: Labels) -> int:
        """The row of a label set, new at the end if it is unknown."""
        row = self.ids.get(labels)
        if row is None:
            row = self.ids[labels] = len(self.labels)
            self.labels.append(labels)
        return row

    def candidates(self, labels: Labels) -> Sequence[int]:
        """Rows among which are all that no label of `labels` speaks against: few where one of them is rare.

        Filed by label when first asked for, so that a storm of questions does not read every row for each.
        """
        for row in range(self._filed, len(self.labels)):
            for name, value in self.labels[row]:
                self._rows_by.setdefault(name, {}).setdefault(value, []).append(row)
        self._filed = len(self.labels)
        best: Sequence[int] = range(len(self.labels))
        for name, value in labels:
            rows_by = self._rows_by.get(name, {})
            lacking = len(self.labels) - sum(map(len, rows_by.values()))
            if not lacking and len(rows_by.get(value, ())) < len(best):
                best = rows_by.get(value, ())
        return best


@dataclass(slots=True)
class Batch:
    """Rows of one series out of one `ingest` call, as plain lists."""

    ts: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


def market_labels(instrument: Instrument, **more: str) -> Labels:
    """Labels of an instrument's series, sorted by name."""
    labels = {
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "base": instrument.base,
        "quote": instrument.quote,
        **more,
    }
    return tuple(sorted(labels.items()))


class Catalog:
    """All members of all series. Only `wanted` series take rows; the rest are passed over."""

    def __init__(self) -> None:
        self._series: dict[str, Index] = {}
        self._cache: dict[tuple[Instrument, str, str], int] = {}
        self.wanted: frozenset[str] = frozenset()

    def series(self, name: str) -> Index:
        """The members of one series."""
        return self._series.setdefault(name, Index())

    @property
    def size(self) -> int:
        """Members of all series."""
        return sum(map(len, self._series.values()))

    def names(self) -> Iterable[str]:
        """Every series that has members."""
        return self._series.keys()

    def keep(self, stay: Mapping[str, Sequence[bool] | np.ndarray]) -> None:
        """Drop the members that do not stay; the others are numbered anew, in the same order."""
        for series, chosen in stay.items():
            index, old = Index(), self._series[series]
            for labels, stays in zip(old.labels, chosen, strict=True):
                if stays:
                    index.add(labels)
            self._series[series] = index
        self._cache = {}

    def rows(self, event: MarketEvent) -> list[tuple[str, int, float]]:
        """What an event says, as (series, member, value); money of event series in micro-dollars.

        Empty for TradFi instruments, which crypto aggregates must never contain.
        """
        kind = type(event)
        if kind is Sample:
            return self._sample(event)  # type: ignore[arg-type]
        instrument = event.instrument  # type: ignore[union-attr]
        if instrument.asset_class == "tradfi":
            return []
        found = []
        for name, extra, value in READINGS[kind](event):
            if name in self.wanted:
                member = self._cache.get((instrument, name, extra))
                if member is None:
                    member = self._member(instrument, name, extra)
                found.append((name, member, value))
        return found

    def _sample(self, event: Sample) -> list[tuple[str, int, float]]:
        if event.series not in self.wanted:
            return []
        return [(event.series, self.series(event.series).add(event.labels), event.value)]

    def _member(self, instrument: Instrument, series: str, extra: str) -> int:
        """Enter an instrument into a series."""
        member = self.series(series).add(member_labels(instrument, series, extra))
        self._cache[instrument, series, extra] = member
        return member


def member_labels(instrument: Instrument, series: str, extra: str) -> Labels:
    """Labels of what an instrument says in a series; `extra` is the event's own word (side, kind of price) or ""."""
    return market_labels(instrument, **_extra_labels(instrument, series, extra))


def _extra_labels(instrument: Instrument, series: str, extra: str) -> dict[str, str]:
    if series == "liquidations":
        return {"kind": instrument.kind, "side": extra}
    if series == "trades":
        return {"market": instrument.kind, "side": extra}
    if series == "price":
        pair = {} if instrument.usd_quoted else {"base": f"{instrument.base}/{instrument.quote}"}
        return {"market": instrument.kind, "kind": extra, **pair}  # bitcoins for an ether are no dollars for one
    return {"side": extra} if extra else {}


Said = tuple[tuple[str, str, float], ...]
"""Series, the event's own word (side, kind of price) or "", and value."""


def _funding(event: Funding) -> Said:
    scaled = event.rate / event.interval_h if event.interval_h else float("nan")
    return (
        ("funding", "", event.rate),
        ("funding_8h", "", scaled * HOURS_8),
        ("funding_apr", "", scaled * HOURS_YEAR),
    )


def _depth(event: Depth) -> Said:
    return (
        ("depth", "bid", event.bid_usd),
        ("depth", "ask", event.ask_usd),
        ("spread", "", event.spread_ratio),
    )


READINGS: dict[type, Callable[[Any], Said]] = {
    Liquidation: lambda event: (("liquidations", event.side, event.usd_micros),),
    Trade: lambda event: (("trades", event.side, event.usd_micros),),
    Price: lambda event: (("price", event.kind, event.value / event.instrument.base_units),),
    OpenInterest: lambda event: (("open_interest", "", event.usd),),
    Funding: _funding,
    Depth: _depth,
}
"""What each type of event says."""
