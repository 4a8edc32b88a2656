"""Bybit v5: linear and inverse contracts, and spot. One product line per connection, one topic per symbol.

A ticker topic carries last, mark and index price, best bid and ask, funding and open interest; after a snapshot only
changed fields come, and a field that is missing is unchanged. ``openInterest`` counts both sides; ``singleOpenInterest``
(since June 2026) one. The side of a liquidation is that of the *position*. Linear sizes are in base units, inverse
sizes in US dollars. The empty string means "none"::

    {"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","fundingRate":"0.000004"},"cs":9532239488,
     "ts":1763700000730}
    {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy",
     "v":"0.001","p":"16578.50","L":"PlusTick","i":"20f4","BT":false}]}
    {"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{"T":1739502302929,"s":"ROSEUSDT",
     "S":"Sell","v":"20000","p":"0.04499"}]}

A spot pair has the same symbol as the linear contract; its key in the registry is ``spot:BTCUSDT``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlsplit

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.dialects.books import Book, BookFeed, BookSettings
from monitor.dialects.bybit_listings import instruments_of
from monitor.dialects.bybit_past import REST, WS, BybitPast, category_of, result_of
from monitor.dialects.bybit_ticker import Ticker, TickerState, funding_events, interest_events, price_events
from monitor.dialects.fields import DECODING_ERRORS, Millis, PositiveFloat, written_micros
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, Liquidation, MarketEvent, OpenInterest, PositionSide, TakerSide
from monitor.feed import Connection, FeedSpec, Frame, Limits, Reply, ReportingLaw, Request, Session, Topic
from monitor.instruments import Instrument, Registry
from monitor.session import SessionRules
from monitor.venue import VenueFeed
from monitor.wire import Rows, read

DOCS = "https://bybit-exchange.github.io/docs/v5/websocket/public/"
ARGS_CHARS = 20_000
"""Of 21,000 characters of topics that the venue allows on one connection."""
_SPOT_ARGS, _ARGS = 10, 100
_REPEAT_NS = 30 * NS_PER_S
_COMPANIONS = {"linear": "BTCUSDT", "inverse": "BTCUSD", "spot": "BTCUSDT"}
Category = Literal["linear", "inverse", "spot"]


class BybitSettings(BookSettings, frozen=True):
    """``categories``: product lines to take; ``depth_bases``: coins whose order book is polled for ``depth``."""

    categories: tuple[Category, ...] = ("linear", "inverse")


# --- the wire -----------------------------------------------------------------------------------------------------


class _Trade(msgspec.Struct, gc=False):
    T: Millis
    s: str
    S: Literal["Buy", "Sell"]
    v: PositiveFloat
    p: PositiveFloat


class _Liquidation(msgspec.Struct, gc=False):
    T: Millis
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str


class _TickerFrame(msgspec.Struct, gc=False):
    topic: str
    data: Ticker
    ts: Millis
    type: str = "snapshot"


class _TradeFrame(msgspec.Struct, gc=False):
    topic: str
    data: list[_Trade]


class _LiquidationFrame(msgspec.Struct, gc=False):
    topic: str
    data: list[_Liquidation]


class _RawFrame(msgspec.Struct, gc=False):
    topic: str
    data: msgspec.Raw
    ts: Millis = 0
    type: str = ""


class _Control(msgspec.Struct):
    op: str = ""
    type: str = ""
    success: bool | None = None
    ret_msg: str = ""
    req_id: str = ""


_FRAME = msgspec.json.Decoder(_RawFrame, strict=False)
_CONTROL = msgspec.json.Decoder(_Control)
_TICKER = msgspec.json.Decoder(Ticker, strict=False)
_TRADE = msgspec.json.Decoder(_Trade, strict=False)
_LIQUIDATION = msgspec.json.Decoder(_Liquidation, strict=False)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TICKER_FRAME = msgspec.json.Decoder(_TickerFrame, strict=False)
_TRADE_FRAME = msgspec.json.Decoder(_TradeFrame, strict=False)
_LIQUIDATION_FRAME = msgspec.json.Decoder(_LiquidationFrame, strict=False)
_BY_TOPIC: dict[Frame, msgspec.json.Decoder[Any]] = {
    "tick": _TICKER_FRAME, b"tick": _TICKER_FRAME,
    "publ": _TRADE_FRAME, b"publ": _TRADE_FRAME,
    "allL": _LIQUIDATION_FRAME, b"allL": _LIQUIDATION_FRAME,
}  # fmt: skip
"""First letters of the topic, at their usual place in a frame -> the decoder that reads the frame in one pass."""
_TOPIC_AT = slice(10, 14)


# --- the session --------------------------------------------------------------------------------------------------


class BybitSession(TradeSession):
    """One connection to one product line."""

    rules = SessionRules(chunk=_ARGS, pace_s=0.2, ping_s=20.0)
    learns: ClassVar[Mapping[str, Any]] = {"_states": dict[str, TickerState]}

    def __init__(self, feed: VenueFeed, connection: Connection, registry: Registry) -> None:
        category = urlsplit(connection.url).path.rsplit("/", 1)[-1]
        if category == "spot":
            self.rules = SessionRules(chunk=_SPOT_ARGS, pace_s=0.2, ping_s=20.0)
        super().__init__(feed, connection, registry)
        self._prefix = "spot:" if category == "spot" else ""
        self._states: dict[str, TickerState] = {}
        self._requests: dict[str, tuple[Topic, ...]] = {}
        self._wants_price = feed.carries(Channel.PRICE)
        self._wants_funding = feed.carries(Channel.FUNDING)
        self._wants_interest = feed.carries(Channel.OPEN_INTEREST)
        self._wants_liquidations = feed.carries(Channel.LIQUIDATIONS)
        self._handlers: dict[type, Callable[[Any, int], list[MarketEvent]]] = {
            _TickerFrame: self._ticker,
            _TradeFrame: self._trades,
            _LiquidationFrame: self._liquidations,
        }

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """``{"req_id":"1","op":"subscribe","args":["tickers.BTCUSDT"]}``."""
        request_id = str(number)
        self._requests[request_id] = tuple(topics)
        args = [topic.name for topic in topics]
        return json.dumps({"req_id": request_id, "op": "subscribe", "args": args}, ensure_ascii=False)

    def ping_frame(self, now_ns: int) -> str:
        """``{"req_id":"ping","op":"ping"}``."""
        return '{"req_id":"ping","op":"ping"}'

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `monitor.feed.Session`. The usual frames are decoded in one pass; `decode` sorts out the rest."""
        decoder = _BY_TOPIC.get(frame[_TOPIC_AT])
        if decoder is not None:
            try:
                message = decoder.decode(frame)
            except DECODING_ERRORS:
                pass
            else:
                return self._handlers[type(message)](message, recv_ns)
        return super().on_frame(frame, recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Replies, frames in which the topic does not come first, and frames with a bad row."""
        try:
            message = _FRAME.decode(frame)
        except DECODING_ERRORS:
            self._control(read(_CONTROL, frame), recv_ns)
            return []
        kind = message.topic.partition(".")[0]
        if kind == "tickers":
            row = read(_TICKER, message.data)
            return self._ticker(_TickerFrame(message.topic, row, message.ts, message.type), recv_ns)
        if kind == "publicTrade":
            return self.each(_rows(message), lambda raw, now: self._trade(read(_TRADE, raw), now), recv_ns)
        if kind == "allLiquidation":
            seen: dict[str, int] = {}
            return self.each(
                _rows(message), lambda raw, now: self._liquidation(read(_LIQUIDATION, raw), now, seen), recv_ns
            )
        self.skip("unrequested")
        return []

    # --- replies --------------------------------------------------------------------------------------------------

    def _control(self, reply: _Control, recv_ns: int) -> None:
        """An acknowledgement, a refusal, a pong, or nothing that this venue documents."""
        if reply.op in {"ping", "pong"}:
            return
        if reply.op != "subscribe" or reply.success is None:
            raise DecodeError("unexpected", f"op {reply.op[:40]!r}")
        request_id = reply.req_id or next(iter(self._requests), "")
        topics = self._requests.pop(request_id, ())
        if reply.success:
            self.confirm(topic.name for topic in topics)
        else:
            self._bisect(topics, reply.ret_msg, recv_ns)

    def _bisect(self, topics: Sequence[Topic], words: str, recv_ns: int) -> None:
        """The venue refuses a frame for one bad topic: ask again for each half until the bad one stands alone."""
        if len(topics) == 1:
            self.refuse(topics[0].name, words)
            return
        middle = len(topics) // 2
        for half in (topics[:middle], topics[middle:]):
            if half:
                number = 1_000 + self._asked_again
                self._asked_again += 1
                self.notices.append(Reply(self.subscribe_frame(half, number)))
                due_ns = recv_ns + int((self.rules.ack_s or 0) * NS_PER_S)
                self._unconfirmed.update((topic.name, due_ns) for topic in half if topic.name in self._unconfirmed)

    _asked_again = 0

    # --- rows -----------------------------------------------------------------------------------------------------

    def _trades(self, message: _TradeFrame, recv_ns: int) -> list[MarketEvent]:
        rows = message.data
        if len(rows) == 1:
            try:
                return self._trade(rows[0], recv_ns)
            except DecodeError as error:
                self.bad_row(error)
                return []
        return self.each(rows, self._trade, recv_ns)

    def _trade(self, row: _Trade, recv_ns: int) -> list[MarketEvent]:
        side: TakerSide = "buy" if row.S == "Buy" else "sell"
        return self.trade_row(self._prefix + row.s, side, row.v, row.p, row.T * NS_PER_MS, recv_ns)

    def _liquidations(self, message: _LiquidationFrame, recv_ns: int) -> list[MarketEvent]:
        seen: dict[str, int] = {}
        return self.each(message.data, lambda row, now: self._liquidation(row, now, seen), recv_ns)

    def _liquidation(self, row: _Liquidation, recv_ns: int, seen: dict[str, int]) -> list[MarketEvent]:
        """One liquidation; equal rows of a batch are several, so the key counts them."""
        instrument = self.find(self._prefix + row.s, Channel.LIQUIDATIONS)
        if instrument is None or not self._wants_liquidations or not self._in_dollars(instrument):
            return []
        usd_micros = written_micros(instrument, row.v, row.p)
        side: PositionSide = "long" if row.S == "Buy" else "short"
        key = f"{row.s}|{row.S}|{row.T}|{row.v}|{row.p}"
        seen[key] = nth = seen.get(key, 0) + 1
        return [Liquidation(instrument, side, usd_micros, float(row.p), row.T * NS_PER_MS, recv_ns, f"{key}|{nth}")]

    def _ticker(self, message: _TickerFrame, recv_ns: int) -> list[MarketEvent]:
        row = message.data
        instrument = self.find(self._prefix + row.symbol, Channel.PRICE)
        if instrument is None or instrument.status == "closed":
            return []
        state = self._state(message, recv_ns)
        if state is None:
            return []
        try:
            state.update(row)
        except DecodeError as error:
            self.bad_row(error)
        everything = recv_ns >= state.refresh_ns
        if everything:
            state.refresh_ns = recv_ns + _REPEAT_NS
        ts_ns = message.ts * NS_PER_MS
        events: list[MarketEvent] = []
        if self._wants_price:
            events += price_events(instrument, state, row, ts_ns, recv_ns, everything=everything)
        if self._wants_funding and (everything or row.fundingRate or row.nextFundingTime or row.fundingIntervalHour):
            events += funding_events(instrument, state, ts_ns, recv_ns)
        if self._wants_interest and (everything or row.openInterest or row.singleOpenInterest):
            events += interest_events(instrument, state, ts_ns, recv_ns)
        return events

    def _state(self, message: _TickerFrame, recv_ns: int) -> TickerState | None:
        """The symbol's state: new at a snapshot; None for a delta that no snapshot came before.

        On a connection that was joined later the first delta stands for it: what it does not say is missing until it changes.
        """
        symbol = message.data.symbol
        if message.type != "delta" or (self.connection.joined and symbol not in self._states):
            self._states[symbol] = TickerState()
            self._states[symbol].refresh_ns = recv_ns
        state = self._states.get(symbol)
        if state is None:
            self.skip("delta_before_snapshot")
        return state


def _rows(message: _RawFrame) -> Iterable[msgspec.Raw]:
    return read(_LIST, message.data)


# --- the feed -----------------------------------------------------------------------------------------------------


_TICKERS = Rows(Ticker)


class BybitFeed(BybitPast, BookFeed):
    """See the module."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="bybit",
        title="Bybit",
        laws={
            Channel.PRICE: ReportingLaw("complete", "last, mark, index, best bid and ask on change, every 100 ms", DOCS + "ticker"),
            Channel.TRADES: ReportingLaw("complete", "every trade", DOCS + "trade"),
            Channel.LIQUIDATIONS: ReportingLaw("complete", "all liquidations, in batches of 500 ms", DOCS + "all-liquidation"),
            Channel.FUNDING: ReportingLaw("complete", "predicted rate of the next settlement, on change", DOCS + "ticker"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "one side (half of both where only both are said), on change", DOCS + "ticker"),
            Channel.DEPTH: ReportingLaw("sampled", "best 500 levels a side (spot 200) of the majors, every 10 s: a lower bound", DOCS + "orderbook"),
        },
        limits=Limits(connects=200, connects_window_s=300.0, sends_per_s=10.0, rest_weight=1200),
        idle_s=20.0,
        stale_s={
            Channel.PRICE: 120.0, Channel.TRADES: 300.0, Channel.LIQUIDATIONS: 3600.0, Channel.FUNDING: 120.0,
            Channel.OPEN_INTEREST: 300.0, Channel.DEPTH: 60.0,
        },
        docs="https://bybit-exchange.github.io/docs/v5/intro",
        gaps={
            Channel.LIQUIDATIONS: "lost: the venue keeps none for the public",
            Channel.TRADES: "the last 1000 of a contract (60 of a spot pair); what is older is lost",
        },
    )  # fmt: skip
    settings_type = BybitSettings
    settings: BybitSettings

    @property
    def _categories(self) -> tuple[Category, ...]:
        return self.settings.categories

    # --- metadata and ranking -------------------------------------------------------------------------------------

    def metadata(self) -> list[Request]:
        """The first page of each product line."""
        return [self._listings(category) for category in self._categories]

    def _listings(self, category: str, cursor: str = "") -> Request:
        page = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        url = self.rest(f"{REST}instruments-info?category={category}&limit=1000{page}")
        return Request(f"bybit/instruments/{category}", url)

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Instruments of one page, and the next page. Listings that cannot be read are left out."""
        result, category = result_of(body), category_of(request)
        instruments = instruments_of(result.list, category)
        more = [self._listings(category, result.nextPageCursor)] if result.nextPageCursor else []
        return instruments, more

    def ranking(self) -> list[Request]:
        """All tickers of a product line in one call."""
        return [
            Request(f"bybit/tickers/{category}", self.rest(f"{REST}tickers?category={category}"))
            for category in self._categories
        ]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """One-sided open interest in USD by symbol; spot has none."""
        category, table, ranks = category_of(request), registry.venue("bybit"), {}
        if category == "spot":
            return {}
        for row in _TICKERS.decode(result_of(body).list, lambda _error: None):
            instrument, state = table.get(row.symbol), TickerState()
            state.update(row)
            for event in interest_events(instrument, state, 0, 0) if instrument is not None else ():
                assert isinstance(event, OpenInterest)
                ranks[row.symbol] = event.usd
        return ranks

    def wanted(self, registry: Registry) -> list[Instrument]:
        """As every feed, within the chosen product lines; a symbol names the contract and the spot pair alike."""
        named = () if self.options.symbols == "*" else self.options.symbols
        return [
            item
            for item in registry.venue("bybit").values()
            if item.category in self._categories
            and self._fits(item)
            and (item.symbol in named or item.key in named if named else item.usd_quoted)
        ]

    # --- connections ----------------------------------------------------------------------------------------------

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Per product line, as few connections as the venue's limit on the length of topics allows."""
        connections = []
        for category in self._categories:
            topics = [topic for item in instruments if item.category == category for topic in self._topics(item)]
            for number, part in enumerate(_by_length(topics)):
                url = self.ws(WS + category)
                connections.append(Connection(f"bybit/{category}/{number}", url, _with_companion(part, category)))
        return connections

    def _topics(self, instrument: Instrument) -> list[Topic]:
        symbol, derivative = instrument.symbol, instrument.kind != "spot"
        ticker = [Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST] if derivative else [Channel.PRICE]
        channels = tuple(channel for channel in ticker if self.carries(channel))
        topics = [Topic(f"tickers.{symbol}", channels, symbol)] if channels else []
        if self.carries(Channel.LIQUIDATIONS) and derivative:
            topics.append(Topic(f"allLiquidation.{symbol}", (Channel.LIQUIDATIONS,), symbol))
        if self.carries(Channel.TRADES):
            topics.append(Topic(f"publicTrade.{symbol}", (Channel.TRADES,), symbol))
        return topics

    def session(self, connection: Connection, registry: Registry) -> Session:
        """A new protocol state for one connect."""
        return BybitSession(self, connection, registry)

    # --- books ----------------------------------------------------------------------------------------------------

    def book_url(self, instrument: Instrument) -> str:
        """``orderbook``, at its greatest depth."""
        levels = 200 if instrument.kind == "spot" else 500
        market = f"category={instrument.category}&symbol={quote(instrument.symbol)}"
        return f"{REST}orderbook?{market}&limit={levels}"

    def read_book(self, body: bytes) -> Book:
        """Sizes as in trades."""
        book = result_of(body)
        return book.b, book.a, book.ts * NS_PER_MS


def _by_length(topics: Iterable[Topic]) -> list[tuple[Topic, ...]]:
    """Split topics so that each part's names, quoted and with commas, stay within `ARGS_CHARS`."""
    parts: list[list[Topic]] = []
    room = 0
    for topic in topics:
        length = len(topic.name) + 3
        if length > room:
            parts.append([])
            room = ARGS_CHARS
        parts[-1].append(topic)
        room -= length
    return [tuple(part) for part in parts]


def _with_companion(topics: tuple[Topic, ...], category: str) -> tuple[Topic, ...]:
    """Liquidations can be silent for minutes: a busy ticker beside them shows that the socket lives."""
    if any(topic.name.startswith("tickers.") for topic in topics):
        return topics
    return (*topics, Topic(f"tickers.{_COMPANIONS[category]}", ()))
