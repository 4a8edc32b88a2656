"""Numbers as people read them: ``1.04B``, ``4m12s``, ``-3.2%``. Pure functions, shared by templates, pages and logs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from monitor.clock import NS_PER_MS, NS_PER_S

MISSING = "n/a"
"""What stands for a number that is not there: missing is never shown as zero."""

_MOST_DIGITS = 6
"""More are noise of the calculation."""
_NAMED = {"USD": " USD", "price": " USD", "vol points": " vol points"}
_BARS = "▁▂▃▄▅▆▇█"
_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_DURATION_UNITS = (
    ("d", 86_400 * NS_PER_S),
    ("h", 3_600 * NS_PER_S),
    ("m", 60 * NS_PER_S),
    ("s", NS_PER_S),
    ("ms", NS_PER_MS),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TIME_S = 253_402_300_799


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _significant(value: float, digits: int = 3) -> str:
    """Format with ``digits`` significant digits, without exponent and without trailing zeros."""
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def num(value: float | None, digits: int = 3) -> str:
    """A plain number to three significant digits with a magnitude letter: ``412k``, ``0.034``."""
    if not _known(value):
        return MISSING
    assert value is not None
    for scale, letter in _SCALES:
        if abs(value) >= scale * (1 - 0.5 * 10**-digits):
            return _significant(value / scale, digits) + letter
    return _significant(value, digits)


def usd(value: float | None) -> str:
    """US dollars, short: ``1.04B``, ``-35M``, ``820``."""
    return num(value)


def pct(value: float | None, digits: int = 3) -> str:
    """A ratio as percent: 0.0312 is ``3.12%``."""
    return _significant(value * 100, digits) + "%" if value is not None and _known(value) else MISSING


def sparkline(values: Sequence[float]) -> str:
    """A row of numbers as a row of bars, the lowest and the highest at its ends; empty without numbers.

    >>> sparkline([1.0, 2.0, 8.0])
    '▁▂█'
    """
    low, high = min(values, default=0.0), max(values, default=0.0)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in values)


def bp(value: float | None, digits: int = 3) -> str:
    """A ratio as basis points: 0.0025 is ``25bp``."""
    return _significant(value * 10_000, digits) + "bp" if value is not None and _known(value) else MISSING


def share(value: float | None) -> str:
    """A share as percent, rounded down so that it never claims more: 0.998 is ``99.8%``, 0.947 is ``94%``."""
    if value is None or not _known(value):
        return MISSING
    if value >= 1:
        return f"{round(value * 100)}%"
    return f"{math.floor(value * 1000) / 10:.1f}%" if value > 0.99 else f"{math.floor(value * 100)}%"


def _signed(percent: float, places: int) -> str:
    """Percent with its sign; what rounds to nothing has none."""
    text = f"{percent:+.{places}f}%"
    return text[1:] if float(text[:-1]) == 0 else text


def rate(value: float | None) -> str:
    """A funding rate with its sign and four places: ``-0.0081%``."""
    if value is None or not _known(value):
        return MISSING
    return _signed(value * 100, 4)


def move(value: float | None) -> str:
    """A move of the market with its sign and two places: ``-3.42%``."""
    if value is None or not _known(value):
        return MISSING
    return _signed(value * 100, 2)


def in_unit(value: float | None, unit: str, digits: int = 3) -> str:
    """A value in the unit that its rule has, without the unit's name; a duration is in nanoseconds, as in rules."""
    match unit:
        case "ratio":
            return pct(value, digits)
        case "price":
            return price(value, digits - 1)
        case "duration":
            return _seconds(value, digits)
        case _:
            return num(value, digits)


def _seconds(value: float | None, digits: int) -> str:
    """A duration with parts of seconds while they tell: ``1.4s``, but ``4m12s``."""
    if value is not None and NS_PER_S <= value < 60 * NS_PER_S:
        return f"{num(value / NS_PER_S, digits)}s"
    return duration(value)


def amount(value: float | None, unit: str) -> str:
    """A value with the name of what it counts: ``1.04B USD``, ``82,010.50 USD``, ``-3.2%``, ``7.55 vol points``."""
    text = in_unit(value, unit)
    return text if text == MISSING else text + _NAMED.get(unit, "")


def digits_apart(value: float | None, other: float | None, write: Callable[[float | None, int], str]) -> int:
    """How many significant digits it takes, from three on, that two numbers do not read the same; three where none help."""
    return next((n for n in range(3, _MOST_DIGITS + 1) if write(value, n) != write(other, n)), 3)


def pair(value: float | None, threshold: float | None, unit: str) -> tuple[str, str]:
    """A value and its threshold, with as many digits as it takes to tell them apart: ``-30.04%`` and ``-30%``."""
    digits = digits_apart(value, threshold, lambda number, digits: in_unit(number, unit, digits))
    return in_unit(value, unit, digits), in_unit(threshold, unit, digits)


def amount_apart(value: float | None, threshold: float | None, unit: str) -> str:
    """As `amount`, with as many digits as it takes to tell the value from its threshold: ``10.01M USD`` beside 10M."""
    if threshold is None or not _known(threshold):
        return amount(value, unit)
    text = pair(value, threshold, unit)[0]
    return text if text == MISSING else text + _NAMED.get(unit, "")


def against(value: float | None, threshold: float | None, unit: str, *, lower_bound: bool = False) -> str:
    """A reading in a line: ``1.04B against 1B USD``, ``≥ 1.04B against 1B USD`` where more may be missing."""
    bound = "≥ " if lower_bound else ""
    if threshold is None or not _known(threshold):
        return bound + amount(value, unit)
    first, second = pair(value, threshold, unit)
    return f"{bound}{first} against {second}{_NAMED.get(unit, '')}"


def price(value: float | None, places: int = 2) -> str:
    """A price with thousands separators: ``82,010.50`` above 1, five significant digits below."""
    if value is None or not _known(value):
        return MISSING
    return f"{value:,.{places}f}" if abs(value) >= 1 else _significant(value, places + 3)


def duration(value_ns: float | None) -> str:
    """A time span given in nanoseconds, its two largest units: ``4m12s``, ``8h``, ``1d2h``, ``250ms``."""
    if value_ns is None or not _known(value_ns):
        return MISSING
    left, parts = round(abs(value_ns)), list[str]()
    for name, size in _DURATION_UNITS:
        count, left = divmod(left, size)
        if count and (name != "ms" or not parts):
            parts.append(f"{count}{name}")
        if len(parts) == 2:
            break
    return ("-" if value_ns < 0 and parts else "") + ("".join(parts) or "0s")


def utc_time(value_ns: float | None) -> str:
    """A unix time in nanoseconds as ``2025-11-21 04:35:21Z``."""
    if value_ns is None or not _known(value_ns) or not 0 <= value_ns / 1e9 <= _MAX_TIME_S:
        return MISSING
    return (_EPOCH + timedelta(seconds=int(value_ns) // NS_PER_S)).strftime("%Y-%m-%d %H:%M:%SZ")


def printable(text: str) -> str:
    r"""Words of others for a terminal: what would move its cursor or change its colours is shown as an escape.

    >>> printable("BTC\x1b[2J")
    'BTC\\x1b[2J'
    """
    return text if text.isprintable() else "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
