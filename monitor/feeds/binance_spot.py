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
from monitor.dialects.binance_futures import MANY, instrument_usd
from monitor.dialects.binance_gaps import GapFeed
from monitor.dialects.depth import depth
from monitor.dialects.fields import PositiveFloat
from monitor.dialects.history import BARS, arrays
from monitor.errors import DecodeError, FeedRefused
from monitor.events import Channel, MarketEvent
from monitor.feed import Bad, Connection, FeedSpec, Limits, Poll, ReportingLaw, Request, Session, Topic
from monitor.instruments import Instrument, Registry, Status, canonical_base
from monitor.past import Archive, HistorySpan
from monitor.venue import Settings, shards
from monitor.wire import Rows, read

DOCS = "https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md"
WS = "wss://stream.binance.com:9443/ws"
REST = "https://api.binance.com/api/v3/"
_STATUS: dict[str, Status] = {"TRADING": "trading", "BREAK": "halted", "HALT": "halted", "PENDING_TRADING": "prelaunch"}


class SpotSettings(Settings, frozen=True):
    """``depth_bases``: coins whose order book (against USDT) is polled when ``depth`` is among the channels."""

    depth_bases: tuple[str, ...] = ("BTC", "ETH")


class _Listing(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str


class _Symbols(msgspec.Struct):
    symbols: msgspec.Raw


class _Book(msgspec.Struct):
    bids: list[list[str]]
    asks: list[list[str]]


class _DayTicker(msgspec.Struct, gc=False):
    symbol: str
    volume: PositiveFloat
    weightedAvgPrice: PositiveFloat


_SYMBOLS = msgspec.json.Decoder(_Symbols)
_LISTINGS: Rows[_Listing] = Rows(_Listing)
_BOOK = msgspec.json.Decoder(_Book)
_RAW_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_DAY_TICKER = msgspec.json.Decoder(_DayTicker, strict=False)


class BinanceSpotFeed(GapFeed):
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
        """Turnover in USD by symbol; pairs against other currencies are not ranked."""
        ranks = {}
        for raw in read(_RAW_ROWS, body):
            try:
                row = read(_DAY_TICKER, raw)
            except DecodeError:  # no trade within the day
                continue
            instrument = registry.get("binance_spot", row.symbol)
            if instrument is not None and instrument.usd_quoted:
                ranks[row.symbol] = instrument_usd(instrument, row.volume, row.weightedAvgPrice)
        return ranks

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

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """Order books of the majors, when ``depth`` is asked for."""
        if not self.carries(Channel.DEPTH):
            return []
        majors = [i for i in instruments if i.quote == "USDT" and i.base in self.settings.depth_bases]
        return [self._depth_poll(item) for item in majors]

    def _depth_poll(self, item: Instrument) -> Poll:
        url = self.rest(f"{REST}depth?symbol={quote(item.symbol)}&limit=1000")
        request = Request(f"binance_spot/depth/{item.symbol}", url, weight=50)
        return Poll(request, Channel.DEPTH, 10.0, symbol=item.symbol)

    def parse_poll(
        self,
        poll: Poll,
        body: bytes,
        recv_ns: int,
        registry: Registry,
        bad: Bad,
    ) -> list[MarketEvent]:
        """Depth within 1 % of mid; the reply has no time."""
        instrument = registry.get("binance_spot", poll.symbol)
        if instrument is None:
            raise DecodeError("unexpected", f"{poll.symbol} is not listed")
        book = read(_BOOK, body)
        return [depth(instrument, book.bids, book.asks, recv_ns, recv_ns)]


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
