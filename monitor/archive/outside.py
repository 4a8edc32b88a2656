"""History that others recorded: rows of a CSV or Parquet file, by a mapping, into the same tables as our own.

Every row is checked. What is wrong is told with file, row, column, value and what was expected, all of it up to a bound;
unless the user asks for the good rows, nothing is written when a row is bad. A row counts as received when its time had
come (a candle: when it had closed), so that a backtest knows no more than a trader did.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from monitor.archive.mapping import RATES, ColumnSpec
from monitor.archive.mapping import Mapping as Plan
from monitor.archive.sheets import Raw, field_span
from monitor.clock import NS_PER_S
from monitor.errors import ConfigError, Problem
from monitor.events import (
    Channel,
    Event,
    FeedGap,
    FeedState,
    Funding,
    Liquidation,
    MarketEvent,
    OpenInterest,
    PositionSide,
    Price,
)
from monitor.instruments import Instrument, canonical_base, to_micros

MAX_ROWS = 5_000_000
MAX_PROBLEMS = 50
EARLIEST_NS = 1_230_768_000 * NS_PER_S
LARGEST = 1e15
PRICES = ("open", "high", "low", "close")
_NANOSECONDS = re.compile(r"[.,]\d{6}(\d{1,3})")
TIME_UNITS = {"s": NS_PER_S, "ms": 1_000_000, "us": 1000, "ns": 1}
CHANNELS = {
    "candles": Channel.PRICE,
    "funding": Channel.FUNDING,
    "open_interest": Channel.OPEN_INTEREST,
    "liquidations": Channel.LIQUIDATIONS,
}


class RowFault(Exception):
    """One value of a row is wrong: in which of our columns, why, and what was expected."""

    def __init__(self, column: str, message: str, expected: str) -> None:
        super().__init__(message)
        self.column, self.message, self.expected = column, message, expected


@dataclass(slots=True)
class Outcome:
    """What became of a file.

    Attributes:
        arrivals: Events by time of arrival, in order.
        rows: Rows read.
        bad: Rows left out.
        problems: What was wrong, up to `MAX_PROBLEMS`.
        holes: By instrument, how many rows are missing by the interval, and between which times the first is.
    """

    arrivals: list[tuple[int, Event]] = field(default_factory=list)
    rows: int = 0
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)


class Importer:
    """Turns the rows of one file into events.

    Args:
        plan: The mapping.
        file: Name of the file, for messages.
        now_ns: Times after this are in the future.
    """

    def __init__(self, plan: Plan, file: str, now_ns: int) -> None:
        self._plan, self._file, self._now_ns = plan, file, now_ns
        self._instruments: dict[tuple[str, ...], Instrument] = {}
        self._seen: dict[tuple[Instrument, int], int] = {}
        self._times: dict[Instrument, list[int]] = {}
        self._zone = _zone(plan.columns["time"], file)
        self._read: Callable[[Instrument, int, Mapping[str, Any]], list[MarketEvent]] = {
            "candles": self._candle,
            "funding": self._funding,
            "open_interest": self._interest,
            "liquidations": self._liquidation,
        }[plan.kind]

    def run(self, columns: Sequence[str], rows: Iterator[Raw]) -> Outcome:
        """Read every row.

        Raises:
            ConfigError: The file lacks a column, or has too many rows.
        """
        self._check_columns(columns)
        found = Outcome()
        for raw in rows:
            found.rows += 1
            if found.rows > MAX_ROWS:
                raise ConfigError([Problem(self._file, raw.number, 0, f"more than {MAX_ROWS} rows; split the file")])
            try:
                events = self._events(raw)
            except RowFault as fault:
                found.bad += 1
                if len(found.problems) < MAX_PROBLEMS:
                    found.problems.append(self._problem(raw, fault, columns))
                continue
            found.arrivals += [(event.recv_ns, event) for event in events]
        found.arrivals += self._liveness(found)
        found.arrivals.sort(key=lambda item: item[0])
        return found

    def _check_columns(self, columns: Sequence[str]) -> None:
        problems = [
            Problem(
                self._file, 1, 0, f"no column {spec.name!r} for {name}", hint=f"columns: {', '.join(columns)[:300]}"
            )
            for name, spec in self._plan.columns.items()
            if spec.name not in columns
        ]
        if problems:
            raise ConfigError(problems)

    def _problem(self, raw: Raw, fault: RowFault, columns: Sequence[str]) -> Problem:
        spec = self._plan.columns.get(fault.column)
        place = columns.index(spec.name) if spec is not None else 0
        named = f"{fault.column} (column {spec.name!r}): " if spec is not None else ""
        start, width = field_span(raw.text, place) if raw.text else (place, 1)
        hint = f"expected {fault.expected}"
        return Problem(self._file, raw.number, start + 1, f"{named}{fault.message}", hint, raw.text, max(width, 1))

    def _events(self, raw: Raw) -> list[MarketEvent]:
        if raw.fault:
            raise RowFault("", raw.fault, "as many fields as names, in UTF-8")
        ts_ns = self._time(raw.values)
        instrument = self._instrument(raw.values)
        events = self._read(instrument, ts_ns, raw.values)
        if self._plan.kind != "liquidations":
            first = self._seen.setdefault((instrument, ts_ns), raw.number)
            if first != raw.number:
                raise RowFault("time", f"the same {instrument.symbol} and time as row {first}", "one row for each time")
        self._times.setdefault(instrument, []).append(ts_ns)
        return events

    def _time(self, values: Mapping[str, Any]) -> int:
        plan, spec = self._plan, self._plan.columns["time"]
        if values[spec.name] is None:
            raise RowFault("time", "no value", f"a time in {spec.unit}")
        ts_ns = self._iso(values[spec.name]) if spec.unit == "iso" else _unix(values[spec.name], TIME_UNITS[spec.unit])
        if not EARLIEST_NS <= ts_ns <= self._now_ns:
            words = "in the future" if ts_ns > self._now_ns else "before 2009"
            raise RowFault("time", f"{values[spec.name]!r} is {_shown(ts_ns)}, {words}", f"a time in {spec.unit}")
        if plan.kind == "candles":
            if ts_ns % plan.interval and plan.interval <= 86_400 * NS_PER_S:
                raise RowFault("time", f"{_shown(ts_ns)} is not on the candles' grid", "a multiple of interval:")
            ts_ns += plan.interval if plan.stamp == "open" else 0
            if ts_ns > self._now_ns:
                raise RowFault("time", f"this candle closes at {_shown(ts_ns)}", "candles that have closed")
        return ts_ns

    def _iso(self, value: object) -> int:
        text = str(value).strip()
        try:
            when = dt.datetime.fromisoformat(text)
        except ValueError:
            raise RowFault("time", f"{text[:60]!r} is not a time", "ISO 8601, as 2025-11-21T04:40:00Z") from None
        when = when if when.tzinfo else self._at_home(when)
        since = when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        finer = _NANOSECONDS.search(text)  # a `datetime` leaves them out
        ns = int(finer[1].ljust(3, "0")) if finer else 0
        return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1000 + ns

    def _at_home(self, when: dt.datetime) -> dt.datetime:
        """A time that names no zone, in the mapping's; clocks that are set forward or back make some of them unclear."""
        local = when.replace(tzinfo=self._zone)
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            raise RowFault("time", f"{when} is there twice or not at all in {self._zone}: clocks change", "a time with its offset, as 2025-11-21T04:40:00+01:00")  # fmt: skip
        return local

    def _instrument(self, values: Mapping[str, Any]) -> Instrument:
        venue, symbol = self._word("venue", values), self._word("symbol", values)
        base, quote = self._word("base", values), self._word("quote", values)
        key = (venue, symbol, base, quote)
        found = self._instruments.get(key)
        if found is None:
            found = self._instruments[key] = self._new_instrument(venue, symbol, base, quote)
        return found

    def _new_instrument(self, venue: str, symbol: str, base: str, quote: str) -> Instrument:
        if not venue.replace("_", "").isalnum() or venue != venue.lower() or len(venue) > 40:
            raise RowFault("venue", f"{venue[:60]!r} is not a venue", "a name such as binance_usdm")
        if not symbol or len(symbol) > 100:
            raise RowFault("symbol", "no symbol", "a text of 1 to 100 characters")
        coin, units = canonical_base(base) if base else _base_of(symbol, quote)
        kind = self._plan.market
        return Instrument(
            venue=venue, symbol=symbol, base=coin, quote=quote or "USDT", settle=quote or "USDT", kind=kind,
            base_units=units,
        )  # fmt: skip

    def _word(self, name: str, values: Mapping[str, Any]) -> str:
        spec = self._plan.columns.get(name)
        return str(values[spec.name] or "").strip() if spec is not None else str(getattr(self._plan, name, None) or "")

    def _number(self, name: str, values: Mapping[str, Any], expected: str) -> Decimal:
        """A number of the file, scaled, without binary rounding."""
        spec = self._plan.columns[name]
        value = values[spec.name]
        if isinstance(value, bool) or value is None or str(value).strip() == "":
            raise RowFault(name, "no value", expected)
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise RowFault(name, f"{str(value)[:60]!r} is not a number", expected) from None
        if not number.is_finite() or abs(number) > LARGEST:
            raise RowFault(name, f"{str(value)[:60]} is out of bounds", expected)
        factor = spec.scale * RATES.get(spec.unit, 1.0)
        return number if factor == 1 else number * Decimal(repr(factor))

    def _positive(self, name: str, values: Mapping[str, Any], what: str) -> Decimal:
        number = self._number(name, values, what)
        if number <= 0:
            raise RowFault(name, f"{number} is not above zero", what)
        return number

    def _candle(self, instrument: Instrument, ts_ns: int, values: Mapping[str, Any]) -> list[MarketEvent]:
        names = [name for name in PRICES if name in self._plan.columns]
        prices: dict[str, float] = {
            name: float(self._positive(name, values, "a price in quote money")) for name in names
        }
        high, low = prices.get("high", math.inf), prices.get("low", 0.0)
        for name, value in prices.items():
            if not low <= value <= high:
                raise RowFault(
                    name, f"{value:g} is outside of low {low:g} to high {high:g}", "low <= open, close <= high"
                )
        last = Price(instrument, self._plan.price, prices["close"], ts_ns, ts_ns)
        return [*self._within(instrument, ts_ns, prices), last]

    def _within(self, instrument: Instrument, ts_ns: int, prices: Mapping[str, float]) -> list[MarketEvent]:
        """Open, and low and high in the order that the candle suggests: the far end of a rise first."""
        plan = self._plan
        if plan.path == "close":
            return []
        rising = prices["close"] >= prices["open"]
        way = [prices["open"], *((prices["low"], prices["high"]) if rising else (prices["high"], prices["low"]))]
        times = [ts_ns - plan.interval + 1 + plan.interval * third // 3 for third in range(3)]
        return [Price(instrument, plan.price, value, at, at) for value, at in zip(way, times, strict=True)]

    def _funding(self, instrument: Instrument, ts_ns: int, values: Mapping[str, Any]) -> list[MarketEvent]:
        rate = float(self._number("rate", values, "a rate per interval"))
        if abs(rate) > 1:
            raise RowFault(
                "rate", f"{rate:g} as a fraction is more than 100 % per interval", "another unit: percent, bp?"
            )
        if "interval_h" in self._plan.columns:
            hours = float(self._positive("interval_h", values, "hours between payments"))
        else:
            hours = self._plan.interval_h or 0.0
        return [Funding(instrument, rate, hours, ts_ns, ts_ns)]

    def _interest(self, instrument: Instrument, ts_ns: int, values: Mapping[str, Any]) -> list[MarketEvent]:
        usd = float(self._usd(values))
        if usd < 0:
            raise RowFault(self._amount, f"{usd:g} is below zero", "US dollars, one side")
        return [OpenInterest(instrument, usd, ts_ns, ts_ns)]

    def _liquidation(self, instrument: Instrument, ts_ns: int, values: Mapping[str, Any]) -> list[MarketEvent]:
        usd = self._usd(values)
        if usd <= 0:
            raise RowFault(self._amount, f"{usd} is not above zero", "an amount")
        price = float(self._positive("price", values, "a price")) if "price" in self._plan.columns else math.nan
        word = self._word("side", values)
        words = self._plan.values.get("side", {"long": "long", "short": "short"})
        if word not in words:
            raise RowFault("side", f"{word[:60]!r} is no side", f"one of {', '.join(words)}")
        side: PositionSide = "long" if words[word] == "long" else "short"
        key = self._word("key", values)
        return [Liquidation(instrument, side, to_micros(usd), price, ts_ns, ts_ns, key)]

    @property
    def _amount(self) -> str:
        """The column that says how much."""
        return "usd" if "usd" in self._plan.columns else "quantity"

    def _usd(self, values: Mapping[str, Any]) -> Decimal:
        if "usd" in self._plan.columns:
            return self._number("usd", values, "US dollars")
        quantity = self._number("quantity", values, "a quantity of coins")
        return quantity * self._positive("price", values, "a price in US dollars")

    def _liveness(self, found: Outcome) -> list[tuple[int, Event]]:
        """Live from the first row to the last; where an interval is given, times at which no instrument has a row are lost."""
        events: list[tuple[int, Event]] = []
        by_venue: dict[str, set[int]] = {}
        for instrument, times in self._times.items():
            by_venue.setdefault(instrument.venue, set()).update(times)
            found.holes += self._holes(instrument, sorted(times))
        channel, step_ns = CHANNELS[self._plan.kind], self._plan.interval
        for venue, stamps in sorted(by_venue.items()):
            times = sorted(stamps)
            first_ns, last_ns = times[0] - step_ns, times[-1]
            events.append((first_ns, FeedState(venue, channel, up=True, ts_ns=first_ns, reason="imported")))
            for a, b in pairwise(times):
                if step_ns and b - a > step_ns:
                    events.append((b, FeedGap(venue, channel, a, b - step_ns, "not in the file")))
            events.append(
                (last_ns + 1, FeedState(venue, channel, up=False, ts_ns=last_ns + 1, reason="end of the file"))
            )
        return events

    def _holes(self, instrument: Instrument, times: Sequence[int]) -> list[str]:
        step_ns = self._plan.interval
        if not step_ns:
            return []
        holes = [(a, b) for a, b in pairwise(times) if b - a > step_ns]
        missing = sum((b - a) // step_ns - 1 for a, b in holes)
        if not missing:
            return []
        a, b = holes[0]
        return [f"{instrument.symbol}: {missing} rows missing, first between {_shown(a)} and {_shown(b)}"]


def _zone(spec: ColumnSpec, file: str) -> dt.tzinfo:
    try:
        return ZoneInfo(spec.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(
            [Problem(file, 0, 0, f"no time zone {spec.zone!r}", hint="as UTC or Europe/Berlin")]
        ) from None


def _unix(value: object, unit_ns: int) -> int:
    try:
        return int(Decimal(str(value).strip()) * unit_ns)
    except (InvalidOperation, ValueError, OverflowError):
        expected = "unix time as a number, or another unit: such as iso"
        raise RowFault("time", f"{str(value)[:60]!r} is not a unix time", expected) from None


def _base_of(symbol: str, quote: str) -> tuple[str, int]:
    """The coin of a symbol that ends in its quote currency."""
    plain = "".join(char for char in symbol.upper().partition("-SWAP")[0] if char.isalnum())
    ending = (quote or "USDT").upper()
    if not plain.endswith(ending) or plain == ending:
        raise RowFault(
            "symbol", f"cannot tell the coin of {symbol[:60]!r}", f"a symbol that ends in {ending}, or base:"
        )
    return canonical_base(plain.removesuffix(ending))


def _shown(ns: int) -> str:
    try:
        return dt.datetime.fromtimestamp(ns // NS_PER_S, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"


def first_few(problems: Sequence[Problem], bad: int) -> list[Problem]:
    """The problems with, if there are more, a last one that says how many rows have some."""
    if bad <= len(problems):
        return list(problems)
    last = problems[-1]
    return [*islice(problems, MAX_PROBLEMS), Problem(last.file, last.line, 0, f"and {bad - len(problems)} more rows")]
