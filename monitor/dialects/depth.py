"""Depth within 1 % of mid from one order book snapshot.

Books are polled, not streamed: a snapshot of hundreds of levels every few seconds is enough for an alert on a gauge,
goes deeper than the streams' partial books, and keeps no state that a lost delta could spoil.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.errors import DecodeError
from monitor.events import Depth
from monitor.instruments import Instrument
from monitor.wire import gauge

BAND_RATIO = 0.01
Level = Sequence[str]
"""Price and quantity, in the venue's units; more fields are ignored."""


def depth(instrument: Instrument, bids: Iterable[Level], asks: Iterable[Level], ts_ns: int, recv_ns: int) -> Depth:
    """Sum the book within 1 % of mid; a book that ends sooner gives a lower bound.

    Raises:
        DecodeError: A side is empty, the book is crossed, or a level is no pair of numbers, or negative.
    """
    bid_levels, ask_levels = [_level(row) for row in bids], [_level(row) for row in asks]
    if not bid_levels or not ask_levels:
        raise DecodeError("missing_field", "a side of the book is empty")
    best_bid, best_ask = max(bid_levels)[0], min(ask_levels)[0]
    if not 0 < best_bid <= best_ask:
        raise DecodeError("out_of_range", f"crossed book: bid {best_bid}, ask {best_ask}")
    mid = (best_bid + best_ask) / 2
    bid_usd = sum(_usd(instrument, p, q) for p, q in bid_levels if p >= mid * (1 - BAND_RATIO))
    ask_usd = sum(_usd(instrument, p, q) for p, q in ask_levels if p <= mid * (1 + BAND_RATIO))
    return Depth(instrument, bid_usd, ask_usd, (best_ask - best_bid) / mid, ts_ns, recv_ns)


def _level(row: Level) -> tuple[float, float]:
    if len(row) < 2:
        raise DecodeError("missing_field", "a level has no quantity")
    price, quantity = gauge(row[0]) or 0.0, gauge(row[1]) or 0.0
    if quantity < 0:
        raise DecodeError("out_of_range", f"a level of {quantity!r}")
    return price, quantity


def _usd(instrument: Instrument, price: float, quantity: float) -> float:
    value = quantity * float(instrument.contract_value)
    return value if instrument.form == "inverse" else value * price
