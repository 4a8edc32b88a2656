"""The last price, funding and open interest of every instrument, and liquidation totals: what is shown and exported.

Rules never read this board; they read the engine's windows. It is written once per event on the hot path, so it keeps
plain dictionaries and turns them into tables only when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import get_args

import numpy as np

from monitor.events import Depth, Event, Funding, Liquidation, OpenInterest, Price, PriceKind, Trade
from monitor.instruments import Instrument
from monitor.telemetry.views.market import MarketView, Table

SIDES = ("long", "short")
HOURS_8 = 8.0


class MarketBoard:
    """Totals since start and last values."""

    def __init__(self) -> None:
        self._prices: dict[PriceKind, dict[Instrument, float]] = {kind: {} for kind in get_args(PriceKind)}
        self._price_rows: list[tuple[tuple[str, ...], PriceKind, Instrument]] = []
        self._price_seen: dict[PriceKind, int] = dict.fromkeys(self._prices, 0)
        self._funding: dict[Instrument, Funding] = {}
        self._open_interest: dict[Instrument, float] = {}
        self._depth: dict[Instrument, Depth] = {}
        self._liquidated: dict[tuple[str, str, str], list[int]] = {}

    def declare(self, instruments: Iterable[Instrument]) -> None:
        """Create liquidation totals at zero, so that the first event of a series shows as an increase."""
        for instrument in instruments:
            for side in SIDES:
                self._liquidated.setdefault((instrument.venue, instrument.base, side), [0, 0])

    def update(self, events: Iterable[Event]) -> None:
        """Take in a batch. Backfilled history is not counted; a listed TradFi contract is nobody's crypto."""
        prices = self._prices
        for event in events:
            kind = type(event)  # half the price of isinstance; the type checker does not follow, hence the ignores
            if kind is Trade:
                continue  # the most frequent, and not shown here
            if kind is not Depth and getattr(event, "backfill", False):
                continue
            if kind is Price:
                prices[event.kind][event.instrument] = event.value  # type: ignore[union-attr]
            elif kind is Funding:
                self._funding[event.instrument] = event  # type: ignore[union-attr, assignment]
            elif kind is OpenInterest:
                self._open_interest[event.instrument] = event.usd  # type: ignore[union-attr]
            elif kind is Depth:
                self._depth[event.instrument] = event  # type: ignore[union-attr, assignment]
            elif kind is Liquidation:
                self._count(event)  # type: ignore[arg-type]

    def _count(self, event: Liquidation) -> None:
        key = event.instrument.venue, event.instrument.base, event.side
        total = self._liquidated.setdefault(key, [0, 0])
        total[0] += event.usd_micros
        total[1] += 1

    def view(self) -> MarketView:
        """Everything as tables."""
        liquidated = list(self._liquidated)
        totals = np.array(list(self._liquidated.values()), dtype=np.int64).reshape(-1, 2)
        funding = list(self._funding.items())
        funding_keys = [_name(instrument) for instrument, _ in funding]
        books = list(self._depth.items())
        return MarketView(
            liquidations_usd_micros=Table(liquidated, totals[:, 0]),
            liquidations_count=Table(liquidated, totals[:, 1]),
            price_usd=self._price_table(),
            funding_ratio=Table(funding_keys, _floats(event.rate for _, event in funding)),
            funding_8h_ratio=Table(
                funding_keys, _floats(event.rate * HOURS_8 / event.interval_h for _, event in funding)
            ),
            open_interest_usd=Table(
                [_name(instrument) for instrument in self._open_interest], _floats(self._open_interest.values())
            ),
            depth_usd=Table(
                [(*_name(instrument), side) for instrument, _ in books for side in ("bid", "ask")],
                _floats(usd for _, book in books for usd in (book.bid_usd, book.ask_usd)),
            ),
            spread_ratio=Table(
                [_name(instrument) for instrument, _ in books], _floats(book.spread_ratio for _, book in books)
            ),
        )

    def _price_table(self) -> Table:
        """Rows in the order in which they were first read, whatever their kind: a table's rows never move."""
        for kind, values in self._prices.items():
            fresh = islice(values, self._price_seen[kind], None)
            self._price_rows += [((*_name(one), kind), kind, one) for one in fresh if one.usd_quoted]
            self._price_seen[kind] = len(values)
        return Table(
            [key for key, _, _ in self._price_rows],
            _floats(self._prices[kind][instrument] / instrument.base_units for _, kind, instrument in self._price_rows),
        )


def _name(instrument: Instrument) -> tuple[str, str, str]:
    return instrument.venue, instrument.symbol, instrument.base


def _floats(values: Iterable[float]) -> np.ndarray:
    return np.fromiter(values, dtype=np.float64)
