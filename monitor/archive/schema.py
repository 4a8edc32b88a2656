"""The tables of an archive, version 1: names, columns, units, and how events become rows and rows events. Pure.

Every table begins with the columns of `COMMON`; a table of market data has those of `MARKET`, too. Rows of one table,
day and venue stand in the order of arrival. Beside the tables of events stands `COURSE`: what the program that recorded
did with them, so that an archive gives the same alerts again as the tape it came from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from monitor.events import (
    Channel,
    Depth,
    Event,
    FeedGap,
    FeedState,
    Funding,
    Labels,
    Liquidation,
    OpenInterest,
    Price,
    Sample,
    Trade,
)
from monitor.instruments import Instrument
from monitor.tape.course import OWNER

if TYPE_CHECKING:
    import polars as pl

VERSION = 1
NO_VENUE = "none"
"""The partition of samples that carry no venue."""

VENUE = re.compile(r"[a-z0-9_]{1,60}")
"""What may stand in the name of a folder."""

Kind = str | tuple[str, ...]
"""``i64``, ``i32``, ``f64``, ``bool``, ``text``, ``bytes``; a tuple is a text that is one of these words."""

SIDES = ("long", "short")
TAKERS = ("buy", "sell")
PRICES = ("mark", "index", "last", "mid")
CHANNELS = tuple(channel.value for channel in Channel)
STEPS = ("config", "memory", "events", "turn", "act", "state")


class CourseRow(msgspec.Struct, frozen=True):
    """A record of the program's own course, as `monitor.tape.course` has it.

    Attributes:
        kind: As on the tape. ``state`` stands behind liveness that a tape's beginning repeats.
        name: As on the tape.
        payload: As on the tape, but for what was remembered (its events have tables of their own).
        recv_ns: Unix ns.
        events: So many of the events before it are what it is about.
        carried: Whether it repeats what an earlier file says.
        rank: Place of its origin in the archive; known to a reader only.
    """

    kind: str
    name: str
    payload: bytes
    recv_ns: int
    events: int = 0
    carried: bool = False
    rank: int = 0

    @property
    def venue(self) -> str:
        """The partition that it belongs to."""
        return OWNER


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, what it holds, its unit or meaning, and where an event has it."""

    name: str
    kind: Kind
    about: str
    read: Callable[[Any], Any]


def _field(name: str, kind: Kind, about: str) -> Column:
    return Column(name, kind, about, attrgetter(name))


def _nothing(_: object) -> None:
    raise NotImplementedError("the writer fills this column")


COMMON = (
    Column("origin", "text", "which export or import the row came from; `_exports/ORIGIN.json` says more", _nothing),
    Column("seq", "i64", "number of the event within its origin: the order of arrival over all tables", _nothing),
    Column("at_ns", "i64", "when it arrived, unix ns; never runs back within an origin", _nothing),
)
TS = _field("ts_ns", "i64", "the venue's time, unix ns; equal to recv_ns where it gives none")
BACK = Column("back_ns", "i64", "recv_ns is at_ns - back_ns: not 0 where the clock was set back", _nothing)
BACKFILL = _field("backfill", "bool", "history that was fetched later, never alerted on as if live")
INSTRUMENT = Column("instrument", "i32", "with origin, the row of `instruments`", _nothing)
MARKET = (
    BACK,
    TS,
    INSTRUMENT,
    Column("symbol", "text", "the venue's own symbol", attrgetter("instrument.symbol")),
    Column("base", "text", "canonical coin", attrgetter("instrument.base")),
)


def labels_text(labels: Labels) -> str:
    """Labels as a JSON object, names in order."""
    return msgspec.json.encode(dict(labels)).decode()


def labels_of(text: str) -> Labels:
    """The labels of `labels_text`."""
    return tuple(sorted(msgspec.json.decode(text, type=dict[str, str]).items()))


@dataclass(frozen=True, slots=True)
class Table:
    """One table: the type of its events, how a row becomes one, and its columns."""

    name: str
    event: type[Event | CourseRow]
    about: str
    columns: tuple[Column, ...]
    make: Callable[[Mapping[str, Any], Instrument], Any]
    """From the row's own columns (and ``recv_ns``) and its instrument, which tables without one ignore."""

    @property
    def has_instrument(self) -> bool:
        """Whether its rows are about instruments."""
        return INSTRUMENT in self.columns

    def venue(self, event: Any) -> str:
        """The partition that an event belongs to."""
        if self.has_instrument:
            return str(event.instrument.venue)
        if isinstance(event, Sample):
            venue = dict(event.labels).get("venue", NO_VENUE)
            return venue if VENUE.fullmatch(venue) else NO_VENUE
        return str(event.venue)


def _maker(event: type[Any], *names: str) -> Callable[[Mapping[str, Any], Instrument], Any]:
    """Build an event of an instrument from the named columns, besides its times."""

    def make(row: Mapping[str, Any], instrument: Instrument) -> Any:
        return event(instrument=instrument, **{name: row[name] for name in (*names, "ts_ns", "recv_ns")})

    return make


def _sample(row: Mapping[str, Any], _: Instrument) -> Sample:
    labels = labels_of(row["labels"])
    return Sample(row["series"], labels, row["value"], row["ts_ns"], row["recv_ns"], row["source"], row["backfill"])


def _state(row: Mapping[str, Any], _: Instrument) -> FeedState:
    return FeedState(row["venue"], Channel(row["channel"]), row["up"], row["ts_ns"], row["reason"])


def _gap(row: Mapping[str, Any], _: Instrument) -> FeedGap:
    channel, span = Channel(row["channel"]), (row["start_ns"], row["end_ns"])
    return FeedGap(row["venue"], channel, *span, row["reason"], row["dropped"], row["filled"])


def _course(row: Mapping[str, Any], _: Instrument) -> CourseRow:
    return CourseRow(**{name: row[name] for name in CourseRow.__struct_fields__})


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "liquidations",
            Liquidation,
            "Positions closed by force.",
            (
                *MARKET,
                _field("side", SIDES, "side of the position"),
                _field("usd_micros", "i64", "notional, micro-dollars"),
                _field("price", "f64", "quote money per venue unit"),
                _field("key", "text", "the venue's identity of the row, or empty"),
                BACKFILL,
            ),
            _maker(Liquidation, "side", "usd_micros", "price", "key", "backfill"),
        ),
        Table(
            "trades",
            Trade,
            "Trades.",
            (
                *MARKET,
                _field("side", TAKERS, "the taker's side"),
                _field("usd_micros", "i64", "notional, micro-dollars"),
                _field("price", "f64", "quote money per venue unit"),
                BACKFILL,
            ),
            _maker(Trade, "side", "usd_micros", "price", "backfill"),
        ),
        Table(
            "prices",
            Price,
            "Prices.",
            (
                *MARKET,
                _field("kind", PRICES, "which price"),
                _field("value", "f64", "quote money per venue unit; divide by base_units for one coin"),
                BACKFILL,
            ),
            _maker(Price, "kind", "value", "backfill"),
        ),
        Table(
            "funding",
            Funding,
            "Funding rates.",
            (
                *MARKET,
                _field("rate", "f64", "fraction per own interval; positive: longs pay"),
                _field("interval_h", "f64", "hours between payments"),
                _field("next_ns", "i64", "next payment, unix ns; 0 where unknown"),
                BACKFILL,
            ),
            _maker(Funding, "rate", "interval_h", "next_ns", "backfill"),
        ),
        Table(
            "open_interest",
            OpenInterest,
            "Open interest.",
            (*MARKET, _field("usd", "f64", "US dollars, one side"), BACKFILL),
            _maker(OpenInterest, "usd", "backfill"),
        ),
        Table(
            "depth",
            Depth,
            "Resting orders.",
            (
                *MARKET,
                _field("bid_usd", "f64", "within 1 % below mid, US dollars"),
                _field("ask_usd", "f64", "within 1 % above mid, US dollars"),
                _field("spread_ratio", "f64", "best ask less best bid, fraction of mid"),
            ),
            _maker(Depth, "bid_usd", "ask_usd", "spread_ratio"),
        ),
        Table(
            "samples",
            Sample,
            "Any other gauge.",
            (
                BACK,
                TS,
                _field("series", "text", "its series"),
                Column("labels", "text", "JSON object", lambda event: labels_text(event.labels)),
                _field("value", "f64", "in the series' unit"),
                _field("source", "text", "who said so"),
                BACKFILL,
            ),
            _sample,
        ),
        Table(
            "states",
            FeedState,
            "A feed's channel became live, or ceased to be.",
            (
                TS,
                _field("channel", CHANNELS, "which channel"),
                _field("up", "bool", "live from ts_ns on, or not"),
                _field("reason", "text", "why, in words"),
            ),
            _state,
        ),
        Table(
            "gaps",
            FeedGap,
            "Data of (start, end] that was lost, or filled in from the venue's history.",
            (
                _field("channel", CHANNELS, "which channel"),
                _field("start_ns", "i64", "exclusive start, unix ns"),
                _field("end_ns", "i64", "inclusive end, unix ns"),
                _field("reason", "text", "why"),
                _field("dropped", "i64", "events lost, where known"),
                _field(
                    "filled", "bool", "the opposite: the venue's history of that time was taken in, and counts as seen"
                ),
            ),
            _gap,
        ),
    )
}
"""Every table of events by name; `instruments` stands beside them, see `instrument_row`."""

COURSE = Table(
    "course",
    CourseRow,
    "What the monitor that recorded did with what it heard, for `monitor replay`; queries of the market leave it out.",
    (
        BACK,
        _field("kind", STEPS, "the tape's kind of record"),
        _field("name", "text", "the tape's name of the record"),
        _field("payload", "bytes", "as on the tape"),
        _field("events", "i64", "so many events before it, by `seq`, are what it is about"),
        _field("carried", "bool", "it repeats what was said before the export begins"),
    ),
    _course,
)
ALL_TABLES = {**TABLES, COURSE.name: COURSE}
TABLE_OF: dict[type[Event | CourseRow], Table] = {table.event: table for table in ALL_TABLES.values()}

INSTRUMENT_COLUMNS: tuple[tuple[str, Kind, str], ...] = (
    ("origin", "text", "as in the other tables"),
    ("instrument", "i32", "its number within the origin"),
    ("venue", "text", "the venue"),
    ("symbol", "text", "the venue's own symbol"),
    ("base", "text", "canonical coin"),
    ("quote", "text", "currency of the price"),
    ("settle", "text", "currency of the profit"),
    ("kind", "text", "spot, perp, future or option"),
    ("form", "text", "linear, inverse or quanto"),
    ("contract_value", "text", "decimal: coins or quote money per unit of quantity"),
    ("base_units", "i64", "coins in one unit that the venue quotes"),
    ("funding_interval_h", "f64", "hours; null without funding"),
    ("expiry_ns", "i64", "unix ns; null for spot and perpetuals"),
    ("strike", "f64", "null but for options"),
    ("option_type", "text", "call, put or null"),
    ("status", "text", "trading, halted, prelaunch or closed"),
    ("asset_class", "text", "crypto or tradfi"),
    ("category", "text", "the venue's product line, or empty"),
)


def instrument_row(origin: str, number: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``instruments``, from the fields of an `Instrument`."""
    return {"origin": origin, "instrument": number, **facts, "contract_value": str(facts["contract_value"])}


def instrument_of(row: Mapping[str, Any]) -> Instrument:
    """The instrument of an `instrument_row`."""
    facts = {name: value for name, value in row.items() if name not in ("origin", "instrument")}
    return msgspec.convert(facts, Instrument)


def polars_schema(columns: Sequence[tuple[str, Kind]]) -> dict[str, pl.DataType]:
    """Column types as polars has them."""
    import polars as pl

    plain: dict[str, pl.DataType] = {
        "i64": pl.Int64(), "i32": pl.Int32(), "f64": pl.Float64(), "bool": pl.Boolean(), "text": pl.String(), "bytes": pl.Binary(),
    }  # fmt: skip
    return {name: plain[kind] if isinstance(kind, str) else pl.Enum(kind) for name, kind in columns}
