"""Kraken Futures: inverse (``PI_``, ``FI_``) and linear (``PF_``, ``FF_``) contracts. Numbers are JSON numbers.

Liquidations are trades of type ``liquidation``; ``side`` is the taker's. ``relative_funding_rate`` is a fraction per hour
(``funding_rate`` is money per contract and is not used). The ``trade_snapshot`` after a subscription is history::

    {"feed":"trade","product_id":"PF_XBTUSD","uid":"05af78ac","side":"sell","type":"liquidation","seq":653355,
     "time":1763700000123,"qty":0.45,"price":84100.0}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.dialects.books import Book, BookFeed
from monitor.dialects.fields import Millis, PositiveFloat
from monitor.dialects.history import BARS, HOURS, iso_ms, listed_rows, number, records
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import BadRow, Connection, FeedSpec, Frame, HistoryPage, Limits, ReportingLaw, Request, Topic
from monitor.instruments import ContractForm, Instrument, Registry, canonical_base, notional_micros
from monitor.past import Archive, HistorySpan, older_edge
from monitor.session import SessionRules
from monitor.venue import shards
from monitor.wire import Number, Rows, gauge, iso_ns, listed, ms_ns, positive, read

DOCS = "https://docs.kraken.com/api/docs/futures-api/websocket"
WS = "wss://futures.kraken.com/ws/v1"
CHARTS = "https://futures.kraken.com/api/charts/v1"
REST = "https://futures.kraken.com/derivatives/api/v3"
FORMS: dict[str, ContractForm] = {
    "futures_inverse": "inverse",
    "flexible_futures": "linear",
    "futures_vanilla": "linear",
}
_TOPICS_PER_CONNECTION = 400


class _Message(msgspec.Struct, gc=False):
    """Any frame but a ticker: an event, a trade."""

    feed: str = ""
    event: str = ""
    product_id: str = ""
    product_ids: list[str] = []
    message: str = ""
    time: int = 0
    uid: str = ""
    side: Literal["buy", "sell", ""] = ""
    type: str = ""
    seq: int | None = None
    qty: Decimal | None = None
    price: Decimal | None = None
    trades: msgspec.Raw = msgspec.Raw(b"[]")


class _Fill(msgspec.Struct, tag="trade", tag_field="feed", gc=False):
    """A usual trade; a liquidation is read exactly, as a `_Message`."""

    product_id: str
    side: Literal["buy", "sell"]
    type: Literal["fill"]
    time: Millis
    qty: PositiveFloat
    price: PositiveFloat
    seq: int | None = None


class _Ticker(msgspec.Struct, tag="ticker", tag_field="feed", gc=False):
    product_id: str
    time: Millis = 0
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    index: float | None = None
    markPrice: float | None = None
    openInterest: float | None = None
    relative_funding_rate: float | None = None
    next_funding_rate_time: Millis | None = None


class _Past(msgspec.Struct):
    seq: int


class _Listing(msgspec.Struct):
    symbol: str
    type: str
    tradeable: bool = True
    contractSize: Decimal = Decimal(1)
    base: str = ""
    quote: str = ""
    lastTradingTime: str | None = None
    tradfi: bool = False


class _Rank(msgspec.Struct):
    symbol: str
    openInterest: float | None = None
    markPrice: float | None = None


class _Answer(msgspec.Struct):
    result: str
    instruments: msgspec.Raw = msgspec.Raw(b"[]")
    tickers: msgspec.Raw = msgspec.Raw(b"[]")
    orderBook: _Book | None = None
    history: msgspec.Raw = msgspec.Raw(b"[]")


class _Chart(msgspec.Struct):
    candles: msgspec.Raw


class _Series(msgspec.Struct):
    """Open, high, low and close of each period, beside its opening in seconds."""

    timestamp: list[int]
    data: list[tuple[Number, Number, Number, Number]]


class _Analytics(msgspec.Struct):
    result: _Series


class _Book(msgspec.Struct):
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


_CHART = msgspec.json.Decoder(_Chart)
_ANALYTICS = msgspec.json.Decoder(_Analytics)
_CLOSE = 3
_MESSAGE = msgspec.json.Decoder(_Message)
_ANSWER = msgspec.json.Decoder(_Answer)
_TYPED: msgspec.json.Decoder[_Fill | _Ticker] = msgspec.json.Decoder(_Fill | _Ticker)
_PAST = Rows(_Past)
_LISTINGS = Rows(_Listing)
_RANKS = Rows(_Rank)


class KrakenFuturesFeed(BookFeed):
    """Kraken Futures."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="kraken_futures",
        title="Kraken Futures",
        laws={
            Channel.PRICE: ReportingLaw("complete", "ticker at most once a second", f"{DOCS}/ticker"),
            Channel.TRADES: ReportingLaw("complete", "every fill, numbered per product", f"{DOCS}/trade"),
            Channel.LIQUIDATIONS: ReportingLaw("complete", "every fill of type liquidation", f"{DOCS}/trade"),
            Channel.FUNDING: ReportingLaw("complete", "relative hourly rate", f"{DOCS}/ticker"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "ticker at most once a second", f"{DOCS}/ticker"),
            Channel.DEPTH: ReportingLaw("complete", "whole book of the majors, every 10 s", f"{DOCS} GET /orderbook"),
        },
        limits=Limits(connects=30, connects_window_s=60.0, sends_per_s=20.0),
        idle_s=60.0,
        stale_s={
            Channel.PRICE: 30.0,
            Channel.FUNDING: 600.0,
            Channel.OPEN_INTEREST: 120.0,
            Channel.TRADES: 300.0,
            Channel.LIQUIDATIONS: 3600.0,
            Channel.DEPTH: 60.0,
        },
        docs=DOCS,
        gaps={
            Channel.LIQUIDATIONS: "REST, marked among the trades",
            Channel.TRADES: "REST",
        },
    )

    def metadata(self) -> list[Request]:
        """All instruments."""
        return [Request("instruments", self.rest(f"{REST}/instruments"))]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Perpetuals and dated futures; indices and other types are left out."""
        rows = _LISTINGS.readable(_answer(body).instruments)
        return listed((row for row in rows if row.type in FORMS), _instrument), []

    def ranking(self) -> list[Request]:
        """Tickers of all products."""
        return [Request("tickers", self.rest(f"{REST}/tickers"))]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        table = registry.venue(self.spec.venue)
        rows = [row for row in _RANKS.readable(_answer(body).tickers) if row.symbol.upper() in table]
        return {
            row.symbol.upper(): _usd(table[row.symbol.upper()], row.openInterest, row.markPrice) or 0.0 for row in rows
        }

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Tickers and trades of the chosen products."""
        gauges = tuple(c for c in (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST) if self.carries(c))
        fills = tuple(c for c in (Channel.TRADES, Channel.LIQUIDATIONS) if self.carries(c))
        topics = [Topic(f"ticker:{item.symbol}", gauges, item.symbol) for item in instruments if gauges]
        topics += [Topic(f"trade:{item.symbol}", fills, item.symbol) for item in instruments if fills]
        return [
            Connection(f"kraken_futures/{number}", self.ws(WS), shard)
            for number, shard in enumerate(shards(topics, _TOPICS_PER_CONNECTION))
        ]

    def book_url(self, instrument: Instrument) -> str:
        """``orderbook``."""
        return f"{REST}/orderbook?symbol={instrument.symbol}"

    def read_book(self, body: bytes) -> Book:
        """Sizes as in trades."""
        book = _answer(body).orderBook
        if book is None:
            raise DecodeError("missing_field", "no orderBook")
        return book.bids, book.asks, 0

    interest_in_coins: ClassVar[bool] = True
    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive(BARS, rows=2000),
        Channel.OPEN_INTEREST: Archive(HOURS, rows=500),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Charts of the mark price and of open interest; settled funding comes for all time in one reply and is not asked for."""
        symbol, start_s, end_s = span.instrument.symbol, span.start_ns // NS_PER_S, span.end_ns // NS_PER_S - 1
        if span.channel is Channel.PRICE:
            path = f"mark/{symbol}/{self.archives[span.channel].words[span.step_ns]}?from={start_s}&to={end_s}"
        else:
            path = f"analytics/{symbol}/open-interest?since={start_s}&to={end_s}&interval={span.step_ns // NS_PER_S}"
        return Request(f"history/{span.channel.value}/{symbol}", self.rest(f"{CHARTS}/{path}"))

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """Times are the openings: of prices in milliseconds, of open interest in seconds."""
        if span.channel is Channel.PRICE:
            return records(read(_CHART, body).candles, "time", "close", span.step_ns)
        found = read(_ANALYTICS, body).result
        per_unit = float(span.instrument.contract_value)
        amounts = [
            (ms_ns(opening * 1000) + span.step_ns, number(bar[_CLOSE]) * per_unit)
            for opening, bar in zip(found.timestamp, found.data, strict=False)
        ]
        return amounts if span.instrument.form == "inverse" else self.valuation.dollars(span, amounts)

    gap_url: ClassVar[str] = WS
    gap_overlap_s: ClassVar[float] = 5.0

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Trades, which carry the liquidations, per product, from the newest backwards."""
        if channel not in {Channel.TRADES, Channel.LIQUIDATIONS} or not self.carries(channel):
            return []
        return [self._trades_page(channel, item.symbol, start_ns, end_ns) for item in instruments]

    def _trades_page(self, channel: Channel, symbol: str, start_ns: int, end_ns: int) -> HistoryPage:
        url = self.rest(f"{REST}/history?symbol={symbol}&lastTime={iso_ms(end_ns)}")
        return HistoryPage(Request(f"gap/{symbol}", url), channel, symbol, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """A hundred fills a page, newest first; the next page ends where this one begins."""
        rows = listed_rows(_answer(body).history)
        topic = Topic(f"trade:{page.symbol}", (page.channel,), page.symbol)
        frames = [_as_frame(page.symbol, row) for row in rows]
        times = (iso_ns(str(row["time"])) // NS_PER_MS * NS_PER_MS for row in rows)
        edge_ns = older_edge(times, page.start_ns) if len(rows) >= _HISTORY_ROWS else None
        if edge_ns is None:
            return self.lost(page, topic, frames, recv_ns, registry), []
        events = self.lost(page.after(edge_ns), topic, frames, recv_ns, registry)
        return events, [self._trades_page(page.channel, page.symbol, page.start_ns, edge_ns)]

    def session(self, connection: Connection, registry: Registry) -> KrakenFuturesSession:
        """A new protocol state."""
        return KrakenFuturesSession(self, connection, registry)


_HISTORY_ROWS = 100


def _as_frame(symbol: str, row: dict[str, Any]) -> str:
    """A fill of the REST history as the socket would have told it; without its number, which REST does not say.

    Raises:
        DecodeError: A field is missing.
    """
    try:
        message = {
            "feed": "trade", "product_id": symbol, "uid": row["uid"], "side": row["side"], "type": row["type"],
            "time": iso_ns(row["time"]) // NS_PER_MS, "qty": row["size"], "price": row["price"],
        }  # fmt: skip
    except KeyError as error:
        raise DecodeError("missing_field", f"history: {error}") from None
    return msgspec.json.encode(message).decode()


class KrakenFuturesSession(TradeSession):
    """One connection to Kraken Futures. Liveness pings are the websocket's own."""

    typed = _TYPED

    rules = SessionRules(chunk=50, pace_s=0.1, ack_s=10.0, one_stream=True)

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """Several products of one feed."""
        feed = topics[0].stream
        message = {"event": "subscribe", "feed": feed, "product_ids": [topic.symbol for topic in topics]}
        return msgspec.json.encode(message).decode()

    def typed_rows(self, message: _Fill | _Ticker, recv_ns: int) -> list[MarketEvent]:
        """Usual trades, and tickers."""
        if isinstance(message, _Ticker):
            return self._ticker(message, recv_ns)
        if message.seq is not None and message.product_id in self.table:
            self.number(message.product_id, message.seq, self._fills)
        row_ns = message.time * NS_PER_MS
        return self.trade_row(message.product_id, message.side, message.qty, message.price, row_ns, recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message."""
        message = read(_MESSAGE, frame)
        if message.event:
            self._event(message)
        elif message.feed == "trade":
            return self._trade(message, recv_ns)
        elif message.feed == "ticker":
            read(_TYPED, frame)  # says what is wrong with it
        elif message.feed == "trade_snapshot":
            self._history(message)
        elif message.feed != "heartbeat":
            self.skip("unknown_message")
        return []

    def _event(self, message: _Message) -> None:
        names = [f"{message.feed}:{product}" for product in message.product_ids]
        if message.event == "subscribed":
            self.confirm(names)
        elif message.event in {"subscribed_failed", "error"}:
            for name in names or [""]:
                self.refuse(name, message.message or message.event)
        elif message.event == "alert":
            self.notices.append(BadRow("unexpected", f"alert: {message.message}"))
        elif message.event != "info":
            self.skip("unknown_message")

    def _history(self, message: _Message) -> None:
        """Trades from before: not counted, but the next number follows theirs."""
        rows = _PAST.decode(message.trades, self.bad_row)
        self.skip("history", len(rows))
        if rows:
            self.number(message.product_id, max(row.seq for row in rows), self._fills)

    @property
    def _fills(self) -> Channel:
        return Channel.LIQUIDATIONS if self.carries[Channel.LIQUIDATIONS] else Channel.TRADES

    def _trade(self, row: _Message, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.product_id, self._fills)
        if instrument is None:
            return []
        if row.seq is not None:
            self.number(row.product_id, row.seq, self._fills)
        if row.type not in {"fill", "liquidation"}:
            self.skip("trade_type")
            return []
        if not row.side or row.qty is None or row.price is None:
            raise DecodeError("missing_field", f"trade of {row.product_id:.40} without side, qty or price")
        ts_ns, price = ms_ns(row.time), positive(row.price)
        usd_micros = notional_micros(instrument, positive(row.qty), price)
        events = self.trade(instrument, row.side, usd_micros, price, ts_ns, recv_ns)
        if row.type == "liquidation":
            side: Literal["long", "short"] = "long" if row.side == "sell" else "short"
            events += self.liquidation(instrument, side, usd_micros, price, ts_ns, recv_ns, row.uid)
        return events

    def _ticker(self, row: _Ticker, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.product_id, Channel.PRICE)
        if instrument is None:
            return []
        ts_ns = row.time * NS_PER_MS or recv_ns
        events = self.prices(
            instrument, ts_ns, recv_ns, mark=row.markPrice, index=row.index, last=row.last, bid=row.bid, ask=row.ask
        )
        next_ns = (row.next_funding_rate_time or 0) * NS_PER_MS
        events += self.funding(instrument, row.relative_funding_rate, ts_ns, recv_ns, next_ns=next_ns)
        return events + self.open_interest(
            instrument, _usd(instrument, row.openInterest, row.markPrice), ts_ns, recv_ns
        )


def _usd(instrument: Instrument, amount: float | None, mark: float | None) -> float | None:
    """Open interest in USD: inverse contracts are dollars, linear ones coins."""
    size, price = gauge(amount), gauge(mark)
    if size is None:
        return None
    if instrument.form == "inverse":
        return size * float(instrument.contract_value)
    return None if price is None else size * float(instrument.contract_value) * price


def _answer(body: bytes) -> _Answer:
    answer = read(_ANSWER, body)
    if answer.result != "success":
        raise DecodeError("unexpected", answer.result)
    return answer


def _instrument(row: _Listing) -> Instrument:
    """Old replies have no base and quote: the symbol ``PI_XBTUSD`` or ``FI_XBTUSD_210924`` holds both."""
    symbol = row.symbol.upper()
    family, _, rest = symbol.partition("_")
    pair = rest.partition("_")[0]
    base, units = canonical_base(row.base or pair[:-3])
    perpetual = family.startswith("P")
    form = FORMS[row.type]
    quote = row.quote or pair[-3:]
    return Instrument(
        venue="kraken_futures",
        symbol=symbol,
        base=base,
        quote=quote,
        settle=base if form == "inverse" else quote,
        kind="perp" if perpetual else "future",
        form=form,
        contract_value=positive(row.contractSize),
        base_units=units,
        funding_interval_h=1.0 if perpetual else None,
        expiry_ns=iso_ns(row.lastTradingTime) if row.lastTradingTime and not perpetual else None,
        status="trading" if row.tradeable else "halted",
        asset_class="tradfi" if row.tradfi else "crypto",
    )
