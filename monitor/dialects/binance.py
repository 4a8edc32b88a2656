"""What Binance's products share: stream names, checked subscriptions, wire rows, futures polling.

Events come bare (``/ws``) or wrapped with their stream's name (``/stream``); this program asks for the bare form and
reads both. ``e`` names the type of an event, and msgspec picks the row by it in one pass::

    {"e":"markPriceUpdate","E":1763700000000,"s":"BTCUSDT","p":"84120.50","ap":"84118.9","i":"84135.2","P":"84130.0",
     "r":"-0.00003100","T":1763712000000,"st":1}
    {"e":"aggTrade","E":1763700000100,"a":26129,"s":"BTCUSDT","p":"84120.1","q":"0.25","f":100,"l":105,
     "T":1763700000098,"m":true}
    {"e":"forceOrder","E":1763700001234,"st":1,"ps":"BTCUSDT","o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC",
     "q":"0.115","p":"26201.0","ap":"26245.10","X":"FILLED","l":"0.010","z":"0.115","T":1763700001230}}

A stream asked for at an address of another category is acknowledged and stays silent for ever, so an acknowledgement
proves nothing: the feeds build every address themselves, and their sessions refuse any other.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.fields import DECODING_ERRORS, Millis, PositiveFloat, decimal, written_micros
from monitor.dialects.payments import Payments
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, Funding, Liquidation, MarketEvent, PositionSide, Price
from monitor.feed import Closing, Connection, Frame, Topic, UnknownSymbol
from monitor.instruments import Instrument, Registry
from monitor.session import SessionRules
from monitor.venue import VenueFeed
from monitor.wire import gauge, read

STREAMS_PER_CONNECTION = 200
"""The venue allows 1024; fewer keep the loss of one connection small."""
_ORDERS_KEPT = 1024
_BIG = 1e15


class MarkPrice(msgspec.Struct, tag="markPriceUpdate", tag_field="e", gc=False):
    """``i`` index price; ``r`` funding rate to be charged at ``T`` ("" and 0 on dated contracts)."""

    E: Millis
    s: str
    p: PositiveFloat
    i: str = ""
    r: str = ""
    T: Millis = 0


class AggTrade(msgspec.Struct, tag="aggTrade", tag_field="e", gc=False):
    """``m``: the buyer was the maker, so the taker sold."""

    s: str
    p: PositiveFloat
    q: PositiveFloat
    T: Millis
    m: bool


class SingleTrade(msgspec.Struct, tag="trade", tag_field="e", gc=False):
    """One fill; fields as in `AggTrade`."""

    s: str
    p: PositiveFloat
    q: PositiveFloat
    T: Millis
    m: bool


class MiniTicker(msgspec.Struct, tag="24hrMiniTicker", tag_field="e", gc=False):
    """``c`` last price."""

    E: Millis
    s: str
    c: PositiveFloat


class Ticker(msgspec.Struct, tag="24hrTicker", tag_field="e", gc=False):
    """``c`` last price."""

    E: Millis
    s: str
    c: PositiveFloat


class BookTicker(msgspec.Struct, tag="bookTicker", tag_field="e", gc=False):
    """``b`` best bid, ``a`` best ask."""

    s: str
    b: PositiveFloat
    a: PositiveFloat
    E: Millis = 0


class Order(msgspec.Struct, gc=False):
    """A liquidation order: ``S`` its side, ``z`` filled so far, ``l`` the last fill, ``ap`` average fill price."""

    s: str
    S: Literal["BUY", "SELL"]
    z: str
    T: Millis
    q: str = ""
    p: str = ""
    ap: str = ""
    l: str = ""  # noqa: E741  # the venue's name
    X: str = "FILLED"


class ForceOrder(msgspec.Struct, tag="forceOrder", tag_field="e", gc=False):
    """``st`` says the product since the merge of June 2026: 1 USD-M, 2 COIN-M; 0 stands for missing."""

    o: Order
    st: int = 0


class ServerShutdown(msgspec.Struct, tag="serverShutdown", tag_field="e", gc=False):
    """The server is about to close the connection."""


Row = MarkPrice | AggTrade | SingleTrade | MiniTicker | Ticker | BookTicker | ForceOrder | ServerShutdown


class PlainBook(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The spot book ticker has neither a type nor a time: ``{"u":4,"s":"BNBUSDT","b":"25.3","B":"1","a":..,"A":..}``."""

    u: int
    s: str
    b: PositiveFloat
    B: str
    a: PositiveFloat
    A: str


class _Envelope(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Kind(msgspec.Struct):
    e: str


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Control(msgspec.Struct):
    id: int | str | None = None
    result: Any = msgspec.UNSET
    code: int | None = None
    msg: str = ""
    error: _Error | None = None


_MESSAGE: msgspec.json.Decoder[Row | list[MarkPrice | MiniTicker | Ticker | BookTicker]] = msgspec.json.Decoder(
    Row | list[MarkPrice | MiniTicker | Ticker | BookTicker], strict=False
)
_ROW: msgspec.json.Decoder[Row] = msgspec.json.Decoder(Row, strict=False)
_KIND = msgspec.json.Decoder(_Kind)
_KNOWN = frozenset(kind.__struct_config__.tag for kind in get_args(Row))
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_CONTROL = msgspec.json.Decoder(_Control)
_PLAIN_BOOK = msgspec.json.Decoder(PlainBook, strict=False)
_PLAIN_BOOK_STARTS: frozenset[Frame] = frozenset({'{"u"', b'{"u"'})


def is_coin_margined(symbol: str) -> bool:
    """Whether a symbol of a merged stream is a COIN-M contract, for rows without ``st``.

    >>> is_coin_margined("BTCUSD_PERP"), is_coin_margined("BTCUSDT_260327"), is_coin_margined("BTCUSDT")
    (True, False, False)
    """
    pair, separator, _ = symbol.partition("_")
    return bool(separator) and pair.endswith("USD")


class BinanceSession(TradeSession):
    """One connection to any of Binance's products.

    Args:
        feed: Whose options apply.
        connection: What is open.
        registry: All instruments.
        coin_margined: Whether this is the COIN-M product.
        merged: The table of the other product, where this connection counts its liquidations too; None: left out.
        marks: Last mark price by symbol, kept for the feed's open interest.
    """

    rules = SessionRules(chunk=100, pace_s=0.3)
    learns: ClassVar[Mapping[str, Any]] = {
        "_payments": dict[str, Payments],
        "_filled": dict[tuple[str, str, str, str], Decimal],
    }

    def __init__(
        self,
        feed: VenueFeed,
        connection: Connection,
        registry: Registry,
        *,
        coin_margined: bool = False,
        merged: Mapping[str, Instrument] | None = None,
        marks: dict[str, float] | None = None,
    ) -> None:
        super().__init__(feed, connection, registry)
        self.coin_margined = coin_margined
        self.merged = merged
        self.marks = marks if marks is not None else {}
        self._wants_price = feed.carries(Channel.PRICE)
        self._wants_funding = feed.carries(Channel.FUNDING)
        self._wants_liquidations = feed.carries(Channel.LIQUIDATIONS)
        self._wrapped = urlsplit(connection.url).path.endswith("/stream")
        self._owned: set[Instrument | None] = set()
        self._payments: dict[str, Payments] = {}
        self._filled: OrderedDict[tuple[str, str, str, str], Decimal] = OrderedDict()
        self._handlers: dict[type, Callable[[Any, int], list[MarketEvent]]] = {
            MarkPrice: self._mark,
            AggTrade: self._trade,
            SingleTrade: self._trade,
            MiniTicker: self._last,
            Ticker: self._last,
            BookTicker: self._book,
            ForceOrder: self._liquidation,
            ServerShutdown: self._shutdown,
            list: self._array,
        }

    # --- frames ---------------------------------------------------------------------------------------------------

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """``{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}``."""
        names = [topic.name for topic in topics]
        return json.dumps({"method": "SUBSCRIBE", "params": names, "id": number}, ensure_ascii=False)

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `monitor.feed.Session`. The usual frames are decoded in one pass; `decode` sorts out the rest."""
        if self._wrapped:
            return super().on_frame(frame, recv_ns)
        try:
            message = _MESSAGE.decode(frame)
        except DECODING_ERRORS:
            if frame[:4] in _PLAIN_BOOK_STARTS:
                return self._plain_book(frame, recv_ns)
            return super().on_frame(frame, recv_ns)
        try:
            return self._handlers[type(message)](message, recv_ns)
        except DecodeError as error:
            self.bad_row(error)
        except (ValueError, ArithmeticError) as error:
            self.bad_row(DecodeError("wrong_type", str(error)[:200]))
        return []

    def _plain_book(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        try:
            book = _PLAIN_BOOK.decode(frame)
        except DECODING_ERRORS:
            return super().on_frame(frame, recv_ns)
        return self._book(BookTicker(book.s, book.b, book.a), recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Wrapped events, acknowledgements, arrays with a bad row, and what is none of these."""
        try:
            envelope = _ENVELOPE.decode(frame)
        except DECODING_ERRORS:
            return self._unwrapped(frame, recv_ns)
        return self._rows(envelope.data, recv_ns)

    def _unwrapped(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        data = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        if data.lstrip()[:1] != b"[" and self._control(data):
            return []
        return self._rows(data, recv_ns)

    def _rows(self, data: bytes | msgspec.Raw, recv_ns: int) -> list[MarketEvent]:
        if bytes(data).lstrip()[:1] == b"[":
            rows: list[msgspec.Raw] = read(_ROWS, data)
            return self.each(rows, self._one, recv_ns)
        return self._one(data, recv_ns)

    def _one(self, data: bytes | msgspec.Raw, recv_ns: int) -> list[MarketEvent]:
        try:
            row: Row | None = _ROW.decode(data)
        except DECODING_ERRORS:
            row = self._untyped(data)
        return [] if row is None else self._handlers[type(row)](row, recv_ns)

    def _untyped(self, data: bytes | msgspec.Raw) -> BookTicker | None:
        """The book ticker without a type; None for an event that was not asked for; else the typed decoder's error."""
        try:
            book = _PLAIN_BOOK.decode(data)
        except DECODING_ERRORS:
            if read(_KIND, data).e in _KNOWN:
                read(_ROW, data)
            self.skip("unrequested")
            return None
        return BookTicker(book.s, book.b, book.a)

    def _control(self, data: bytes) -> bool:
        """Handle an acknowledgement or a refusal; False when it is neither."""
        try:
            reply = _CONTROL.decode(data)
        except DECODING_ERRORS:
            return False
        number = reply.id if isinstance(reply.id, int) else 0
        if reply.code is not None or reply.error is not None:
            error = reply.error or _Error(reply.code or 0, reply.msg)
            self._refused(number, f"{error.code}: {error.msg}")
            return True
        if reply.result is msgspec.UNSET:
            return False
        self.confirm_chunk(number)
        return True

    def _refused(self, number: int, words: str) -> None:
        """A refusal names its request at best; without that it may mean any unconfirmed topic."""
        names = [topic.name for topic in self.chunk(number)] or list(self.unconfirmed)
        for name in names:
            self.refuse(name, words)

    # --- rows -----------------------------------------------------------------------------------------------------

    def _array(self, rows: list[Any], recv_ns: int) -> list[MarketEvent]:
        if len(set(map(type, rows))) == 1:  # always, unless the venue mixes kinds
            return self.each(rows, self._handlers[type(rows[0])], recv_ns)
        return self.each(rows, lambda row, now: self._handlers[type(row)](row, now), recv_ns)

    def _own(self, symbol: str) -> Instrument | None:
        """The instrument of this product with a market; the other product's rows in a merged stream are left out."""
        instrument = self.table.get(symbol)
        if instrument in self._owned:
            return instrument
        if instrument is None and is_coin_margined(symbol) != self.coin_margined:
            self.skip("other_product")
            return None
        found = self.find(symbol, Channel.PRICE)
        if found is None or found.status == "closed":
            return None
        self._owned.add(found)
        return found

    def _mark(self, row: MarkPrice, recv_ns: int) -> list[MarketEvent]:
        instrument = self._own(row.s)
        if instrument is None:
            return []
        ts_ns = row.E * NS_PER_MS
        self.marks[row.s] = row.p
        events: list[MarketEvent] = []
        if self._wants_price:
            events.append(Price(instrument, "mark", row.p, ts_ns, recv_ns))
            index = float(row.i) if row.i else 0.0
            if 0 < index < _BIG:
                events.append(Price(instrument, "index", index, ts_ns, recv_ns))
        if self._wants_funding and row.r and instrument.kind == "perp":
            payments = self._payments.get(row.s) or self._payments.setdefault(row.s, Payments())
            hours = payments.interval_h(row.T, row.E, instrument.funding_interval_h)
            events.append(Funding(instrument, gauge(row.r) or 0.0, hours, ts_ns, recv_ns, row.T * NS_PER_MS))
        return events

    def _trade(self, row: AggTrade | SingleTrade, recv_ns: int) -> list[MarketEvent]:
        return self.trade_row(row.s, "sell" if row.m else "buy", row.q, row.p, row.T * NS_PER_MS, recv_ns)

    def _last(self, row: MiniTicker | Ticker, recv_ns: int) -> list[MarketEvent]:
        instrument = self._own(row.s)
        if instrument is None or not self._wants_price:
            return []
        return [Price(instrument, "last", row.c, row.E * NS_PER_MS, recv_ns)]

    def _book(self, row: BookTicker, recv_ns: int) -> list[MarketEvent]:
        instrument = self._own(row.s)
        if instrument is None or not self._wants_price or row.a < row.b:
            return []
        ts_ns = row.E * NS_PER_MS or recv_ns
        return [Price(instrument, "mid", (row.b + row.a) / 2, ts_ns, recv_ns)]

    def _shutdown(self, _row: ServerShutdown, _recv_ns: int) -> list[MarketEvent]:
        self.notices.append(Closing("serverShutdown"))
        return []

    # --- liquidations ---------------------------------------------------------------------------------------------

    def _liquidation(self, row: ForceOrder, recv_ns: int) -> list[MarketEvent]:
        order = row.o
        coin_margined = row.st == 2 or (row.st == 0 and is_coin_margined(order.s))
        instrument = self._liquidated(order.s, coin_margined=coin_margined)
        if instrument is None or not self._wants_liquidations or not self._in_dollars(instrument):
            return []
        quantity = self._newly_filled(order)
        if quantity is None:
            self.skip("not_filled")
            return []
        price = order.ap if gauge(order.ap) else order.p
        side: PositionSide = "long" if order.S == "SELL" else "short"
        key = f"{order.s}|{order.S}|{order.T}|{order.z}|{order.ap}"
        usd_micros = written_micros(instrument, quantity, price)
        return [Liquidation(instrument, side, usd_micros, float(price), order.T * NS_PER_MS, recv_ns, key)]

    def _liquidated(self, symbol: str, *, coin_margined: bool) -> Instrument | None:
        """The instrument of a row of a merged stream, from the table of its product."""
        if coin_margined == self.coin_margined:
            return self.find(symbol, Channel.LIQUIDATIONS)
        if self.merged is None:
            self.skip("other_product")
            return None
        found = self.merged.get(symbol)
        if found is None:
            self.notices.append(UnknownSymbol(symbol, Channel.LIQUIDATIONS))
        elif self._selected is not None and found.base not in self._selected_bases():
            self.skip("unselected")
            return None
        return found

    def _selected_bases(self) -> set[str]:
        """Coins of the chosen symbols: their COIN-M liquidations count too."""
        return {self.table[symbol].base for symbol in self._selected or () if symbol in self.table}

    def _newly_filled(self, order: Order) -> str | None:
        """What this push adds: the last fill of a partly filled order, the rest once it is filled; None if neither.

        The venue gives no order number, so an order is known by symbol, side, quantity and limit price.
        """
        if order.X == "FILLED" and not self._filled:
            return order.z
        identity = (order.s, order.S, order.q, order.p)
        if order.X == "PARTIALLY_FILLED":
            fill = decimal(order.l or order.z)
            if len(self._filled) >= _ORDERS_KEPT:
                self._filled.popitem(last=False)
            self._filled[identity] = self._filled.get(identity, Decimal(0)) + fill
            return str(fill)
        if order.X != "FILLED":
            return None
        total, counted = decimal(order.z), self._filled.pop(identity, Decimal(0))
        return str(total - counted) if 0 < counted < total else order.z
