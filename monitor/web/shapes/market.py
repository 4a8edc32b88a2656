"""The market by coin, venue and window, worked out of the tables of last values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import median

import numpy as np

from monitor.feeds import FEEDS, feed_class
from monitor.telemetry.views.market import MarketView, Table, WindowTotal
from monitor.web.shapes.values import Json


def asset_bodies(market: MarketView, limit: int) -> list[Json]:
    """One row per base, largest open interest first: price, funding weighted by open interest, and per venue."""
    prices = _median_prices(market)
    interest = dict(_present(market.open_interest_usd))
    totals: dict[str, float] = defaultdict(float)
    for (_, _, base), usd in interest.items():
        totals[base] += usd
    weighted: dict[str, list[tuple[float, float]]] = defaultdict(list)
    by_venue: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for key, rate in _present(market.funding_8h_ratio):
        venue, _, base = key
        pair = (rate, interest.get(key, 0.0))
        weighted[base].append(pair)
        by_venue[base, venue].append(pair)
    venues: dict[str, dict[str, float | None]] = defaultdict(dict)
    for (base, venue), pairs in by_venue.items():
        venues[base][venue] = _weighted_mean(pairs)
    order = sorted({*prices, *totals}, key=lambda base: (-totals.get(base, 0.0), base))
    return [
        {
            "base": base,
            "price_usd": prices.get(base),
            "open_interest_usd": totals.get(base),
            "funding_8h": _weighted_mean(weighted.get(base, [])),
            "funding_by_venue": venues.get(base, {}),
        }
        for base in order[:limit]
    ]


def _median_prices(market: MarketView) -> Mapping[str, float]:
    """The median mark price of each base over venues, else the median of its last prices."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (_, _, base, kind), value in _present(market.price_usd):
        found[base][kind].append(value)
    return {
        base: median(kinds.get("mark") or kinds.get("last") or next(iter(kinds.values())))
        for base, kinds in found.items()
    }


def _weighted_mean(pairs: Sequence[tuple[float, float]]) -> float | None:
    weight = sum(weight for _, weight in pairs)
    return sum(rate * weight for rate, weight in pairs) / weight if weight else None


def depth_bodies(market: MarketView, limit: int) -> list[Json]:
    """One row per base, deepest first: both sides of the books within 1 % of mid, the median spread, and by venue."""
    sides: dict[str, dict[str, float]] = defaultdict(lambda: {"bid": 0.0, "ask": 0.0})
    venues: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (venue, _, base, side), usd in _present(market.depth_usd):
        sides[base][side] += usd
        venues[base][venue] += usd
    spreads: dict[str, list[float]] = defaultdict(list)
    for (_, _, base), ratio in _present(market.spread_ratio):
        spreads[base].append(ratio)
    order = sorted(sides, key=lambda base: (-sum(sides[base].values()), base))
    return [
        {
            "base": base,
            "bid_usd": sides[base]["bid"],
            "ask_usd": sides[base]["ask"],
            "spread": median(spreads[base]) if base in spreads else None,
            "by_venue": dict(venues[base]),
        }
        for base in order[:limit]
    ]


def _present(table: Table) -> list[tuple[tuple[str, ...], float]]:
    values = np.asarray(table.values, dtype=np.float64).tolist()
    return [(key, value) for key, value in zip(table.keys, values, strict=False) if value == value]  # noqa: PLR0124 - NaN


def window_bodies(totals: Sequence[WindowTotal], limit: int) -> list[Json]:
    """One entry per window: both sides in all, by venue, and the `limit` largest bases."""
    windows: dict[str, Json] = {}
    for total in totals:
        window = windows.setdefault(total.window, {"window": total.window, "venues": {}, "bases": {}})
        kind, name = ("venues", total.venue) if total.venue else ("bases", total.base)
        row = window[kind].setdefault(name, _window_row(total, name))
        row[f"{total.side}_usd"] += total.usd_micros / 1e6
        row["count"] += total.count
    return [_window_body(window, limit) for window in windows.values()]


def _window_row(total: WindowTotal, name: str) -> Json:
    return {
        "name": name,
        "title": venue_title(name) if total.venue else name,
        "long_usd": 0.0,
        "short_usd": 0.0,
        "count": 0,
        "coverage": total.coverage_ratio,
    }


def _window_body(window: Json, limit: int) -> Json:
    venues = list(window["venues"].values())
    bases = sorted(window["bases"].values(), key=lambda row: -(row["long_usd"] + row["short_usd"]))
    known = [row["coverage"] for row in venues if row["coverage"] == row["coverage"]]
    return {
        "window": window["window"],
        "long_usd": sum(row["long_usd"] for row in venues),
        "short_usd": sum(row["short_usd"] for row in venues),
        "count": sum(row["count"] for row in venues),
        "coverage": sum(known) / len(known) if known else None,
        "venues": venues,
        "bases": bases[:limit],
    }


@cache
def venue_title(venue: str) -> str:
    """A venue's name for people; one venue's stream may tell of another that is not configured."""
    return feed_class(venue).spec.title if venue in FEEDS else venue
