"""At-the-money volatility and 25-delta skew from a list of options. Pure.

Deltas are forward deltas of Black's model with r = 0; the venue's own may differ slightly for coin-settled premiums.
Per expiry only out-of-the-money options count; volatility is interpolated in delta within an expiry, and between
expiries in total variance (sigma squared times T). Nothing is extrapolated: where a side does not reach its delta,
or a tenor lies outside the listed expiries, there is no number.
"""

from __future__ import annotations

import calendar
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log, sqrt
from statistics import NormalDist
from typing import Literal

from monitor.clock import NS_PER_S

YEAR_NS = 31_536_000 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S
LEAST_EXPIRY_NS = 2 * DAY_NS
LEAST_STRIKES = 4
EXPIRY_HOUR = 8
WING = 0.25

OptionType = Literal["call", "put"]

_NORMAL = NormalDist()
_NAME = re.compile(r"[A-Z_]+-(\d{1,2})([A-Z]{3})(\d{2})-(\d+(?:d\d+)?)-([CP])")
_MONTHS = {name.upper(): n for n, name in enumerate(calendar.month_abbr[1:], start=1)}


@dataclass(frozen=True, slots=True)
class Quote:
    """One option: expiry in unix nanoseconds, implied volatility in vol points, the expiry's forward price."""

    expiry_ns: int
    strike: float
    option_type: OptionType
    iv_points: float
    forward: float


@dataclass(frozen=True, slots=True)
class Smile:
    """One expiry: volatilities in vol points at the money and at the two wings; a wing may be missing."""

    expiry_ns: int
    atm_iv: float
    put_iv: float | None
    call_iv: float | None


@dataclass(frozen=True, slots=True)
class SurfacePoint:
    """One tenor. ``skew_25d`` is put less call: positive means that puts are dearer."""

    atm_iv: float
    skew_25d: float | None


def parse_name(name: str) -> tuple[int, float, OptionType] | None:
    """Expiry, strike and type out of a name like ``BTC-26DEC25-80000-P``; None for any other form.

    >>> parse_name("BTC-26DEC25-80000-P")
    (1766736000000000000, 80000.0, 'put')
    """
    match = _NAME.fullmatch(name)
    if match is None or match[2] not in _MONTHS:
        return None
    try:
        expiry = datetime(2000 + int(match[3]), _MONTHS[match[2]], int(match[1]), EXPIRY_HOUR, tzinfo=UTC)
    except ValueError:
        return None
    kind: OptionType = "call" if match[5] == "C" else "put"
    return int(expiry.timestamp()) * NS_PER_S, float(match[4].replace("d", ".")), kind


def delta(option_type: OptionType, forward: float, strike: float, years: float, iv_points: float) -> float:
    """Forward delta of an option: 0..1 for a call, -1..0 for a put."""
    spread = iv_points / 100 * sqrt(years)
    d1 = (log(forward / strike) + spread * spread / 2) / spread
    call = _NORMAL.cdf(d1)
    return call if option_type == "call" else call - 1


def smile(quotes: Sequence[Quote], now_ns: int) -> Smile | None:
    """The smile of one expiry; None if it is too near, or too thin to say."""
    expiry_ns = quotes[0].expiry_ns
    years = (expiry_ns - now_ns) / YEAR_NS
    if expiry_ns - now_ns < LEAST_EXPIRY_NS:
        return None
    sides: dict[OptionType, list[tuple[float, float]]] = {"put": [], "call": []}
    for quote in quotes:
        if _usable(quote):
            size = abs(delta(quote.option_type, quote.forward, quote.strike, years, quote.iv_points))
            sides[quote.option_type].append((size, quote.iv_points))
    if min(len(side) for side in sides.values()) < LEAST_STRIKES:
        return None
    atm = _interpolate([(1 - size, iv) for size, iv in sides["put"]] + sides["call"], 0.5)
    if atm is None:
        return None
    return Smile(expiry_ns, atm, _interpolate(sides["put"], WING), _interpolate(sides["call"], WING))


def surface(quotes: Iterable[Quote], now_ns: int, tenors_d: Sequence[int]) -> dict[int, SurfacePoint]:
    """Volatility and skew per tenor in days, from all options of one coin. Tenors outside the expiries are left out."""
    by_expiry: dict[int, list[Quote]] = {}
    for quote in quotes:
        by_expiry.setdefault(quote.expiry_ns, []).append(quote)
    smiles = [found for _, rows in sorted(by_expiry.items()) if (found := smile(rows, now_ns)) is not None]
    points = {}
    for tenor_d in tenors_d:
        atm = _at_tenor({row.expiry_ns: row.atm_iv for row in smiles}, now_ns, tenor_d)
        if atm is not None:
            put = _at_tenor({row.expiry_ns: row.put_iv for row in smiles if row.put_iv}, now_ns, tenor_d)
            call = _at_tenor({row.expiry_ns: row.call_iv for row in smiles if row.call_iv}, now_ns, tenor_d)
            points[tenor_d] = SurfacePoint(atm, None if put is None or call is None else put - call)
    return points


def _usable(quote: Quote) -> bool:
    """Whether an option is out of the money and its numbers are of this world."""
    if not (0.1 <= quote.iv_points <= 1000 and quote.strike > 0 and 1e-3 < quote.forward / quote.strike < 1e3):
        return False
    return quote.strike <= quote.forward if quote.option_type == "put" else quote.strike >= quote.forward


def _interpolate(points: Iterable[tuple[float, float]], at: float) -> float | None:
    ordered = sorted(points)
    for (x0, y0), (x1, y1) in itertools.pairwise(ordered):
        if x0 <= at <= x1:
            return y0 if x1 == x0 else y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return None


def _at_tenor(iv_by_expiry: Mapping[int, float], now_ns: int, tenor_d: int) -> float | None:
    """Volatility of a tenor: linear in total variance between the expiries around it."""
    variances = [((expiry - now_ns) / YEAR_NS, iv) for expiry, iv in iv_by_expiry.items()]
    years = tenor_d * DAY_NS / YEAR_NS
    variance = _interpolate([(t, iv * iv * t) for t, iv in variances], years)
    return None if variance is None else sqrt(variance / years)
