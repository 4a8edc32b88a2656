"""Trades at full speed: what a quantity is worth is worked out once per instrument, not once per trade."""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.dialects.fields import DECODING_ERRORS, LARGEST_USD, terms
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent, TakerSide, Trade
from monitor.feed import Connection, Frame
from monitor.instruments import Instrument, Registry
from monitor.venue import VenueFeed, VenueSession


class TradeSession(VenueSession):
    """A session whose trades are frequent.

    The dollars of a trade (`monitor.dialects.fields.terms`) are worked out in floats and rounded to micro-dollars,
    whose error is below half a micro-dollar up to 1e9 USD; liquidations are exact.
    """

    def __init__(self, feed: VenueFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._worth: dict[Instrument | None, tuple[float, float]] = {}

    typed: msgspec.json.Decoder[Any] | None = None
    """Reads the usual frames in one pass; `decode` sorts out replies, and frames with a bad row."""

    def typed_rows(self, message: Any, recv_ns: int) -> list[MarketEvent]:
        """Events of what `typed` read."""
        raise NotImplementedError

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `monitor.feed.Session`."""
        if self.typed is None:
            return super().on_frame(frame, recv_ns)
        try:
            message = self.typed.decode(frame)
        except DECODING_ERRORS:
            return super().on_frame(frame, recv_ns)
        try:
            return self.typed_rows(message, recv_ns)
        except DecodeError as error:
            self.bad_row(error)
            return []

    def trade_row(  # noqa: PLR0917  # the hot path: keywords cost
        self, symbol: str, side: TakerSide, quantity: float, price: float, ts_ns: int, recv_ns: int
    ) -> list[MarketEvent]:
        """The trade of one row, or nothing and a notice where it does not count.

        Raises:
            DecodeError: A sum that no trade can have.
        """
        instrument = self.table.get(symbol)
        worth = self._worth.get(instrument)
        if worth is None or instrument is None:
            return self._first(symbol, side, quantity, price, ts_ns, recv_ns)
        usd = quantity * (worth[0] + worth[1] * price)
        if usd >= LARGEST_USD:
            raise DecodeError("out_of_range", f"{usd} USD")
        return [Trade(instrument, side, int(usd * 1e6 + 0.5), price, ts_ns, recv_ns)]

    def _first(  # noqa: PLR0917  # as above
        self, symbol: str, side: TakerSide, quantity: float, price: float, ts_ns: int, recv_ns: int
    ) -> list[MarketEvent]:
        """A trade of an instrument that this session has not seen, or whose trades do not count."""
        instrument = self.find(symbol, Channel.TRADES)
        if instrument is None or not self.carries.get(Channel.TRADES) or not self._in_dollars(instrument):
            return []
        self._worth[instrument] = terms(instrument)
        return self.trade_row(symbol, side, quantity, price, ts_ns, recv_ns)
