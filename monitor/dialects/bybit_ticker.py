"""Bybit's ticker: a snapshot, then only what changed; its state, and the events of a change.

``openInterest`` counts both sides; ``singleOpenInterest`` (since June 2026) one. The empty string means "none".
"""

from __future__ import annotations

import msgspec

from monitor.errors import DecodeError
from monitor.events import Funding, MarketEvent, OpenInterest, Price
from monitor.instruments import Instrument
from monitor.wire import gauge, ms_ns


class Ticker(msgspec.Struct, gc=False):
    """One ticker: all of it in a snapshot and by REST, what changed in a delta; ``None`` is unchanged."""

    symbol: str
    lastPrice: str | None = None
    markPrice: str | None = None
    indexPrice: str | None = None
    bid1Price: str | None = None
    ask1Price: str | None = None
    openInterest: str | None = None
    singleOpenInterest: str | None = None
    fundingRate: str | None = None
    nextFundingTime: str | None = None
    fundingIntervalHour: str | None = None


class TickerState(msgspec.Struct):
    """What one symbol's ticker has said so far; ``refresh_ns`` is when unchanged values are said again."""

    last: float | None = None
    mark: float | None = None
    index: float | None = None
    bid: float | None = None
    ask: float | None = None
    interest: float | None = None
    funding: float | None = None
    interval_h: float | None = None
    next_ns: int = 0
    refresh_ns: int = 0

    def update(self, row: Ticker) -> None:
        """Take over the fields that are there; the rest stays.

        Raises:
            DecodeError: A field is no number; nothing was taken over from it or from later fields.
        """
        self._take_prices(row)
        if row.fundingIntervalHour is not None:
            self.interval_h = _not_negative(row.fundingIntervalHour) or None
        if row.fundingRate is not None:
            self.funding = gauge(row.fundingRate)
        if row.nextFundingTime is not None:
            self.next_ns = ms_ns(row.nextFundingTime) if row.nextFundingTime else 0
        self._take_interest(row)

    def _take_prices(self, row: Ticker) -> None:
        if row.lastPrice is not None:
            self.last = _not_negative(row.lastPrice) or None
        if row.markPrice is not None:
            self.mark = _not_negative(row.markPrice) or None
        if row.indexPrice is not None:
            self.index = _not_negative(row.indexPrice) or None
        if row.bid1Price is not None:
            self.bid = _not_negative(row.bid1Price) or None
        if row.ask1Price is not None:
            self.ask = _not_negative(row.ask1Price) or None

    def _take_interest(self, row: Ticker) -> None:
        """One side where the venue says it, else half of both."""
        if row.singleOpenInterest:
            self.interest = _not_negative(row.singleOpenInterest)
        elif row.openInterest:
            both = _not_negative(row.openInterest)
            self.interest = None if both is None else both / 2

    @property
    def mid(self) -> float | None:
        """Between best bid and ask, when both are there and not crossed (they may come in separate deltas)."""
        if self.bid and self.ask and 0 < self.bid <= self.ask:
            return (self.bid + self.ask) / 2
        return None


def _not_negative(text: str) -> float | None:
    value = gauge(text)
    if value is not None and value < 0:
        raise DecodeError("out_of_range", f"{text:.40} is negative")
    return value


def price_events(
    instrument: Instrument, state: TickerState, row: Ticker, ts_ns: int, recv_ns: int, *, everything: bool
) -> list[MarketEvent]:  # fmt: skip
    """The price kinds that this frame changed, or all that are known."""
    events: list[MarketEvent] = []
    if state.mark and (everything or row.markPrice):
        events.append(Price(instrument, "mark", state.mark, ts_ns, recv_ns))
    if state.index and (everything or row.indexPrice):
        events.append(Price(instrument, "index", state.index, ts_ns, recv_ns))
    if state.last and (everything or row.lastPrice):
        events.append(Price(instrument, "last", state.last, ts_ns, recv_ns))
    if everything or row.bid1Price or row.ask1Price:
        mid = state.mid
        if mid is not None:
            events.append(Price(instrument, "mid", mid, ts_ns, recv_ns))
    return events


def funding_events(instrument: Instrument, state: TickerState, ts_ns: int, recv_ns: int) -> list[MarketEvent]:
    """The predicted rate of a perpetual."""
    if state.funding is None or instrument.kind != "perp":
        return []
    interval_h = state.interval_h or instrument.funding_interval_h or 8.0
    return [Funding(instrument, state.funding, interval_h, ts_ns, recv_ns, state.next_ns)]


def interest_events(instrument: Instrument, state: TickerState, ts_ns: int, recv_ns: int) -> list[MarketEvent]:
    """Open interest in USD: base units times the mark on linear contracts, dollars already on inverse ones."""
    price = 1.0 if instrument.form == "inverse" else state.mark or state.last
    if state.interest is None or price is None:
        return []
    return [OpenInterest(instrument, state.interest * price, ts_ns, recv_ns)]
