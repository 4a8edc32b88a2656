"""BitMEX: perpetuals and futures, as tables that are patched. Numbers are JSON numbers.

Every message is ``{"table", "action": "partial" | "insert" | "update" | "delete", "data"}``; nothing counts before the
``partial``, and an update carries the keys and the changed fields only. The ``liquidation`` table lists the engine's
open orders, without a time: what an order holds counts once, when it is inserted, and later only by what is added. After a
reconnect the table's orders that were never told count, too: they came while nobody listened::

    {"table":"liquidation","action":"insert","data":[{"orderID":"df41","symbol":"XBTUSD","side":"Sell","price":83950.5,"leavesQty":1000}]}
    {"table":"liquidation","action":"update","data":[{"orderID":"df41","leavesQty":400}]}
    {"table":"liquidation","action":"delete","data":[{"orderID":"df41","symbol":"XBTUSD"}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar, Literal

import msgspec

from monitor.clock import NS_PER_S
from monitor.dialects.books import Book, BookFeed
from monitor.dialects.history import BARS, SETTLEMENTS, iso_ms, listed_rows, number
from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent, TakerSide, Trade
from monitor.feed import (
    Connection,
    FeedOptions,
    FeedSpec,
    Frame,
    HistoryPage,
    Limits,
    Refused,
    ReportingLaw,
    Request,
    Topic,
)
from monitor.instruments import ContractForm, Instrument, MarketKind, Registry, canonical_base, to_micros
from monitor.past import Archive, HistorySpan, as_history, newer_edge
from monitor.session import SessionRules
from monitor.venue import VenueSession
from monitor.wire import Rows, exact, iso_ns, listed, positive, read

DOCS = "https://www.bitmex.com/app/wsAPI"
WS = "wss://ws.bitmex.com/realtime"
REST = "https://www.bitmex.com/api/v1"
KINDS: dict[str, MarketKind] = {"FFWCSX": "perp", "FFWCSF": "perp", "FFCCSX": "future"}
SETTLEMENT_SCALE = {"XBt": Decimal(100_000_000), "USDt": Decimal(1_000_000)}
"""Minor units in one settlement coin; contracts settled in anything else are left out."""
_XBT_PRICE_SYMBOL = "XBTUSD"
_EPOCH_OF_INTERVALS_NS = iso_ns("2000-01-01T00:00:00Z")
_MOST_ORDERS = 100_000


class _Message(msgspec.Struct, gc=False):
    table: str = ""
    action: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")
    success: bool | None = None
    subscribe: str = ""
    error: str = ""
    info: str = ""
    request: msgspec.Raw = msgspec.Raw(b"")


class _Request(msgspec.Struct):
    args: list[str] = []


class _Row(msgspec.Struct):
    """One row of ``instrument``; an absent field is unchanged."""

    symbol: str
    typ: str | None = None
    state: str | None = None
    underlying: str | None = None
    quoteCurrency: str | None = None
    settlCurrency: str | None = None
    isInverse: bool | None = None
    isQuanto: bool | None = None
    multiplier: Decimal | None = None
    expiry: str | None = None
    timestamp: str | None = None
    fundingInterval: str | None = None
    fundingTimestamp: str | None = None
    fundingRate: float | None = None
    markPrice: Decimal | None = None
    indicativeSettlePrice: float | None = None
    lastPrice: float | None = None
    bidPrice: float | None = None
    askPrice: float | None = None
    openInterest: Decimal | None = None
    openValue: Decimal | None = None


class _Order(msgspec.Struct):
    orderID: str
    symbol: str | None = None
    side: Literal["Buy", "Sell", ""] | None = None
    price: Decimal | None = None
    leavesQty: Decimal | None = None


class _Fill(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["Buy", "Sell"]
    size: Decimal
    price: Decimal
    timestamp: str


class _Level(msgspec.Struct):
    side: Literal["Buy", "Sell"]
    size: float
    price: float


_LEVELS = Rows(_Level)
_MESSAGE = msgspec.json.Decoder(_Message)
_REQUEST = msgspec.json.Decoder(_Request)
_INSTRUMENTS = Rows(_Row)
_ORDERS = Rows(_Order)
_FILLS = Rows(_Fill)


class BitmexFeed(BookFeed):
    """BitMEX.

    ``known_orders`` are liquidation orders that any connection was told of, None before the first table of them;
    ``last_mark`` is the bitcoin perpetual's, which values quanto orders that come before a connection's own prices.
    """

    learns: ClassVar[Mapping[str, Any]] = {"known_orders": dict[str, bool] | None, "last_mark": Decimal | None}

    def __init__(self, options: FeedOptions) -> None:
        super().__init__(options)
        self.known_orders: dict[str, bool] | None = None
        self.last_mark: Decimal | None = None

    spec: ClassVar[FeedSpec] = FeedSpec(
        venue="bitmex",
        title="BitMEX",
        laws={
            Channel.PRICE: ReportingLaw("complete", "every change of the instrument table", f"{DOCS} instrument"),
            Channel.TRADES: ReportingLaw("complete", "every fill", f"{DOCS} trade"),
            Channel.LIQUIDATIONS: ReportingLaw(
                "order_level", "counts each order that the engine places, filled or not; no auto-deleveraging", f"{DOCS} liquidation"
            ),
            Channel.FUNDING: ReportingLaw("complete", "rate of the next settlement", f"{DOCS} instrument"),
            Channel.OPEN_INTEREST: ReportingLaw("complete", "every change of the instrument table", f"{DOCS} instrument"),
            Channel.DEPTH: ReportingLaw("sampled", "best 500 levels a side of the majors, every 10 s: a lower bound", f"{DOCS} GET /orderBook/L2"),
        },
        limits=Limits(connects=20, connects_window_s=3600.0, sends_per_s=2.0, max_frame_bytes=32 * 1024 * 1024, rest_weight=20),
        idle_s=60.0,
        stale_s={Channel.PRICE: 60.0, Channel.FUNDING: 600.0, Channel.OPEN_INTEREST: 600.0, Channel.TRADES: 300.0, Channel.LIQUIDATIONS: 3600.0, Channel.DEPTH: 60.0},
        docs=DOCS,
        gaps={
            Channel.LIQUIDATIONS: "lost, but for orders that are still open: the venue keeps no past ones",
            Channel.TRADES: "REST",
        },
    )  # fmt: skip

    def metadata(self) -> list[Request]:
        """All active instruments."""
        return [Request("instruments", self.rest(f"{REST}/instrument/active"))]

    def parse_metadata(self, request: Request, body: bytes) -> tuple[list[Instrument], list[Request]]:
        """Perpetuals and futures whose settlement unit is known."""
        return listed((row for row in _INSTRUMENTS.readable(body) if row.typ in KINDS), _instrument), []

    def ranking(self) -> list[Request]:
        """The instrument table holds open interest too."""
        return self.metadata()

    def parse_ranking(self, request: Request, body: bytes, registry: Registry) -> dict[str, float]:
        """Open interest in USD by symbol."""
        rows = {row.symbol: row for row in _INSTRUMENTS.readable(body)}
        xbt = rows[_XBT_PRICE_SYMBOL].markPrice if _XBT_PRICE_SYMBOL in rows else None
        table = registry.venue(self.spec.venue)
        return {
            symbol: _open_interest_usd(table[symbol], row, xbt) or 0.0
            for symbol, row in rows.items()
            if symbol in table
        }

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        """One connection; whole tables when every symbol is wanted."""
        topics: list[Topic] = []
        chosen = self.selection(instruments)
        if self.carries(Channel.LIQUIDATIONS):
            topics.append(Topic("liquidation", (Channel.LIQUIDATIONS,), payload=chosen))
        gauges = tuple(c for c in (Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST) if self.carries(c))
        topics += self._table("instrument", gauges or (Channel.LIQUIDATIONS,), instruments)
        if self.carries(Channel.TRADES):
            topics += self._table("trade", (Channel.TRADES,), instruments)
        return [Connection("bitmex/0", self.ws(WS), tuple(topics))]

    def _table(self, table: str, channels: tuple[Channel, ...], instruments: Sequence[Instrument]) -> list[Topic]:
        if self.selects_all:
            return [Topic(table, channels)]
        symbols = [item.symbol for item in instruments]
        if table == "instrument" and _XBT_PRICE_SYMBOL not in symbols:
            symbols.append(_XBT_PRICE_SYMBOL)  # values quanto contracts
        return [Topic(f"{table}:{symbol}", channels, symbol) for symbol in symbols]

    def book_url(self, instrument: Instrument) -> str:
        """``orderBook/L2``."""
        return f"{REST}/orderBook/L2?depth=500&symbol={instrument.symbol}"

    def read_book(self, body: bytes) -> Book:
        """One row per level, of either side; without one of them it would say too little."""
        rows = _LEVELS.strict(body)
        bids = [(row.price, row.size) for row in rows if row.side == "Buy"]
        return bids, [(row.price, row.size) for row in rows if row.side == "Sell"], 0

    archives: ClassVar[Mapping[Channel, Archive]] = {
        Channel.PRICE: Archive(BARS, rows=1000),
        Channel.FUNDING: Archive(SETTLEMENTS, rows=500),
    }

    def history_request(self, span: HistorySpan) -> Request | None:
        """Closed buckets of trades, and settled funding; buckets are stamped with their end."""
        item, name = span.instrument, f"history/{span.channel.value}/{span.instrument.symbol}"
        times = f"startTime={iso_ms(span.start_ns + 1)}&endTime={iso_ms(span.end_ns)}&count={span.rows}"
        if span.channel is Channel.PRICE:
            bar = self.archives[span.channel].words[span.step_ns]
            return Request(name, self.rest(f"{REST}/trade/bucketed?binSize={bar}&symbol={item.symbol}&{times}"))
        if item.kind != "perp":
            return None
        return Request(name, self.rest(f"{REST}/funding?symbol={item.symbol}&{times}"))

    def history_values(self, span: HistorySpan, body: bytes) -> Iterable[tuple[int, float]]:
        """Times are ISO 8601; a bucket without a trade has no close."""
        value = "close" if span.channel is Channel.PRICE else "fundingRate"
        rows = listed_rows(body)
        return [(iso_ns(str(row.get("timestamp"))), number(row[value])) for row in rows if row.get(value) is not None]

    def gap(self, channel: Channel, instruments: Sequence[Instrument], start_ns: int, end_ns: int) -> list[HistoryPage]:
        """Trades, one request per contract; the venue keeps no past liquidations."""
        if channel is not Channel.TRADES or not self.carries(channel):
            return []
        return [self._trades_page(item.symbol, start_ns, end_ns) for item in instruments]

    def _trades_page(self, symbol: str, start_ns: int, end_ns: int) -> HistoryPage:
        times = f"startTime={iso_ms(start_ns)}&endTime={iso_ms(end_ns)}&count=1000"
        request = Request(f"gap/{symbol}", self.rest(f"{REST}/trade?symbol={symbol}&{times}"))
        return HistoryPage(request, Channel.TRADES, symbol, start_ns, end_ns)

    def parse_gap(
        self, page: HistoryPage, body: bytes, recv_ns: int, registry: Registry
    ) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """Worth ``foreignNotional``, which is in dollars wherever the quote is."""
        item, rows = registry.get(self.spec.venue, page.symbol), _LOST.strict(body)
        if item is None or not item.usd_quoted:
            return [], []
        events = [_lost_trade(item, row, recv_ns) for row in rows]
        edge_ns = newer_edge((event.ts_ns for event in events), page.end_ns) if len(rows) >= _MOST_TRADES else None
        if edge_ns is None:
            return as_history(events, page.start_ns, page.end_ns), []
        return as_history(events, page.start_ns, edge_ns), [self._trades_page(page.symbol, edge_ns, page.end_ns)]

    def session(self, connection: Connection, registry: Registry) -> BitmexSession:
        """A new protocol state."""
        return BitmexSession(self, connection, registry)


class _LostFill(msgspec.Struct):
    timestamp: str
    price: Decimal
    foreignNotional: Decimal
    side: Literal["Buy", "Sell"]


def _lost_trade(item: Instrument, row: _LostFill, recv_ns: int) -> Trade:
    usd_micros = to_micros(exact(abs(row.foreignNotional)))
    side: TakerSide = "buy" if row.side == "Buy" else "sell"
    return Trade(item, side, usd_micros, float(positive(row.price)), iso_ns(row.timestamp), recv_ns)


_LOST = Rows(_LostFill)
_MOST_TRADES = 1000


class BitmexSession(VenueSession):
    """One connection to BitMEX, with its copy of the tables."""

    rules = SessionRules(chunk=20, pace_s=0.5, ack_s=10.0, ping_s=15.0)
    learns: ClassVar[Mapping[str, Any]] = {
        "_started": set[str],
        "_rows": dict[str, _Row],
        "_orders": dict[str, _Order],
        "_last_xbt": Decimal | None,
    }

    def __init__(self, feed: BitmexFeed, connection: Connection, registry: Registry) -> None:
        super().__init__(feed, connection, registry)
        self._feed = feed
        self._started: set[str] = set()
        self._rows: dict[str, _Row] = {}
        self._orders: dict[str, _Order] = {}
        self._last_xbt: Decimal | None = None

    def subscribe_frame(self, topics: Sequence[Topic], number: int) -> str:
        """Several tables in one ``subscribe``."""
        return msgspec.json.encode({"op": "subscribe", "args": [topic.name for topic in topics]}).decode()

    def ping_frame(self, now_ns: int) -> str:
        """Plain text."""
        return "ping"

    def decode(self, frame: Frame, recv_ns: int) -> list[MarketEvent]:
        """One message of the table protocol."""
        if frame in {"pong", b"pong"}:
            return []
        message = read(_MESSAGE, frame)
        if message.table:
            return self._patch(message, recv_ns)
        if message.error:
            self._refused(message)
        elif message.success and message.subscribe:
            self.confirm([message.subscribe])
        elif not message.info:
            self.skip("unknown_message")
        return []

    def _refused(self, message: _Message) -> None:
        """Refuse the topic that the venue's words name, else all of the request."""
        try:
            asked = read(_REQUEST, message.request).args
        except DecodeError:
            asked = []
        named = [name for name in asked if name.partition(":")[0] in message.error or name in message.error] or asked
        for name in named:
            self.refuse(name, message.error)
        if not named:
            self.notices.append(Refused("", message.error))

    def _patch(self, message: _Message, recv_ns: int) -> list[MarketEvent]:
        table, action = message.table, message.action
        if action == "partial":
            self._started.add(table)
        elif table not in self._started:
            self.skip("before_partial")
            return []
        if table == "instrument":
            return self._instruments(action, message.data, recv_ns)
        if table == "liquidation":
            return self._liquidations(action, message.data, recv_ns)
        if table == "trade":
            return self._trades(action, message.data, recv_ns)
        self.skip("unknown_message")
        return []

    # --- instrument -----------------------------------------------------------------------------------------------

    def _instruments(self, action: str, data: msgspec.Raw, recv_ns: int) -> list[MarketEvent]:
        rows = _INSTRUMENTS.decode(data, self.bad_row)
        if action == "delete":
            for row in rows:
                self._rows.pop(row.symbol, None)
            return []
        rows.sort(key=lambda row: row.symbol != _XBT_PRICE_SYMBOL)  # it values the others
        return self.each(rows, self._instrument, recv_ns)

    def _instrument(self, row: _Row, recv_ns: int) -> Iterable[MarketEvent]:
        held = self._rows.get(row.symbol)
        if held is None:
            if row.typ not in KINDS:
                self.skip("not_a_contract")
                return []
            held = self._rows[row.symbol] = row
        else:
            _merge(held, row)
        if held.symbol == _XBT_PRICE_SYMBOL:
            self._feed.last_mark = held.markPrice
        instrument = self._known(held)
        if instrument is None:
            return []
        ts_ns = iso_ns(row.timestamp) if row.timestamp else recv_ns
        mark = None if row.markPrice is None else float(row.markPrice)
        prices = self.prices(
            instrument, ts_ns, recv_ns, mark=mark, index=row.indicativeSettlePrice, last=row.lastPrice,
            bid=held.bidPrice, ask=held.askPrice,
        )  # fmt: skip
        return [*prices, *self._slow(instrument, held, ts_ns, recv_ns)]

    def _known(self, held: _Row) -> Instrument | None:
        if held.settlCurrency is not None and held.settlCurrency not in SETTLEMENT_SCALE:
            self.skip("settlement_unit")
            return None
        return self.find(held.symbol, Channel.PRICE)

    def _slow(self, instrument: Instrument, held: _Row, ts_ns: int, recv_ns: int) -> list[MarketEvent]:
        """Funding and open interest from the held row: they are sent when they change, and repeated while it lives."""
        events: list[MarketEvent] = []
        rate, usd = held.fundingRate, _open_interest_usd(instrument, held, self._xbt())
        if rate is not None and self.changed(held.symbol, Channel.FUNDING, rate, recv_ns):
            next_ns = iso_ns(held.fundingTimestamp) if held.fundingTimestamp else 0
            hours = _hours(held.fundingInterval)
            events += self.funding(instrument, rate, ts_ns, recv_ns, interval_h=hours, next_ns=next_ns)
        if usd is not None and self.changed(held.symbol, Channel.OPEN_INTEREST, usd, recv_ns):
            events += self.open_interest(instrument, usd, ts_ns, recv_ns)
        return events

    def _xbt(self) -> Decimal | None:
        """Dollars per bitcoin: the perpetual's mark, else its last trade."""
        row = self._rows.get(_XBT_PRICE_SYMBOL)
        return (row.markPrice if row is not None else None) or self._last_xbt or self._feed.last_mark

    # --- liquidation ----------------------------------------------------------------------------------------------

    def _liquidations(self, action: str, data: msgspec.Raw, recv_ns: int) -> list[MarketEvent]:
        rows = _ORDERS.decode(data, self.bad_row)
        if action == "partial":
            return self._open_orders(rows, recv_ns)
        if action == "delete":
            for row in rows:
                self._orders.pop(row.orderID, None)
            return []
        return self.each(rows, self._order, recv_ns)

    def _open_orders(self, rows: Sequence[_Order], recv_ns: int) -> list[MarketEvent]:
        """Orders that are open: history at the start; later those that nobody was told of came while nobody listened."""
        known = self._feed.known_orders
        fresh = [] if known is None else [row for row in rows if row.orderID not in known]
        self._feed.known_orders = dict.fromkeys((*(known or ()), *(row.orderID for row in rows)), True)
        self._orders = {row.orderID: row for row in rows if row not in fresh}
        self.skip("history", len(self._orders))
        return self.each(fresh, self._order, recv_ns)

    def _order(self, row: _Order, recv_ns: int) -> Iterable[MarketEvent]:
        """Count what an order holds when it is new, and only the increase when it is known."""
        held = self._orders.get(row.orderID)
        before = held.leavesQty if held is not None and held.leavesQty is not None else Decimal(0)
        if held is None:
            if len(self._orders) >= _MOST_ORDERS:
                self._orders.clear()
            held = self._orders[row.orderID] = row
            self._know(row.orderID)
        else:
            _merge(held, row)
        added = (held.leavesQty or Decimal(0)) - before
        if added <= 0:
            return []
        if held.symbol is None or not held.side:
            raise DecodeError("missing_field", f"liquidation {row.orderID:.40} names no symbol or side")
        instrument = self.find(held.symbol, Channel.LIQUIDATIONS)
        if instrument is None:
            return []
        price = self._price(held)
        usd_micros = self._usd_micros(instrument, added, price)
        key = row.orderID if not before else f"{row.orderID}+{held.leavesQty}"
        return self.liquidation(
            instrument, "long" if held.side == "Sell" else "short", usd_micros, price, recv_ns, recv_ns, key
        )

    def _know(self, order_id: str) -> None:
        """Remember an order beyond its end: the table of another connection may still have it."""
        known = self._feed.known_orders
        if known is not None:
            known[order_id] = True
            if len(known) > _MOST_ORDERS:
                self._feed.known_orders = dict(islice(known.items(), _MOST_ORDERS // 2, None))

    def _price(self, order: _Order) -> Decimal:
        row = self._rows.get(order.symbol or "")
        price = order.price or (row.markPrice if row is not None else None)
        if price is None:
            raise DecodeError("missing_field", f"{order.symbol}: neither an order price nor a mark price")
        return positive(price)

    def _usd_micros(self, instrument: Instrument, contracts: Decimal, price: Decimal) -> int:
        """Linear and inverse contracts by their own value; quanto in bitcoin, at the mark of the bitcoin perpetual."""
        value = positive(contracts) * instrument.contract_value
        if instrument.form == "inverse":
            return to_micros(value)
        if instrument.form == "linear":
            return to_micros(value * price)
        xbt = self._xbt()
        if xbt is None:
            raise DecodeError("missing_field", f"{instrument.symbol}: no {_XBT_PRICE_SYMBOL} price to settle at")
        return to_micros(value * price * positive(xbt))

    # --- trade ----------------------------------------------------------------------------------------------------

    def _trades(self, action: str, data: msgspec.Raw, recv_ns: int) -> list[MarketEvent]:
        rows = _FILLS.decode(data, self.bad_row)
        if action != "insert":
            self.skip("history", len(rows))
            return []
        return self.each(rows, self._trade, recv_ns)

    def _trade(self, row: _Fill, recv_ns: int) -> Iterable[MarketEvent]:
        if row.symbol.startswith("."):  # an index, told as trades of size 0
            self.skip("index")
            return []
        instrument = self.find(row.symbol, Channel.TRADES)
        if instrument is None:
            return []
        price = positive(row.price)
        if row.symbol == _XBT_PRICE_SYMBOL:
            self._last_xbt = price
        usd_micros = self._usd_micros(instrument, row.size, price)
        side: Literal["buy", "sell"] = "buy" if row.side == "Buy" else "sell"
        return self.trade(instrument, side, usd_micros, price, iso_ns(row.timestamp), recv_ns)


def _merge(held: msgspec.Struct, patch: msgspec.Struct) -> None:
    """Overwrite the fields that the patch carries; what it leaves out is unchanged."""
    for name in held.__struct_fields__:
        value = getattr(patch, name)
        if value is not None:
            setattr(held, name, value)


def _open_interest_usd(instrument: Instrument, row: _Row, xbt: Decimal | None) -> float | None:
    """Inverse: contracts times their dollars. Others: the venue's ``openValue``, in minor units of the settlement coin."""
    if instrument.form == "inverse":
        return None if row.openInterest is None else float(row.openInterest * instrument.contract_value)
    scale = SETTLEMENT_SCALE.get(instrument.settle)
    if row.openValue is None or scale is None:
        return None
    coins = row.openValue / scale
    if instrument.settle == "XBt":
        return None if xbt is None else float(coins * xbt)
    return float(coins)


def _instrument(row: _Row) -> Instrument:
    scale = SETTLEMENT_SCALE.get(row.settlCurrency or "")
    if scale is None or row.multiplier is None:
        raise DecodeError("unexpected", f"{row.symbol} settles in {row.settlCurrency}")
    base, units = canonical_base(row.underlying or row.symbol)
    form: ContractForm = "inverse" if row.isInverse else "quanto" if row.isQuanto else "linear"
    kind = KINDS[row.typ or ""]
    return Instrument(
        venue="bitmex",
        symbol=row.symbol,
        base=base,
        quote=row.quoteCurrency or "USD",
        settle=row.settlCurrency or "",
        kind=kind,
        form=form,
        contract_value=abs(row.multiplier) / scale,
        base_units=units,
        funding_interval_h=(_hours(row.fundingInterval) or 8.0) if kind == "perp" else None,
        expiry_ns=iso_ns(row.expiry) if row.expiry else None,
        status="trading" if row.state == "Open" else "halted",
        asset_class="tradfi" if row.typ == "FFWCSF" else "crypto",
    )


def _hours(interval: str | None) -> float | None:
    """``2000-01-01T08:00:00.000Z`` means eight hours."""
    if not interval:
        return None
    hours = (iso_ns(interval) - _EPOCH_OF_INTERVALS_NS) / NS_PER_S / 3600
    return hours if hours > 0 else None
