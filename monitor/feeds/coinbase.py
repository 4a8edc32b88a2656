"""Coinbase: spot over the Exchange feed or, by setting, over the Advanced Trade one; US perpetual futures by REST.

On both feeds a trade's ``side`` is the *maker's*, so the taker's is the other. ``last_match`` (Exchange) and a snapshot
(Advanced Trade) are history. Exchange trades carry a gapless ``trade_id`` per product, Advanced Trade messages a gapless
``sequence_num`` per connection::

    {"type":"match","trade_id":10,"sequence":50,"time":"2026-11-21T10:00:00.123456Z","product_id":"BTC-USD",
     "size":"0.25","price":"84100.10","side":"sell"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_S
from monitor.dialects.books import Book, BookFeed, BookSettings
from monitor.dialects.fields import PositiveFloat
from monitor.dialects.history import arrays, listed_rows
from monitor.dialects.trades import TradeSession
from monitor.events import Channel, Funding, MarketEvent, OpenInterest, TakerSide
from monitor.feed import (
    Bad,
    Connection,
    FeedSpec,
    Frame,
    HistoryPage,
    Limits,
    Poll,
    Refused,
    ReportingLaw,
    Request,
    Topic,
)
from monitor.instruments import Instrument, Registry, canonical_base, notional_micros
from monitor.past import DAY_NS, HOUR_NS, MINUTE_NS, Archive, HistorySpan
from monitor.session import SessionRules
from monitor.venue import Settings, VenueSession, shards
from monitor.wire import Number, Rows, gauge, iso_ns, listed, positive, read, row_by_row

DOCS = "https://docs.cdp.coinbase.com"
EXCHANGE_WS = "wss://ws-feed.exchange.coinbase.com"
ADVANCED_WS = "wss://advanced-trade-ws.coinbase.com"
EXCHANGE_REST = "https://api.exchange.coinbase.com/products"
ADVANCED_REST = "https://api.coinbase.com/api/v3/brokerage/market/products"
_TOPICS_PER_CONNECTION = 300
_MOST_TRADES = 1000
_HOUR_NS = 3600 * NS_PER_S


class CoinbaseSettings(BookSettings, frozen=True):
    """``api``: which of the two public feeds to use."""

    api: Literal["exchange", "advanced"] = "exchange"


class _Listed(msgspec.Struct):
    name: str
    product_ids: list[str] = []


class _Exchange(msgspec.Struct, gc=False):
    """Any message of the Exchange feed."""

    type: str
    product_id: str = ""
    trade_id: int | None = None
    channels: list[_Listed] = []
    message: str = ""
    reason: str = ""


class _Match(msgspec.Struct, tag="match", tag_field="type", gc=False):
    product_id: str
    price: PositiveFloat
    size: PositiveFloat
    side: Literal["buy", "sell"]
    time: str
    trade_id: int | None = None


class _Ticker(msgspec.Struct, tag="ticker", tag_field="type", gc=False):
    product_id: str
    price: Number = None
    best_bid: Number = None
    best_ask: Number = None
    time: str | None = None


class _Advanced(msgspec.Struct, gc=False):
    channel: str = ""
    timestamp: str | None = None
    sequence_num: int | None = None
    events: list[msgspec.Raw] = []
    type: str = ""
    message: str = ""


class _AdvancedTicker(msgspec.Struct, gc=False):
    product_id: str
    price: Number = None
    best_bid: Number = None
    best_ask: Number = None


class _AdvancedTrade(msgspec.Struct, gc=False):
    product_id: str
    price: Decimal
    size: Decimal
    side: Literal["BUY", "SELL"]
    time: str


class _AdvancedEvent(msgspec.Struct):
    type: str = ""
    tickers: msgspec.Raw = msgspec.Raw(b"[]")
    trades: msgspec.Raw = msgspec.Raw(b"[]")
    subscriptions: dict[str, list[str]] = {}


class _Product(msgspec.Struct):
    id: str
    base_currency: str
    quote_currency: str
    status: str = "online"
    trading_disabled: bool = False


class _FutureDetails(msgspec.Struct):
    contract_size: Decimal = Decimal(1)
    contract_root_unit: str = ""
    contract_expiry: str | None = None
    contract_expiry_type: str = ""
    funding_rate: Number = None
    funding_time: str | None = None
    open_interest: Number = None
    index_price: Number = None


class _AdvancedProduct(msgspec.Struct):
    product_id: str
    product_type: str = "SPOT"
    base_currency_id: str = ""
    quote_currency_id: str = ""
    status: str = "online"
    is_disabled: bool = False
    trading_disabled: bool = False
    alias: str = ""
    price: Number = None
    future_product_details: _FutureDetails | None = None


class _AdvancedProducts(msgspec.Struct):
    products: msgspec.Raw


class _Book(msgspec.Struct):
    bids: list[tuple[str, str, int]]
    asks: list[tuple[str, str, int]]
    time: str = ""


_BOOK = msgspec.json.Decoder(_Book)
_EXCHANGE = msgspec.json.Decoder(_Exchange)
_TYPED: msgspec.json.Decoder[_Match | _Ticker] = msgspec.json.Decoder(_Match | _Ticker, strict=False)
_ADVANCED = msgspec.json.Decoder(_Advanced)
_EVENT = msgspec.json.Decoder(_AdvancedEvent)
_ADVANCED_PRODUCTS = msgspec.json.Decoder(_AdvancedProducts)
_TICKERS = Rows(_AdvancedTicker)
_TRADES = Rows(_AdvancedTrade)
_PRODUCTS = Rows(_Product)
_PRODUCT_ROWS = Rows(_AdvancedProduct)


class CoinbaseFeed(BookFeed):
    """Coinbase."""

    settings_type: ClassVar[type[Settings]] = CoinbaseSettings
    settings: CoinbaseSettings
    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="coinbase",
        title="Coinbase",
        laws={
            Channel.PRICE: ReportingLaw("complete", "a ticker per match", f"{DOCS}/exchange/websocket-feed/channels#ticker-channel"),
            Channel.TRADES: ReportingLaw("complete", "every match, numbered per product", f"{DOCS}/exchange/websocket-feed/channels#match"),
            Channel.FUNDING: ReportingLaw("complete", "US perpetual-style futures, REST once a minute", f"{DOCS}/advanced-trade list public products"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "US futures, REST once a minute", f"{DOCS}/advanced-trade list public products"),
            Channel.DEPTH: ReportingLaw("complete", "whole aggregated book of the majors, every 10 s", f"{DOCS}/exchange get product book"),
        },
        limits=Limits(connects=8, connects_window_s=1.0, sends_per_s=8.0),
        idle_s=30.0,
        stale_s={Channel.PRICE: 120.0, Channel.FUNDING: 180.0, Channel.OPEN_INTEREST: 180.0, Channel.TRADES: 300.0, Channel.DEPTH: 60.0},
        docs=DOCS,
        gaps={
            Channel.TRADES: "REST",
        },
    )  # fmt: skip

    @property
    def _futures(self) -> Request:
        return Request("futures", self.rest(f"{ADVANCED_REST}?product_type=FUTURE"))

    def metadata(self) -> list[Request]:
        """Spot products of the chosen feed; futures when their funding or open interest is asked for."""
        spot = (
            Request("exchange", self.rest(EXCHANGE_REST))
            if self.settings.api == "exchange"
            else Request("advanced", self.rest(f"{ADVANCED_REST}?product_type=SPOT"))
        )
        return [spot, self._futures] if self.carries(Channel.FUNDING, Channel.OPEN_INTEREST) else [spot]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Products; an alias (BTC-USDC for BTC-USD) is the same book and is left out."""
        if request.name == "exchange":
            return listed(_PRODUCTS.readable(body), _spot), []
        rows = _PRODUCT_ROWS.readable(read(_ADVANCED_PRODUCTS, body).products)
        if request.name == "advanced":
            return listed((row for row in rows if not row.alias and row.product_type == "SPOT"), _advanced_spot), []
        return listed((row for row in rows if row.future_product_details is not None), _future), []

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Ticker, trades and heartbeats of spot products."""
        spot = [item for item in instruments if item.kind == "spot"]
        advanced = self.settings.api == "advanced"
        names = {Channel.PRICE: "ticker", Channel.TRADES: "market_trades" if advanced else "matches"}
        topics = [
            Topic(f"{name}:{item.symbol}", (channel,), item.symbol)
            for channel, name in names.items()
            if self.carries(channel)
            for item in spot
        ]
        beat = "heartbeats" if advanced else "heartbeat"
        return [
            Connection(
                f"coinbase/{self.settings.api}/{number}", self.ws(ADVANCED_WS if advanced else EXCHANGE_WS), (*shard, *_beats(beat, shard))
            )
            for number, shard in enumerate(shards(topics, _TOPICS_PER_CONNECTION))
        ]  # fmt: skip

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """Order books of spot products; funding and open interest of futures."""
        books = super().polls([item for item in instruments if item.kind == "spot"])
        channels = [c for c in (Channel.FUNDING, Channel.OPEN_INTEREST) if self.carries(c)]
        if not channels or not any(item.kind != "spot" for item in instruments):
            return books
        return [*books, Poll(self._futures, channels[0], every_s=60.0)]

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        """Depth; or hourly funding and open interest, whose reply has no time of its own."""
        if poll.channel is Channel.DEPTH:
            return super().parse_poll(poll, body, recv_ns, registry, bad)
        wanted = {item.symbol: item for item in self.wanted(registry)}

        def build(row: _AdvancedProduct) -> list[MarketEvent]:
            instrument, details = wanted.get(row.product_id), row.future_product_details
            return (
                [] if instrument is None or details is None else self._polled(instrument, details, row.price, recv_ns)
            )

        return row_by_row(_PRODUCT_ROWS.decode(read(_ADVANCED_PRODUCTS, body).products, bad), build, bad)

    def _polled(self, instrument: Instrument, row: _FutureDetails, price: Number, recv_ns: int) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        rate, contracts = gauge(row.funding_rate), gauge(row.open_interest)
        worth = gauge(row.index_price) or gauge(price)
        if rate is not None and instrument.funding_interval_h and self.carries(Channel.FUNDING):
            next_ns = iso_ns(row.funding_time) + _HOUR_NS if row.funding_time else 0
            events.append(Funding(instrument, rate, instrument.funding_interval_h, recv_ns, recv_ns, next_ns))
        if contracts is not None and worth is not None and contracts >= 0 and self.carries(Channel.OPEN_INTEREST):
            usd = contracts * float(instrument.contract_value) * worth
            events.append(OpenInterest(instrument, usd, recv_ns, recv_ns))
        return events

    def book_url(self, instrument: Instrument) -> str:
        """``book``, aggregated by price."""
        return f"{EXCHANGE_REST}/{instrument.symbol}/book?level=2"

    def read_book(self, body: bytes) -> Book:
        """Rows of price, size and number of orders."""
        book = read(_BOOK, body)
        return book.bids, book.asks, iso_ns(book.time) if book.time else 0

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive(
            {MINUTE_NS: "60", 5 * MINUTE_NS: "300", HOUR_NS: "3600", DAY_NS: "86400"}, rows=300, kind="last"
        ),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed candles of spot pairs, from the Exchange; the venue keeps no history of its futures here."""
        item, bar = span.instrument, self.archives[span.channel].words[span.step_ns]
        if item.kind != "spot":
            return None
        times = f"start={span.start_ns // NS_PER_S}&end={span.end_ns // NS_PER_S - 1}"
        url = self.rest(f"{EXCHANGE_REST}/{item.symbol}/candles?granularity={bar}&{times}")
        return Request(f"history/{span.channel.value}/{item.symbol}", url)

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """A row is ``[opening in seconds, low, high, open, close, volume]``; a period without a trade has none."""
        return arrays(body, 0, 4, span.step_ns, NS_PER_S)

    gap_url: ClassVar[str] = EXCHANGE_WS

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Trades of spot products, from the newest backwards; both feeds tell the trades of the Exchange."""
        if channel is not Channel.TRADES or not self.carries(channel):
            return []
        return [self._trades_page(item.symbol, start_ns, end_ns) for item in instruments if item.kind == "spot"]

    def _trades_page(self, symbol: str, start_ns: int, end_ns: int, before: int = 0) -> HistoryPage:
        """Trades older than the number `before`, which the venue calls ``after``."""
        url = self.rest(f"{EXCHANGE_REST}/{symbol}/trades?limit={_MOST_TRADES}{f'&after={before}' if before else ''}")
        return HistoryPage(Request(f"gap/{symbol}", url), Channel.TRADES, symbol, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """The rows are those of the Exchange feed, the maker's side included."""
        rows = [{**row, "type": "match", "product_id": page.symbol} for row in listed_rows(body)]
        topic = Topic(f"matches:{page.symbol}", (page.channel,), page.symbol)
        events = self.lost(page, topic, map(msgspec.json.encode, rows), recv_ns, registry)
        oldest_ns, first = min(((iso_ns(str(row["time"])), row["trade_id"]) for row in rows), default=(0, 0))
        more = len(rows) >= _MOST_TRADES and oldest_ns > page.start_ns and isinstance(first, int)
        return events, [self._trades_page(page.symbol, page.start_ns, page.end_ns, first)] if more else []

    def session(self, connection: Connection, registry: Registry) -> VenueSession:
        """A new protocol state, of the feed that the connection is to."""
        advanced = connection.name.startswith("coinbase/advanced/")
        return (AdvancedSession if advanced else ExchangeSession)(self, connection, registry)


class ExchangeSession(TradeSession):
    """One connection to the Exchange feed."""

    typed = _TYPED

    rules = SessionRules(chunk=100, pace_s=0.25, ack_s=10.0, one_stream=True)

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """Several products of one channel."""
        channel = topics[0].stream
        message = {"type": "subscribe", "product_ids": [topic.symbol for topic in topics], "channels": [channel]}
        return msgspec.json.encode(message).decode()

    def typed_rows(self, message: _Match | _Ticker, recv_ns: int) -> list[MarketEvent]:
        """Matches and tickers."""
        return self._match(message, recv_ns) if isinstance(message, _Match) else self._ticker(message, recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message that is neither a match nor a ticker, or is a bad one."""
        message = read(_EXCHANGE, frame)
        kind = message.type
        if kind in {"ticker", "match"}:
            read(_TYPED, frame)  # says what is wrong with it
        if kind in {"last_match", "heartbeat"}:
            self._numbered(message)
        elif kind == "subscriptions":
            self.confirm(f"{channel.name}:{product}" for channel in message.channels for product in channel.product_ids)
        elif kind == "error":
            self.refuse_named(f"{message.message}: {message.reason}" if message.reason else message.message)
        else:
            self.skip("unknown_message")
        return []

    def _numbered(self, message: _Exchange) -> None:
        """A ``last_match`` is history, but the next trade's number follows it.

        A heartbeat names the last trade too, yet may overtake it, so it proves no gap.
        """
        if message.type == "last_match":
            self.skip("history")
            if message.trade_id is not None:
                self.number(message.product_id, message.trade_id, Channel.TRADES)

    def _ticker(self, row: _Ticker, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.product_id, Channel.PRICE)
        if instrument is None:
            return []
        ts_ns = iso_ns(row.time) if row.time else recv_ns
        return self.prices(instrument, ts_ns, recv_ns, last=row.price, bid=row.best_bid, ask=row.best_ask)

    def _match(self, row: _Match, recv_ns: int) -> list[MarketEvent]:
        """One trade; `side` is the maker's."""
        if row.trade_id is not None and row.product_id in self.table:
            self.number(row.product_id, row.trade_id, Channel.TRADES)
        side: TakerSide = "buy" if row.side == "sell" else "sell"
        return self.trade_row(row.product_id, side, row.size, row.price, iso_ns(row.time), recv_ns)


class AdvancedSession(VenueSession):
    """One connection to the Advanced Trade feed."""

    rules = SessionRules(chunk=100, pace_s=0.25, ack_s=10.0, one_stream=True)

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """Several products of one channel."""
        channel = topics[0].stream
        message: dict[str, object] = {"type": "subscribe", "channel": channel}
        products = [topic.symbol for topic in topics if topic.symbol]
        return msgspec.json.encode({**message, "product_ids": products} if products else message).decode()

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message; its number counts every message of the connection."""
        message = read(_ADVANCED, frame)
        if message.sequence_num is not None:
            self.number("", message.sequence_num, self._first_channel)
        if message.type == "error":
            self.notices.append(Refused("", message.message))
            return []
        if message.channel == "heartbeats":
            return []
        ts_ns = iso_ns(message.timestamp) if message.timestamp else recv_ns
        return self.each(message.events, lambda raw, now: self._event(message.channel, raw, ts_ns, now), recv_ns)

    @property
    def _first_channel(self) -> Channel:
        return Channel.TRADES if self.carries[Channel.TRADES] else Channel.PRICE

    def _event(self, channel: str, raw: msgspec.Raw, ts_ns: int, recv_ns: int) -> Iterable[MarketEvent]:
        event = read(_EVENT, raw)
        if channel == "ticker":
            rows = _TICKERS.decode(event.tickers, self.bad_row)
            return self.each(rows, lambda row, now: self._ticker(row, ts_ns, now), recv_ns)
        if channel == "market_trades":
            trades = _TRADES.decode(event.trades, self.bad_row)
            if event.type == "snapshot":
                self.skip("history", len(trades))
                return []
            return self.each(trades, self._trade, recv_ns)
        if channel == "subscriptions":
            listed_topics = event.subscriptions.items()
            self.confirm(f"{name}:{product}" for name, products in listed_topics for product in products)
            self.confirm(f"{name}:" for name, _ in listed_topics)
        else:
            self.skip("unknown_message")
        return []

    def _ticker(self, row: _AdvancedTicker, ts_ns: int, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(row.product_id, Channel.PRICE)
        if instrument is None:
            return []
        return self.prices(instrument, ts_ns, recv_ns, last=row.price, bid=row.best_bid, ask=row.best_ask)

    def _trade(self, row: _AdvancedTrade, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(row.product_id, Channel.TRADES)
        if instrument is None:
            return []
        price = positive(row.price)
        usd_micros = notional_micros(instrument, positive(row.size), price)
        side: TakerSide = "buy" if row.side == "SELL" else "sell"
        return self.trade(instrument, side, usd_micros, price, iso_ns(row.time), recv_ns)


def _beats(name: str, topics: Iterable[Topic]) -> list[Topic]:
    """Heartbeats keep quiet connections open: of the whole connection (Advanced Trade) or per product (Exchange)."""
    if name == "heartbeats":
        return [Topic("heartbeats:", ())]
    return [Topic(f"{name}:{symbol}", (), symbol) for symbol in sorted({topic.symbol for topic in topics})]


def _spot(row: _Product) -> Instrument:
    open_now = row.status == "online" and not row.trading_disabled
    return _pair(row.id, row.base_currency, row.quote_currency, open_now=open_now)


def _advanced_spot(row: _AdvancedProduct) -> Instrument:
    open_now = row.status in {"online", ""} and not row.is_disabled and not row.trading_disabled
    return _pair(row.product_id, row.base_currency_id, row.quote_currency_id, open_now=open_now)


def _pair(symbol: str, coin: str, quote: str, *, open_now: bool) -> Instrument:
    base, units = canonical_base(coin)
    return Instrument(
        venue="coinbase",
        symbol=symbol,
        base=base,
        quote=quote,
        settle=quote,
        kind="spot",
        base_units=units,
        status="trading" if open_now else "halted",
    )


def _future(row: _AdvancedProduct) -> Instrument:
    details = row.future_product_details
    assert details is not None
    perpetual = details.contract_expiry_type == "PERPETUAL" or gauge(details.funding_rate) is not None
    base, units = canonical_base(details.contract_root_unit)
    return Instrument(
        venue="coinbase",
        symbol=row.product_id,
        base=base,
        quote="USD",
        settle="USD",
        kind="perp" if perpetual else "future",
        contract_value=positive(details.contract_size),
        base_units=units,
        funding_interval_h=1.0 if perpetual else None,
        expiry_ns=iso_ns(details.contract_expiry) if details.contract_expiry and not perpetual else None,
        status="halted" if row.trading_disabled else "trading",
    )
