"""The mapping file of an import: which column of a foreign table means what. Checked whole, each mistake with its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from monitor.config import read_text
from monitor.errors import ConfigError, Problem
from monitor.literals import LiteralProblem, parse_duration
from monitor.yamlsource import Document, load_yaml

Kind = Literal["candles", "funding", "open_interest", "liquidations"]
RATES = {"fraction": 1.0, "percent": 0.01, "bp": 0.0001}
UNITS: dict[str, tuple[str, ...]] = {"time": ("s", "ms", "us", "ns", "iso"), "rate": tuple(RATES)}
"""The columns that have a unit, which must be given."""

NEEDS: dict[Kind, tuple[tuple[str, ...], ...]] = {
    "candles": (("close",),),
    "funding": (("rate",),),
    "open_interest": (("usd",), ("quantity", "price")),
    "liquidations": (("side", "usd"), ("side", "quantity", "price")),
}
"""By kind, the sets of columns of which one must be there, besides ``time``."""
KNOWS: dict[Kind, frozenset[str]] = {
    "candles": frozenset({"close", "open", "high", "low"}),
    "funding": frozenset({"rate", "interval_h"}),
    "open_interest": frozenset({"usd", "quantity", "price"}),
    "liquidations": frozenset({"side", "usd", "quantity", "price", "key"}),
}
WHERE = frozenset({"time", "venue", "symbol", "base", "quote"})


def _duration(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("expected a duration such as 1h or 8h")  # noqa: TRY004  # pydantic reports ValueError only
    try:
        return parse_duration(value)
    except LiteralProblem as error:
        raise ValueError(str(error)) from None


def _one_word(value: str) -> str:
    if not value or len(value) > 100:
        raise ValueError("expected a text of 1 to 100 characters")
    return value


Word = Annotated[str, AfterValidator(_one_word)]
Duration = Annotated[int, BeforeValidator(_duration)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnSpec(_Model):
    """Where one value stands, and in what unit."""

    name: Word
    unit: str = Field(default="", description="time: s, ms, us, ns, iso; rate: fraction, percent, bp; else empty")
    zone: Word = Field(default="UTC", description="of ISO times that name none")
    scale: float = Field(default=1.0, gt=0, description="what one unit of the column is worth")


def _column(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


ColumnField = Annotated[ColumnSpec, BeforeValidator(_column)]


class Mapping(_Model):
    """A mapping file, checked.

    Attributes:
        interval: Nanoseconds between rows: tells where rows are missing, and how long a candle is.
        stamp: Whether the time of a candle is that of its open or its close.
        path: ``close``: a candle is its close. ``ohlc``: also open, low and high, in the order that the candle suggests.
        hold: The value stands until the next row, so many nanoseconds at most; 0: it goes stale as live values do.
    """

    version: Literal[1]
    kind: Kind
    venue: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")] | None = None
    symbol: Word | None = None
    base: Word | None = None
    quote: Word | None = None
    market: Literal["spot", "perp", "future", "option"] = "perp"
    price: Literal["last", "mark", "index", "mid"] = "last"
    interval: Duration = 0
    interval_h: float | None = Field(default=None, gt=0, le=24 * 31)
    stamp: Literal["open", "close"] = "open"
    path: Literal["close", "ohlc"] = "close"
    hold: Duration = 0
    columns: dict[str, ColumnField]
    values: dict[str, dict[str, str]] = Field(default_factory=dict)


Fault = tuple[tuple[str, ...], str]
"""A place in the file and what is wrong there."""


def faults(mapping: Mapping) -> Iterator[Fault]:
    """What is wrong with a mapping whose every key is well formed."""
    kind, columns = mapping.kind, mapping.columns
    known = KNOWS[kind] | WHERE
    for name in columns:
        if name not in known:
            yield ("columns", name), f"{kind} have no column {name!r}; known: {', '.join(sorted(known))}"
    if "time" not in columns:
        yield ("columns",), "time is missing"
    if not any(set(needed) <= columns.keys() for needed in NEEDS[kind]):
        yield ("columns",), f"{kind} need {' or '.join(' and '.join(names) for names in NEEDS[kind])}"
    for name in ("venue", "symbol"):
        if (getattr(mapping, name) is None) == (name not in columns):
            yield (name,), f"give {name} either as {name}: or as a column, one of the two"
    yield from _faults_of_kind(mapping)
    yield from _faults_of_units(mapping)


def _faults_of_kind(mapping: Mapping) -> Iterator[Fault]:
    if mapping.kind == "candles" and not mapping.interval:
        yield (), "candles need interval:"
    if mapping.kind == "funding" and mapping.interval_h is None and "interval_h" not in mapping.columns:
        yield (), "funding needs interval_h: (hours between payments), here or as a column"
    if mapping.path == "ohlc" and not {"open", "high", "low"} <= mapping.columns.keys():
        yield ("path",), "ohlc needs the columns open, high and low"


def _faults_of_units(mapping: Mapping) -> Iterator[Fault]:
    for name, column in mapping.columns.items():
        allowed = UNITS.get(name, ("",))
        if column.unit not in allowed:
            yield ("columns", name), f"unit {column.unit!r}; expected {', '.join(allowed) if any(allowed) else 'none'}"
    for name, words in mapping.values.items():
        if name != "side":
            yield ("values", name), f"only side is read by words, not {name!r}"
        for word, meaning in words.items():
            if meaning not in ("long", "short"):
                yield ("values", name, word), f"{meaning!r}; expected long or short, the side of the position"


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        ConfigError: With every mistake of the file.
    """
    document = load_yaml(read_text(path, "cannot read the mapping"), str(path))
    try:
        mapping = Mapping.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError([_problem(document, details) for details in error.errors()]) from None
    problems = [document.problem(place, words, key=place[:1] == ("columns",)) for place, words in faults(mapping)]
    if problems:
        raise ConfigError(problems)
    return mapping


def _problem(document: Document, details: Any) -> Problem:
    path = tuple(details["loc"])
    if details["type"] == "extra_forbidden":
        known = ", ".join(Mapping.model_fields) if len(path) == 1 else ", ".join(ColumnSpec.model_fields)
        return document.problem(path, f"unknown key {str(path[-1])!r}", hint=f"known keys: {known}", key=True)
    words = str(details["msg"]).removeprefix("Value error, ")
    return document.problem(path, f"{path[-1]}: {words}" if path else words)
