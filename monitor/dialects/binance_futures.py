"""What Binance's two futures products share: metadata, and open interest, ranking and depth by REST.

Open interest has no stream; it is polled one symbol at a time (weight 1). Both products share 2400 units of weight a
minute since their merge, so each spends at most a fixed part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, urlsplit

import msgspec

from monitor.clock import NS_PER_MS
from monitor.dialects.binance import STREAMS_PER_CONNECTION
from monitor.dialects.binance_rest import BOOK_LEVELS, BinanceFeed, instrument_usd, turnover_usd
from monitor.dialects.fields import Millis
from monitor.dialects.history import BARS, HOURS, SETTLEMENTS, arrays, records, settled
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent, OpenInterest
from monitor.feed import Bad, Connection, FeedOptions, Limits, Poll, Request, Topic
from monitor.instruments import Instrument, Registry, Status
from monitor.past import Archive, HistorySpan
from monitor.venue import shards
from monitor.wire import Rows, gauge, read, row_by_row

FUTURES_LIMITS = Limits(connects=50, connects_window_s=60.0, sends_per_s=5.0, lifetime_s=24 * 3600.0, rest_weight=1200)
"""Half of the ten incoming messages a second that the venue allows; pongs count too. Half of the 2400 units of weight a
minute, which the two products share."""
_STATUS: dict[str, Status] = {"TRADING": "trading", "PENDING_TRADING": "prelaunch", "BREAK": "halted", "HALT": "halted"}
_CRYPTO = frozenset({"", "COIN", "INDEX", "PREMARKET"})
_FUNDING_INFO, _EXCHANGE_INFO, _PREMIUM_INDEX = "fundingInfo", "exchangeInfo", "premiumIndex"
_OPEN_INTEREST, _TICKERS = "openInterest", "ticker"
_MARKS_EVERY_S, _FASTEST_S = 30.0, 10.0


class Listing(msgspec.Struct):
    """One row of ``exchangeInfo``. USD-M writes ``status``, COIN-M ``contractStatus`` and ``contractSize``."""

    symbol: str
    baseAsset: str
    quoteAsset: str
    marginAsset: str
    contractType: str
    deliveryDate: int = 0
    status: str = ""
    contractStatus: str = ""
    contractSize: int | float | None = None
    underlyingType: str = ""

    @property
    def state(self) -> Status:
        """Whether it trades; states that this program does not know count as closed."""
        return _STATUS.get(self.status or self.contractStatus, "closed")

    @property
    def perpetual(self) -> bool:
        """Whether it has no expiry."""
        return self.contractType.endswith("PERPETUAL")

    @property
    def tradfi(self) -> bool:
        """Whether it is on a stock, a commodity or a currency."""
        return self.contractType.startswith("TRADIFI") or self.underlyingType not in _CRYPTO


class _Symbols(msgspec.Struct):
    symbols: msgspec.Raw


class _FundingInfo(msgspec.Struct):
    symbol: str
    fundingIntervalHours: float


class _Premium(msgspec.Struct, gc=False):
    symbol: str
    markPrice: str = ""


class _Interest(msgspec.Struct, gc=False):
    symbol: str
    openInterest: Annotated[float, msgspec.Meta(ge=0, lt=1e15)]
    time: Millis = 0


_SYMBOLS = msgspec.json.Decoder(_Symbols)
_LISTINGS, _FUNDING_INFOS = Rows(Listing), Rows(_FundingInfo)
_PREMIUMS = Rows(_Premium)
_INTEREST = msgspec.json.Decoder(_Interest, strict=False)


@dataclass(frozen=True, slots=True)
class RestPlan:
    """A product's REST root, and how many units of weight a minute its open interest may use."""

    root: str
    interest_weight_per_min: float
    ranking_weight: int = 40
    premium_weight: int = 10


class FuturesFeed(BinanceFeed):
    """Base of the two futures feeds; a product gives its `RestPlan` and turns a `Listing` into an instrument."""

    plan: ClassVar[RestPlan]
    learns: ClassVar[Mapping[str, Any]] = {"marks": dict[str, float]}
    trades_weight: ClassVar[int] = 20
    book_weight: ClassVar[int] = 20

    def __init__(self, options: FeedOptions) -> None:
        super().__init__(options)
        self.marks: dict[str, float] = {}
        self._intervals_h: dict[str, float] = {}

    def forget(self) -> None:
        """Value no open interest by a mark price of before: the next one comes within seconds."""
        self.marks.clear()

    def instrument(self, listing: Listing) -> Instrument | None:
        """The instrument of one listing; None for what this program does not cover."""
        raise NotImplementedError

    def request(self, name: str, query: str = "", weight: int = 1, label: str = "") -> Request:
        """A GET below the product's root; `label` tells requests of one name apart."""
        url = self.rest(f"{self.plan.root}/{name}{query}")
        return Request(f"{self.spec.venue}/{label or name}", url, weight=weight)

    # --- metadata -------------------------------------------------------------------------------------------------

    def metadata(self) -> list[Request]:
        """Funding intervals first: the listings, asked for next, lack them."""
        return [self.request(_FUNDING_INFO)]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Instruments, or the follow-up request for them. Listings that cannot be read are left out."""
        if request.endpoint == _FUNDING_INFO:
            rows = _FUNDING_INFOS.decode(body, lambda _error: None)
            self._intervals_h = {row.symbol: row.fundingIntervalHours for row in rows}
            return [], [self.request(_EXCHANGE_INFO)]
        return self.listed(body), []

    def listed(self, body: bytes) -> list[Instrument]:
        """The instruments of an ``exchangeInfo`` reply."""
        return self._instruments(body, self.instrument)

    @staticmethod
    def _instruments(body: bytes, build: Callable[[Listing], Instrument | None]) -> list[Instrument]:
        listings = _LISTINGS.decode(read(_SYMBOLS, body).symbols, lambda _error: None)
        return [built for listing in listings if (built := build(listing)) is not None]

    def interval_h(self, listing: Listing) -> float | None:
        """Hours between funding payments; the venue lists only those that differ from eight."""
        return self._intervals_h.get(listing.symbol, 8.0) if listing.perpetual else None

    # --- ranking and polls ----------------------------------------------------------------------------------------

    def ranking(self) -> list[Request]:
        """Turnover of the last day: open interest of all symbols would take a request each."""
        return [self.request("ticker/24hr", weight=self.plan.ranking_weight, label=_TICKERS)]

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Turnover in USD by symbol, in place of open interest."""
        return turnover_usd(body, registry.venue(self.spec.venue))

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """Open interest of every instrument within the weight; mark prices to value it; books of the majors."""
        books = super().polls(instruments)
        return [*self._interest_polls(instruments), *books] if self.carries(Channel.OPEN_INTEREST) else books

    def _interest_polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        every_s = max(_FASTEST_S, 60.0 * len(instruments) / self.plan.interest_weight_per_min)
        pace_s = 60.0 / self.plan.interest_weight_per_min
        marks = self.request(_PREMIUM_INDEX, weight=self.plan.premium_weight)
        polls = [Poll(marks, Channel.OPEN_INTEREST, _MARKS_EVERY_S, pace_s)]
        for item in (item for item in instruments if item.usd_quoted):
            request = self.request(
                _OPEN_INTEREST, f"?symbol={quote(item.symbol)}", label=f"{_OPEN_INTEREST}/{item.symbol}"
            )
            polls.append(Poll(request, Channel.OPEN_INTEREST, every_s, pace_s, item.symbol))
        return polls

    def book_url(self, instrument: Instrument) -> str:
        """``depth``."""
        return f"{self.plan.root}/depth?symbol={quote(instrument.symbol)}&limit={BOOK_LEVELS}"

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        """Open interest or depth; mark prices are kept and give no event."""
        if poll.channel is Channel.DEPTH:
            return super().parse_poll(poll, body, recv_ns, registry, bad)
        if poll.request.endpoint == _PREMIUM_INDEX:
            self._keep_marks(body, bad)
            return []
        instrument = registry.get(self.spec.venue, poll.symbol)
        if instrument is None:
            raise DecodeError("unexpected", f"{poll.symbol} is not listed")
        return [self._open_interest(instrument, read(_INTEREST, body), recv_ns)]

    def _keep_marks(self, body: bytes, bad: Bad) -> None:
        def keep(row: _Premium) -> list[MarketEvent]:
            if (mark := gauge(row.markPrice)) is not None and mark > 0:
                self.marks[row.symbol] = mark
            return []

        row_by_row(_PREMIUMS.decode(body, bad), keep, bad)

    def _open_interest(self, instrument: Instrument, row: _Interest, recv_ns: int) -> OpenInterest:
        mark = self.marks.get(instrument.symbol)
        if mark is None and instrument.form == "linear":
            raise DecodeError("missing_price", f"no mark price of {instrument.symbol} yet")
        usd = instrument_usd(instrument, row.openInterest, mark or 0.0)
        return OpenInterest(instrument, usd, row.time * NS_PER_MS or recv_ns, recv_ns)

    # --- history --------------------------------------------------------------------------------------------------

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive(BARS, rows=1000),
        Channel.FUNDING: Archive(SETTLEMENTS, rows=1000),
        Channel.OPEN_INTEREST: Archive(HOURS, rows=500, keeps_s=29 * 86_400.0),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed mark prices (2 or 5 units of weight), settled rates, open interest of the last month (no weight)."""
        item, times = span.instrument, f"startTime={span.start_ms}&endTime={span.end_ms - 1}"
        symbol, bar = f"symbol={quote(item.symbol)}", self.archives[span.channel].words[span.step_ns]
        label = f"history/{span.channel.value}/{item.symbol}"
        if span.channel is Channel.PRICE:
            weight = 1 if span.rows < 100 else 2 if span.rows < 500 else 5
            return self.request("markPriceKlines", f"?{symbol}&interval={bar}&{times}&limit={span.rows}", weight, label)
        if item.kind != "perp":
            return None
        times = f"startTime={span.start_ms + 1}&endTime={span.end_ms}"
        if span.channel is Channel.FUNDING:
            return self.request("fundingRate", f"?{symbol}&{times}&limit=1000", label=label)
        url = f"{urlsplit(self.plan.root)._replace(path='').geturl()}/futures/data/openInterestHist"
        query = f"?{self.interest_key(item)}&period={bar}&limit={span.rows}&{times}"
        return Request(f"{self.spec.venue}/{label}", self.rest(url + query))

    def interest_key(self, instrument: Instrument) -> str:
        """How the history of open interest names an instrument."""
        return f"symbol={quote(instrument.symbol)}"

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """A candle's row begins with its opening time and has the close in column 4."""
        if span.channel is Channel.PRICE:
            return arrays(body, 0, 4, span.step_ns)
        if span.channel is Channel.FUNDING:
            return settled(records(body, "fundingTime", "fundingRate"))
        if span.instrument.form == "inverse":
            size = float(span.instrument.contract_value)
            return ((ts_ns, contracts * size) for ts_ns, contracts in records(body, "timestamp", "sumOpenInterest"))
        return records(body, "timestamp", "sumOpenInterestValue")

    # --- connections ----------------------------------------------------------------------------------------------

    def connection_shards(self, name: str, url: str, topics: Sequence[Topic]) -> list[Connection]:
        """Connections ``venue/name/0``, ``venue/name/1``... that share the topics."""
        return [
            Connection(f"{self.spec.venue}/{name}/{number}", self.ws(url), part)
            for number, part in enumerate(shards(topics, STREAMS_PER_CONNECTION))
        ]
