"""Skew and volatility against worked numbers and against scipy."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.stats import norm

from monitor.derived.options import DAY_NS, YEAR_NS, Quote, delta, parse_name, smile, surface

NOW = int(datetime(2025, 11, 21, 8, tzinfo=UTC).timestamp()) * 10**9


def test_names() -> None:
    expiry = int(datetime(2025, 12, 26, 8, tzinfo=UTC).timestamp()) * 10**9
    assert parse_name("BTC-26DEC25-80000-P") == (expiry, 80_000.0, "put")
    assert parse_name("XRP_USDC-26DEC25-2d5-C") == (expiry, 2.5, "call")
    for other in ("BTC-PERPETUAL", "BTC-26DEC25", "BTC-31FEB26-1-C", "BTC-26XXX25-80000-P", ""):
        assert parse_name(other) is None


def test_the_worked_delta() -> None:
    assert delta("put", 84_000, 76_000, 30 / 365, 52.0) == pytest.approx(-0.2279, abs=1e-4)


def chain(days: int, put_iv: float, call_iv: float, forward: float = 84_000.0) -> list[Quote]:
    """Options whose volatility is flat on each side, at strikes of 2 % steps."""
    expiry = NOW + days * DAY_NS
    puts = [Quote(expiry, forward * (1 - 0.02 * n), "put", put_iv, forward) for n in range(15)]
    return puts + [Quote(expiry, forward * (1 + 0.02 * n), "call", call_iv, forward) for n in range(15)]


def test_the_worked_skew_is_eight_and_a_half_points() -> None:
    found = smile(chain(30, 51.5, 43.0), NOW)
    assert found is not None
    assert (found.put_iv, found.call_iv) == (51.5, 43.0)
    point = surface(chain(20, 51.5, 43.0) + chain(40, 51.5, 43.0), NOW, [30])[30]
    assert point.skew_25d == pytest.approx(8.5)


def test_a_curved_smile_against_scipy() -> None:
    forward, days = 84_000.0, 35
    years = days * DAY_NS / YEAR_NS
    strikes = forward * np.exp(np.linspace(-0.4, 0.4, 41))
    ivs = 45 + 60 * np.log(strikes / forward) ** 2 - 12 * np.log(strikes / forward)
    quotes = [
        Quote(NOW + days * DAY_NS, k, "put" if k <= forward else "call", iv, forward)
        for k, iv in zip(strikes.tolist(), ivs.tolist(), strict=True)
    ]
    found = smile(quotes, NOW)
    d1 = (np.log(forward / strikes) + (ivs / 100) ** 2 * years / 2) / (ivs / 100 * math.sqrt(years))
    calls, puts = norm.cdf(d1), 1 - norm.cdf(d1)
    out = strikes <= forward
    assert found is not None
    assert found.put_iv == pytest.approx(float(interp1d(puts[out], ivs[out])(0.25)))
    assert found.call_iv == pytest.approx(float(interp1d(calls[~out], ivs[~out])(0.25)))
    assert found.atm_iv == pytest.approx(45, abs=0.5)


def test_tenors_are_linear_in_total_variance_and_never_extrapolated() -> None:
    quotes = chain(20, 60, 60) + chain(40, 50, 50)
    points = surface(quotes, NOW, [7, 30, 90])
    assert list(points) == [30]
    variance = np.interp(30, [20, 40], [60**2 * 20, 50**2 * 40])
    assert points[30].atm_iv == pytest.approx(math.sqrt(variance / 30))


def test_thin_near_or_broken_chains_say_nothing() -> None:
    assert smile(chain(1, 50, 50), NOW) is None
    assert smile(chain(30, 50, 50)[:3], NOW) is None
    broken = [Quote(NOW + 30 * DAY_NS, 84_000, "put", iv, f) for iv in (0.0, math.nan, 1e9) for f in (84_000, 0.0)]
    assert smile(broken, NOW) is None
    few_wings = [q for q in chain(30, 50, 50) if abs(q.strike / q.forward - 1) < 0.07]
    found = smile(few_wings, NOW)
    assert found is not None
    assert found.put_iv is None
