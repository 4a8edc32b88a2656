"""Venues whose order book is polled by REST: depth within 1 % of mid for the majors, every ten seconds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from monitor.dialects.depth import Level, depth
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import Bad, Poll, Request
from monitor.instruments import Instrument, Registry
from monitor.venue import Settings, VenueFeed
from monitor.wire import Number

BOOK_EVERY_S = 10.0
Row = Sequence[Number]
Book = tuple[Iterable[Row], Iterable[Row], int]
"""Bids, asks (price and quantity in the venue's units) and the venue's time in nanoseconds, 0 where it gives none."""


class BookSettings(Settings, frozen=True):
    """``depth_bases``: coins whose order book is polled for ``depth``."""

    depth_bases: tuple[str, ...] = ("BTC", "ETH")


class BookFeed(VenueFeed):
    """A feed with polled order books. Quanto contracts and other currencies have no dollar depth of their own."""

    settings_type: ClassVar[type[Settings]] = BookSettings
    settings: BookSettings

    @abstractmethod
    def book_url(self, instrument: Instrument) -> str:
        """Address of one instrument's order book."""

    @abstractmethod
    def read_book(self, body: bytes) -> Book:
        """Both sides of a reply.

        Raises:
            DecodeError: The reply is not what the venue documents.
        """

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """Order books of the majors, when ``depth`` is asked for."""
        if not self.carries(Channel.DEPTH):
            return []
        return [self.book_poll(item) for item in instruments if self.has_book(item)]

    def has_book(self, instrument: Instrument) -> bool:
        """Whether the book of an instrument is asked for."""
        major = instrument.kind in {"perp", "spot"} and instrument.base in self.settings.depth_bases
        return major and instrument.form != "quanto" and instrument.usd_quoted

    def book_poll(self, instrument: Instrument) -> Poll:
        """The repeated request for one book."""
        request = Request(f"depth/{instrument.key}", self.rest(self.book_url(instrument)))
        return Poll(request, Channel.DEPTH, BOOK_EVERY_S, pace_s=0.2, symbol=instrument.key)

    def parse_poll(
        self,
        poll: Poll,
        body: bytes,
        recv_ns: int,
        registry: Registry,
        bad: Bad,
    ) -> list[MarketEvent]:
        """Depth within 1 % of mid."""
        instrument = registry.get(self.spec.venue, poll.symbol)
        if instrument is None:
            raise DecodeError("unexpected", f"{poll.symbol} is not listed")
        bids, asks, ts_ns = self.read_book(body)
        return [depth(instrument, _levels(bids), _levels(asks), ts_ns or recv_ns, recv_ns)]


def _levels(rows: Iterable[Row]) -> list[Level]:
    return [tuple("" if value is None else str(value) for value in row[:2]) for row in rows]
