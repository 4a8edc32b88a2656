"""OKX v5: perpetual swaps and dated futures, linear and inverse, and spot.

Every message is ``{"arg":{"channel":..,"instId":..},"data":[rows]}``; rows are whole, numbers are strings, the empty
string means "none". Quantities of contracts are worth ``ctVal x ctMult`` base coins (linear) or US dollars (inverse).
``liquidation-orders`` takes a whole instrument type; the first push after a subscription is history, and one row holds
a list of ``details``, each a liquidation of its own::

    {"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"instType":"SWAP","instFamily":"BTC-USDT",
     "instId":"BTC-USDT-SWAP","uly":"BTC-USDT","details":[{"side":"sell","posSide":"long","bkPx":"57102.9","sz":"10000",
     "bkLoss":"0","ccy":"","ts":"1723892524781"}]}]}
    {"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP",
     "fundingRate":"-0.0000312","fundingTime":"1763712000000","nextFundingRate":"","nextFundingTime":"1763740800000",
     "ts":"1763700000000"}]}

Funding and open interest have a topic per instrument. For up to 50 instruments this feed subscribes to them; for more
it polls one request for all, every few seconds: hundreds of topics would say no more, as the venue pushes funding
every 30 to 90 s and open interest every 3 s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.books import Book, BookFeed, BookSettings
from monitor.dialects.fields import DECODING_ERRORS, written_micros
from monitor.dialects.okx_listings import instruments_of
from monitor.dialects.okx_past import REST, WS, OkxPast, data_of
from monitor.dialects.okx_rows import (
    BY_CHANNEL,
    CHANNEL_AT,
    MESSAGE,
    RAW_LIST,
    ROWS,
    Arg,
    FundingRow,
    IndexRow,
    InterestRow,
    LiquidationDetail,
    LiquidationRow,
    MarkRow,
    Message,
    TickerRow,
    TradeRow,
    details_of,
    funding,
    open_interest,
)
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, Liquidation, MarketEvent, OpenInterest, PositionSide, Price
from monitor.feed import (
    Bad,
    Cap,
    Closing,
    Connection,
    FeedOptions,
    FeedSpec,
    Frame,
    Limits,
    Poll,
    ReportingLaw,
    Request,
    Session,
    Topic,
)
from monitor.instruments import Instrument, Registry
from monitor.session import SessionRules
from monitor.venue import VenueFeed, shards
from monitor.wire import leave_out, ms_ns, read, row_by_row

DOCS = "https://www.okx.com/docs-v5/en/"
_Build = Callable[[Instrument, Any, int], list[MarketEvent]]
TOPICS_PER_CONNECTION = 400
MANY = 50
"""Above so many instruments, funding and open interest are polled."""
_BY_TYPE = frozenset({"liquidation-orders"})
InstType = Literal["SWAP", "FUTURES", "SPOT"]


class OkxSettings(BookSettings, frozen=True):
    """``inst_types``: product lines to take; ``depth_bases``: coins whose order book is polled for ``depth``."""

    inst_types: tuple[InstType, ...] = ("SWAP", "FUTURES")


# --- the session --------------------------------------------------------------------------------------------------


LAGS_NEEDED = 20
"""Of so many tickers one at least is fresh; the first ones tell when a quiet instrument last moved."""


class OkxSession(TradeSession):
    """One connection to the public address."""

    rules = SessionRules(chunk=200, pace_s=0.5, ping_s=20.0)
    learns: ClassVar[Mapping[str, Any]] = {"_lags": int, "_least_lag_ns": int}

    def __init__(self, feed: VenueFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._wants_price = feed.carries(Channel.PRICE)
        self._wants_liquidations = feed.carries(Channel.LIQUIDATIONS)
        self._lags = 0
        self._least_lag_ns = 0
        self._handlers: dict[type, Callable[[Any, int], list[MarketEvent]]] = {
            TickerRow: self._ticker,
            MarkRow: self._mark,
            IndexRow: self._index,
            TradeRow: self._trade,
            FundingRow: self._funding_row,
            InterestRow: self._interest,
            LiquidationRow: self._liquidated,
        }

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """``{"id":"1","op":"subscribe","args":[{"channel":"trades","instId":"BTC-USDT-SWAP"}]}``."""
        args = [_arg(topic.name) for topic in topics]
        return json.dumps({"id": str(number), "op": "subscribe", "args": args}, ensure_ascii=False)

    def ping_frame(self, now_ns: int) -> str:
        """Plain text, answered by ``pong``."""
        return "ping"

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `monitor.feed.Session`. The usual frames are decoded in one pass; `decode` sorts out the rest."""
        decoder = BY_CHANNEL.get(frame[CHANNEL_AT])
        if decoder is not None:
            try:
                rows = decoder.decode(frame).data
            except DECODING_ERRORS:
                pass
            else:
                return self._dispatch(rows, recv_ns)
        return super().on_frame(frame, recv_ns)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Replies, pongs, frames in which the channel does not come first, and frames with a bad row."""
        if frame in {"pong", b"pong"}:
            return []
        message = read(MESSAGE, frame)
        if message.event:
            self._control(message)
            return []
        if message.arg is None or message.data is None:
            raise DecodeError("unexpected", "neither rows nor an event")
        decoder = ROWS.get(message.arg.channel)
        if decoder is None:
            self.skip("unrequested")
            return []
        return self.each(message.data, lambda raw, now: self._dispatch([read(decoder, raw)], now), recv_ns)

    def _dispatch(self, rows: list[Any], recv_ns: int) -> list[MarketEvent]:
        if len(rows) != 1:
            return self.each(rows, lambda row, now: self._handlers[type(row)](row, now), recv_ns)
        try:
            return self._handlers[type(rows[0])](rows[0], recv_ns)
        except DecodeError as error:
            self.bad_row(error)
            return []

    # --- replies --------------------------------------------------------------------------------------------------

    def _control(self, message: Message) -> None:
        if message.event == "subscribe" and message.arg is not None:
            self.confirm([_name(message.arg)])
        elif message.event == "error":
            self._refused(message)
        elif message.event == "notice":
            self.notices.append(Closing(f"{message.code}: {message.msg}"))
        elif message.event not in {"unsubscribe", "channel-conn-count"}:
            raise DecodeError("unexpected", f"event {message.event[:40]!r}")

    def _refused(self, message: Message) -> None:
        """Refuse the topic that the venue's words name; where they name none, all of that request."""
        waiting = set(self.unconfirmed)
        number = int(message.id) if message.id.isascii() and message.id.isdecimal() else 0
        names = [topic.name for topic in self.chunk(number) if topic.name in waiting] or sorted(waiting)
        named = [name for name in names if _is_named(name, message.msg)]
        for name in named or names:
            self.refuse(name, f"{message.code}: {message.msg}")

    # --- rows -----------------------------------------------------------------------------------------------------

    def _ticker(self, row: TickerRow, recv_ns: int) -> list[MarketEvent]:
        ts_ns = row.ts * NS_PER_MS
        lag_ns = recv_ns - ts_ns
        if lag_ns < self._least_lag_ns or self._lags < LAGS_NEEDED:
            self._least_lag_ns = min(self._least_lag_ns, lag_ns) if self._lags else lag_ns
            self._lags += 1
        instrument = self.find(row.instId, Channel.PRICE)
        if instrument is None:
            return []
        return self.prices(instrument, ts_ns, recv_ns, last=row.last, bid=row.bidPx, ask=row.askPx)

    def is_history(self, ts_ns: int) -> bool:
        """By the venue's clock, as its tickers show it: were ours an hour fast, an hour of live rows would pass for history."""
        lag_ns = self._least_lag_ns if self._lags >= LAGS_NEEDED else 0
        return ts_ns < self.opened_ns - lag_ns

    def _mark(self, row: MarkRow, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.instId, Channel.PRICE)
        if instrument is None or not self._wants_price or instrument.status == "closed":
            return []
        return [Price(instrument, "mark", row.markPx, row.ts * NS_PER_MS, recv_ns)]

    def _index(self, row: IndexRow, recv_ns: int) -> list[MarketEvent]:
        """An index belongs to no instrument of its own; it is given to the swap on it."""
        instrument = self.find(f"{row.instId}-SWAP", Channel.PRICE)
        if instrument is None or not self._wants_price or instrument.status == "closed":
            return []
        return [Price(instrument, "index", row.idxPx, row.ts * NS_PER_MS, recv_ns)]

    def _trade(self, row: TradeRow, recv_ns: int) -> list[MarketEvent]:
        return self.trade_row(row.instId, row.side, row.sz, row.px, row.ts * NS_PER_MS, recv_ns)

    def _funding_row(self, row: FundingRow, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.instId, Channel.FUNDING)
        if instrument is None or not self.carries.get(Channel.FUNDING) or instrument.status == "closed":
            return []
        return funding(instrument, row, recv_ns)

    def _interest(self, row: InterestRow, recv_ns: int) -> list[MarketEvent]:
        instrument = self.find(row.instId, Channel.OPEN_INTEREST)
        if instrument is None or not self.carries.get(Channel.OPEN_INTEREST) or instrument.status == "closed":
            return []
        return open_interest(instrument, row, recv_ns)

    def _liquidated(self, row: LiquidationRow, recv_ns: int) -> list[MarketEvent]:
        """All details of one row; each can fail alone."""
        instrument = self.find(row.instId, Channel.LIQUIDATIONS)
        if instrument is None or not self._wants_liquidations or not self._in_dollars(instrument):
            return []
        seen: dict[str, int] = {}
        return self.each(
            details_of(row, self.bad_row), lambda detail, now: self._liquidation(instrument, detail, now, seen), recv_ns
        )

    def _liquidation(
        self, instrument: Instrument, detail: LiquidationDetail, recv_ns: int, seen: dict[str, int]
    ) -> list[MarketEvent]:  # fmt: skip
        ts_ns = detail.ts * NS_PER_MS
        if self.is_history(ts_ns):
            self.skip("history")
            return []
        usd_micros = written_micros(instrument, detail.sz, detail.bkPx)
        side: PositionSide = "long" if detail.side == "sell" else "short"
        key = f"{instrument.symbol}|{detail.ts}|{detail.side}|{detail.bkPx}|{detail.sz}"
        seen[key] = nth = seen.get(key, 0) + 1
        return [Liquidation(instrument, side, usd_micros, float(detail.bkPx), ts_ns, recv_ns, f"{key}|{nth}")]


def _arg(name: str) -> dict[str, str]:
    channel, _, rest = name.partition(":")
    return {"channel": channel, "instType" if channel in _BY_TYPE else "instId": rest}


def _name(arg: Arg) -> str:
    return f"{arg.channel}:{arg.instType if arg.channel in _BY_TYPE else arg.instId}"


def _is_named(name: str, words: str) -> bool:
    """Whether the venue's words name this topic: ``... channel:trades,instId:ABC-USDT doesn't exist ...``."""
    channel, _, rest = name.partition(":")
    return f"channel:{channel}," in words and f":{rest} " in f"{words.replace(',', ' ')} "


# --- the feed -----------------------------------------------------------------------------------------------------


class _Book(msgspec.Struct):
    bids: list[list[str]]
    asks: list[list[str]]
    ts: str = ""


_BOOKS = msgspec.json.Decoder(list[_Book])


class OkxFeed(OkxPast, BookFeed):
    """See the module."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="okx",
        title="OKX",
        laws={
            Channel.PRICE: ReportingLaw("complete", "last, mark, index, best bid and ask on change, every 100 to 200 ms", DOCS),
            Channel.TRADES: ReportingLaw("complete", "fills of one taker order at one price may be joined", DOCS),
            Channel.LIQUIDATIONS: ReportingLaw("sampled", "at most one order per contract per second by earlier documentation; the venue says that it is no total", DOCS, Cap(1)),
            Channel.FUNDING: ReportingLaw("complete", "forecast of the current period, every 30 to 90 s; polled for more than 50 instruments", DOCS),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "every 3 s on change; polled for more than 50 instruments", DOCS),
            Channel.DEPTH: ReportingLaw("sampled", "best 400 levels a side of the majors, every 10 s: a lower bound", DOCS),
        },
        limits=Limits(connects=60, connects_window_s=60.0, sends_per_s=2.0, rest_weight=240),
        idle_s=30.0,
        stale_s={
            Channel.PRICE: 60.0, Channel.TRADES: 300.0, Channel.LIQUIDATIONS: 3600.0, Channel.FUNDING: 300.0,
            Channel.OPEN_INTEREST: 120.0, Channel.DEPTH: 60.0,
        },
        docs=DOCS,
        gaps={
            Channel.LIQUIDATIONS: "REST, all instruments of a family",
            Channel.TRADES: "REST, three months",
        },
    )  # fmt: skip
    settings_type = OkxSettings
    settings: OkxSettings

    def __init__(self, options: FeedOptions) -> None:
        super().__init__(options)
        self._polled: frozenset[str] | None = None

    @property
    def _types(self) -> tuple[InstType, ...]:
        return self.settings.inst_types

    # --- metadata and ranking -------------------------------------------------------------------------------------

    def metadata(self) -> list[Request]:
        """One request per product line."""
        return [self.request(f"instruments/{kind}", f"public/instruments?instType={kind}") for kind in self._types]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Instruments of one product line. Listings that cannot be read are left out."""
        return instruments_of(body), []

    def ranking(self) -> list[Request]:
        """Open interest of a product line in one call."""
        return [self._interest_request(kind) for kind in self._types if kind != "SPOT"]

    def _interest_request(self, kind: str) -> Request:
        return self.request(f"open-interest/{kind}", f"public/open-interest?instType={kind}")

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        events = self._each_row("open-interest", body, 0, registry, leave_out)
        return {event.instrument.symbol: event.usd for event in events if isinstance(event, OpenInterest)}

    # --- connections ----------------------------------------------------------------------------------------------

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """Topics of at most 400 per connection, whole-market liquidations on the first beside busy tickers."""
        topics = self._market_topics(instruments)
        for item in instruments:
            topics += self._topics(item, many=len(instruments) > MANY)
        if topics and all(topic.stream in _BY_TYPE for topic in topics):
            topics.append(Topic("tickers:BTC-USDT-SWAP", ()))  # shows that the socket lives while nobody is liquidated
        return [
            Connection(f"okx/public/{number}", self.ws(WS), part)
            for number, part in enumerate(shards(topics, TOPICS_PER_CONNECTION))
        ]

    def _market_topics(self, instruments: Sequence[Instrument]) -> list[Topic]:
        chosen = self.selection(instruments)
        topics = []
        if self.carries(Channel.LIQUIDATIONS):
            topics += [
                Topic(f"liquidation-orders:{kind}", (Channel.LIQUIDATIONS,), payload=chosen)
                for kind in self._types
                if kind != "SPOT"
            ]
        return topics

    def _topics(self, item: Instrument, *, many: bool) -> list[Topic]:
        wants = [
            ("tickers", Channel.PRICE, True),
            ("mark-price", Channel.PRICE, item.kind != "spot"),
            ("trades", Channel.TRADES, True),
            ("funding-rate", Channel.FUNDING, item.category == "SWAP" and not many),
            ("open-interest", Channel.OPEN_INTEREST, item.kind != "spot" and not many),
        ]
        topics = [
            Topic(f"{name}:{item.symbol}", (channel,), item.symbol)
            for name, channel, applies in wants
            if applies and self.carries(channel)
        ]
        if self.carries(Channel.PRICE) and item.category == "SWAP":
            topics.append(Topic(f"index-tickers:{item.symbol.removesuffix('-SWAP')}", (Channel.PRICE,), item.symbol))
        return topics

    def session(self, connection: Connection, registry: Registry) -> Session:
        """A new protocol state for one connect."""
        return OkxSession(self, connection, registry)

    # --- polls ----------------------------------------------------------------------------------------------------

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """Funding and open interest of many instruments at once, and order books of the majors."""
        self._polled = self.selection(instruments)
        books = super().polls(instruments)
        return [*self._many_polls(), *books] if len(instruments) > MANY else books

    def _many_polls(self) -> list[Poll]:
        polls = []
        if self.carries(Channel.FUNDING) and "SWAP" in self._types:
            request = self.request("funding-rate", "public/funding-rate?instId=ANY")
            polls.append(Poll(request, Channel.FUNDING, 15.0, 0.25))
        if self.carries(Channel.OPEN_INTEREST):
            polls += [Poll(request, Channel.OPEN_INTEREST, 5.0, 0.25) for request in self.ranking()]
        return polls

    def book_url(self, instrument: Instrument) -> str:
        """``market/books``."""
        return f"{REST}market/books?instId={quote(instrument.symbol)}&sz=400"

    def read_book(self, body: bytes) -> Book:
        """Sizes in contracts."""
        books = read(_BOOKS, data_of(body))
        if not books:
            raise DecodeError("unexpected", "no book")
        return books[0].bids, books[0].asks, ms_ns(books[0].ts) if books[0].ts else 0

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        """Funding, open interest or depth."""
        if poll.channel is Channel.DEPTH:
            return super().parse_poll(poll, body, recv_ns, registry, bad)
        return self._each_row(poll.request.endpoint, body, recv_ns, registry, bad)

    def _each_row(self, endpoint: str, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        """Events of the rows that are known and chosen."""
        build: _Build = funding if endpoint == "funding-rate" else open_interest

        def one(raw: msgspec.Raw) -> list[MarketEvent]:
            row = read(ROWS[endpoint], raw)
            instrument = self._known(row.instId, registry)
            return build(instrument, row, recv_ns) if instrument is not None else []

        rows: list[msgspec.Raw] = read(RAW_LIST, data_of(body))
        return row_by_row(rows, one, bad)

    def _known(self, symbol: str, registry: Registry) -> Instrument | None:
        instrument = registry.get("okx", symbol)
        chosen = self._polled is None or symbol in self._polled
        return instrument if instrument is not None and chosen and self._fits(instrument) else None
