"""Deribit: futures, perpetuals, options and the volatility index. JSON-RPC 2.0; numbers are JSON numbers.

Every fill is pushed, and a fill of a forced order carries a letter: ``T`` the taker was liquidated, ``M`` the maker,
``MT`` both (two liquidations of opposite sides). ``direction`` is the taker's. Amounts are US dollars on inverse
contracts and base coins on linear ones and options::

    {"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.future.any.100ms","data":[{"trade_seq":30289442,
     "trade_id":"48079269","timestamp":1590484512188,"price":8950.0,"mark_price":8948.9,"instrument_name":"BTC-PERPETUAL",
     "index_price":8955.88,"direction":"sell","amount":750.0,"liquidation":"T"}]}}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.books import Book, BookFeed, BookSettings
from monitor.dialects.fields import Millis, PositiveFloat
from monitor.dialects.history import SETTLEMENTS, listed_rows, number, records, settled
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent, PositionSide, Sample, TakerSide
from monitor.feed import (
    Closing,
    Connection,
    FeedSpec,
    Frame,
    HistoryPage,
    Limits,
    Refused,
    Reply,
    ReportingLaw,
    Request,
    Send,
    Topic,
)
from monitor.instruments import Instrument, Registry, canonical_base, notional_micros
from monitor.past import DAY_NS, HOUR_NS, MINUTE_NS, Archive, HistorySpan, newer_edge
from monitor.session import SessionRules
from monitor.venue import Settings, shards
from monitor.wire import Rows, gauge, listed, ms_ns, positive, read

DOCS = "https://docs.deribit.com"
WS = "wss://www.deribit.com/ws/api/v2"
REST = "https://www.deribit.com/api/v2/public"
_CHANNELS_PER_CONNECTION = 400
_CONTROL_ID = 0
_INDEX = re.compile(r"deribit_volatility_index\.([a-z0-9]+)_")


class DeribitSettings(BookSettings, frozen=True):
    """``options``: also take option trades, liquidations and open interest. ``volatility``: bases of the index."""

    options: bool = False
    volatility: tuple[str, ...] = ("BTC", "ETH")


class _Params(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Message(msgspec.Struct):
    method: str = ""
    id: int | None = None
    params: _Params | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None


class _Trade(msgspec.Struct, gc=False):
    instrument_name: str
    direction: Literal["buy", "sell"]
    price: Decimal
    amount: Decimal
    timestamp: int
    trade_seq: int
    trade_id: str
    index_price: Decimal | None = None
    liquidation: Literal["T", "M", "MT"] | None = None


class _Fill(msgspec.Struct, gc=False):
    """A usual trade; a liquidation is read exactly, as a `_Trade`."""

    instrument_name: str
    direction: Literal["buy", "sell"]
    price: PositiveFloat
    amount: PositiveFloat
    timestamp: Millis
    trade_seq: int
    liquidation: None = None


class _Ticker(msgspec.Struct, gc=False):
    instrument_name: str
    timestamp: Millis
    mark_price: float | None = None
    index_price: float | None = None
    last_price: float | None = None
    best_bid_price: float | None = None
    best_ask_price: float | None = None
    open_interest: float | None = None
    funding_8h: float | None = None


class _TypedParams(msgspec.Struct, gc=False):
    channel: str
    data: list[_Fill] | _Ticker


class _Typed(msgspec.Struct, gc=False):
    params: _TypedParams
    method: Literal["subscription"]


class _Volatility(msgspec.Struct, gc=False):
    volatility: float
    timestamp: int


class _Listing(msgspec.Struct):
    instrument_name: str
    kind: str
    base_currency: str
    quote_currency: str
    expiration_timestamp: int
    is_active: bool = True
    instrument_type: str = ""
    future_type: str = ""
    counter_currency: str = ""
    settlement_currency: str = ""
    settlement_period: str = ""
    option_type: Literal["call", "put"] | None = None
    strike: float | None = None
    state: str = "open"


class _Summary(msgspec.Struct):
    instrument_name: str
    open_interest: float | None = None
    mark_price: float | None = None


class _Answer(msgspec.Struct):
    result: msgspec.Raw


class _Book(msgspec.Struct):
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    timestamp: int


class _Chart(msgspec.Struct):
    ticks: list[int]
    close: list[float]


class _Lost(msgspec.Struct):
    trades: msgspec.Raw
    has_more: bool = False


_CHART, _LOST = msgspec.json.Decoder(_Chart), msgspec.json.Decoder(_Lost)
_BOOK = msgspec.json.Decoder(_Book)
_MESSAGE = msgspec.json.Decoder(_Message)
_TICKER = msgspec.json.Decoder(_Ticker)
_TYPED = msgspec.json.Decoder(_Typed)
_VOLATILITY = msgspec.json.Decoder(_Volatility)
_NAMES = msgspec.json.Decoder(list[str])
_ANSWER = msgspec.json.Decoder(_Answer)
_TRADES = Rows(_Trade)
_LISTINGS = Rows(_Listing)
_SUMMARIES = Rows(_Summary)


class DeribitFeed(BookFeed):
    """Deribit."""

    settings_type: ClassVar[type[Settings]] = DeribitSettings
    settings: DeribitSettings
    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="deribit",
        title="Deribit",
        laws={
            Channel.PRICE: ReportingLaw("complete", "ticker rows every 100 ms", f"{DOCS} ticker.{{instrument}}.100ms"),
            Channel.TRADES: ReportingLaw("complete", "every fill", f"{DOCS} trades.{{kind}}.{{currency}}.100ms"),
            Channel.LIQUIDATIONS: ReportingLaw(
                "complete",
                "every fill of a forced order, marked T, M or MT",
                f"{DOCS} trades.{{kind}}.{{currency}}.100ms",
            ),
            Channel.FUNDING: ReportingLaw("complete", "continuous funding, as paid over 8 hours", f"{DOCS} ticker"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "ticker rows every 100 ms", f"{DOCS} ticker"),
            Channel.VOLATILITY: ReportingLaw(
                "complete", "the venue's volatility index", f"{DOCS} deribit_volatility_index.{{index_name}}"
            ),
            Channel.DEPTH: ReportingLaw(
                "sampled",
                "best 1000 levels a side of the majors, every 10 s: a lower bound",
                f"{DOCS} public/get_order_book",
            ),
        },
        limits=Limits(connects=32, connects_window_s=60.0, sends_per_s=3.0),
        idle_s=30.0,
        stale_s={
            Channel.PRICE: 10.0,
            Channel.FUNDING: 60.0,
            Channel.OPEN_INTEREST: 60.0,
            Channel.VOLATILITY: 60.0,
            Channel.TRADES: 300.0,
            Channel.LIQUIDATIONS: 3600.0,
            Channel.DEPTH: 60.0,
        },
        docs=DOCS,
        gaps={
            Channel.LIQUIDATIONS: "REST, marked among the trades",
            Channel.TRADES: "REST, per currency",
        },
    )

    def metadata(self) -> list[Request]:
        """Every future and perpetual; options when they are taken."""
        kinds = ("future", "option") if self.settings.options else ("future",)
        return [
            Request(f"instruments/{kind}", self.rest(f"{REST}/get_instruments?currency=any&kind={kind}"))
            for kind in kinds
        ]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Instruments of ``public/get_instruments``; combos and spot are left out."""
        rows = _LISTINGS.readable(read(_ANSWER, body).result)
        return listed((row for row in rows if row.kind in {"future", "option"}), _instrument), []

    def ranking(self) -> list[Request]:
        """Book summaries of all futures, one request per currency."""
        url = f"{REST}/get_book_summary_by_currency?kind=future&currency="
        return [Request(f"summary/{coin}", self.rest(url + coin)) for coin in ("BTC", "ETH", "USDC", "USDT")]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        ranks = {}
        for row in _SUMMARIES.readable(read(_ANSWER, body).result):
            instrument = registry.get(self.spec.venue, row.instrument_name)
            if instrument is not None:
                ranks[row.instrument_name] = _usd(instrument, row.open_interest, row.mark_price, None) or 0.0
        return ranks

    def wanted(self, registry: Registry) -> list[Instrument]:
        """Futures and perpetuals; options only by setting or by name."""
        kinds = {"perp", "future", "option"} if self.settings.options or not self.selects_all else {"perp", "future"}
        return [item for item in super().wanted(registry) if item.kind in kinds]

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Whole-market trades and the index on the first connection, tickers sharded over all."""
        topics = [*self._market_topics(instruments), *self._tickers(instruments)]
        return [
            Connection(f"deribit/{number}", self.ws(WS), shard)
            for number, shard in enumerate(shards(topics, _CHANNELS_PER_CONNECTION))
        ]

    def _market_topics(self, instruments: Sequence[Instrument]) -> list[Topic]:
        topics = []
        if self.carries(Channel.TRADES, Channel.LIQUIDATIONS):
            kinds = ("future", "option") if self.settings.options else ("future",)
            channels = tuple(c for c in (Channel.TRADES, Channel.LIQUIDATIONS) if self.carries(c))
            chosen = self.selection(instruments)
            topics += [Topic(f"trades.{kind}.any.100ms", channels, payload=chosen) for kind in kinds]
        if self.carries(Channel.VOLATILITY):
            names = [f"deribit_volatility_index.{base.lower()}_usd" for base in self.settings.volatility]
            topics += [Topic(name, (Channel.VOLATILITY,)) for name in names]
        return topics

    def _tickers(self, instruments: Sequence[Instrument]) -> list[Topic]:
        gauges = (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST)
        channels = tuple(channel for channel in gauges if self.carries(channel))
        if not channels:
            return []
        return [Topic(f"ticker.{item.symbol}.100ms", channels, item.symbol) for item in instruments]

    def book_url(self, instrument: Instrument) -> str:
        """``public/get_order_book``."""
        return f"{REST}/get_order_book?depth=1000&instrument_name={instrument.symbol}"

    def read_book(self, body: bytes) -> Book:
        """Amounts count what the contract's do: dollars or coins."""
        book = read(_BOOK, read(_ANSWER, body).result)
        return book.bids, book.asks, ms_ns(book.timestamp)

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive({MINUTE_NS: "1", 5 * MINUTE_NS: "5", HOUR_NS: "60", DAY_NS: "1D"}, rows=1000),
        Channel.FUNDING: Archive(SETTLEMENTS, rows=700, rate_h=8.0),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Chart data (last prices), and the funding of perpetuals as paid over eight hours; no open interest."""
        item = span.instrument
        times = f"start_timestamp={span.start_ms}&end_timestamp={span.end_ms}"
        name = f"history/{span.channel.value}/{item.symbol}"
        if span.channel is Channel.PRICE:
            bar = self.archives[span.channel].words[span.step_ns]
            path = f"get_tradingview_chart_data?instrument_name={item.symbol}&{times}&resolution={bar}"
            return Request(name, self.rest(f"{REST}/{path}"))
        if item.kind != "perp":
            return None
        return Request(name, self.rest(f"{REST}/get_funding_rate_history?instrument_name={item.symbol}&{times}"))

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """Charts are columns, ``ticks`` the openings; a second without a trade has no row."""
        result = read(_ANSWER, body).result
        if span.channel is Channel.FUNDING:
            return settled(records(result, "timestamp", "interest_8h"))
        chart = read(_CHART, result)
        return ((ms_ns(at) + span.step_ns, close) for at, close in zip(chart.ticks, chart.close, strict=False))

    gap_url: ClassVar[str] = WS
    gap_overlap_s: ClassVar[float] = 5.0

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Trades, which carry the liquidations, per currency."""
        if channel not in {Channel.TRADES, Channel.LIQUIDATIONS} or not self.carries(channel):
            return []
        coins = dict.fromkeys(item.settle for item in instruments if item.kind != "option")
        return [self._trades_page(channel, coin, start_ns, end_ns) for coin in coins]

    def _trades_page(self, channel: Channel, coin: str, start_ns: int, end_ns: int) -> HistoryPage:
        times = f"start_timestamp={start_ns // NS_PER_MS}&end_timestamp={end_ns // NS_PER_MS}"
        path = f"get_last_trades_by_currency_and_time?currency={coin}&kind=future&{times}&count=1000&sorting=asc"
        return HistoryPage(Request(f"gap/{coin}", self.rest(f"{REST}/{path}")), channel, coin, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """The rows are those of the socket; a full page goes on from its last row."""
        found = read(_LOST, read(_ANSWER, body).result)
        head = '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.future.any.100ms","data":'
        frame = f"{head}{bytes(found.trades).decode()}}}}}"
        chosen = None if self.selects_all else self.selection(self.wanted(registry))
        topic = Topic("trades.future.any.100ms", (page.channel,), payload=chosen)
        times = (ms_ns(number(row.get("timestamp"))) for row in listed_rows(found.trades))
        edge_ns = newer_edge(times, page.end_ns) if found.has_more else None
        if edge_ns is None:
            return self.lost(page, topic, [frame], recv_ns, registry), []
        events = self.lost(page.until(edge_ns), topic, [frame], recv_ns, registry)
        return events, [self._trades_page(page.channel, page.symbol, edge_ns, page.end_ns)]

    def session(self, connection: Connection, registry: Registry) -> DeribitSession:
        """A new protocol state."""
        return DeribitSession(self, connection, registry)


class DeribitSession(TradeSession):
    """One connection to Deribit."""

    def __init__(self, feed: DeribitFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._fills = Channel.LIQUIDATIONS if self.carries[Channel.LIQUIDATIONS] else Channel.TRADES
        if not feed.settings.options:  # an option's trade is worth its underlying: it is read exactly
            self.typed = _TYPED

    rules = SessionRules(chunk=100, pace_s=0.4, ack_s=10.0)

    def on_open(self, now_ns: int) -> list[Send]:
        """Ask for heartbeats first, then subscribe."""
        heartbeat = _call(_CONTROL_ID, "public/set_heartbeat", {"interval": 30})
        return [Send(heartbeat), *super().on_open(now_ns)]

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """``public/subscribe``."""
        return _call(number, "public/subscribe", {"channels": [topic.name for topic in topics]})

    def typed_rows(self, message: _Typed, recv_ns: int) -> list[MarketEvent]:
        """Tickers, and trades in which nobody was liquidated."""
        channel, data = message.params.channel, message.params.data
        if isinstance(data, _Ticker) and channel.startswith("ticker."):
            return self._ticker(data, recv_ns)
        if isinstance(data, list) and channel.startswith("trades."):
            return self.each(data, self._fill, recv_ns)
        self.skip("unknown_message")
        return []

    def _fill(self, row: _Fill, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.instrument_name, Channel.TRADES)
        if instrument is None:
            return []
        self.number(row.instrument_name, row.trade_seq, self._fills)
        ts_ns = row.timestamp * NS_PER_MS
        return self.trade_row(row.instrument_name, row.direction, row.amount, row.price, ts_ns, recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One JSON-RPC message."""
        message = read(_MESSAGE, frame)
        if message.method == "subscription" and message.params is not None:
            return self._data(message.params, recv_ns)
        if message.method == "heartbeat":
            self._heartbeat(message.params)
        elif message.id is not None:
            self._answer(message.id, message)
        else:
            self.skip("unknown_message")
        return []

    def _heartbeat(self, params: _Params | None) -> None:
        if params is not None and params.type == "test_request":
            self.notices.append(Reply(_call(_CONTROL_ID, "public/test", {})))

    def _answer(self, number: int, message: _Message) -> None:
        """Compare the accepted channels with those asked for: the venue leaves a refused one out."""
        asked = self.chunk(number)
        if message.error is not None:
            words = f"{message.error.code} {message.error.message}"
            if not asked:
                self.notices.append(Refused("", words))
            for topic in asked:
                self.refuse(topic.name, words)
        elif asked:
            accepted = read(_NAMES, message.result)
            self.confirm(topic.name for topic in asked if topic.name in accepted)
            for topic in asked:
                if topic.name not in accepted:
                    self.refuse(topic.name, "left out of the answer to public/subscribe")

    def _data(self, params: _Params, recv_ns: int) -> list[MarketEvent]:
        kind = params.channel.partition(".")[0]
        if kind == "ticker":
            return self._ticker(read(_TICKER, params.data), recv_ns)
        if kind == "trades":
            return self.each(_TRADES.decode(params.data, self.bad_row), self._trade, recv_ns)
        if kind == "deribit_volatility_index":
            return self._volatility(params.channel, read(_VOLATILITY, params.data), recv_ns)
        if kind == "platform_state":
            self.notices.append(Closing("platform state changed"))
        else:
            self.skip("unknown_message")
        return []

    def _ticker(self, row: _Ticker, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.instrument_name, Channel.PRICE)
        if instrument is None:
            return []
        ts_ns = row.timestamp * NS_PER_MS
        usd = _usd(instrument, row.open_interest, row.mark_price, row.index_price)
        events = self.open_interest(instrument, usd, ts_ns, recv_ns)
        if instrument.kind != "option":  # an option's price is in coins and is no price of its base
            events += self.prices(
                instrument, ts_ns, recv_ns, mark=row.mark_price, index=row.index_price, last=row.last_price,
                bid=row.best_bid_price, ask=row.best_ask_price,
            )  # fmt: skip
            events += self.funding(instrument, row.funding_8h, ts_ns, recv_ns)
        return events

    def _trade(self, row: _Trade, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(row.instrument_name, Channel.TRADES)
        if instrument is None:
            return []
        self.number(row.instrument_name, row.trade_seq, self._fills)
        ts_ns, price = ms_ns(row.timestamp), positive(row.price)
        usd_micros = notional_micros(instrument, positive(row.amount), _worth(instrument, row))
        events = self.trade(instrument, row.direction, usd_micros, price, ts_ns, recv_ns)
        for side in _liquidated(row.liquidation, row.direction):
            key = f"{row.trade_id}:{side}" if row.liquidation == "MT" else row.trade_id
            events += self.liquidation(instrument, side, usd_micros, price, ts_ns, recv_ns, key)
        return events

    def _volatility(self, channel: str, row: _Volatility, recv_ns: int) -> list[MarketEvent]:
        match = _INDEX.match(channel)
        value = gauge(row.volatility)
        if match is None or value is None:
            raise DecodeError("unexpected", channel)
        labels = (("base", match[1].upper()), ("tenor", "index"), ("venue", self.venue))
        return [Sample("iv", labels, value, ms_ns(row.timestamp), recv_ns, source=self.venue)]


def _liquidated(letters: str | None, taker: TakerSide) -> tuple[PositionSide, ...]:
    """Sides of the liquidated positions: a forced seller was long."""
    taker_side: PositionSide = "long" if taker == "sell" else "short"
    maker_side: PositionSide = "short" if taker == "sell" else "long"
    return {"T": (taker_side,), "M": (maker_side,), "MT": (taker_side, maker_side)}.get(letters or "", ())


def _worth(instrument: Instrument, row: _Trade) -> Decimal:
    """The price that an amount is valued at: an option's is its underlying's."""
    if instrument.kind != "option":
        return positive(row.price)
    if row.index_price is None:
        raise DecodeError("missing_field", f"{row.instrument_name}: no index_price")
    return positive(row.index_price)


def _usd(instrument: Instrument, amount: float | None, mark: float | None, index: float | None) -> float | None:
    """Open interest in USD; inverse contracts state it in USD."""
    if amount is None or instrument.form == "inverse":
        return amount
    price = index if instrument.kind == "option" else mark
    return None if price is None else amount * price


def _instrument(row: _Listing) -> Instrument:
    base, units = canonical_base(row.base_currency)
    perpetual = row.settlement_period == "perpetual"
    option = row.kind == "option"
    form = row.instrument_type or row.future_type or ("reversed" if row.quote_currency == "USD" else "linear")
    inverse = not option and form == "reversed"
    # An inverse contract's ``quote_currency`` is USD; a coin-settled option's is the coin that it is quoted in.
    quote = (row.counter_currency or "USD") if option else row.quote_currency
    return Instrument(
        venue="deribit",
        symbol=row.instrument_name,
        base=base,
        quote=quote,
        settle=row.settlement_currency or row.base_currency,
        kind="option" if option else "perp" if perpetual else "future",
        form="inverse" if inverse else "linear",
        base_units=units,
        funding_interval_h=8.0 if perpetual else None,
        expiry_ns=None if perpetual else ms_ns(row.expiration_timestamp),
        strike=row.strike,
        option_type=row.option_type,
        status="trading" if row.is_active and row.state in {"open", "started", ""} else "closed",
    )


def _call(number: int, method: str, params: dict[str, object]) -> str:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return msgspec.json.encode(message).decode()
