"""What the feeds of all venues share: options and addresses, history and gaps, and the events that rows make.

A venue's feed derives from `VenueFeed`, its session from `VenueSession`. Pure; no venue is named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

import msgspec

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError
from monitor.events import (
    Channel,
    Funding,
    Liquidation,
    MarketEvent,
    OpenInterest,
    PositionSide,
    Price,
    PriceKind,
    TakerSide,
    Trade,
)
from monitor.feed import (
    Bad,
    BadRow,
    Connection,
    FeedOptions,
    FeedSpec,
    Frame,
    HistoryPage,
    Poll,
    Request,
    SequenceGap,
    Session,
    Skipped,
    Source,
    Topic,
    UnknownSymbol,
)
from monitor.instruments import Instrument, Registry
from monitor.learned import Learned
from monitor.past import Archive, HistorySpan, Valuation, as_history, history_events
from monitor.session import TopicSession
from monitor.wire import Number, gauge

T = TypeVar("T")
_OF_GAPS: dict[Channel, type[Liquidation | Trade]] = {Channel.LIQUIDATIONS: Liquidation, Channel.TRADES: Trade}

_LARGEST_RATE = 10.0  # 1,000 % an interval
_LARGEST_USD = 1e15
_LARGEST_MICROS = 2**62


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A venue's own settings (``FeedOptions.extra``); a venue with any derives its own."""


def shards(topics: Sequence[Topic], size: int) -> list[tuple[Topic, ...]]:
    """Split topics over connections, at most `size` on each, evenly: one topic left alone may be silent for long."""
    parts = -(-len(topics) // size)
    edges = [len(topics) * number // parts for number in range(parts + 1)] if parts else []
    return [tuple(topics[start:end]) for start, end in pairwise(edges)]


class VenueFeed(Learned):
    """Base of the venues' feeds; see `monitor.feed.Feed` for the contract.

    A venue without REST polls, or without a ranking, inherits empty ones. One with settings of its own names their type
    in ``settings_type``, and once more in the annotation of ``settings``, for the type checker.
    """

    spec: ClassVar[FeedSpec]
    settings_type: ClassVar[type[Settings]] = Settings
    settings: Settings

    def __init__(self, options: FeedOptions) -> None:
        self.options = options
        title = self.spec.venue
        unknown = sorted(options.channels - self.spec.laws.keys())
        if unknown:
            known = ", ".join(sorted(self.spec.laws))
            raise ValueError(f"{title} has no channel {', '.join(unknown)}; it has {known}")
        try:
            settings = msgspec.convert(dict(options.extra), self.settings_type)
        except msgspec.ValidationError as error:
            raise ValueError(f"{title}: {error}") from None
        self.settings = settings
        self.valuation = Valuation()

    def forget(self) -> None:
        """Nothing; a feed that values by the last price overrides this."""

    def carries(self, *channels: Channel) -> bool:
        """Whether the options ask for any of these channels and the venue has a source for it."""
        return any(
            channel in self.options.channels and self.spec.laws[channel].kind != "not_covered" for channel in channels
        )

    def sources(self) -> frozenset[Source]:
        """Its own channels; a venue that shares a stream overrides this."""
        return frozenset((self.spec.venue, channel) for channel in self.options.channels if self.carries(channel))

    def ws(self, url: str) -> str:
        """A websocket address, at the configured host when there is one."""
        return _rehost(url, self.options.ws_url)

    def rest(self, url: str) -> str:
        """An HTTPS address, at the configured host when there is one."""
        return _rehost(url, self.options.rest_url)

    @property
    def selects_all(self) -> bool:
        """Whether every instrument of the venue is wanted, so that a whole-market topic needs no filter."""
        return self.options.symbols == "*" and self.options.top is None

    def wanted(self, registry: Registry) -> list[Instrument]:
        """Trading instruments that the options ask for; those not quoted in dollars only when named."""
        named = () if self.options.symbols == "*" else self.options.symbols
        table = registry.venue(self.spec.venue)
        chosen = [table[name] for name in named if name in table] if named else list(table.values())
        return [item for item in chosen if self._fits(item) and (named or item.usd_quoted)]

    def _fits(self, instrument: Instrument) -> bool:
        return instrument.status == "trading" and (self.options.include_tradfi or instrument.asset_class == "crypto")

    def ranking(self) -> list[Request]:
        """None; a venue that ranks overrides this."""
        return []

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Refuse: there is no ranking to parse."""
        raise DecodeError("unexpected", request.name)

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """None; a venue with REST-only data overrides this."""
        return []

    def parse_poll(
        self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad
    ) -> list[MarketEvent]:  # fmt: skip
        """Refuse: there is no poll to parse."""
        raise DecodeError("unexpected", poll.request.name)

    # --- history --------------------------------------------------------------------------------------------------

    archives: ClassVar[Mapping[Channel, Archive]] = {}
    """What the venue keeps of each channel; a venue with any overrides `history_request` and `history_values`."""
    interest_in_coins: ClassVar[bool] = False
    """Whether past open interest is valued by past prices, so that these are needed, too."""

    def history_request(self, span: HistorySpan) -> Request | None:
        """The request for one span; None where the venue keeps nothing of this instrument."""
        return None

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """(unix ns, value) of one reply, in any order: a close at the end of its period, a rate, open interest in USD."""
        raise DecodeError("unexpected", span.instrument.symbol)

    def history(
        self, instrument: Instrument, channel: Channel, start_ns: int, end_ns: int, step_ns: int
    ) -> list[HistoryPage]:
        """See `monitor.feed.Feed`."""
        archive = self.archives.get(channel)
        in_dollars = instrument.usd_quoted or channel is not Channel.OPEN_INTEREST
        if archive is None or not self.carries(channel) or not in_dollars:
            return []
        pages = []
        for span in archive.spans(instrument, channel, start_ns, end_ns, step_ns):
            request = self.history_request(span)
            if request is not None:
                pages.append(HistoryPage(request, channel, instrument.key, span.start_ns, span.end_ns, span.step_ns))
        return pages

    def carried(
        self, connection: Connection, channel: Channel, instruments: Sequence[Instrument]
    ) -> Sequence[Instrument]:
        """Those of the instruments whose events of this channel come over this connection.

        A topic without a symbol is taken to carry all; a venue where it carries a part overrides this.
        """
        symbols = {topic.symbol for topic in connection.topics if channel in topic.channels}
        return instruments if "" in symbols else [item for item in instruments if item.symbol in symbols]

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """None; a venue whose lost events can be fetched overrides this."""
        return []

    def parse_history(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """See `monitor.feed.Feed`."""
        if not page.step_ns:
            return self.parse_gap(page, body, recv_ns, registry)
        instrument = registry.get(self.spec.venue, page.symbol)
        if instrument is None:
            raise DecodeError("unexpected", f"{page.symbol} is not listed")
        span = HistorySpan(instrument, page.channel, page.start_ns, page.end_ns, page.step_ns)
        events = history_events(span, self.history_values(span, body), recv_ns, self.archives[page.channel])
        self.valuation.learn(events)
        return events, []

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:  # fmt: skip
        """Refuse: there is nothing to parse."""
        raise DecodeError("unexpected", page.request.name)

    def lost(
        self,
        page: HistoryPage,
        topic: Topic,
        frames: Iterable[Frame],
        recv_ns: int,
        registry: Registry,
        *,
        url: str = "",
    ) -> list[MarketEvent]:
        """Events of (start, end] in frames that the venue's socket would have sent, decoded as it would have been.

        Args:
            page: Says the time and the channel; events of other channels are left out.
            topic: What the socket would have been subscribed to.
            frames: In any order.
            recv_ns: When the reply came.
            registry: All instruments.
            url: The socket's address, where it differs from `gap_url`.

        Raises:
            DecodeError: A row cannot be read, so that the gap would not be whole.
        """
        session = self.session(Connection(f"{self.spec.venue}/gap", url or self.gap_url, (topic,)), registry)
        events = [event for frame in frames for event in session.on_frame(frame, recv_ns)]
        for notice in session.notices:
            if isinstance(notice, BadRow):
                raise DecodeError(notice.reason, notice.detail)
        kind = _OF_GAPS[page.channel]
        return as_history((event for event in events if isinstance(event, kind)), page.start_ns, page.end_ns)

    gap_overlap_s: ClassVar[float] = 0.0
    """Liquidations are asked for from so long before a gap on: what was under way when the connection broke. Only where
    REST tells the same keys as the socket, so that what did arrive is recognised."""
    gap_url: ClassVar[str] = ""
    """The address of the socket whose frames `lost` imitates."""

    def selection(self, instruments: Iterable[Instrument]) -> frozenset[str] | None:
        """Symbols that a whole-market topic's rows are filtered by; None takes all. Goes into ``Topic.payload``."""
        return None if self.selects_all else frozenset(item.symbol for item in instruments)

    def session(self, connection: Connection, registry: Registry) -> Session:
        """A new protocol state for one connect."""
        raise NotImplementedError


def _rehost(url: str, host: str | None) -> str:
    """`url` with scheme, host and port of `host`; its own path and query stay."""
    if not host:
        return url
    place = urlsplit(host)
    return urlsplit(url)._replace(scheme=place.scheme, netloc=place.netloc).geturl()


class VenueSession(TopicSession):
    """Base of the venues' sessions: finds instruments, builds events, turns failures of rows into notices.

    A subclass writes `decode`; whatever `DecodeError` escapes from it is the frame's.
    """

    learns: ClassVar[Mapping[str, Any]] = {
        "_last_sent": dict[tuple[str, Channel], tuple[float, int]],
        "_last_number": dict[str, int],
    }

    def __init__(self, feed: VenueFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(connection)
        self.table = registry.venue(feed.spec.venue)
        self.venue = feed.spec.venue
        self.carries = {channel: feed.carries(channel) for channel in Channel if channel in feed.spec.laws}
        self._include_tradfi = feed.options.include_tradfi
        self._dollars_only = feed.selects_all
        """Rows of whole-market topics against other currencies count only where their symbol was named."""
        self._admitted: set[Instrument | None] = set()
        self._selected = next((t.payload for t in connection.topics if isinstance(t.payload, frozenset)), None)
        self._last_sent: dict[tuple[str, Channel], tuple[float, int]] = {}
        self._last_number: dict[str, int] = {}

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """Decode one frame."""
        raise NotImplementedError

    def on_frame(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """See `monitor.feed.Session`."""
        try:
            return self.decode(frame, recv_ns)
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise DecodeError("wrong_type", str(error)[:200]) from error

    # --- rows -----------------------------------------------------------------------------------------------------

    def bad_row(self, error: DecodeError) -> None:
        """Note a row that could not be read; the rest of its frame goes on."""
        self.notices.append(BadRow(error.reason, error.detail))

    def each(
        self, rows: Iterable[T], build: Callable[[T, int], Iterable[MarketEvent]], recv_ns: int
    ) -> list[MarketEvent]:
        """Build events from each row; a row that fails becomes a notice."""
        events: list[MarketEvent] = []
        for row in rows:
            try:
                events.extend(build(row, recv_ns))
            except DecodeError as error:
                self.bad_row(error)
            except (ArithmeticError, ValueError) as error:
                self.bad_row(DecodeError("wrong_type", str(error)[:200]))
        return events

    def skip(self, reason: str, count: int = 1) -> None:
        """Note rows left out on purpose; a run of equal reasons is one notice."""
        if not count:
            return
        last = self.notices[-1] if self.notices else None
        if isinstance(last, Skipped) and last.reason == reason:
            self.notices[-1] = Skipped(reason, last.count + count)
        else:
            self.notices.append(Skipped(reason, count))

    def find(self, symbol: str, channel: Channel) -> Instrument | None:
        """The instrument of a row; None (and a notice) when it is unknown or was not asked for."""
        instrument = self.table.get(symbol)
        if instrument in self._admitted:
            return instrument
        if instrument is None:
            self.notices.append(UnknownSymbol(symbol, channel))
        elif reason := self._unwanted(instrument, symbol):
            self.skip(reason)
        else:
            self._admitted.add(instrument)
            return instrument
        return None

    def _unwanted(self, instrument: Instrument, symbol: str) -> str:
        """Why rows of this instrument are left out; empty where they count."""
        if instrument.asset_class == "tradfi" and not self._include_tradfi:
            return "tradfi"
        if self._selected is not None and symbol not in self._selected:
            return "unselected"
        return "quote_not_usd" if self._dollars_only and not instrument.usd_quoted else ""

    def is_history(self, ts_ns: int) -> bool:
        """Whether a row of a snapshot is older than this connection."""
        return ts_ns < self.opened_ns

    def number(self, stream: str, number: int, channel: Channel) -> None:
        """Check the venue's own numbering of one stream; a hole becomes a `SequenceGap`."""
        last = self._last_number.get(stream)
        if last is not None and number > last + 1:
            self.notices.append(SequenceGap(channel, number - last - 1))
        if last is None or number > last:
            self._last_number[stream] = number

    # --- events ---------------------------------------------------------------------------------------------------

    def prices(
        self, instrument: Instrument, ts_ns: int, recv_ns: int, *, mark: Number = None, index: Number = None,
        last: Number = None, bid: Number = None, ask: Number = None,
    ) -> list[MarketEvent]:  # fmt: skip
        """One `Price` per kind that is there and positive; best bid and ask make ``mid``. A closed market has none."""
        if instrument.status == "closed" or not self.carries[Channel.PRICE]:
            return []
        events: list[MarketEvent] = []
        kinds: tuple[tuple[PriceKind, Number], ...] = (("mark", mark), ("index", index), ("last", last))
        for kind, value in kinds:
            if value is not None:
                price = gauge(value)
                if price is not None and price > 0:
                    events.append(Price(instrument, kind, price, ts_ns, recv_ns))
        if bid is not None and ask is not None:
            best_bid, best_ask = gauge(bid), gauge(ask)
            if best_bid and best_ask and 0 < best_bid <= best_ask:
                events.append(Price(instrument, "mid", (best_bid + best_ask) / 2, ts_ns, recv_ns))
        return events

    def funding(
        self, instrument: Instrument, rate: Number, ts_ns: int, recv_ns: int, *, interval_h: float | None = None, next_ns: int = 0
    ) -> list[MarketEvent]:  # fmt: skip
        """The funding rate, when there is one and the instrument pays any."""
        value = gauge(rate)
        hours = interval_h or instrument.funding_interval_h
        if value is None or hours is None or instrument.status == "closed" or not self.carries[Channel.FUNDING]:
            return []
        if abs(value) > _LARGEST_RATE:
            raise DecodeError("out_of_range", f"funding rate {value!r}")
        return [Funding(instrument, value, hours, ts_ns, recv_ns, next_ns)]

    def open_interest(self, instrument: Instrument, usd: float | None, ts_ns: int, recv_ns: int) -> list[MarketEvent]:
        """One-sided open interest in US dollars; nothing when it is missing or makes no sense."""
        if usd is None or instrument.status == "closed" or not self.carries[Channel.OPEN_INTEREST]:
            return []
        if not self._in_dollars(instrument):
            return []
        if not 0 <= usd < _LARGEST_USD:
            raise DecodeError("out_of_range", f"open interest {usd!r} USD")
        return [OpenInterest(instrument, usd, ts_ns, recv_ns)]

    def liquidation(  # noqa: PLR0917  # a record's fields, in the record's order
        self, instrument: Instrument, side: PositionSide, usd_micros: int, price: Decimal, ts_ns: int, recv_ns: int, key: str
    ) -> list[MarketEvent]:  # fmt: skip
        """One liquidation, when they are asked for and the amount can be said in dollars."""
        if not self.carries[Channel.LIQUIDATIONS] or not self._in_dollars(instrument):
            return []
        return [Liquidation(instrument, side, _bounded(usd_micros), float(price), ts_ns, recv_ns, key)]

    def trade(  # noqa: PLR0917  # a record's fields, in the record's order
        self, instrument: Instrument, side: TakerSide, usd_micros: int, price: Decimal, ts_ns: int, recv_ns: int
    ) -> list[MarketEvent]:  # fmt: skip
        """One trade, when they are asked for and the amount can be said in dollars."""
        if not self.carries[Channel.TRADES] or not self._in_dollars(instrument):
            return []
        return [Trade(instrument, side, _bounded(usd_micros), float(price), ts_ns, recv_ns)]

    def _in_dollars(self, instrument: Instrument) -> bool:
        if not instrument.usd_quoted:
            self.skip("quote_not_usd")
        return instrument.usd_quoted

    def changed(self, symbol: str, channel: Channel, value: float, recv_ns: int, repeat_s: float = 30.0) -> bool:
        """Whether a held value is to be sent again: it changed, or was last sent long enough ago.

        Streams of changed fields never repeat a value that stays; without this, funding that is constant for hours
        would look stale.
        """
        last = self._last_sent.get((symbol, channel))
        if last is not None and last[0] == value and recv_ns - last[1] < repeat_s * NS_PER_S:
            return False
        self._last_sent[symbol, channel] = (value, recv_ns)
        return True


def _bounded(usd_micros: int) -> int:
    if not 0 <= usd_micros < _LARGEST_MICROS:
        raise DecodeError("out_of_range", f"{usd_micros} micro-dollars")
    return usd_micros
