"""Gate: futures settled in USDT and in bitcoin. Sizes are signed contracts; numbers are strings or JSON numbers.

``futures.public_liquidates`` told at most one liquidation per contract and second; since August 2026 it tells a second's
orders of a contract together, and their time as ``time``. The venue does not say whether the
sign of ``size`` is the position's (plus: a long was closed) or the closing order's (minus: a long was closed). It is a
setting; left at ``auto`` the feed compares rows with ``GET /futures/{settle}/liq_orders``, whose ``size`` is documented
as the position's, and says what it found::

    {"time":1763700000,"time_ms":1763700000123,"channel":"futures.public_liquidates","event":"update",
     "result":[{"price":"84100.1","size":-1200,"time_ms":1763700000123,"contract":"BTC_USDT"}]}
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.dialects.books import Book, BookFeed, BookSettings
from monitor.dialects.fields import Millis, PositiveFloat
from monitor.dialects.gate_sides import InterestSides
from monitor.dialects.history import BARS, HOURS, SETTLEMENTS, listed_rows, number, records, settled
from monitor.dialects.trades import TradeSession
from monitor.errors import DecodeError
from monitor.events import Channel, Liquidation, MarketEvent, PositionSide, TakerSide
from monitor.feed import (
    Bad,
    Connection,
    FeedOptions,
    FeedSpec,
    Found,
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
from monitor.learned import Learned
from monitor.past import Archive, HistorySpan, as_history
from monitor.session import SessionRules
from monitor.venue import Settings, shards
from monitor.wire import Number, Rows, gauge, listed, ms_ns, positive, read

DOCS = "https://www.gate.com/docs/developers/futures/ws/en"
WS = "wss://fx-ws.gateio.ws/v4/ws"
REST = "https://api.gateio.ws/api/v4/futures"
Settle = Literal["usdt", "btc"]
Sign = Literal["position", "order"]
_TOPICS_PER_CONNECTION = 300
_MILLISECONDS_FROM = 100_000_000_000
"""Less is a time in seconds (of a year far ahead)."""
_HEADERS = (("X-Gate-Size-Decimal", "1"),)
"""Without it fractional sizes are cut to integers."""


class GateSettings(BookSettings, frozen=True):
    """``liquidation_sign``: whose sign sizes have. ``open_interest_sides``: what totals count. ``settle``: which futures."""

    liquidation_sign: Literal["auto", "position", "order"] = "auto"
    open_interest_sides: Literal["auto", "one", "both"] = "auto"
    settle: tuple[Settle, ...] = ("usdt", "btc")


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Message(msgspec.Struct, gc=False):
    channel: str
    event: str = ""
    id: int | str | None = None
    time_ms: int = 0
    time: int = 0
    error: _Error | None = None
    result: msgspec.Raw = msgspec.Raw(b"")


class _Ticker(msgspec.Struct, gc=False):
    contract: str
    last: Number = None
    mark_price: Number = None
    index_price: Number = None
    funding_rate: Number = None
    total_size: Number = None


class _Liquidation(msgspec.Struct, gc=False):
    """The time was ``time_ms`` until August 2026 and is ``time`` since, in milliseconds too; once it was in seconds."""

    contract: str
    size: Decimal
    price: Decimal
    time_ms: int = 0
    time: int = 0

    @property
    def at_ms(self) -> int:
        """Unix milliseconds.

        Raises:
            DecodeError: The row has no time.
        """
        if not (told := self.time_ms or self.time):
            raise DecodeError("missing_field", f"liquidation of {self.contract:.40} without a time")
        return told if told >= _MILLISECONDS_FROM else told * 1000


class _Trade(msgspec.Struct, gc=False):
    contract: str
    size: Annotated[float, msgspec.Meta(gt=-1e15, lt=1e15)]
    price: PositiveFloat
    create_time_ms: Annotated[float, msgspec.Meta(ge=0, lt=4.1024448e12)]
    is_internal: bool = False


class _TradeFrame(msgspec.Struct, tag="futures.trades", tag_field="channel", gc=False):
    event: Literal["update"]
    result: list[_Trade]


class _TickerFrame(msgspec.Struct, tag="futures.tickers", tag_field="channel", gc=False):
    event: Literal["update"]
    result: list[_Ticker]
    time_ms: Millis = 0
    time: Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800)] = 0


class _RestLiquidation(msgspec.Struct):
    """``size`` is the whole position, signed; ``order_size`` what of it was closed by force, which may be a part."""

    contract: str
    size: Decimal
    time: int
    order_size: Decimal = Decimal(0)

    @property
    def closed(self) -> Decimal:
        """Contracts that were closed, with the sign of the position."""
        return (self.order_size or self.size).copy_sign(self.size)


class _Listing(msgspec.Struct):
    name: str
    type: str
    quanto_multiplier: Decimal
    funding_interval: int = 28_800
    in_delisting: bool = False
    contract_type: str = ""
    position_size: Number = None
    mark_price: Number = None


class _Level(msgspec.Struct):
    p: Number
    s: Number


class _Book(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]


_BOOK = msgspec.json.Decoder(_Book)
_MEMORY = msgspec.msgpack.Decoder(tuple[bytes, bytes])
_MESSAGE = msgspec.json.Decoder(_Message)
_TICKERS = Rows(_Ticker)
_LIQUIDATIONS = Rows(_Liquidation)
_TRADES = Rows(_Trade, strict=False)
_TYPED: msgspec.json.Decoder[_TradeFrame | _TickerFrame] = msgspec.json.Decoder(
    _TradeFrame | _TickerFrame, strict=False
)
_LISTINGS = Rows(_Listing)


class _LostLiquidation(_RestLiquidation, kw_only=True):
    order_price: Decimal
    fill_price: Decimal | None = None


_REST_LIQUIDATIONS = Rows(_RestLiquidation)
_LOST = Rows(_LostLiquidation)
_LONGEST_GAP_S = 3600
_MOST_TRADES = 1000
_MOST_LIQUIDATIONS = 1000


class SignCalibration(Learned):
    """Learns whose sign liquidations carry, by matching socket rows with REST rows of known meaning. Pure.

    ``sign`` is the present answer, ``found`` the last verdict with its evidence, numbered by ``version``.
    """

    NEEDED = 3
    """Matches that must agree; one could be chance (two rows of equal size and opposite sides in one second)."""
    KEPT = 2_000
    learns: ClassVar[Mapping[str, Any]] = {
        "sign": Sign,
        "settled": bool,
        "version": int,
        "found": Found | None,
        "_seen": dict[tuple[str, Decimal, int], Decimal],
        "_votes": dict[str, int],
    }

    def __init__(self, setting: Literal["auto", "position", "order"]) -> None:
        self.sign: Sign = "order" if setting == "order" else "position"
        self.settled = setting != "auto"
        self.version = 0
        self.found: Found | None = None
        self._seen: OrderedDict[tuple[str, Decimal, int], Decimal] = OrderedDict()
        self._votes = {"position": 0, "order": 0}

    def saw(self, contract: str, size: Decimal, time_ms: int) -> None:
        """Keep one socket row until a REST row matches it."""
        if self.settled:
            return
        self._seen[contract, abs(size), time_ms // 1000] = size
        if len(self._seen) > self.KEPT:
            self._seen.popitem(last=False)

    def compare(self, rest: Iterable[tuple[str, Decimal, int]]) -> Found | None:
        """Match REST rows (contract, position size, unix second); the verdict once enough of them agree."""
        for contract, size, second in rest:
            mine = self._seen.pop((contract, abs(size), second), None)
            if mine is not None and size and not self.settled:
                self._votes["position" if (mine > 0) == (size > 0) else "order"] += 1
        return None if self.settled else self._verdict()

    def _verdict(self) -> Found | None:
        winner: Sign = "position" if self._votes["position"] >= self._votes["order"] else "order"
        votes, against = self._votes[winner], sum(self._votes.values()) - self._votes[winner]
        if votes < self.NEEDED or votes < 4 * against:
            return None
        changed = "" if winner == self.sign else "; sides reported until now were inverted"
        self.sign, self.settled, self.version = winner, True, self.version + 1
        words = f"size has the {winner}'s sign: {votes} rows agree with REST, {against} do not{changed}"
        self.found = Found("liquidation_sign", winner, words)
        self._seen.clear()
        return self.found


class GateFeed(BookFeed):
    """Gate."""

    settings_type: ClassVar[type[Settings]] = GateSettings
    settings: GateSettings
    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="gate",
        title="Gate",
        laws={
            Channel.PRICE: ReportingLaw("complete", "ticker changes", f"{DOCS}/#tickers-api futures.tickers"),
            Channel.TRADES: ReportingLaw("complete", "every fill but internal ones", f"{DOCS} futures.trades"),
            Channel.LIQUIDATIONS: ReportingLaw(
                "sampled",
                "a second's orders of a contract together; before August 2026 at most one of them",
                f"{DOCS} futures.public_liquidates",
            ),
            Channel.FUNDING: ReportingLaw(
                "complete",
                "rate of the next settlement; hours between two from the listing, read hourly",
                f"{DOCS} futures.tickers",
            ),
            Channel.OPEN_INTEREST: ReportingLaw(
                "complete",
                "ticker changes; one side, halved where totals are found to count both",
                f"{DOCS} futures.tickers",
            ),
            Channel.DEPTH: ReportingLaw(
                "sampled",
                "best 300 levels a side of the majors, every 10 s: a lower bound",
                "https://www.gate.com/docs/developers/apiv4/#futures-order-book",
            ),
        },
        limits=Limits(connects=30, connects_window_s=60.0, sends_per_s=50.0, rest_weight=600),
        idle_s=60.0,
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
            Channel.LIQUIDATIONS: "REST, the last hour; times in whole seconds, so the last second is left out",
            Channel.TRADES: "REST",
        },
    )

    def __init__(self, options: FeedOptions) -> None:
        super().__init__(options)
        self.calibration = SignCalibration(self.settings.liquidation_sign)
        self.interest = InterestSides(self.settings.open_interest_sides)

    def memory(self) -> bytes:
        """What was found of signs and sides."""
        parts = self.calibration.memory(), self.interest.memory()
        return msgspec.msgpack.encode(parts) if any(parts) else b""

    def recall(self, memory: bytes) -> None:
        """See `Learned`."""
        for part, of_it in zip((self.calibration, self.interest), _MEMORY.decode(memory), strict=True):
            if of_it:
                part.recall(of_it)

    def metadata(self) -> list[Request]:
        """Contracts of each settlement currency."""
        return [Request(f"contracts/{coin}", self.rest(f"{REST}/{coin}/contracts")) for coin in self.settings.settle]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Contracts; those settled in bitcoin but not inverse have no dollar value of their own and are left out."""
        coin = request.name.partition("/")[2]
        rows = [row for row in _LISTINGS.readable(body) if coin == "usdt" or row.type == "inverse"]
        for row in rows:
            with suppress(DecodeError):  # a size that is no number votes for nothing
                self.interest.listed(row.name, gauge(row.position_size))
        return listed(rows, lambda row: _instrument(row, coin)), []

    def ranking(self) -> list[Request]:
        """The contract list holds open interest too."""
        return self.metadata()

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        table = registry.venue(self.spec.venue)
        rows = [row for row in _LISTINGS.readable(body) if row.name in table]
        return {row.name: _usd(table[row.name], row.position_size, row.mark_price) or 0.0 for row in rows}

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """One or more connections per settlement currency."""
        return [each for coin in self.settings.settle for each in self._connections(coin, instruments)]

    def _connections(self, coin: str, instruments: Sequence[Instrument]) -> list[Connection]:
        mine = [item for item in instruments if item.category == coin]
        topics: list[Topic] = []
        if self.carries(Channel.LIQUIDATIONS) and mine:
            topics.append(
                _topic("futures.public_liquidates", "!all", (Channel.LIQUIDATIONS,), self.selection(instruments))
            )
        gauges = tuple(c for c in (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST) if self.carries(c))
        if gauges:
            topics += [_topic("futures.tickers", item.symbol, gauges) for item in mine]
        if self.carries(Channel.TRADES):
            topics += [_topic("futures.trades", item.symbol, (Channel.TRADES,)) for item in mine]
        return [
            Connection(f"gate/{coin}/{number}", self.ws(f"{WS}/{coin}"), shard, _HEADERS)
            for number, shard in enumerate(shards(topics, _TOPICS_PER_CONNECTION))
        ]

    def polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        """Order books; REST liquidations, only while the sign is still to be found."""
        return [*super().polls(instruments), *self._calibration_polls(instruments)]

    def _calibration_polls(self, instruments: Sequence[Instrument]) -> list[Poll]:
        if self.calibration.settled or not self.carries(Channel.LIQUIDATIONS):
            return []
        coins = [coin for coin in self.settings.settle if any(item.category == coin for item in instruments)]
        return [
            Poll(self._liq_orders(f"liq_orders/{coin}", coin, ""), Channel.LIQUIDATIONS, every_s=60.0) for coin in coins
        ]

    def _liq_orders(self, name: str, coin: str, times: str) -> Request:
        url = self.rest(f"{REST}/{coin}/liq_orders?{times}limit={_MOST_LIQUIDATIONS}")
        return Request(name, url, headers=_HEADERS)

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        """Depth; or compare signs: the verdict is told by the next frame of a session, the events by the socket."""
        if poll.channel is Channel.DEPTH:
            return super().parse_poll(poll, body, recv_ns, registry, bad)
        rows = _REST_LIQUIDATIONS.decode(body, bad)
        self.calibration.compare((row.contract, row.closed, row.time) for row in rows)
        return []

    def book_url(self, instrument: Instrument) -> str:
        """``order_book``."""
        return f"{REST}/{instrument.category}/order_book?contract={instrument.symbol}&limit=300"

    def read_book(self, body: bytes) -> Book:
        """Sizes in contracts."""
        book = read(_BOOK, body)
        bids, asks = ([(row.p, row.s) for row in side] for side in (book.bids, book.asks))
        return bids, asks, 0

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive(BARS, rows=1000),
        Channel.FUNDING: Archive(SETTLEMENTS, rows=1000),
        Channel.OPEN_INTEREST: Archive(HOURS, rows=100),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Mark prices under the name ``mark_BTC_USDT``, settled rates, and the venue's own statistics."""
        item, word = span.instrument, self.archives[span.channel].words[span.step_ns]
        start_s, end_s = span.start_ns // NS_PER_S, span.end_ns // NS_PER_S
        name, root = f"history/{span.channel.value}/{item.symbol}", f"{REST}/{item.category}"
        if span.channel is Channel.PRICE:
            query = f"contract=mark_{item.symbol}&from={start_s}&to={end_s - 1}&interval={word}"
            return Request(name, self.rest(f"{root}/candlesticks?{query}"))
        if span.channel is Channel.FUNDING:
            query = f"contract={item.symbol}&from={start_s + 1}&to={end_s}&limit=1000"
            return Request(name, self.rest(f"{root}/funding_rate?{query}"))
        query = f"contract={item.symbol}&from={start_s}&interval={word}&limit={span.rows}"
        return Request(name, self.rest(f"{root}/contract_stats?{query}"))

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """Times are seconds; statistics are stamped with the beginning of their period."""
        if span.channel is Channel.PRICE:
            return records(body, "t", "c", span.step_ns, NS_PER_S)
        if span.channel is Channel.FUNDING:
            return settled(records(body, "t", "r", unit_ns=NS_PER_S))
        if self.interest.undecided:
            raise DecodeError("unexpected", "no ticker has told yet whether open interest counts both sides")
        sides = 2 if self.interest.sides == "both" else 1
        return ((at, usd / sides) for at, usd in records(body, "time", "open_interest_usd", span.step_ns, NS_PER_S))

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Liquidations of the last hour at most, all contracts of a settlement currency at once; trades per contract."""
        if not self.carries(channel):
            return []
        if channel is Channel.TRADES:
            return [self._trades_page(item.category, item.symbol, start_ns, end_ns) for item in instruments]
        start_ns = max(start_ns, (-(-end_ns // NS_PER_S) - _LONGEST_GAP_S) * NS_PER_S)
        end_ns = end_ns // NS_PER_S * NS_PER_S - 1  # the last second may have been told by the socket: a lower bound
        coins = dict.fromkeys(item.category for item in instruments)
        return [self._liquidated_page(coin, start_ns, end_ns) for coin in coins]

    def _liquidated_page(self, coin: str, start_ns: int, end_ns: int) -> HistoryPage:
        times = f"from={start_ns // NS_PER_S}&to={-(-end_ns // NS_PER_S)}&"
        return HistoryPage(self._liq_orders(f"gap/{coin}", coin, times), Channel.LIQUIDATIONS, coin, start_ns, end_ns)

    def carried(
        self, connection: Connection, channel: Channel, instruments: Sequence[Instrument]
    ) -> Sequence[Instrument]:
        """``!all`` means all contracts of the socket's settlement currency."""
        coin = connection.name.split("/")[1]
        return super().carried(connection, channel, [item for item in instruments if item.category == coin])

    def _trades_page(self, coin: str, symbol: str, start_ns: int, end_ns: int, offset: int = 0) -> HistoryPage:
        times = f"from={start_ns // NS_PER_S}&to={-(-end_ns // NS_PER_S)}"
        url = f"{REST}/{coin}/trades?contract={symbol}&{times}&limit={_MOST_TRADES}&offset={offset}"
        request = Request(f"gap/trades/{coin}/{offset}", self.rest(url), headers=_HEADERS)
        return HistoryPage(request, Channel.TRADES, symbol, start_ns, end_ns)

    def _lost_trades(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """The rows are those of the socket, but for the time, which is in seconds; a full page goes on behind it."""
        coin, offset = page.request.name.split("/")[-2:]
        rows = [{**row, "create_time_ms": round(number(row.get("create_time_ms")) * 1000)} for row in listed_rows(body)]
        frame = msgspec.json.encode({"channel": "futures.trades", "event": "update", "result": rows})
        topic = _topic("futures.trades", page.symbol, (page.channel,))
        events = self.lost(page, topic, [frame], recv_ns, registry)
        if len(rows) < _MOST_TRADES:
            return events, []
        return events, [self._trades_page(coin, page.symbol, page.start_ns, page.end_ns, int(offset) + len(rows))]

    gap_url: ClassVar[str] = f"{WS}/usdt"

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """Of a full page nobody knows what it left out: its halves are asked for instead, down to one second."""
        if page.channel is Channel.TRADES:
            return self._lost_trades(page, body, recv_ns, registry)
        rows = _LOST.strict(body)
        middle_ns = (page.start_ns + page.end_ns) // 2 // NS_PER_S * NS_PER_S
        if len(rows) >= _MOST_LIQUIDATIONS and page.start_ns < middle_ns < page.end_ns:
            halves = ((page.start_ns, middle_ns), (middle_ns, page.end_ns))
            return [], [self._liquidated_page(page.symbol, start_ns, end_ns) for start_ns, end_ns in halves]
        events = [event for row in rows if (event := self._lost_liquidation(row, recv_ns, registry)) is not None]
        return as_history(events, page.start_ns, page.end_ns), []

    def _lost_liquidation(self, row: _LostLiquidation, recv_ns: int, registry: Registry) -> Liquidation | None:
        """A row with whole seconds; its position was long where it is more than nothing."""
        item = registry.get(self.spec.venue, row.contract)
        named = self.options.symbols == "*" or row.contract in self.options.symbols
        if item is None or not named or not self._fits(item):
            return None
        price = positive(row.fill_price or row.order_price)
        micros = notional_micros(item, positive(abs(row.closed)), price)
        key = f"{row.contract}:{row.time}:{row.closed}:{row.order_price}"
        side: PositionSide = "long" if row.size > 0 else "short"
        return Liquidation(item, side, micros, float(price), ms_ns(row.time * 1000), recv_ns, key)

    def session(self, connection: Connection, registry: Registry) -> GateSession:
        """A new protocol state."""
        return GateSession(self, connection, registry)


class GateSession(TradeSession):
    """One connection to Gate."""

    typed = _TYPED

    rules = SessionRules(chunk=1, pace_s=0.02, ack_s=15.0, ping_s=15.0)
    learns: ClassVar[Mapping[str, Any]] = {"_told": dict[str, int]}

    def __init__(self, feed: GateFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._calibration = feed.calibration
        self._interest = feed.interest
        self._told = {"sign": feed.calibration.version, "sides": feed.interest.version}

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """One contract of one channel."""
        channel, _, contract = topics[0].name.partition(":")
        second = self.opened_ns // NS_PER_S
        message = {"time": second, "id": number, "channel": channel, "event": "subscribe", "payload": [contract]}
        return msgspec.json.encode(message).decode()

    def ping_frame(self, now_ns: int) -> str:
        """The venue's own ping."""
        return msgspec.json.encode({"time": now_ns // NS_PER_S, "channel": "futures.ping"}).decode()

    def typed_rows(self, message: _TradeFrame | _TickerFrame, recv_ns: int) -> list[MarketEvent]:
        """Trades and tickers."""
        self._tell_what_was_found()
        if isinstance(message, _TradeFrame):
            return self.each(message.result, self._trade, recv_ns)
        ts_ns = message.time_ms * NS_PER_MS or message.time * NS_PER_S or recv_ns
        return self.each(message.result, lambda row, now: self._ticker(row, ts_ns, now), recv_ns)

    def _tell_what_was_found(self) -> None:
        for name, found in (("sign", self._calibration), ("sides", self._interest)):
            if self._told[name] != found.version and found.found is not None:
                self._told[name] = found.version
                self.notices.append(found.found)

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message."""
        message = read(_MESSAGE, frame)
        self._tell_what_was_found()
        if message.event in {"update", "all"}:
            return self._data(message, recv_ns)
        if message.event == "subscribe" or message.error is not None:
            self._answer(message)
        elif message.channel != "futures.pong":
            self.skip("unknown_message")
        return []

    def _answer(self, message: _Message) -> None:
        asked = self.chunk(message.id) if isinstance(message.id, int) else ()
        if message.error is None:
            self.confirm(topic.name for topic in asked)
            return
        words = f"{message.error.code} {message.error.message}"
        for topic in asked:
            self.refuse(topic.name, words)
        if not asked:
            self.notices.append(Refused("", words))

    def _data(self, message: _Message, recv_ns: int) -> list[MarketEvent]:
        if message.channel == "futures.public_liquidates":
            rows, seen = _LIQUIDATIONS.decode(message.result, self.bad_row), Counter[str]()
            return self.each(rows, lambda row, now: self._liquidation(row, now, seen), recv_ns)
        if message.channel == "futures.tickers":
            ts_ns = ms_ns(message.time_ms or message.time * 1000) or recv_ns
            tickers = _TICKERS.decode(message.result, self.bad_row)
            return self.each(tickers, lambda row, now: self._ticker(row, ts_ns, now), recv_ns)
        if message.channel == "futures.trades":
            return self.each(_TRADES.decode(message.result, self.bad_row), self._trade, recv_ns)
        self.skip("unknown_message")
        return []

    def _liquidation(self, row: _Liquidation, recv_ns: int, seen: Counter[str]) -> Iterable[MarketEvent]:
        """One order; equal ones of a batch are several, so the key counts them from the second on."""
        instrument = self.find(row.contract, Channel.LIQUIDATIONS)
        if instrument is None:
            return []
        ts_ns, price = ms_ns(row.at_ms), positive(row.price)
        usd_micros = notional_micros(instrument, positive(abs(row.size)), price)
        self._calibration.saw(row.contract, row.size, row.at_ms)
        long = (row.size > 0) == (self._calibration.sign == "position")
        key = f"{row.contract}:{row.at_ms}:{row.size}:{row.price}"
        seen[key] += 1
        key += f":{seen[key]}" if seen[key] > 1 else ""
        return self.liquidation(instrument, "long" if long else "short", usd_micros, price, ts_ns, recv_ns, key)

    def _ticker(self, row: _Ticker, ts_ns: int, recv_ns: int) -> Iterable[MarketEvent]:
        instrument = self.find(row.contract, Channel.PRICE)
        if instrument is None:
            return []
        events = self.prices(instrument, ts_ns, recv_ns, mark=row.mark_price, index=row.index_price, last=row.last)
        events += self.funding(instrument, row.funding_rate, ts_ns, recv_ns)
        total = gauge(row.total_size)
        one_side = None if total is None else self._interest.one_side(row.contract, total)
        return events + self.open_interest(instrument, _usd(instrument, one_side, row.mark_price), ts_ns, recv_ns)

    def _trade(self, row: _Trade, recv_ns: int) -> Iterable[MarketEvent]:
        if row.is_internal:  # a takeover by the insurance fund or a counterparty, not a trade of the market
            self.skip("internal")
            return []
        if not row.size:
            raise DecodeError("out_of_range", "a trade of nothing")
        side: TakerSide = "buy" if row.size > 0 else "sell"
        ts_ns = int(row.create_time_ms) * NS_PER_MS
        return self.trade_row(row.contract, side, abs(row.size), row.price, ts_ns, recv_ns)


def _topic(channel: str, contract: str, channels: tuple[Channel, ...], chosen: frozenset[str] | None = None) -> Topic:
    return Topic(f"{channel}:{contract}", channels, "" if contract == "!all" else contract, chosen)


def _usd(instrument: Instrument, contracts: Number, mark: Number) -> float | None:
    """Open interest: contracts times their coins times the mark price; an inverse contract is a sum of dollars."""
    size, price = gauge(contracts), gauge(mark)
    if size is None or (price is None and instrument.form == "linear"):
        return None
    return size * float(instrument.contract_value) * (price or 0.0 if instrument.form == "linear" else 1.0)


def _instrument(row: _Listing, coin: str) -> Instrument:
    name, _, quote = row.name.partition("_")
    base, units = canonical_base(name)
    inverse = row.type == "inverse"
    return Instrument(
        venue="gate",
        symbol=row.name,
        base=base,
        quote=quote.partition("_")[0],
        settle=coin.upper(),
        kind="perp",
        form="inverse" if inverse else "linear",
        contract_value=Decimal(1) if inverse else positive(row.quanto_multiplier),
        base_units=units,
        funding_interval_h=row.funding_interval / 3600 if row.funding_interval > 0 else 8.0,
        status="closed" if row.in_delisting else "trading",
        asset_class="tradfi" if row.contract_type else "crypto",
        category=coin,
    )
