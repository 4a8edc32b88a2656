"""Binance spot: last price, best bid and ask, trades and depth.

The book ticker has neither a type nor a time (``{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.2","a":"25.36",
"A":"40.6"}``), so its receipt is its time; it comes in real time and is asked for on short lists of symbols only. Rows:
`monitor.dialects.binance`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar
from urllib.parse import quote, urlsplit

import msgspec

from monitor.dialects.binance import STREAMS_PER_CONNECTION, BinanceSession
from monitor.dialects.binance_rest import BOOK_LEVELS, MANY, BinanceFeed, turnover_usd
from monitor.dialects.books import BookSettings
from monitor.dialects.history import BARS, arrays
from monitor.errors import FeedRefused
from monitor.events import Channel
from monitor.feed import Connection, FeedSpec, Limits, ReportingLaw, Request, Session, Topic
from monitor.instruments import Instrument, Registry, Status, canonical_base
from monitor.past import Archive, HistorySpan
from monitor.venue import shards
from monitor.wire import Rows, read

DOCS = "https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md"
WS = "wss://stream.binance.com:9443/ws"
REST = "https://api.binance.com/api/v3/"
_STATUS: dict[str, Status] = {"TRADING": "trading", "BREAK": "halted", "HALT": "halted", "PENDING_TRADING": "prelaunch"}


class SpotSettings(BookSettings, frozen=True):
    """``depth_bases``: coins whose order book (against USDT) is polled when ``depth`` is among the channels."""


class _Listing(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str


class _Symbols(msgspec.Struct):
    symbols: msgspec.Raw


_SYMBOLS = msgspec.json.Decoder(_Symbols)
_LISTINGS: Rows[_Listing] = Rows(_Listing)


class BinanceSpotFeed(BinanceFeed):
    """See the module."""

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="binance_spot",
        title="Binance spot",
        laws={
            Channel.PRICE: ReportingLaw("complete", "last every second on change; best bid and ask in real time for up to 50 symbols", DOCS),
            Channel.TRADES: ReportingLaw("complete", "fills of one taker order at one price are joined", DOCS),
            Channel.DEPTH: ReportingLaw("sampled", "best 1000 levels a side of the majors, every 10 s: a lower bound", DOCS),
        },
        limits=Limits(connects=50, connects_window_s=60.0, sends_per_s=3.0, lifetime_s=24 * 3600.0, rest_weight=3000),
        idle_s=20.0,
        stale_s={Channel.PRICE: 120.0, Channel.TRADES: 300.0, Channel.DEPTH: 60.0},
        docs=DOCS,
        gaps={
            Channel.TRADES: "aggregated trades, for gaps of up to 15 minutes",
        },
    )  # fmt: skip
    settings_type = SpotSettings
    settings: SpotSettings
    trades_url: ClassVar[str] = f"{REST}aggTrades"
    trades_weight: ClassVar[int] = 4
    book_weight: ClassVar[int] = 50
    gap_url: ClassVar[str] = WS

    def metadata(self) -> list[Request]:
        """All pairs in one reply."""
        url = self.rest(f"{REST}exchangeInfo?permissions=SPOT&showPermissionSets=false")
        return [Request("binance_spot/exchangeInfo", url, weight=20)]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Instruments. Listings that cannot be read are left out."""
        listings = _LISTINGS.decode(read(_SYMBOLS, body).symbols, lambda _error: None)
        return [_instrument(listing) for listing in listings], []

    def ranking(self) -> list[Request]:
        """Turnover of the last day: spot has no open interest."""
        return [Request("binance_spot/ticker", self.rest(f"{REST}ticker/24hr"), weight=80)]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Turnover in USD by symbol."""
        return turnover_usd(body, registry.venue("binance_spot"))

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """At most 200 streams per connection."""
        topics = self._price_topics(instruments) if self.carries(Channel.PRICE) else []
        if self.carries(Channel.TRADES):
            topics += [Topic(f"{item.symbol.lower()}@aggTrade", (Channel.TRADES,), item.symbol) for item in instruments]
        return [
            Connection(f"binance_spot/market/{number}", self.ws(WS), part)
            for number, part in enumerate(shards(topics, STREAMS_PER_CONNECTION))
        ]

    def _price_topics(self, instruments: Sequence[Instrument]) -> list[Topic]:
        if self.selects_all or len(instruments) > MANY:
            return [Topic("!miniTicker@arr", (Channel.PRICE,), payload=self.selection(instruments))]
        return [
            Topic(f"{item.symbol.lower()}@{stream}", (Channel.PRICE,), item.symbol)
            for stream in ("miniTicker", "bookTicker")
            for item in instruments
        ]

    archives: ClassVar[Mapping[Channel, Archive]] = {Channel.PRICE: Archive(BARS, rows=1000, kind="last")}

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed candles; two units of weight whatever their number."""
        item, bar = span.instrument, self.archives[span.channel].words[span.step_ns]
        query = f"?symbol={quote(item.symbol)}&interval={bar}&startTime={span.start_ms}&endTime={span.end_ms - 1}"
        url = self.rest(f"{REST}klines{query}&limit={span.rows}")
        return Request(f"binance_spot/history/{span.channel.value}/{item.symbol}", url, weight=2)

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """A row begins with its opening time and has the close in column 4."""
        return arrays(body, 0, 4, span.step_ns)

    def session(self, connection: Connection, registry: Registry) -> Session:
        """A new protocol state.

        Raises:
            FeedRefused: The address is not one that this product serves.
        """
        if urlsplit(connection.url).path not in {"/ws", "/stream"}:
            raise FeedRefused(f"{connection.url} does not serve spot streams")
        return BinanceSession(self, connection, registry)

    def has_book(self, instrument: Instrument) -> bool:
        """Against USDT only: a book costs 50 units of weight, and those against other dollars are thin."""
        return instrument.quote == "USDT" and super().has_book(instrument)

    def book_url(self, instrument: Instrument) -> str:
        """``depth``; the reply has no time."""
        return f"{REST}depth?symbol={quote(instrument.symbol)}&limit={BOOK_LEVELS}"


def _instrument(row: _Listing) -> Instrument:
    base, units = canonical_base(row.baseAsset)
    return Instrument(
        venue="binance_spot",
        symbol=row.symbol,
        base=base,
        quote=row.quoteAsset,
        settle=row.quoteAsset,
        kind="spot",
        base_units=units,
        status=_STATUS.get(row.status, "closed"),
    )
