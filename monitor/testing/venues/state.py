"""What a local venue knows of its markets, and how it writes numbers: shared by the protocols."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from monitor.clock import NS_PER_MS
from monitor.events import Depth, Funding, Liquidation, MarketEvent, OpenInterest, Price, Sample, Trade
from monitor.instruments import Instrument

_TOUCH = Decimal("0.000005")
"""Half the spread that the servers quote, as a fraction of mid."""
_DIGITS = Context(prec=20)


@dataclass(slots=True)
class Quote:
    """The current state of one instrument; None is not known yet."""

    instrument: Instrument
    mark: float | None = None
    index: float | None = None
    last: float | None = None
    mid: float | None = None
    funding: Funding | None = None
    interest_usd: float | None = None
    depth: Depth | None = None
    ts_ns: int = 0

    def apply(self, event: MarketEvent) -> None:
        """Take over what an event says."""
        self.ts_ns = max(self.ts_ns, event.ts_ns)
        if isinstance(event, Price):
            setattr(self, event.kind, event.value)
        elif isinstance(event, Funding):
            self.funding = event
        elif isinstance(event, OpenInterest):
            self.interest_usd = event.usd
        elif isinstance(event, Depth):
            self.depth = event

    @property
    def price(self) -> float:
        """Any price that is known, 1 where none is."""
        return self.mark or self.mid or self.last or self.index or 1.0

    def units(self, usd: float) -> Decimal:
        """The venue's quantity (coins or contracts) that is worth `usd` now."""
        unit = self.instrument.contract_value
        if self.instrument.form == "linear":
            unit *= Decimal(repr(self.price))
        return Decimal(repr(usd)) / unit

    @property
    def touch(self) -> tuple[Decimal, Decimal]:
        """Best bid and ask around mid."""
        mid = Decimal(repr(self.mid or self.price))
        return mid * (1 - _TOUCH), mid * (1 + _TOUCH)

    def book(self) -> tuple[list[list[str]], list[list[str]]]:
        """Bids and asks, one level each, that hold the last depth; a dollar's worth where none is known."""
        mid = Decimal(repr(self.mid or self.price))
        half = Decimal(repr(self.depth.spread_ratio / 2)) if self.depth else _TOUCH
        bid_usd, ask_usd = (self.depth.bid_usd, self.depth.ask_usd) if self.depth else (1.0, 1.0)
        return [self._level(mid * (1 - half), bid_usd)], [self._level(mid * (1 + half), ask_usd)]

    def _level(self, price: Decimal, usd: float) -> list[str]:
        unit = self.instrument.contract_value * (price if self.instrument.form == "linear" else 1)
        return [text(price), text(Decimal(repr(usd)) / unit)]


class Quotes:
    """The state of every instrument, by the registry's key."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_name = {(item.venue, item.key): Quote(item) for item in instruments}

    def take(self, event: MarketEvent) -> Quote | None:
        """Apply an event; None when this venue does not list its instrument."""
        if isinstance(event, Sample):
            return None
        quote = self._by_name.get((event.instrument.venue, event.instrument.key))
        if quote is not None:
            quote.apply(event)
        return quote

    def of(self, venue: str) -> list[Quote]:
        """All states of one venue, in listing order."""
        return [quote for (owner, _), quote in self._by_name.items() if owner == venue]

    def get(self, venue: str, key: str) -> Quote | None:
        """One state."""
        return self._by_name.get((venue, key))


def quantity(event: Trade | Liquidation) -> Decimal:
    """The venue's quantity behind an event: exact to the micro-dollar when multiplied out again."""
    unit = event.instrument.contract_value
    if event.instrument.form == "linear":
        unit *= Decimal(repr(event.price))
    return Decimal(event.usd_micros) / 1_000_000 / unit


def text(value: Decimal | float | None) -> str:
    """A number as venues write it: plain digits; the empty string for "none"."""
    if value is None:
        return ""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    plain = f"{_DIGITS.plus(exact):f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def ms(ns: int) -> int:
    """Nanoseconds to milliseconds."""
    return ns // NS_PER_MS


def dump(value: Any) -> str:
    """Compact JSON with the venue's own letters."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def next_settlement_ms(quote: Quote, now_ns: int) -> int:
    """When funding is paid next: as the last event said, else the next multiple of the interval."""
    if quote.funding is not None and quote.funding.next_ns > now_ns:
        return ms(quote.funding.next_ns)
    step = int(interval_h(quote) * 3_600_000)
    return (ms(now_ns) // step + 1) * step


def interval_h(quote: Quote) -> float:
    """Hours between funding payments."""
    return quote.funding.interval_h if quote.funding else quote.instrument.funding_interval_h or 8.0
