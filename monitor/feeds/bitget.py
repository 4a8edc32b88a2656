"""Bitget: USDT-, USDC- and coin-margined futures on the unified (v3) socket. Numbers are strings.

The ``liquidation`` topic covers a whole product line and tells, once a second, at most the largest long and the largest
short of each pair. ``side`` is the side of the *position*. The unit of ``amount`` was read as quote money in two
independent implementations and is not stated by the venue: it is a setting::

    {"data":[{"symbol":"BTCUSDT","side":"buy","price":"89000","amount":"37.722858","ts":"1763700000000"}],
     "arg":{"instType":"usdt-futures","topic":"liquidation"},"action":"update","ts":1763700000100}

Tickers are a snapshot and then the changed fields. USDT- and USDC-margined contracts are the same on both generations of
the interface. The coin-margined ones of the socket (``BTCUSD_CM``) are a line of their own, listed by v3 only: inverse,
sized in dollars, while v2's ``BTCUSD`` is sized in coins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.books import Book, BookFeed, BookSettings
from monitor.dialects.fields import Millis, PositiveFloat
from monitor.dialects.payments import Payments, hours_of
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent
from monitor.feed import (
    Cap,
    Connection,
    FeedSpec,
    Frame,
    HistoryPage,
    Limits,
    Refused,
    ReportingLaw,
    Request,
    Topic,
)
from monitor.instruments import Instrument, Registry, canonical_base, notional_micros, to_micros
from monitor.session import SessionRules
from monitor.venue import Settings, shards
from monitor.wire import Number, Rows, gauge, listed, ms_ns, positive, read

DOCS = "https://www.bitget.com/api-doc/uta/websocket/public"
WS = "wss://ws.bitget.com/v3/ws/public"
REST = "https://api.bitget.com/api/v2/mix/market"
UNIFIED_REST = "https://api.bitget.com/api/v3/market"
ProductLine = Literal["usdt-futures", "usdc-futures", "coin-futures"]
_COIN_LINE = "coin-futures"
_UNIFIED_PAGES: Mapping[str, str] = {"contracts": "instruments", "tickers": "tickers"}
_TOPICS_PER_CONNECTION = 50
_MOST_TRADES = 1000


class BitgetSettings(BookSettings, frozen=True):
    """``amount_unit``: what a liquidation's ``amount`` counts. ``product_lines``: which to take."""

    amount_unit: Literal["quote", "base"] = "quote"
    product_lines: tuple[ProductLine, ...] = ("usdt-futures", "usdc-futures", "coin-futures")


class _Arg(msgspec.Struct, frozen=True, gc=False):
    instType: str
    topic: str
    symbol: str = ""


class _Message(msgspec.Struct, gc=False):
    arg: _Arg | None = None
    action: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    ts: int | str = 0
    event: str = ""
    code: int | str = 0
    msg: str = ""


class _Ticker(msgspec.Struct):
    """An absent field is unchanged."""

    symbol: str | None = None
    lastPrice: Number = None
    bid1Price: Number = None
    ask1Price: Number = None
    markPrice: Number = None
    indexPrice: Number = None
    fundingRate: Number = None
    nextFundingTime: Number = None
    openInterest: Number = None


class _Liquidation(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]
    price: Decimal
    amount: Decimal
    ts: int | str


class _Trade(msgspec.Struct, gc=False):
    p: PositiveFloat
    v: PositiveFloat
    S: Literal["buy", "sell"]
    T: Millis


class _TradeArg(msgspec.Struct, frozen=True, gc=False):
    topic: Literal["publicTrade"]
    symbol: str


class _TradeFrame(msgspec.Struct, gc=False):
    arg: _TradeArg
    data: list[_Trade]
    action: Literal["snapshot", "update"]


class _Fill(msgspec.Struct):
    """A trade of the REST history."""

    tradeId: str
    price: str
    size: str
    side: str
    ts: str


class _Listing(msgspec.Struct):
    """v2 says kind and state in ``symbolType`` and ``symbolStatus``, v3 in ``type`` and ``status``."""

    symbol: str
    baseCoin: str
    quoteCoin: str
    symbolType: str = "perpetual"
    symbolStatus: str = "normal"
    type: str = ""
    status: str = "online"
    fundInterval: Number = None
    deliveryTime: Number = None
    isRwa: str = "NO"

    @property
    def perpetual(self) -> bool:
        """Whether it has no expiry."""
        return "delivery" not in {self.type, self.symbolType}

    @property
    def trading(self) -> bool:
        """Whether it trades."""
        return (self.symbolStatus, self.status) == ("normal", "online")


class _Rank(msgspec.Struct):
    """v2 says open interest in ``holdingAmount``, v3 in ``openInterest``; both in coins."""

    symbol: str
    holdingAmount: Number = None
    openInterest: Number = None
    markPrice: Number = None


class _Answer(msgspec.Struct):
    code: str
    data: msgspec.Raw
    msg: str = ""


_Level = tuple[float | str, float | str]


class _Book(msgspec.Struct):
    """v3 shortens the names of the sides."""

    bids: list[_Level] = []
    asks: list[_Level] = []
    b: list[_Level] = []
    a: list[_Level] = []
    ts: int | str | None = None


_BOOK = msgspec.json.Decoder(_Book)
_MESSAGE = msgspec.json.Decoder(_Message)
_ANSWER = msgspec.json.Decoder(_Answer)
_TICKERS = Rows(_Ticker)
_LIQUIDATIONS = Rows(_Liquidation)
_TRADES = Rows(_Trade, strict=False)
_TRADE_FRAME = msgspec.json.Decoder(_TradeFrame, strict=False)
_FILLS = Rows(_Fill)
_LISTINGS = Rows(_Listing)
_RANKS = Rows(_Rank)


class BitgetFeed(BookFeed):
    """Bitget."""

    settings_type: ClassVar[type[Settings]] = BitgetSettings
    settings: BitgetSettings
    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="bitget",
        title="Bitget",
        laws={
            Channel.PRICE: ReportingLaw("complete", "ticker changes every 100 to 300 ms", f"{DOCS}/Tickers-Channel"),
            Channel.TRADES: ReportingLaw("complete", "every fill", f"{DOCS}/New-Trades-Channel"),
            Channel.LIQUIDATIONS: ReportingLaw(
                "sampled",
                "the largest long and the largest short per pair and second",
                f"{DOCS}/Liquidation-Channel",
                Cap(1, per_side=True),
            ),
            Channel.FUNDING: ReportingLaw("complete", "current estimate", f"{DOCS}/Tickers-Channel"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "ticker changes", f"{DOCS}/Tickers-Channel"),
            Channel.DEPTH: ReportingLaw(
                "sampled",
                "merged book of the majors at its greatest depth, every 10 s: a lower bound",
                "https://www.bitget.com/api-doc/contract/market/Get-Merge-Depth",
            ),
        },
        limits=Limits(connects=100, connects_window_s=300.0, sends_per_s=5.0, lifetime_s=86_400.0),
        idle_s=60.0,
        stale_s={
            Channel.PRICE: 30.0,
            Channel.FUNDING: 120.0,
            Channel.OPEN_INTEREST: 120.0,
            Channel.TRADES: 300.0,
            Channel.LIQUIDATIONS: 3600.0,
            Channel.DEPTH: 60.0,
        },
        docs=DOCS,
        gaps={
            Channel.LIQUIDATIONS: "lost: the venue has no REST address for them",
            Channel.TRADES: "REST, 90 days; those of coin-margined contracts are lost",
        },
    )

    def metadata(self) -> list[Request]:
        """Contracts of each product line."""
        return [self._request("contracts", line) for line in self.settings.product_lines]

    def _request(self, page: str, line: str) -> Request:
        if line == _COIN_LINE:
            url = f"{UNIFIED_REST}/{_UNIFIED_PAGES[page]}?category={line.upper()}"
        else:
            url = f"{REST}/{page}?productType={line.upper()}"
        return Request(f"{page}/{line}", self.rest(url))

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Contracts of one product line."""
        line = request.name.partition("/")[2]
        return listed(_LISTINGS.readable(_data(body)), lambda row: _instrument(row, line)), []

    def ranking(self) -> list[Request]:
        """Tickers of each product line hold open interest and mark price."""
        return [self._request("tickers", line) for line in self.settings.product_lines]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        rows = _RANKS.readable(_data(body))
        return {
            row.symbol: (gauge(row.holdingAmount or row.openInterest) or 0.0) * (gauge(row.markPrice) or 0.0)
            for row in rows
        }

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Liquidations of whole product lines first, then tickers and trades, 50 topics to a connection."""
        lines = [line for line in self.settings.product_lines if any(item.category == line for item in instruments)]
        topics = []
        if self.carries(Channel.LIQUIDATIONS):
            chosen = self.selection(instruments)
            topics += [Topic(f"{line}/liquidation", (Channel.LIQUIDATIONS,), payload=chosen) for line in lines]
        gauges = tuple(c for c in (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST) if self.carries(c))
        if gauges:
            topics += [Topic(f"{item.category}/ticker/{item.symbol}", gauges, item.symbol) for item in instruments]
        if self.carries(Channel.TRADES):
            trades = (Channel.TRADES,)
            topics += [Topic(f"{item.category}/publicTrade/{item.symbol}", trades, item.symbol) for item in instruments]
        return [
            Connection(f"bitget/{number}", self.ws(WS), shard)
            for number, shard in enumerate(shards(topics, _TOPICS_PER_CONNECTION))
        ]

    def book_url(self, instrument: Instrument) -> str:
        """``merge-depth``, in its coarsest price steps, which reach furthest; v3's line has 200 plain levels."""
        if instrument.form == "inverse":
            category = f"category={instrument.category.upper()}"
            return f"{UNIFIED_REST}/orderbook?{category}&symbol={instrument.symbol}&limit=200"
        line = instrument.category.upper()
        return f"{REST}/merge-depth?productType={line}&symbol={instrument.symbol}&precision=scale3&limit=max"

    def read_book(self, body: bytes) -> Book:
        """Sizes as in trades."""
        book = read(_BOOK, _data(body))
        return book.bids or book.b, book.asks or book.a, ms_ns(book.ts) if book.ts else 0

    gap_url: ClassVar[str] = WS

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Trades, per contract, from the newest backwards; the venue keeps no past liquidations."""
        unknown = any(item.form == "inverse" for item in instruments)  # v2 has no past of v3's line
        if channel is not Channel.TRADES or not self.carries(channel) or unknown:
            return []
        return [self._trades_page(f"{item.category}/{item.symbol}", start_ns, end_ns) for item in instruments]

    def _trades_page(self, name: str, start_ns: int, end_ns: int, before: str = "") -> HistoryPage:
        """`name` is product line and symbol. The venue heeds the end of the time, not its start."""
        line, _, symbol = name.partition("/")
        query = f"productType={line.upper()}&symbol={symbol}&limit={_MOST_TRADES}&endTime={end_ns // NS_PER_MS + 1}"
        url = self.rest(f"{REST}/fills-history?{query}{before and f'&idLessThan={before}'}")
        return HistoryPage(Request(f"gap/{name}", url, weight=2), Channel.TRADES, name, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """Rows spelt out; a full page goes on before its oldest trade."""
        line, _, symbol = page.symbol.partition("/")
        rows = _FILLS.strict(_data(body))
        data = [{"p": row.price, "v": row.size, "S": row.side.lower(), "T": row.ts} for row in rows]
        arg = {"instType": line, "topic": "publicTrade", "symbol": symbol}
        frame = msgspec.json.encode({"action": "update", "arg": arg, "data": data})
        topic = Topic(f"{line}/publicTrade/{symbol}", (page.channel,), symbol)
        events = self.lost(page, topic, [frame], recv_ns, registry)
        oldest = min(((ms_ns(row.ts), len(row.tradeId), row.tradeId) for row in rows), default=(0, 0, ""))
        more = len(rows) >= _MOST_TRADES and oldest[0] > page.start_ns
        return events, [self._trades_page(page.symbol, page.start_ns, page.end_ns, oldest[2])] if more else []

    def session(self, connection: Connection, registry: Registry) -> BitgetSession:
        """A new protocol state."""
        return BitgetSession(self, connection, registry)


class BitgetSession(TradeSession):
    """One connection to Bitget, with the tickers held as their changes come."""

    rules = SessionRules(chunk=25, pace_s=0.25, ack_s=10.0, ping_s=25.0)
    learns: ClassVar[Mapping[str, Any]] = {"_tickers": dict[str, _Ticker], "_payments": dict[str, Payments]}

    def __init__(self, feed: BitgetFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._unit = feed.settings.amount_unit
        self._tickers: dict[str, _Ticker] = {}
        self._payments: dict[str, Payments] = {}
        if any("/publicTrade/" in topic.name for topic in connection.topics):
            self.typed = _TRADE_FRAME

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """Several topics in one ``subscribe``."""
        fields = ("instType", "topic", "symbol")
        args = [dict(zip(fields, topic.name.split("/"), strict=False)) for topic in topics]
        return msgspec.json.encode({"op": "subscribe", "args": args}).decode()

    def ping_frame(self, now_ns: int) -> str:
        """Plain text."""
        return "ping"

    def typed_rows(self, message: _TradeFrame, recv_ns: int) -> list[MarketEvent]:
        """Trades."""
        symbol, snapshot = message.arg.symbol, message.action == "snapshot"
        return self.each(message.data, lambda row, now: self._trade(symbol, row, now, snapshot=snapshot), recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message."""
        if frame in {"pong", b"pong"}:
            return []
        message = read(_MESSAGE, frame)
        if message.event:
            self._control(message)
        elif message.arg is not None:
            return self._data(message, message.arg, recv_ns)
        else:
            self.skip("unknown_message")
        return []

    def _control(self, message: _Message) -> None:
        name = _name(message.arg) if message.arg is not None else ""
        if message.event == "subscribe":
            self.confirm([name])
        elif message.event == "error" and name:
            self.refuse(name, f"{message.code} {message.msg}")
        elif message.event == "error":
            self.notices.append(Refused("", f"{message.code} {message.msg}"))
        else:
            self.skip("unknown_message")

    def _data(self, message: _Message, arg: _Arg, recv_ns: int) -> list[MarketEvent]:
        snapshot = message.action == "snapshot"
        if arg.topic == "liquidation":
            liquidations = _LIQUIDATIONS.decode(message.data, self.bad_row)
            return self.each(liquidations, lambda row, now: self._liquidation(row, now, snapshot=snapshot), recv_ns)
        if arg.topic == "ticker":
            rows = _TICKERS.decode(message.data, self.bad_row)
            ts_ns = ms_ns(message.ts) or recv_ns
            return self.each(rows, lambda row, now: self._ticker(arg.symbol, row, ts_ns, now, fresh=snapshot), recv_ns)
        if arg.topic == "publicTrade":
            trades = _TRADES.decode(message.data, self.bad_row)
            return self.each(trades, lambda row, now: self._trade(arg.symbol, row, now, snapshot=snapshot), recv_ns)
        self.skip("unknown_message")
        return []

    def _liquidation(self, row: _Liquidation, recv_ns: int, *, snapshot: bool) -> Iterable[MarketEvent]:
        ts_ns, price = ms_ns(row.ts), positive(row.price)
        if snapshot and self.is_history(ts_ns):
            self.skip("history")
            return []
        instrument = self.find(row.symbol, Channel.LIQUIDATIONS)
        if instrument is None:
            return []
        amount = positive(row.amount)
        usd_micros = to_micros(amount) if self._unit == "quote" else notional_micros(instrument, amount, price)
        key = f"{row.symbol}:{row.side}:{row.ts}:{row.amount}"
        return self.liquidation(
            instrument, "long" if row.side == "buy" else "short", usd_micros, price, ts_ns, recv_ns, key
        )

    def _ticker(self, symbol: str, row: _Ticker, ts_ns: int, recv_ns: int, *, fresh: bool) -> Iterable[MarketEvent]:
        symbol = symbol or row.symbol or ""
        instrument = self.find(symbol, Channel.PRICE)
        if instrument is None:
            return []
        held = row if fresh else _merged(self._tickers.get(symbol), row)
        self._tickers[symbol] = held
        events = self.prices(
            instrument, ts_ns, recv_ns, mark=row.markPrice, index=row.indexPrice, last=row.lastPrice,
            bid=held.bid1Price, ask=held.ask1Price,
        )  # fmt: skip
        return [*events, *self._slow(instrument, held, ts_ns, recv_ns)]

    def _slow(self, instrument: Instrument, held: _Ticker, ts_ns: int, recv_ns: int) -> list[MarketEvent]:
        """Funding and open interest from the held row, when they change and now and then while it lives."""
        events: list[MarketEvent] = []
        rate, coins, mark = gauge(held.fundingRate), gauge(held.openInterest), gauge(held.markPrice)
        if rate is not None:
            next_ns = ms_ns(held.nextFundingTime) if held.nextFundingTime else 0
            hours = self._hours(instrument, next_ns, ts_ns)
            if self.changed(instrument.symbol, Channel.FUNDING, rate / (hours or 1.0), recv_ns):
                events += self.funding(instrument, rate, ts_ns, recv_ns, interval_h=hours, next_ns=next_ns)
        if coins is not None and mark is not None:
            usd = coins * mark
            if self.changed(instrument.symbol, Channel.OPEN_INTEREST, usd, recv_ns):
                events += self.open_interest(instrument, usd, ts_ns, recv_ns)
        return events

    def _hours(self, instrument: Instrument, next_ns: int, ts_ns: int) -> float | None:
        if instrument.funding_interval_h is None:
            return None
        return hours_of(self._payments, instrument, next_ns, ts_ns)

    def _trade(self, symbol: str, row: _Trade, recv_ns: int, *, snapshot: bool) -> Iterable[MarketEvent]:
        ts_ns = row.T * NS_PER_MS
        if snapshot and self.is_history(ts_ns):
            self.skip("history")
            return []
        return self.trade_row(symbol, row.S, row.v, row.p, ts_ns, recv_ns)


def _name(arg: _Arg) -> str:
    return "/".join(part for part in (arg.instType, arg.topic, arg.symbol) if part)


def _merged(held: _Ticker | None, patch: _Ticker) -> _Ticker:
    """The held ticker with the fields that the patch carries; what it leaves out is unchanged."""
    if held is None:
        return patch
    for name in patch.__struct_fields__:
        value = getattr(patch, name)
        if value is not None:
            setattr(held, name, value)
    return held


def _data(body: bytes) -> msgspec.Raw:
    answer = read(_ANSWER, body)
    if answer.code != "00000":
        raise DecodeError("unexpected", f"{answer.code} {answer.msg}")
    return answer.data


def _instrument(row: _Listing, line: str) -> Instrument:
    base, units = canonical_base(row.baseCoin)
    coin_margined = line == _COIN_LINE
    return Instrument(
        venue="bitget",
        symbol=row.symbol,
        base=base,
        quote=row.quoteCoin,
        settle=row.baseCoin if coin_margined else row.quoteCoin,
        kind="perp" if row.perpetual else "future",
        form="inverse" if coin_margined and row.type else "linear",
        base_units=units,
        funding_interval_h=(gauge(row.fundInterval) or 8.0) if row.perpetual else None,
        expiry_ns=ms_ns(row.deliveryTime) if row.deliveryTime and not row.perpetual else None,
        status="trading" if row.trading else "halted",
        asset_class="tradfi" if row.isRwa.upper() == "YES" else "crypto",
        category=line,
    )
