"""dYdX v4, through its indexer. Linear perpetuals in US dollars; numbers are strings; funding is hourly.

A trade of type ``LIQUIDATED`` was taken by the liquidation engine; ``side`` is the taker's. What comes inside
``subscribed`` is history and never counts. ``message_id`` is gapless per connection::

    {"type":"channel_data","connection_id":"c","message_id":2,"channel":"v4_trades","id":"BTC-USD","version":"2.1.0",
     "contents":{"trades":[{"id":"0a1","size":"0.25","price":"84100","side":"SELL",
     "createdAt":"2026-11-21T10:00:00.123Z","type":"LIQUIDATED"}]}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_S
from monitor.dialects.books import Book, BookFeed
from monitor.dialects.fields import PositiveFloat
from monitor.dialects.history import iso_ms, listed_rows, number
from monitor.dialects.trades import TradeSession
from monitor.events import Channel, MarketEvent, TakerSide
from monitor.feed import Connection, FeedSpec, Frame, HistoryPage, Limits, ReportingLaw, Request, Topic
from monitor.instruments import Instrument, Registry, Status, canonical_base, notional_micros
from monitor.past import DAY_NS, HOUR_NS, MINUTE_NS, Archive, HistorySpan, older_edge
from monitor.session import SessionRules
from monitor.venue import VenueFeed, shards
from monitor.wire import Number, Rows, gauge, iso_ns, listed, positive, read

DOCS = "https://docs.dydx.xyz/indexer-client/websockets"
WS = "wss://indexer.dydx.trade/v4/ws"
CANDLES = "https://indexer.dydx.trade/v4/candles/perpetualMarkets"
TRADES = "https://indexer.dydx.trade/v4/trades/perpetualMarket"
REST = "https://indexer.dydx.trade/v4/perpetualMarkets"
_SUBSCRIPTIONS_PER_CONNECTION = 32
_HOUR_NS = 3600 * NS_PER_S
_STATUS: dict[str, Status] = {"ACTIVE": "trading", "FINAL_SETTLEMENT": "closed"}
_MOST_TRADES = 1000
_TRADE_TYPES = frozenset({"LIMIT", "MARKET", "LIQUIDATED", "TWAP_SUBORDER"})


class _Message(msgspec.Struct, gc=False):
    type: str
    channel: str = ""
    id: str = ""
    message_id: int | None = None
    message: str = ""
    contents: msgspec.Raw = msgspec.Raw(b"{}")


class _Trade(msgspec.Struct, gc=False):
    size: Decimal
    price: Decimal
    side: Literal["BUY", "SELL"]
    createdAt: str
    type: str = "LIMIT"
    id: str = ""


class _Fill(msgspec.Struct, gc=False):
    """A usual trade; a liquidation is read exactly, as a `_Trade`."""

    size: PositiveFloat
    price: PositiveFloat
    side: Literal["BUY", "SELL"]
    createdAt: str
    type: Literal["LIMIT", "MARKET", "TWAP_SUBORDER"]


class _Fills(msgspec.Struct, gc=False):
    trades: list[_Fill]


class _FillFrame(msgspec.Struct, tag="v4_trades", tag_field="channel", gc=False):
    type: Literal["channel_data"]
    id: str
    contents: _Fills
    message_id: int | None = None


class _Trades(msgspec.Struct):
    trades: msgspec.Raw = msgspec.Raw(b"[]")


class _Market(msgspec.Struct):
    """An absent field is unchanged."""

    ticker: str | None = None
    status: str | None = None
    oraclePrice: Number = None
    openInterest: Number = None
    nextFundingRate: Number = None


class _Listing(msgspec.Struct):
    markets: dict[str, msgspec.Raw]


class _Markets(msgspec.Struct):
    markets: dict[str, msgspec.Raw] = {}
    trading: dict[str, msgspec.Raw] = {}
    oraclePrices: dict[str, msgspec.Raw] = {}


class _Level(msgspec.Struct):
    price: Number
    size: Number


class _Book(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]


_BOOK = msgspec.json.Decoder(_Book)
_MESSAGE = msgspec.json.Decoder(_Message)
_CONTENTS = msgspec.json.Decoder(_Trades)
_MARKETS = msgspec.json.Decoder(_Markets)
_LISTING = msgspec.json.Decoder(_Listing)
_MARKET = msgspec.json.Decoder(_Market)
_BATCH = msgspec.json.Decoder(list[msgspec.Raw])
_TYPED = msgspec.json.Decoder(_FillFrame, strict=False)
_TRADES = Rows(_Trade)


class _Candles(msgspec.Struct):
    candles: msgspec.Raw


_CANDLES = msgspec.json.Decoder(_Candles)
_RESOLUTIONS: Mapping[int, str] = {MINUTE_NS: "1MIN", 5 * MINUTE_NS: "5MINS", HOUR_NS: "1HOUR", DAY_NS: "1DAY"}


class DydxFeed(BookFeed):
    """dYdX v4."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="dydx",
        title="dYdX",
        laws={
            Channel.PRICE: ReportingLaw(
                "complete", "oracle price, at which positions are marked", f"{DOCS} v4_markets"
            ),
            Channel.TRADES: ReportingLaw("complete", "every fill", f"{DOCS} v4_trades"),
            Channel.LIQUIDATIONS: ReportingLaw("complete", "every fill of type LIQUIDATED", f"{DOCS} v4_trades"),
            Channel.FUNDING: ReportingLaw("complete", "estimate for the next hour", f"{DOCS} v4_markets"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "every change", f"{DOCS} v4_markets"),
            Channel.DEPTH: ReportingLaw(
                "complete",
                "whole book of the majors, every 10 s",
                "https://docs.dydx.xyz/indexer-client/http getPerpetualMarketOrderbook",
            ),
        },
        limits=Limits(connects=30, connects_window_s=60.0, sends_per_s=2.0),
        idle_s=600.0,
        stale_s={
            Channel.PRICE: 60.0,
            Channel.FUNDING: 600.0,
            Channel.OPEN_INTEREST: 600.0,
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
        """All markets."""
        return [Request("markets", self.rest(REST))]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Perpetual markets, isolated ones included."""
        return listed(read(_LISTING, body).markets.items(), lambda item: _instrument(*item)), []

    def ranking(self) -> list[Request]:
        """The market list holds open interest too."""
        return self.metadata()

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        rows = {symbol: read(_MARKET, raw) for symbol, raw in read(_LISTING, body).markets.items()}
        return {symbol: _usd(row) or 0.0 for symbol, row in rows.items()}

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """One for all markets' state, and one per 32 markets for their trades."""
        gauges = tuple(c for c in (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST) if self.carries(c))
        fills = tuple(c for c in (Channel.TRADES, Channel.LIQUIDATIONS) if self.carries(c))
        found = []
        if gauges:
            topic = Topic("v4_markets", gauges, payload=self.selection(instruments))
            found.append(Connection("dydx/markets", self.ws(WS), (topic,)))
        topics = [Topic(f"v4_trades:{item.symbol}", fills, item.symbol) for item in instruments] if fills else []
        cut = shards(topics, _SUBSCRIPTIONS_PER_CONNECTION)
        return found + [Connection(f"dydx/trades/{number}", self.ws(WS), shard) for number, shard in enumerate(cut)]

    def book_url(self, instrument: Instrument) -> str:
        """``orderbooks/perpetualMarket``."""
        return f"https://indexer.dydx.trade/v4/orderbooks/perpetualMarket/{instrument.symbol}"

    def read_book(self, body: bytes) -> Book:
        """Levels are objects."""
        book = read(_BOOK, body)
        bids, asks = ([(row.price, row.size) for row in side] for side in (book.bids, book.asks))
        return bids, asks, 0

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive(_RESOLUTIONS, rows=1000),
        Channel.OPEN_INTEREST: Archive(_RESOLUTIONS, rows=1000),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed candles of trades, which carry the open interest of their beginning."""
        item, bar = span.instrument, self.archives[span.channel].words[span.step_ns]
        later_ns = span.step_ns if span.channel is Channel.OPEN_INTEREST else 0
        first, last = iso_ms(span.start_ns + later_ns), iso_ms(span.end_ns + later_ns)
        query = f"?resolution={bar}&fromISO={first}&toISO={last}&limit=1000"
        url = self.rest(f"{CANDLES}/{item.symbol}{query}")
        return Request(f"history/{span.channel.value}/{item.symbol}", url)

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """Open interest is in coins, valued at the close of the candle before."""
        rows = listed_rows(read(_CANDLES, body).candles)
        begun = ((iso_ns(str(row.get("startedAt"))), row) for row in rows)
        if span.channel is Channel.PRICE:
            return ((at_ns + span.step_ns, number(row.get("close"))) for at_ns, row in begun)
        interest = (
            (at_ns, number(row["startingOpenInterest"])) for at_ns, row in begun if row.get("startingOpenInterest")
        )
        return self.valuation.dollars(span, interest)

    interest_in_coins: ClassVar[bool] = True
    gap_url: ClassVar[str] = WS
    gap_overlap_s: ClassVar[float] = 5.0

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Trades, which carry the liquidations, per market, from the newest backwards."""
        if channel not in {Channel.TRADES, Channel.LIQUIDATIONS} or not self.carries(channel):
            return []
        return [self._trades_page(channel, item.symbol, start_ns, end_ns) for item in instruments]

    def _trades_page(self, channel: Channel, symbol: str, start_ns: int, end_ns: int) -> HistoryPage:
        url = self.rest(f"{TRADES}/{symbol}?limit={_MOST_TRADES}&createdBeforeOrAt={iso_ms(end_ns)}")
        return HistoryPage(Request(f"gap/{symbol}", url), channel, symbol, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """The rows are those of the socket; a full page goes on with its oldest block."""
        trades = read(_CONTENTS, body).trades
        frame = msgspec.json.encode(
            {"type": "channel_data", "channel": "v4_trades", "id": page.symbol, "contents": {"trades": trades}}
        )
        topic = Topic(f"v4_trades:{page.symbol}", (page.channel,), page.symbol)
        times = [iso_ns(str(row.get("createdAt"))) for row in listed_rows(trades)]
        edge_ns = older_edge(times, page.start_ns) if len(times) >= _MOST_TRADES else None
        if edge_ns is None:
            return self.lost(page, topic, [frame], recv_ns, registry), []
        events = self.lost(page.after(edge_ns), topic, [frame], recv_ns, registry)
        return events, [self._trades_page(page.channel, page.symbol, page.start_ns, edge_ns)]

    def session(self, connection: Connection, registry: Registry) -> DydxSession:
        """A new protocol state."""
        return DydxSession(self, connection, registry)


class DydxSession(TradeSession):
    """One connection to the indexer. It pings with websocket frames."""

    rules = SessionRules(chunk=1, pace_s=0.6, ack_s=15.0)
    learns: ClassVar[Mapping[str, Any]] = {"_held": dict[str, _Market]}

    def __init__(self, feed: VenueFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._held: dict[str, _Market] = {}
        self._channel = connection.topics[0].channels[0]
        if connection.topics[0].name.startswith("v4_trades"):
            self.typed = _TYPED

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """One market's trades, or the state of all markets (no id)."""
        channel, _, market = topics[0].name.partition(":")
        message: dict[str, object] = {"type": "subscribe", "channel": channel, "batched": False}
        return msgspec.json.encode({**message, "id": market} if market else message).decode()

    def typed_rows(self, message: _FillFrame, recv_ns: int) -> list[MarketEvent]:
        """Usual trades."""
        if message.message_id is not None:
            self.number("", message.message_id, self._channel)
        market = message.id
        return self.each(message.contents.trades, lambda row, now: self._fill(market, row, now), recv_ns)

    def _fill(self, market: str, row: _Fill, recv_ns: int) -> list[MarketEvent]:
        side: TakerSide = "buy" if row.side == "BUY" else "sell"
        return self.trade_row(market, side, row.size, row.price, iso_ns(row.createdAt), recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message; its number counts every message of the connection."""
        message = read(_MESSAGE, frame)
        if message.message_id is not None:
            self.number("", message.message_id, self._channel)
        if message.type in {"channel_data", "channel_batch_data", "subscribed"}:
            return self._contents(message, recv_ns)
        if message.type == "error":
            self.refuse_named(message.message)
        elif message.type not in {"connected", "unsubscribed", "pong"}:
            self.skip("unknown_message")
        return []

    def _contents(self, message: _Message, recv_ns: int) -> list[MarketEvent]:
        history = message.type == "subscribed"
        if history:
            self.confirm([f"{message.channel}:{message.id}" if message.id else message.channel])
        events: list[MarketEvent] = []
        parts = read(_BATCH, message.contents) if message.type == "channel_batch_data" else [message.contents]
        for part in parts:
            if message.channel == "v4_trades":
                events += self._trades(message.id, part, recv_ns, history=history)
            elif message.channel == "v4_markets":
                events += self.each(self._rows(part), lambda row, now: self._market(*row, now), recv_ns)
            else:
                self.skip("unknown_message")
        return events

    def _trades(self, market: str, part: msgspec.Raw, recv_ns: int, *, history: bool) -> list[MarketEvent]:
        rows = _TRADES.decode(read(_CONTENTS, part).trades, self.bad_row)
        if history:
            self.skip("history", len(rows))
            return []
        return self.each(rows, lambda row, now: self._trade(market, row, now), recv_ns)

    def _trade(self, market: str, row: _Trade, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(market, Channel.TRADES)
        if instrument is None:
            return []
        if row.type not in _TRADE_TYPES:  # DELEVERAGED closes a bankrupt account against others: neither of the two
            self.skip("deleveraged" if row.type == "DELEVERAGED" else "trade_type")
            return []
        ts_ns, price = iso_ns(row.createdAt), positive(row.price)
        usd_micros = notional_micros(instrument, positive(row.size), price)
        events = self.trade(instrument, "buy" if row.side == "BUY" else "sell", usd_micros, price, ts_ns, recv_ns)
        if row.type == "LIQUIDATED":
            side: Literal["long", "short"] = "long" if row.side == "SELL" else "short"
            events += self.liquidation(instrument, side, usd_micros, price, ts_ns, recv_ns, row.id)
        return events

    def _rows(self, part: msgspec.Raw) -> Iterator[tuple[str, msgspec.Raw]]:
        contents = read(_MARKETS, part)
        for table in (contents.markets, contents.trading, contents.oraclePrices):
            yield from table.items()

    def _market(self, symbol: str, raw: msgspec.Raw, recv_ns: int) -> Iterable[MarketEvent]:
        """Merge what changed; state has no time of its own, so it is dated at receipt."""
        row = read(_MARKET, raw)
        instrument = self.find(symbol, Channel.PRICE)
        if instrument is None:
            return []
        held = self._held.setdefault(symbol, row)
        for name in row.__struct_fields__:
            if getattr(row, name) is not None:
                setattr(held, name, getattr(row, name))
        events = self.prices(instrument, recv_ns, recv_ns, mark=row.oraclePrice, index=row.oraclePrice)
        rate, usd = gauge(held.nextFundingRate), _usd(held)
        if rate is not None and self.changed(symbol, Channel.FUNDING, rate, recv_ns):
            next_ns = recv_ns - recv_ns % _HOUR_NS + _HOUR_NS
            events += self.funding(instrument, rate, recv_ns, recv_ns, next_ns=next_ns)
        if usd is not None and self.changed(symbol, Channel.OPEN_INTEREST, usd, recv_ns):
            events += self.open_interest(instrument, usd, recv_ns, recv_ns)
        return events


def _usd(row: _Market) -> float | None:
    coins, price = gauge(row.openInterest), gauge(row.oraclePrice)
    return None if coins is None or price is None else coins * price


def _instrument(symbol: str, raw: msgspec.Raw) -> Instrument:
    row = read(_MARKET, raw)
    coin, _, quote = symbol.rpartition("-")
    base, units = canonical_base(
        coin.partition(",")[0]
    )  # of "BUFFI,uniswap_v3,0x4c1b" the rest says where it is priced
    return Instrument(
        venue="dydx",
        symbol=symbol,
        base=base,
        quote=quote,
        settle="USDC",
        kind="perp",
        base_units=units,
        funding_interval_h=1.0,
        status=_STATUS.get(row.status or "ACTIVE", "halted"),
    )
