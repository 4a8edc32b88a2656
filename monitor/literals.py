"""Numbers, durations and times as traders write them: ``1B 600M 20k 35% 25bp 1e9``, ``8h 1h30m 365d 250ms``, ``2025-11-21T04:40``.

The same in rules, configuration, API and command line; each says where the text stands that is none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

from monitor.series import Unit

NUMBER_SUFFIXES = {"k": 3, "M": 6, "B": 9, "T": 12}
RATIO_SUFFIXES = {"%": -2, "bp": -4, "bps": -4}
DURATION_NS = {
    "w": 7 * 86_400 * 10**9,
    "d": 86_400 * 10**9,
    "h": 3_600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
}
MAX_DURATION_NS = 100 * 366 * DURATION_NS["d"]
DURATION_PATTERN = r"(?:(?:\d+\.?\d*|\.\d+)(?:ms|[wdhms]))+"
_SUFFIX_HINT = "numbers end in k, M, B, T, %, bp or nothing; durations are written like 30s, 5m, 1h30m, 7d"

_NUMBER = re.compile(r"(?P<digits>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)(?P<suffix>[A-Za-z_%]\w*%?|)", re.ASCII)
_DURATION = re.compile(DURATION_PATTERN, re.ASCII)
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ms|[wdhms])", re.ASCII)
_UNIX_SECONDS = re.compile(r"([0-8]?[0-9]{1,9})(?:\.([0-9]{1,9}))?", re.ASCII)
"""So that nanoseconds fit into 64 bits."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_YEAR = 2199
MAX_LENGTH = 60


class LiteralProblem(ValueError):
    """A literal is not one; ``hint`` says what would be."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)

    @property
    def words(self) -> str:
        """Both in one line."""
        return f"{self}; {self.hint}" if self.hint else str(self)


def parse_literal(text: str) -> tuple[float, Unit]:
    """Value and unit of an unsigned literal.

    ``1B`` is (1e9, ANY), ``35%`` is (0.35, RATIO), ``8h`` is (nanoseconds, DURATION).

    Raises:
        LiteralProblem: It is none.
    """
    if len(text) > MAX_LENGTH:
        raise LiteralProblem(f"a number of more than {MAX_LENGTH} characters")
    if _DURATION.fullmatch(text):
        return float(_duration_ns(text)), Unit.DURATION
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise LiteralProblem(f"{text!r} is not a number", _SUFFIX_HINT)
    suffix = match["suffix"]
    if suffix in RATIO_SUFFIXES:
        return _scaled(match["digits"], RATIO_SUFFIXES[suffix]), Unit.RATIO
    if suffix and suffix not in NUMBER_SUFFIXES:
        raise LiteralProblem(f"unknown suffix {suffix!r} in {text!r}", _suffix_hint(match["digits"], suffix))
    return _scaled(match["digits"], NUMBER_SUFFIXES.get(suffix, 0)), Unit.ANY


def parse_duration(text: str) -> int:
    """Nanoseconds of ``1h30m``.

    Raises:
        LiteralProblem: It is no duration, is zero or negative, or is longer than a century.
    """
    if len(text) > MAX_LENGTH or not _DURATION.fullmatch(text):
        raise LiteralProblem(f"{text[:MAX_LENGTH]!r} is not a duration", "write 30s, 5m, 1h30m, 7d")
    return _duration_ns(text)


def _duration_ns(text: str) -> int:
    total = sum(Decimal(digits) * DURATION_NS[unit] for digits, unit in _DURATION_PART.findall(text))
    if total > MAX_DURATION_NS:
        raise LiteralProblem(f"the duration {text!r} is longer than a century")
    return int(total)


def parse_time(text: str) -> int:
    """Unix nanoseconds of unix seconds, or of an ISO 8601 time, in UTC where it names no zone.

    Raises:
        LiteralProblem: It is neither, or not between 1970 and `LAST_YEAR`.
    """
    if match := _UNIX_SECONDS.fullmatch(text):
        return int(match[1]) * 10**9 + int((match[2] or "").ljust(9, "0"))
    try:
        return moment_ns(datetime.fromisoformat(text))
    except LiteralProblem:
        raise
    except ValueError:
        hint = "write unix seconds or ISO 8601, such as 2025-11-21T07:00:00Z"
        raise LiteralProblem(f"{text[:MAX_LENGTH]!r} is not a time", hint) from None


def moment_ns(moment: datetime) -> int:
    """Unix nanoseconds, in UTC where it names no zone; 0 for the first hours of 1970 east of Greenwich.

    Raises:
        LiteralProblem: It is not between 1970 and `LAST_YEAR`.
    """
    if not 1970 <= moment.year <= LAST_YEAR:
        raise LiteralProblem(f"the year {moment.year} is not between 1970 and {LAST_YEAR}")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, (aware - _EPOCH) // timedelta(microseconds=1) * 1000)


def _scaled(digits: str, exponent: int) -> float:
    value = float(_shift(Decimal(digits), exponent))
    if value in (float("inf"), float("-inf")):
        raise LiteralProblem(f"{digits!r} is too large")
    return value


def _shift(value: Decimal, exponent: int) -> Decimal:
    with localcontext() as context:
        context.prec = 400
        return value.scaleb(exponent)


def _suffix_hint(digits: str, suffix: str) -> str:
    by_lower = {known.lower(): known for known in (*NUMBER_SUFFIXES, *RATIO_SUFFIXES)}
    by_lower |= {"pct": "%", "percent": "%", "mm": "M", "mn": "M", "bn": "B", "tn": "T", "bips": "bp"}
    known = by_lower.get(suffix.lower())
    return f"did you mean {digits}{known}?" if known else _SUFFIX_HINT


def literal_text(value: float, unit: Unit) -> str:
    """The shortest literal that reads back as exactly this value and unit."""
    sign = "-" if value < 0 else ""
    if unit is Unit.DURATION:
        return sign + duration_text(round(abs(value)))
    if unit is Unit.RATIO:
        return sign + _plain(_shift(Decimal(repr(abs(value))), 2)) + "%"
    return sign + _magnitude(abs(value))


def _magnitude(value: float) -> str:
    for suffix, exponent in reversed(NUMBER_SUFFIXES.items()):
        if value >= 10**exponent and len(text := _plain(_shift(Decimal(repr(value)), -exponent))) <= 6:
            return text + suffix
    return _plain(Decimal(repr(value)))


def _plain(value: Decimal) -> str:
    text = f"{value.normalize():f}" if value else "0"
    return text if len(text) <= 24 else f"{value.normalize():e}".replace("e+", "e")


def duration_text(value_ns: int) -> str:
    """The literal of a duration, largest units first: 5400 s is ``1h30m``, a day is ``24h``."""
    text, left = "", value_ns
    for unit, size in DURATION_NS.items():
        if unit == "w" or (unit == "d" and value_ns <= 3 * size and value_ns % DURATION_NS["h"] == 0):
            continue  # traders say 24h, 48h and 14d
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    if left:
        text += _plain(Decimal(left) / DURATION_NS["ms"]) + "ms"
    return text or "0s"
