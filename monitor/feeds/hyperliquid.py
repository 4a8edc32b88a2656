"""Hyperliquid: perpetuals settled in USDC. Numbers are strings; funding is hourly; **no public liquidations**.

Forced closes appear only in the fills of addresses that one names, so the venue's liquidations are declared as not
covered. The first ``trades`` message after a subscription holds recent trades::

    {"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"-0.0000041","openInterest":"27353.17682",
     "oraclePx":"84150.0","markPx":"84121.0","midPx":"84120.5"}}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.dialects.fields import Millis, PositiveFloat
from monitor.dialects.history import BARS, SETTLEMENTS, records, settled
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, Depth, MarketEvent, TakerSide
from monitor.feed import Connection, FeedSpec, Frame, Limits, Refused, ReportingLaw, Request, Topic
from monitor.instruments import Instrument, Registry, canonical_base
from monitor.past import Archive, HistorySpan
from monitor.session import SessionRules
from monitor.venue import Settings, VenueFeed, shards
from monitor.wire import Number, Rows, gauge, ms_ns, read

DOCS = "https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket"
WS = "wss://api.hyperliquid.xyz/ws"
REST = "https://api.hyperliquid.xyz/info"
_TOPICS_PER_CONNECTION = 500
_LARGEST_USD = 1e12
_HOUR_NS = 3600 * NS_PER_S
_BOOK_FIGURES = 3
"""Prices of the book are rounded to three figures, so that its 20 levels a side reach beyond 1 % of mid."""


class HyperliquidSettings(Settings, frozen=True):
    """``dexes``: names of builder-run exchanges to take too; their contracts are often shares or commodities."""

    dexes: tuple[str, ...] = ()


class _Context(msgspec.Struct, gc=False):
    funding: Number = None
    openInterest: Number = None
    oraclePx: Number = None
    markPx: Number = None
    midPx: Number = None


class _Active(msgspec.Struct, gc=False):
    coin: str
    ctx: _Context


class _Trade(msgspec.Struct, gc=False):
    coin: str
    side: Literal["A", "B"]
    px: PositiveFloat
    sz: PositiveFloat
    time: Millis
    tid: int


class _TradesFrame(msgspec.Struct, tag="trades", tag_field="channel", gc=False):
    data: list[_Trade]


class _ContextFrame(msgspec.Struct, tag="activeAssetCtx", tag_field="channel", gc=False):
    data: _Active


class _Level(msgspec.Struct, gc=False):
    px: float
    sz: float


class _Book(msgspec.Struct):
    coin: str
    time: int
    levels: tuple[list[_Level], list[_Level]]


class _Best(msgspec.Struct):
    coin: str
    time: int
    bbo: tuple[_Level | None, _Level | None]


class _Message(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"")


class _Subscription(msgspec.Struct):
    type: str
    coin: str = ""


class _Response(msgspec.Struct):
    subscription: _Subscription
    method: str = ""


class _Listing(msgspec.Struct):
    name: str
    isDelisted: bool = False


class _Meta(msgspec.Struct):
    universe: list[_Listing]


_MESSAGE = msgspec.json.Decoder(_Message)
_ACTIVE = msgspec.json.Decoder(_Active)
_BOOK = msgspec.json.Decoder(_Book, strict=False)
_BEST = msgspec.json.Decoder(_Best, strict=False)
_RESPONSE = msgspec.json.Decoder(_Response)
_SUBSCRIPTION = msgspec.json.Decoder(_Subscription)
_TEXT = msgspec.json.Decoder(str)
_META = msgspec.json.Decoder(_Meta)
_RANKING = msgspec.json.Decoder(tuple[_Meta, list[_Context]])
_TYPED: msgspec.json.Decoder[_TradesFrame | _ContextFrame] = msgspec.json.Decoder(
    _TradesFrame | _ContextFrame, strict=False
)
_TRADES = Rows(_Trade, strict=False)


_LATE_MS = 60_000
"""Rates are noted some milliseconds after their hour."""


class HyperliquidFeed(VenueFeed):
    """Hyperliquid."""

    settings_type: ClassVar[type[Settings]] = HyperliquidSettings
    settings: HyperliquidSettings
    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="hyperliquid",
        title="Hyperliquid",
        laws={
            Channel.PRICE: ReportingLaw("complete", "asset context on every change", f"{DOCS} activeAssetCtx"),
            Channel.TRADES: ReportingLaw("complete", "every fill", f"{DOCS} trades"),
            Channel.LIQUIDATIONS: ReportingLaw(
                "not_covered", "no public channel; only fills of addresses that one names", f"{DOCS} userEvents"
            ),
            Channel.FUNDING: ReportingLaw("complete", "current hourly rate", f"{DOCS} activeAssetCtx"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "asset context on every change", f"{DOCS} activeAssetCtx"),
            Channel.DEPTH: ReportingLaw("complete", "book rounded to 3 figures, 20 levels a side", f"{DOCS} l2Book"),
        },
        limits=Limits(connects=10, connects_window_s=60.0, sends_per_s=20.0, rest_weight=600),
        idle_s=60.0,
        stale_s={
            Channel.PRICE: 15.0,
            Channel.FUNDING: 120.0,
            Channel.OPEN_INTEREST: 120.0,
            Channel.DEPTH: 30.0,
            Channel.TRADES: 300.0,
            Channel.LIQUIDATIONS: 3600.0,
        },
        docs=DOCS,
        gaps={
            Channel.TRADES: "lost: the venue tells only the last few by REST",
        },
    )

    def metadata(self) -> list[Request]:
        """The main exchange's universe, and that of each builder-run one that is configured."""
        extra = [self._info(f"meta/{dex}", {"type": "meta", "dex": dex}) for dex in self.settings.dexes]
        return [self._info("meta/", {"type": "meta"}), *extra]

    def _info(self, name: str, query: Mapping[str, object]) -> Request:
        headers = (("Content-Type", "application/json"),)
        return Request(name, self.rest(REST), "POST", msgspec.json.encode(query), headers, weight=20)

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Perpetuals of one exchange."""
        dex = request.name.partition("/")[2]
        return [_instrument(row, dex) for row in read(_META, body).universe], []

    def ranking(self) -> list[Request]:
        """Universe and contexts in one reply."""
        return [self._info("contexts", {"type": "metaAndAssetCtxs"})]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        meta, contexts = read(_RANKING, body)
        return {
            row.name: (gauge(ctx.openInterest) or 0.0) * (gauge(ctx.markPx) or 0.0)
            for row, ctx in zip(meta.universe, contexts, strict=False)
        }

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Per coin: its context, its trades, its book; as asked."""
        gauges = tuple(c for c in (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST) if self.carries(c))
        kinds = [("activeAssetCtx", gauges)] if gauges else []
        kinds += [("trades", (Channel.TRADES,))] if self.carries(Channel.TRADES) else []
        kinds += [("bbo", (Channel.DEPTH,)), ("l2Book", (Channel.DEPTH,))] if self.carries(Channel.DEPTH) else []
        topics = [_topic(kind, item.symbol, channels) for kind, channels in kinds for item in instruments]
        return [
            Connection(f"hyperliquid/{number}", self.ws(WS), shard)
            for number, shard in enumerate(shards(topics, _TOPICS_PER_CONNECTION))
        ]

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive(BARS, rows=4000),
        Channel.FUNDING: Archive(SETTLEMENTS, rows=500),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed candles of trades, and hourly rates; the venue keeps no open interest."""
        item, bar = span.instrument, self.archives[span.channel].words[span.step_ns]
        name = f"history/{span.channel.value}/{item.symbol}"
        if span.channel is Channel.FUNDING:
            times = {"startTime": span.start_ms + 1, "endTime": span.end_ms + _LATE_MS}
            return self._info(name, {"type": "fundingHistory", "coin": item.symbol, **times})
        asked = {"coin": item.symbol, "interval": bar, "startTime": span.start_ms, "endTime": span.end_ms - 1}
        return self._info(name, {"type": "candleSnapshot", "req": asked})

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """``t`` is a candle's opening, ``c`` its close."""
        if span.channel is Channel.FUNDING:
            return settled(records(body, "time", "fundingRate"))
        return records(body, "t", "c", span.step_ns)

    def session(self, connection: Connection, registry: Registry) -> HyperliquidSession:
        """A new protocol state."""
        return HyperliquidSession(self, connection, registry)


class HyperliquidSession(TradeSession):
    """One connection to Hyperliquid."""

    typed = _TYPED

    rules = SessionRules(chunk=1, pace_s=0.05, ack_s=10.0, ping_s=50.0)
    learns: ClassVar[Mapping[str, Any]] = {"_seen": set[str], "_best": dict[str, tuple[float, float]]}

    def __init__(self, feed: VenueFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._seen: set[str] = set()
        self._best: dict[str, tuple[float, float]] = {}

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """One subscription."""
        return msgspec.json.encode({"method": "subscribe", "subscription": topics[0].payload}).decode()

    def ping_frame(self, now_ns: int) -> str:
        """An object with a method only."""
        return '{"method":"ping"}'

    def typed_rows(self, message: _TradesFrame | _ContextFrame, recv_ns: int) -> list[MarketEvent]:
        """Trades and contexts."""
        if isinstance(message, _TradesFrame):
            return self._trades(message.data, recv_ns)
        return self._context(message.data, recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message."""
        message = read(_MESSAGE, frame)
        channel = message.channel
        if channel == "activeAssetCtx":
            return self._context(read(_ACTIVE, message.data), recv_ns)
        if channel == "trades":
            return self._trades(_TRADES.decode(message.data, self.bad_row), recv_ns)
        if channel == "l2Book":
            return self._depth(read(_BOOK, message.data), recv_ns)
        if channel == "bbo":
            self._quote(read(_BEST, message.data))
            return []
        return self._control(message)

    def _control(self, message: _Message) -> list[MarketEvent]:
        channel = message.channel
        if channel == "subscriptionResponse":
            self.confirm([_name(read(_RESPONSE, message.data).subscription)])
        elif channel == "error":
            self._refused(read(_TEXT, message.data))
        elif channel != "pong":
            self.skip("unknown_message")
        return []

    def _refused(self, words: str) -> None:
        """The venue quotes the subscription in its error text."""
        start, end = words.find("{"), words.rfind("}") + 1
        try:
            subscription = read(_SUBSCRIPTION, words[start:end])
        except DecodeError:
            self.notices.append(Refused("", words))
        else:
            self.refuse(_name(subscription), words)

    def _context(self, row: _Active, recv_ns: int) -> list[MarketEvent]:
        """A context has no time of its own: it is dated at receipt."""
        instrument = self.find(row.coin, Channel.PRICE)
        if instrument is None:
            return []
        ctx, mark, contracts = row.ctx, gauge(row.ctx.markPx), gauge(row.ctx.openInterest)
        events = self.prices(
            instrument, recv_ns, recv_ns, mark=mark, index=ctx.oraclePx, bid=ctx.midPx, ask=ctx.midPx
        )  # fmt: skip
        next_ns = recv_ns - recv_ns % _HOUR_NS + _HOUR_NS
        events += self.funding(instrument, ctx.funding, recv_ns, recv_ns, next_ns=next_ns)
        usd = contracts * mark if contracts is not None and mark is not None else None
        return events + self.open_interest(instrument, usd, recv_ns, recv_ns)

    def _trades(self, rows: list[_Trade], recv_ns: int) -> list[MarketEvent]:
        """Live trades; of a coin's first message only those made since the connection opened."""
        fresh = [row for row in rows if row.coin in self._seen or row.time * NS_PER_MS >= self.opened_ns]
        self._seen.update(row.coin for row in rows)
        self.skip("history", len(rows) - len(fresh))
        return self.each(fresh, self._trade, recv_ns)

    def _trade(self, row: _Trade, recv_ns: int) -> Iterable[MarketEvent]:
        side: TakerSide = "buy" if row.side == "B" else "sell"
        return self.trade_row(row.coin, side, row.sz, row.px, row.time * NS_PER_MS, recv_ns)

    def _quote(self, row: _Best) -> None:
        """Keep the best prices: those of the rounded book are too coarse for mid and spread."""
        bid, ask = row.bbo
        if bid is None or ask is None or not 0 < bid.px <= ask.px < float("inf"):
            self._best.pop(row.coin, None)
        else:
            self._best[row.coin] = (bid.px, ask.px)

    def _depth(self, row: _Book, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.coin, Channel.DEPTH)
        best = self._best.get(row.coin)
        if instrument is None or best is None or not self.carries[Channel.DEPTH]:
            return []
        bid, ask = best
        mid = (bid + ask) / 2
        bids, asks = row.levels
        bid_usd = sum(level.px * level.sz for level in bids if level.px >= mid * 0.99)
        ask_usd = sum(level.px * level.sz for level in asks if level.px <= mid * 1.01)
        if not 0 <= bid_usd < _LARGEST_USD or not 0 <= ask_usd < _LARGEST_USD:
            raise DecodeError("out_of_range", f"{row.coin}: depth of {bid_usd} and {ask_usd} USD")
        return [Depth(instrument, bid_usd, ask_usd, (ask - bid) / mid, ms_ns(row.time), recv_ns)]


def _topic(kind: str, coin: str, channels: tuple[Channel, ...]) -> Topic:
    payload: dict[str, Any] = {"type": kind, "coin": coin}
    if kind == "l2Book":
        payload["nSigFigs"] = _BOOK_FIGURES
    return Topic(f"{kind}:{coin}", channels, coin, payload)


def _name(subscription: _Subscription) -> str:
    return f"{subscription.type}:{subscription.coin}"


def _instrument(row: _Listing, dex: str) -> Instrument:
    coin = row.name.partition(":")[2] if dex and ":" in row.name else row.name
    base, units = canonical_base(coin)
    return Instrument(
        venue="hyperliquid",
        symbol=row.name,
        base=base,
        quote="USDC",
        settle="USDC",
        kind="perp",
        base_units=units,
        funding_interval_h=1.0,
        status="closed" if row.isDelisted else "trading",
        asset_class="tradfi" if dex else "crypto",
        category=dex,
    )
