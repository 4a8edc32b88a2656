"""What Binance's products share by REST: order books of the majors, and the ranking by turnover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.binance_gaps import GapFeed
from monitor.dialects.books import BOOK_EVERY_S, Book, BookFeed
from monitor.dialects.fields import Millis, PositiveFloat
from monitor.errors import DecodeError
from monitor.events import Channel
from monitor.feed import Poll, Request
from monitor.instruments import Instrument
from monitor.wire import read

MANY = 50
"""From so many symbols on, one all-market stream is cheaper than a stream per symbol."""
BOOK_LEVELS = 1000
"""The most that the products give; of the futures' 20 and of spot's 50 units of weight."""


class _Book(msgspec.Struct, gc=False):
    bids: list[list[str]]
    asks: list[list[str]]
    T: Millis = 0


class _DayTicker(msgspec.Struct, gc=False):
    symbol: str
    volume: PositiveFloat
    weightedAvgPrice: PositiveFloat


_BOOK = msgspec.json.Decoder(_Book)
_RAW_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_DAY_TICKER = msgspec.json.Decoder(_DayTicker, strict=False)


class BinanceFeed(GapFeed, BookFeed):
    """Base of all products: gaps of trades, and order books, of which each request has its weight."""

    book_weight: ClassVar[int]

    def book_poll(self, instrument: Instrument) -> Poll:
        """By symbol, as all requests of this venue."""
        name = f"{self.spec.venue}/depth/{instrument.symbol}"
        request = Request(name, self.rest(self.book_url(instrument)), weight=self.book_weight)
        return Poll(request, Channel.DEPTH, BOOK_EVERY_S, symbol=instrument.symbol)

    def read_book(self, body: bytes) -> Book:
        """Sizes in contracts or coins; spot gives no time."""
        book = read(_BOOK, body)
        return book.bids, book.asks, book.T * NS_PER_MS


def turnover_usd(body: bytes, table: Mapping[str, Instrument]) -> dict[str, float]:
    """Turnover of the last day by symbol, out of ``ticker/24hr``; pairs against other currencies are not ranked."""
    ranks = {}
    for raw in read(_RAW_ROWS, body):
        try:
            row = read(_DAY_TICKER, raw)
        except DecodeError:  # no trade within the day
            continue
        instrument = table.get(row.symbol)
        if instrument is not None and instrument.usd_quoted:
            ranks[row.symbol] = instrument_usd(instrument, row.volume, row.weightedAvgPrice)
    return ranks


def instrument_usd(instrument: Instrument, quantity: float, price: float) -> float:
    """USD of a quantity in the venue's unit, as a float: gauges need no exact money."""
    value = quantity * float(instrument.contract_value)
    return value if instrument.form == "inverse" else value * price
