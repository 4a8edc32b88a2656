"""HTX: USDT-margined swaps and futures, on three sockets. Every frame is gzip; numbers are JSON numbers.

The venue counts both sides: open interest and the amounts of trades are the sum of bought and sold and are halved here.
Liquidation rows are orders and are not doubled; ``direction`` is the order's side::

    {"op":"notify","topic":"public.*.liquidation_orders","ts":1639122193214,"data":[{"symbol":"O3","contract_code":"O3-USDT",
     "direction":"sell","offset":"close","volume":432,"amount":432,"trade_turnover":339.4656,"price":0.7858,
     "created_at":1639122193172,"contract_type":"swap","pair":"O3-USDT","business_type":"swap"}]}
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.books import Book, BookFeed
from monitor.dialects.history import number
from monitor.dialects.payments import Payments, hours_of
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent, OpenInterest
from monitor.feed import (
    Bad,
    Closing,
    Connection,
    FeedOptions,
    FeedSpec,
    Frame,
    HistoryPage,
    Limits,
    Poll,
    Refused,
    Reply,
    ReportingLaw,
    Request,
    Topic,
)
from monitor.instruments import Instrument, Registry, canonical_base, to_micros
from monitor.past import HOUR_NS, Archive, HistorySpan
from monitor.session import SessionRules
from monitor.venue import VenueSession, shards
from monitor.wire import Number, Rows, gauge, listed, ms_ns, positive, read, row_by_row

DOCS = "https://www.htx.com/en-us/opend/newApiPages/?type=2"
WS_MARKET = "wss://api.hbdm.com/linear-swap-ws"
WS_INDEX = "wss://api.hbdm.com/ws_index"
WS_NOTIFICATION = "wss://api.hbdm.com/linear-swap-notification"
REST = "https://api.hbdm.com/linear-swap-api/v1"
LIQUIDATED = "https://api.hbdm.com/linear-swap-api/v3/swap_liquidation_orders"
TRADED = "https://api.hbdm.com/linear-swap-ex/market/history/trade"
LARGEST_FRAME = 16 * 1024 * 1024
"""A frame that inflates beyond this is refused before it fills the memory."""
_TOPICS_PER_CONNECTION = 300
_BOTH_SIDES = 2
_MOST_TRADES = 2000
_MOST_HOURS = 200
_LONGEST_NS = HOUR_NS
"""Liquidations of a longer time than two hours are refused in one request."""
_GZIP = b"\x1f\x8b"


class _Tick(msgspec.Struct, gc=False):
    close: Number = None
    bid: tuple[float, float] | None = None
    ask: tuple[float, float] | None = None
    ts: int | None = None
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Market(msgspec.Struct, gc=False):
    """Any frame of the market and index sockets."""

    ch: str = ""
    ts: int = 0
    tick: _Tick | None = None
    ping: int | None = None
    id: str | int = ""
    status: str = ""
    subbed: str = ""
    err_code: str = msgspec.field(default="", name="err-code")
    err_msg: str = msgspec.field(default="", name="err-msg")


class _Notification(msgspec.Struct, gc=False):
    """Any frame of the notification socket."""

    op: str
    topic: str = ""
    ts: int | str = 0
    data: msgspec.Raw = msgspec.Raw(b"[]")
    err_code: int = msgspec.field(default=0, name="err-code")
    err_msg: str = msgspec.field(default="", name="err-msg")


class _Liquidation(msgspec.Struct, gc=False):
    contract_code: str
    direction: Literal["buy", "sell"]
    created_at: int
    volume: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    trade_turnover: Decimal = Decimal(0)


class _FundingRate(msgspec.Struct):
    contract_code: str
    funding_rate: float | str | None = None
    settlement_time: int | str | None = None


class _Trade(msgspec.Struct, gc=False):
    trade_turnover: Decimal
    price: Decimal
    direction: Literal["buy", "sell"]
    ts: int


class _Listing(msgspec.Struct):
    contract_code: str
    symbol: str
    contract_size: Decimal
    pair: str = ""
    contract_type: str = "swap"
    contract_status: int = 1
    delivery_time: str | int | None = None
    trade_partition: str = "USDT"


class _OpenInterest(msgspec.Struct):
    contract_code: str
    value: float | None = None


class _Answer(msgspec.Struct):
    status: str
    data: msgspec.Raw = msgspec.Raw(b"[]")
    ts: int = 0
    err_msg: str = ""


class _BookTick(msgspec.Struct):
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    ts: int


class _BookAnswer(msgspec.Struct):
    status: str
    tick: _BookTick | None = None


class _Lost(msgspec.Struct):
    """Liquidations of the past: ``code`` 200 says that all is well."""

    code: int
    data: list[dict[str, Any]] = []
    msg: str = ""


class _Batch(msgspec.Struct):
    """Trades of one moment, as on the socket."""

    data: list[dict[str, Any]] = []


_BOOK = msgspec.json.Decoder(_BookAnswer)
_LOST = msgspec.json.Decoder(_Lost)
_BATCHES = msgspec.json.Decoder(list[_Batch])
_MARKET = msgspec.json.Decoder(_Market)
_NOTIFICATION = msgspec.json.Decoder(_Notification)


class _PastInterest(msgspec.Struct):
    """Newest first; ``value`` is quote money."""

    ts: int
    value: Number = None


class _Past(msgspec.Struct):
    tick: list[_PastInterest]


_ANSWER = msgspec.json.Decoder(_Answer)
_PAST_INTEREST = msgspec.json.Decoder(_Past)
_LIQUIDATIONS = Rows(_Liquidation)
_FUNDING = Rows(_FundingRate)
_TRADES = Rows(_Trade)
_LISTINGS = Rows(_Listing)
_OPEN_INTEREST = Rows(_OpenInterest)


class HtxFeed(BookFeed):
    """HTX. ``marks`` are the newest mark prices: they value liquidations that name neither a price nor a turnover."""

    learns: ClassVar[Mapping[str, Any]] = {"marks": dict[str, float]}

    def __init__(self, options: FeedOptions) -> None:
        super().__init__(options)
        self.marks: dict[str, float] = {}

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="htx",
        title="HTX",
        laws={
            Channel.PRICE: ReportingLaw("complete", "every change of best bid and ask; mark price per tick", f"{DOCS} market.{{contract}}.bbo"),
            Channel.TRADES: ReportingLaw("complete", "every fill; amounts count both sides and are halved", f"{DOCS} trade.detail"),
            Channel.LIQUIDATIONS: ReportingLaw(
                "sampled", "completeness and throttle are not documented", f"{DOCS} public.*.liquidation_orders"
            ),
            Channel.FUNDING: ReportingLaw("complete", "once a minute", f"{DOCS} public.*.funding_rate"),
            Channel.OPEN_INTEREST: ReportingLaw(
                "complete", "REST once a minute; the venue counts both sides, halved", f"{DOCS} swap_open_interest"
            ),
            Channel.DEPTH: ReportingLaw("sampled", "best 150 levels a side of the majors, every 10 s: a lower bound", f"{DOCS} linear-swap-ex/market/depth"),
        },
        limits=Limits(connects=30, connects_window_s=60.0, sends_per_s=20.0, max_frame_bytes=LARGEST_FRAME),
        idle_s=60.0,
        stale_s={Channel.PRICE: 30.0, Channel.FUNDING: 180.0, Channel.OPEN_INTEREST: 180.0, Channel.TRADES: 300.0, Channel.LIQUIDATIONS: 3600.0, Channel.DEPTH: 60.0},
        docs=DOCS,
        gaps={
            Channel.LIQUIDATIONS: "REST, per contract",
            Channel.TRADES: "the last 2000 of a contract; what is older is lost",
        },
    )  # fmt: skip

    def metadata(self) -> list[Request]:
        """All contracts, dated ones included."""
        return [Request("contracts", self.rest(f"{REST}/swap_contract_info?business_type=all"))]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Contracts."""
        return listed(_LISTINGS.readable(_data(body).data), _instrument), []

    def ranking(self) -> list[Request]:
        """Open interest of all contracts."""
        return [self._open_interest_request()]

    def _open_interest_request(self) -> Request:
        return Request("open_interest", self.rest(f"{REST}/swap_open_interest?business_type=all"))

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """One-sided open interest in USD by symbol."""
        rows = _OPEN_INTEREST.readable(_data(body).data)
        return {row.contract_code: (gauge(row.value) or 0.0) / _BOTH_SIDES for row in rows}

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """Order books, and open interest, which is on no socket."""
        books = super().polls(instruments)
        if not self.carries(Channel.OPEN_INTEREST):
            return books
        return [*books, Poll(self._open_interest_request(), Channel.OPEN_INTEREST, every_s=60.0)]

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        """Depth; or open interest of all contracts that are wanted, halved to one side."""
        if poll.channel is Channel.DEPTH:
            return super().parse_poll(poll, body, recv_ns, registry, bad)
        answer = _data(body)
        ts_ns = ms_ns(answer.ts) or recv_ns
        wanted = {item.symbol: item for item in self.wanted(registry)}

        def build(row: _OpenInterest) -> list[MarketEvent]:
            instrument, value = wanted.get(row.contract_code), gauge(row.value)
            if instrument is None or value is None or value < 0:
                return []
            return [OpenInterest(instrument, value / _BOTH_SIDES, ts_ns, recv_ns)]

        return row_by_row(_OPEN_INTEREST.decode(answer.data, bad), build, bad)

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Market sockets, index sockets, and one for liquidations and funding."""
        price, trades = (Channel.PRICE,), (Channel.TRADES,)
        market = [
            Topic(f"market.{i.symbol}.{kind}", price, i.symbol)
            for i in instruments
            for kind in ("bbo", "detail")
            if self.carries(*price)
        ]
        market += [
            Topic(f"market.{i.symbol}.trade.detail", trades, i.symbol) for i in instruments if self.carries(*trades)
        ]
        index = [
            Topic(f"market.{i.symbol}.mark_price.1min", price, i.symbol) for i in instruments if self.carries(*price)
        ]
        return [
            *self._sockets("market", WS_MARKET, market),
            *self._sockets("index", WS_INDEX, index),
            *self._sockets("notification", WS_NOTIFICATION, self._notifications(instruments)),
        ]  # fmt: skip

    def _notifications(self, instruments: Sequence[Instrument]) -> list[Topic]:
        chosen = self.selection(instruments)
        names = {Channel.LIQUIDATIONS: "liquidation_orders", Channel.FUNDING: "funding_rate"}
        return [
            Topic(f"public.*.{name}", (channel,), payload=chosen)
            for channel, name in names.items()
            if self.carries(channel)
        ]

    def _sockets(self, name: str, url: str, topics: Sequence[Topic]) -> list[Connection]:
        cut = shards(topics, _TOPICS_PER_CONNECTION)
        return [Connection(f"htx/{name}/{number}", self.ws(url), shard) for number, shard in enumerate(cut)]

    def book_url(self, instrument: Instrument) -> str:
        """``market/depth`` without merging."""
        return f"https://api.hbdm.com/linear-swap-ex/market/depth?contract_code={instrument.symbol}&type=step0"

    def read_book(self, body: bytes) -> Book:
        """Sizes in contracts."""
        answer = read(_BOOK, body)
        if answer.status != "ok" or answer.tick is None:
            raise DecodeError("unexpected", answer.status)
        return answer.tick.bids, answer.tick.asks, ms_ns(answer.tick.ts)

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.OPEN_INTEREST: Archive({HOUR_NS: "60min"}, rows=_MOST_HOURS, keeps_s=_MOST_HOURS * 3600.0),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """The newest hours: the venue takes a number of them, not a time."""
        item, word = span.instrument, self.archives[span.channel].words[span.step_ns]
        query = f"contract_code={item.symbol}&period={word}&size={_MOST_HOURS}&amount_type=1"
        return Request(f"history/{item.symbol}", self.rest(f"{REST}/swap_his_open_interest?{query}"))

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """Stamped with the hour itself; both sides in quote money, halved as live."""
        rows = read(_PAST_INTEREST, _data(body).data).tick
        return [(ms_ns(row.ts), number(row.value) / _BOTH_SIDES) for row in rows]

    gap_overlap_s: ClassVar[float] = 5.0

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Liquidations, and the last 2000 trades, per contract."""
        if not self.carries(channel):
            return []
        if channel is Channel.LIQUIDATIONS:
            cuts = [*range(start_ns, end_ns, _LONGEST_NS), end_ns]
            return [self._liquidated(item.symbol, *span) for item in instruments for span in pairwise(cuts)]
        urls = {item.symbol: f"{TRADED}?contract_code={item.symbol}&size={_MOST_TRADES}" for item in instruments}
        return [
            HistoryPage(Request(f"gap/trades/{symbol}", self.rest(url)), channel, symbol, start_ns, end_ns)
            for symbol, url in urls.items()
        ]

    def _liquidated(self, symbol: str, start_ns: int, end_ns: int, after: int = 0) -> HistoryPage:
        """Rows of both sides (``trade_type`` 0), forwards in time, from the row after a known one on."""
        times = f"start_time={start_ns // NS_PER_MS}&end_time={end_ns // NS_PER_MS + 1}"
        more = f"&from_id={after}" if after else ""
        url = self.rest(f"{LIQUIDATED}?contract={symbol}&trade_type=0&{times}&direct=next{more}")
        return HistoryPage(Request(f"gap/{symbol}", url), Channel.LIQUIDATIONS, symbol, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """The rows are those of the sockets."""
        if page.channel is Channel.TRADES:
            return self._lost_trades(page, body, recv_ns, registry), []
        answer = read(_LOST, body)
        if answer.code != 200:
            raise DecodeError("refused", f"{answer.code} {answer.msg[:160]}")
        topic = Topic("public.*.liquidation_orders", (page.channel,))
        frame = msgspec.json.encode({"op": "notify", "topic": topic.name, "data": answer.data})
        events = self.lost(page, topic, [frame], recv_ns, registry, url=WS_NOTIFICATION)
        last = max((row["query_id"] for row in answer.data if isinstance(row.get("query_id"), int)), default=0)
        more = last > _from_id(page.request)  # a venue that tells the known row again has no other
        return events, [self._liquidated(page.symbol, page.start_ns, page.end_ns, last)] if more else []

    def _lost_trades(self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry) -> list[MarketEvent]:
        rows = [row for batch in read(_BATCHES, _data(body).data) for row in batch.data]
        if len(rows) >= _MOST_TRADES and min(_ms(row) for row in rows) * NS_PER_MS > page.start_ns:
            raise DecodeError("gone", f"{page.symbol}: the venue keeps {_MOST_TRADES} trades, the gap is older")
        topic = Topic(f"market.{page.symbol}.trade.detail", (page.channel,), page.symbol)
        frame = msgspec.json.encode({"ch": topic.name, "tick": {"data": rows}})
        return self.lost(page, topic, [frame], recv_ns, registry, url=WS_MARKET)

    def session(self, connection: Connection, registry: Registry) -> HtxSession:
        """A new protocol state, in the dialect of the connection's socket."""
        notification = urlsplit(connection.url).path.endswith("-notification")
        return (NotificationSession if notification else MarketSession)(self, connection, registry)


class HtxSession(VenueSession):
    """What both dialects share: gzip (text that is not packed is read as it is), one topic a frame."""

    rules = SessionRules(chunk=1, pace_s=0.05, ack_s=15.0)

    def __init__(self, feed: HtxFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self.marks = feed.marks

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Inflate, then decode."""
        data = frame.encode(errors="replace") if isinstance(frame, str) else frame
        return self.message(inflate(data) if data.startswith(_GZIP) else data, recv_ns)

    def message(self, text: bytes, recv_ns: int) -> list[MarketEvent]:
        """Decode one inflated message."""
        raise NotImplementedError


class MarketSession(HtxSession):
    """The market and index sockets."""

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """One topic."""
        return msgspec.json.encode({"sub": topics[0].name, "id": str(number)}).decode()

    def message(self, text: bytes, recv_ns: int) -> list[MarketEvent]:
        """A tick, an answer or a ping."""
        message = read(_MARKET, text)
        if message.ch and message.tick is not None:
            return self._tick(message, message.tick, recv_ns)
        if message.ping is not None:
            self.notices.append(Reply(msgspec.json.encode({"pong": message.ping}).decode()))
        elif message.status == "ok" and message.subbed:
            self.confirm([message.subbed])
        elif message.status == "error":
            self._refused(message)
        else:
            self.skip("unknown_message")
        return []

    def _refused(self, message: _Market) -> None:
        number = str(message.id)
        asked = self.chunk(int(number)) if number.isascii() and number.isdecimal() and len(number) < 10 else ()
        for topic in asked:
            self.refuse(topic.name, f"{message.err_code} {message.err_msg}")
        if not asked:
            self.notices.append(Refused("", f"{message.err_code} {message.err_msg}"))

    def _tick(self, message: _Market, tick: _Tick, recv_ns: int) -> list[MarketEvent]:
        _, _, rest = message.ch.partition(".")
        symbol, _, kind = rest.partition(".")
        if kind == "trade.detail":
            rows = _TRADES.decode(tick.data, self.bad_row)
            return self.each(rows, lambda row, now: self._trade(symbol, row, now), recv_ns)
        instrument = self.find(symbol, Channel.PRICE)
        ts_ns = ms_ns(message.ts) or recv_ns
        if instrument is None:
            return []
        if kind == "bbo":
            bid, ask = tick.bid, tick.ask
            return self.prices(instrument, ts_ns, recv_ns, bid=bid and bid[0], ask=ask and ask[0])
        if kind == "detail":
            return self.prices(instrument, ts_ns, recv_ns, last=tick.close)
        if kind.startswith("mark_price"):
            self.marks[symbol] = gauge(tick.close) or 0.0
            return self.prices(instrument, ts_ns, recv_ns, mark=tick.close)
        self.skip("unknown_message")
        return []

    def _trade(self, symbol: str, row: _Trade, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(symbol, Channel.TRADES)
        if instrument is None:
            return []
        usd_micros = to_micros(positive(row.trade_turnover) / _BOTH_SIDES)
        return self.trade(instrument, row.direction, usd_micros, positive(row.price), ms_ns(row.ts), recv_ns)


class NotificationSession(HtxSession):
    """The notification socket: liquidations and funding of all contracts."""

    learns: ClassVar[Mapping[str, Any]] = {"_payments": dict[str, Payments]}

    def __init__(self, feed: HtxFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._payments: dict[str, Payments] = {}

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """One topic, dated contracts included."""
        message = {"op": "sub", "cid": str(number), "topic": topics[0].name, "business_type": "all"}
        return msgspec.json.encode(message).decode()

    def message(self, text: bytes, recv_ns: int) -> list[MarketEvent]:
        """Rows, an answer, a ping or an announced close."""
        message = read(_NOTIFICATION, text)
        if message.op == "notify":
            return self._rows(message, recv_ns)
        if message.op == "ping":
            self.notices.append(Reply(msgspec.json.encode({"op": "pong", "ts": message.ts}).decode()))
        elif message.op == "close":
            self.notices.append(Closing(message.err_msg or "close"))
        elif message.op in {"sub", "error"}:
            self._answer(message)
        else:
            self.skip("unknown_message")
        return []

    def _answer(self, message: _Notification) -> None:
        if message.err_code == 0:
            self.confirm([message.topic])
        else:
            self.refuse(message.topic, f"{message.err_code} {message.err_msg}")

    def _rows(self, message: _Notification, recv_ns: int) -> list[MarketEvent]:
        kind = message.topic.rpartition(".")[2]
        if kind == "liquidation_orders":
            orders, seen = _LIQUIDATIONS.decode(message.data, self.bad_row), Counter[str]()
            return self.each(orders, lambda row, now: self._liquidation(row, now, seen), recv_ns)
        if kind == "funding_rate":
            ts_ns = ms_ns(message.ts) or recv_ns
            rows = _FUNDING.decode(message.data, self.bad_row)
            return self.each(rows, lambda row, now: self._funding(row, ts_ns, now), recv_ns)
        self.skip("unknown_message")
        return []

    def _liquidation(self, row: _Liquidation, recv_ns: int, seen: Counter[str]) -> Iterable[MarketEvent]:
        """One order; equal ones of a frame are several, so the key counts them from the second on."""
        instrument = self.find(row.contract_code, Channel.LIQUIDATIONS)
        if instrument is None:
            return []
        told = row.price or Decimal(str(self.marks.get(row.contract_code, 0.0)))
        usd = positive(row.trade_turnover or row.amount * told)
        price = positive(row.price) if row.price else usd / positive(row.amount)
        key = f"{row.contract_code}:{row.created_at}:{row.direction}:{row.volume}"
        seen[key] += 1
        key += f":{seen[key]}" if seen[key] > 1 else ""
        side: Literal["long", "short"] = "long" if row.direction == "sell" else "short"
        return self.liquidation(instrument, side, to_micros(usd), price, ms_ns(row.created_at), recv_ns, key)

    def _funding(self, row: _FundingRate, ts_ns: int, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(row.contract_code, Channel.FUNDING)
        if instrument is None:
            return []
        next_ns = ms_ns(row.settlement_time) if row.settlement_time else 0
        hours = hours_of(self._payments, instrument, next_ns, ts_ns)
        return self.funding(instrument, row.funding_rate, ts_ns, recv_ns, interval_h=hours, next_ns=next_ns)


def _ms(row: Mapping[str, Any]) -> int:
    """A trade's time.

    Raises:
        DecodeError: It has none.
    """
    ts = row.get("ts")
    if not isinstance(ts, int):
        raise DecodeError("missing_field", "a trade without its time")
    return ts


def _from_id(request: Request) -> int:
    """The row that a request goes on from; 0 for a first one."""
    return int(parse_qs(urlsplit(request.url).query).get("from_id", ["0"])[0])


def inflate(frame: bytes, limit: int = LARGEST_FRAME) -> bytes:
    """Decompress one gzip frame.

    Raises:
        DecodeError: ``malformed`` when it is not gzip or is cut short, ``too_large`` beyond `limit` bytes.
    """
    stream = zlib.decompressobj(wbits=31)
    try:
        text = stream.decompress(frame, limit)
    except zlib.error as error:
        raise DecodeError("malformed", str(error)) from None
    if stream.unconsumed_tail:
        raise DecodeError("too_large", f"inflates beyond {limit} bytes")
    if not stream.eof:
        raise DecodeError("malformed", "gzip stream is cut short")
    return text


def _data(body: bytes) -> _Answer:
    answer = read(_ANSWER, body)
    if answer.status != "ok":
        raise DecodeError("unexpected", answer.err_msg or answer.status)
    return answer


def _instrument(row: _Listing) -> Instrument:
    base, units = canonical_base(row.symbol)
    perpetual = row.contract_type == "swap"
    quote = row.pair.partition("-")[2] or row.trade_partition
    return Instrument(
        venue="htx",
        symbol=row.contract_code,
        base=base,
        quote=quote,
        settle=quote,
        kind="perp" if perpetual else "future",
        contract_value=positive(row.contract_size),
        base_units=units,
        funding_interval_h=8.0 if perpetual else None,
        expiry_ns=ms_ns(row.delivery_time) if row.delivery_time and not perpetual else None,
        status="trading" if row.contract_status == 1 else "halted",
    )
