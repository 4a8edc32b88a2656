"""Kraken spot, socket version 2. Numbers are JSON numbers, read exactly.

The trade snapshot after a subscription is history. Version 2 writes BTC and DOGE where the REST list has XBT and XDG::

    {"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":84120.1,"qty":0.01,
     "ord_type":"market","trade_id":4665906,"timestamp":"2026-11-21T10:00:00.123456Z"}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

import msgspec

from monitor.dialects.books import Book, BookFeed
from monitor.dialects.fields import PositiveFloat
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import Connection, FeedSpec, Frame, HistoryPage, Limits, Refused, ReportingLaw, Request, Topic
from monitor.instruments import BASE_ALIASES, Instrument, Registry, canonical_base
from monitor.session import SessionRules
from monitor.venue import shards
from monitor.wire import Rows, iso_ns, listed, read

DOCS = "https://docs.kraken.com/api/docs/websocket-v2"
WS = "wss://ws.kraken.com/v2"
REST = "https://api.kraken.com/0/public"
_TOPICS_PER_CONNECTION = 400
_MOST_TRADES = 1000


class _Result(msgspec.Struct):
    channel: str
    symbol: str = ""


class _Message(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    method: str = ""
    success: bool | None = None
    error: str = ""
    symbol: str = ""
    req_id: int | None = None
    result: _Result | None = None


class _Ticker(msgspec.Struct, gc=False):
    symbol: str
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    timestamp: str | None = None


class _Trade(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: PositiveFloat
    qty: PositiveFloat
    trade_id: int
    timestamp: str


class _TradeFrame(msgspec.Struct, tag="trade", tag_field="channel", gc=False):
    data: list[_Trade]
    type: str


class _TickerFrame(msgspec.Struct, tag="ticker", tag_field="channel", gc=False):
    data: list[_Ticker]


class _Pair(msgspec.Struct):
    wsname: str = ""
    status: str = "online"
    aclass_base: str = "currency"


class _Answer(msgspec.Struct):
    error: list[str] = []
    result: dict[str, msgspec.Raw] = {}


class _Book(msgspec.Struct):
    bids: list[tuple[str, str, float]]
    asks: list[tuple[str, str, float]]


_Past = tuple[Decimal, Decimal, Annotated[float, msgspec.Meta(ge=0, lt=4e9)], Literal["b", "s"], str, str, int]
_BOOK = msgspec.json.Decoder(_Book)
_PAST = msgspec.json.Decoder(list[_Past])
_LAST = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0, lt=2**62)], strict=False)
_MESSAGE = msgspec.json.Decoder(_Message)
_ANSWER = msgspec.json.Decoder(_Answer)
_PAIR = msgspec.json.Decoder(_Pair)
_TICKERS = Rows(_Ticker)
_TRADES = Rows(_Trade, strict=False)
_TYPED: msgspec.json.Decoder[_TradeFrame | _TickerFrame] = msgspec.json.Decoder(_TradeFrame | _TickerFrame)


class KrakenFeed(BookFeed):
    """Kraken spot."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="kraken",
        title="Kraken",
        laws={
            Channel.PRICE: ReportingLaw("complete", "every change of best bid and ask", f"{DOCS}/ticker"),
            Channel.TRADES: ReportingLaw("complete", "every fill, numbered per pair", f"{DOCS}/trade"),
            Channel.DEPTH: ReportingLaw(
                "sampled",
                "best 500 levels a side of the majors, every 10 s: a lower bound",
                "https://docs.kraken.com/api/docs/rest-api/get-order-book",
            ),
        },
        limits=Limits(connects=30, connects_window_s=60.0, sends_per_s=5.0),
        idle_s=60.0,
        stale_s={Channel.PRICE: 60.0, Channel.TRADES: 300.0, Channel.DEPTH: 60.0},
        docs=DOCS,
        gaps={
            Channel.TRADES: "REST",
        },
    )

    def metadata(self) -> list[Request]:
        """All pairs."""
        return [Request("pairs", self.rest(f"{REST}/AssetPairs"))]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Pairs that have a name on the socket."""
        answer = read(_ANSWER, body)
        if answer.error or not answer.result:
            raise DecodeError("unexpected", "; ".join(answer.error) or "no pairs")
        return listed(answer.result.values(), _instrument), []

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Tickers and trades."""
        kinds = [(name, channel) for name, channel in (("ticker", Channel.PRICE), ("trade", Channel.TRADES))]
        topics = [
            Topic(f"{name}:{item.symbol}", (channel,), item.symbol)
            for name, channel in kinds
            if self.carries(channel)
            for item in instruments
        ]
        return [
            Connection(f"kraken/{number}", self.ws(WS), shard)
            for number, shard in enumerate(shards(topics, _TOPICS_PER_CONNECTION))
        ]

    def book_url(self, instrument: Instrument) -> str:
        """``Depth``, under the REST list's old names."""
        return f"{REST}/Depth?pair={_old_name(instrument.symbol)}&count=500"

    def read_book(self, body: bytes) -> Book:
        """Rows of price, volume and time, under the pair's internal name."""
        for raw in read(_ANSWER, body).result.values():
            book = read(_BOOK, raw)
            return book.bids, book.asks, 0
        raise DecodeError("missing_field", "no book")

    gap_url: ClassVar[str] = WS

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Trades, per pair, forwards in time."""
        if channel is not Channel.TRADES or not self.carries(channel):
            return []
        return [self._trades_page(item.symbol, start_ns, start_ns, end_ns) for item in instruments]

    def _trades_page(self, symbol: str, since_ns: int, start_ns: int, end_ns: int) -> HistoryPage:
        url = self.rest(f"{REST}/Trades?pair={_old_name(symbol)}&since={since_ns}&count={_MOST_TRADES}")
        return HistoryPage(Request(f"gap/{symbol}", url), Channel.TRADES, symbol, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """Rows ``[price, volume, seconds, b or s, ...]`` under the pair's internal name, and ``last``, where to go on."""
        answer = read(_ANSWER, body)
        if answer.error or "last" not in answer.result:
            raise DecodeError("refused", "; ".join(answer.error)[:160] or "no trades")
        found = next((raw for name, raw in answer.result.items() if name != "last"), msgspec.Raw(b"[]"))
        rows = read(_PAST, found)
        topic = Topic(f"trade:{page.symbol}", (page.channel,), page.symbol)
        data = [_as_row(page.symbol, number, row) for number, row in enumerate(rows)]
        frame = msgspec.json.encode({"channel": "trade", "type": "update", "data": data})
        events = self.lost(page, topic, [frame], recv_ns, registry)
        last_ns = read(_LAST, answer.result["last"])
        more = len(rows) >= _MOST_TRADES and page.start_ns < last_ns < page.end_ns
        return events, [self._trades_page(page.symbol, last_ns, page.start_ns, page.end_ns)] if more else []

    def session(self, connection: Connection, registry: Registry) -> KrakenSession:
        """A new protocol state."""
        return KrakenSession(self, connection, registry)


class KrakenSession(TradeSession):
    """One connection to Kraken spot."""

    typed = _TYPED

    rules = SessionRules(chunk=100, pace_s=0.25, ack_s=15.0, ping_s=30.0, one_stream=True)

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """Several pairs of one channel; a ticker is pushed on every change of the best prices, not only on trades."""
        channel = topics[0].stream
        params: dict[str, object] = {"channel": channel, "symbol": [topic.symbol for topic in topics], "snapshot": True}
        if channel == "ticker":
            params["event_trigger"] = "bbo"
        return msgspec.json.encode({"method": "subscribe", "params": params, "req_id": number}).decode()

    def ping_frame(self, now_ns: int) -> str:
        """An object with a method only."""
        return '{"method":"ping"}'

    def typed_rows(self, message: _TradeFrame | _TickerFrame, recv_ns: int) -> list[MarketEvent]:
        """Trades and tickers."""
        if isinstance(message, _TradeFrame):
            return self._trades(message.type, message.data, recv_ns)
        return self.each(message.data, self._ticker, recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message."""
        message = read(_MESSAGE, frame)
        if message.channel == "ticker":
            return self.each(_TICKERS.decode(message.data, self.bad_row), self._ticker, recv_ns)
        if message.channel == "trade":
            return self._trades(message.type, _TRADES.decode(message.data, self.bad_row), recv_ns)
        if message.method == "subscribe":
            self._answer(message)
        elif message.channel not in {"heartbeat", "status"} and message.method != "pong":
            self.skip("unknown_message")
        return []

    def _answer(self, message: _Message) -> None:
        if message.success and message.result is not None:
            self.confirm([f"{message.result.channel}:{message.result.symbol}"])
            return
        asked = self.chunk(message.req_id or 0) or self.connection.topics
        named = [topic.name for topic in asked if topic.symbol == message.symbol and topic.name in self.unconfirmed]
        for name in named:
            self.refuse(name, message.error)
        if not named:
            self.notices.append(Refused("", message.error))

    def _ticker(self, row: _Ticker, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(row.symbol, Channel.PRICE)
        if instrument is None:
            return []
        ts_ns = iso_ns(row.timestamp) if row.timestamp else recv_ns
        return self.prices(instrument, ts_ns, recv_ns, last=row.last, bid=row.bid, ask=row.ask)

    def _trades(self, kind: str, rows: list[_Trade], recv_ns: int) -> list[MarketEvent]:
        if kind != "snapshot":
            return self.each(rows, self._trade, recv_ns)
        self.skip("history", len(rows))
        for row in sorted(rows, key=lambda row: row.trade_id)[-1:]:  # a snapshot is of one pair
            self.number(row.symbol, row.trade_id, Channel.TRADES)
        return []

    def _trade(self, row: _Trade, recv_ns: int) -> Iterable[MarketEvent]:
        if row.symbol in self.table:
            self.number(row.symbol, row.trade_id, Channel.TRADES)
        return self.trade_row(row.symbol, row.side, row.qty, row.price, iso_ns(row.timestamp), recv_ns)


def _old_name(symbol: str) -> str:
    """``XBTUSD`` for BTC/USD."""
    old = {new: name for name, new in BASE_ALIASES.items()}
    return "".join(old.get(part, part) for part in symbol.split("/"))


def _as_row(symbol: str, number: int, row: _Past) -> dict[str, object]:
    """A trade of the REST history as the socket tells it."""
    price, quantity, seconds, side = row[:4]
    return {
        "symbol": symbol, "side": "buy" if side == "b" else "sell", "price": price, "qty": quantity, "trade_id": number,
        "timestamp": datetime.fromtimestamp(seconds, UTC).isoformat(),
    }  # fmt: skip


def _instrument(raw: msgspec.Raw) -> Instrument:
    pair = read(_PAIR, raw)
    first, slash, second = pair.wsname.partition("/")
    if not slash:
        raise DecodeError("missing_field", "no wsname")
    coin, quote = BASE_ALIASES.get(first, first), BASE_ALIASES.get(second, second)
    base, units = canonical_base(coin)
    return Instrument(
        venue="kraken",
        symbol=f"{coin}/{quote}",
        base=base,
        quote=quote,
        settle=quote,
        kind="spot",
        base_units=units,
        status="trading" if pair.status == "online" else "halted",
        asset_class="crypto" if pair.aclass_base == "currency" else "tradfi",
    )
