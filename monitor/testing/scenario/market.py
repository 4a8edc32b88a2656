"""The seeded market: what every venue says, second by second, through the sell-off. Pure, deterministic, **synthetic**."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor, log10
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.events import (
    Channel,
    Depth,
    Funding,
    Liquidation,
    MarketEvent,
    OpenInterest,
    PositionSide,
    Price,
    PriceKind,
    TakerSide,
    Trade,
)
from monitor.instruments import Instrument, to_micros
from monitor.testing.scenario import slow, timeline
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS, MINUTE_NS, Curve, Floats, at, bridge
from monitor.testing.scenario.listings import INSTRUMENTS

RESOLUTIONS_S = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
"""The steps that a scenario can be thinned to; each divides a minute."""

Ints = npt.NDArray[np.int64]
EARLIEST_NS = timeline.BTC_PRICE.times_ns[0]
"""Nothing is said of the time before."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An instrument in the scenario: its share of the market and how its venue rounds.

    ``share`` is its part of the coin's total over all venues that take part; ``usd_scale`` times price steps times
    quantity steps is US dollars; ``offset_ms`` keeps the instruments from all ticking in the same millisecond.
    """

    instrument: Instrument
    share: float
    basis: float
    price_decimals: int
    quantity_decimals: int
    usd_scale: Decimal
    offset_ms: int

    def price_steps(self, price: float) -> int:
        """A price as a whole number of the venue's steps."""
        return max(1, round(price * float(10**self.price_decimals)))

    def fill(self, usd: float, price: float) -> tuple[int, float]:
        """The nearest tradable quantity to `usd` at `price`: its exact value in micro-dollars, and the rounded price."""
        steps = self.price_steps(price)
        rounded = float(steps / 10**self.price_decimals)
        inverse = self.instrument.form == "inverse"
        unit = float(self.instrument.contract_value) * (1.0 if inverse else rounded)
        lots = max(1, round(usd / unit * 10**self.quantity_decimals))
        return to_micros(Decimal(lots if inverse else lots * steps) * self.usd_scale), rounded


def quantity_of(event: Liquidation | Trade) -> Decimal:
    """The venue's own quantity (coins or contracts) behind an event of the scenario, exactly."""
    instrument = event.instrument
    price = Decimal(1) if instrument.form == "inverse" else Decimal(repr(event.price))
    quantity = Decimal(event.usd_micros) / 1_000_000 / (price * instrument.contract_value)
    return quantity.quantize(Decimal(1).scaleb(-_quantity_decimals(instrument)))


def resolution_for(speed: float, frames_per_s: float = 2_000.0, instruments: int = len(INSTRUMENTS)) -> int:
    """The finest ``resolution_s`` at which a demo at `speed` stays below `frames_per_s` (liquidations not counted)."""
    for step in RESOLUTIONS_S:
        per_market_s = instruments * (1 / step + 4 / background_s(step) + 2 / 60)
        if per_market_s * speed <= frames_per_s:
            return step
    return RESOLUTIONS_S[-1]


def background_s(resolution_s: int) -> int:
    """Market seconds between an instrument's last and index prices, depths and trades."""
    return 20 if resolution_s <= 20 and 20 % resolution_s == 0 else 30


def _price_decimals(price: float) -> int:
    return max(0, 5 - floor(log10(price)))


def _quantity_decimals(instrument: Instrument) -> int:
    """So many that one step is worth some 0.2 to 2 dollars at the start; whole contracts where one is a sum of money."""
    if instrument.form == "inverse":
        return 0
    coins = instrument.base_units * float(instrument.contract_value)
    return max(0, ceil(log10(timeline.PRICE_AT_START[instrument.base] * coins / 2)))


class Scenario:
    """The market from `START_NS` to `END_NS`, for any instruments of known coins. Everything in it is synthetic.

    The same seed, instruments and resolution give the same events, however the time is cut into chunks.

    Args:
        seed: Any non-negative integer.
        instruments: Spot, perpetual and dated instruments whose base is in ``timeline.PRICE_AT_START``.
        resolution_s: Market seconds between mark prices of an instrument; one of `RESOLUTIONS_S`. A sampled venue then
            reports one liquidation per symbol and so many seconds. Sums in US dollars do not depend on it. Coarser than
            a feed's staleness limit for prices makes readings unknown, rightly.

    Raises:
        ValueError: An unknown coin, an option, or another resolution.
    """

    start_ns = timeline.START_NS
    end_ns = timeline.END_NS

    def __init__(
        self, seed: int = 7, instruments: Sequence[Instrument] = tuple(INSTRUMENTS), resolution_s: int = 1
    ) -> None:
        if resolution_s not in RESOLUTIONS_S:
            raise ValueError(f"resolution_s must be one of {RESOLUTIONS_S}, not {resolution_s}")
        self.seed = seed
        self.instruments = tuple(instruments)
        self.resolution_s = resolution_s
        self.paths = MarketPaths(seed)
        self._listed = _list(self.instruments)
        self._derivatives = [row for row in self._listed if row.instrument.kind != "spot"]
        self._by_instrument = {row.instrument: row for row in self._listed}
        self._liquidated = _liquidation_weights(self._derivatives)
        self._large = self._large_orders()
        self._block: tuple[int, list[MarketEvent], list[int]] = (-1, [], [])

    def events(self, from_ns: int, to_ns: int) -> Iterator[MarketEvent]:
        """All events with ``from_ns <= ts_ns < to_ns``, in time order."""
        first = (max(from_ns, self.start_ns) - self.start_ns) // MINUTE_NS
        last = (min(to_ns, self.end_ns) - 1 - self.start_ns) // MINUTE_NS
        for minute in range(first, last + 1):
            events, times = self._minute(minute)
            yield from events[bisect_left(times, from_ns) : bisect_left(times, to_ns)]

    def history(self, days: int = 60, until_ns: int | None = None) -> Iterator[MarketEvent]:
        """Hourly open interest and prices of the derivatives before the start (or `until_ns`), as backfill, in time order.

        What a monitor that had run since October would remember; a demo starts with it, so that windows of a month
        have something to look back on. Open interest falls from its October peak to the scenario's first value.
        """
        yield from self.past(self.start_ns - days * 24 * HOUR_NS, until_ns or self.start_ns, HOUR_NS)

    def past(self, from_ns: int, to_ns: int, step_ns: int) -> Iterator[MarketEvent]:
        """As `history`, at every `step_ns` of ``from_ns <= ts_ns < to_ns``."""
        for ts_ns in range(-(-from_ns // step_ns) * step_ns, to_ns, step_ns):
            for row in self._derivatives:
                usd = self._interest_then(row, ts_ns)
                yield OpenInterest(row.instrument, usd, ts_ns, ts_ns, backfill=True)
                yield Price(row.instrument, "mark", self._price_then(row, ts_ns), ts_ns, ts_ns, backfill=True)

    def calm_hour(self, ts_ns: int) -> Iterator[MarketEvent]:
        """What every instrument says at the end of an hour outside the scenario, its trades and liquidations in one.

        For a month by the hour, before noise of venues; liquidations are `timeline.CALM_LIQUIDATIONS_USD` over all.
        """
        for row in self._listed:
            instrument, price = row.instrument, self._price_then(row, ts_ns)
            if instrument.kind == "spot":
                yield Price(instrument, "last", price, ts_ns, ts_ns)
            else:
                yield Price(instrument, "mark", price, ts_ns, ts_ns)
                yield Price(instrument, "index", price, ts_ns, ts_ns)
                yield OpenInterest(instrument, self._interest_then(row, ts_ns), ts_ns, ts_ns)
            rate = self.value(instrument, Channel.FUNDING, ts_ns)
            if rate is not None:
                yield Funding(instrument, round(rate, 8), instrument.funding_interval_h or 8.0, ts_ns, ts_ns)
            micros, traded = row.fill(_volume_usd_per_s(instrument, ts_ns) * row.share * HOUR_NS / NS_PER_S, price)
            yield Trade(instrument, "buy", micros, traded, ts_ns, ts_ns)
            yield _depth(np.random.default_rng((self.seed, 9, ts_ns // HOUR_NS)), row, ts_ns, ts_ns)
        yield from self._calm_liquidations(ts_ns)

    def stormy_hour(self, ts_ns: int) -> list[MarketEvent]:
        """The hour of the scenario that ends at `ts_ns`, in time order, for a month by the hour.

        Every liquidation (drawn anew: sums and counts are those of `events`, the single ones are not), an instrument's trades
        in one, and of gauges what is said in the last minute.
        """
        begin_ns = ts_ns - HOUR_NS
        said = self.events(ts_ns - MINUTE_NS, ts_ns)
        found: list[MarketEvent] = [event for event in said if not isinstance(event, Liquidation | Trade)]
        for start_ns in range(begin_ns, ts_ns, MINUTE_NS):
            minute = (start_ns - self.start_ns) // MINUTE_NS
            found += self._liquidations(np.random.default_rng((self.seed, 10, minute)), start_ns, minute)
        found += (self._traded(row, begin_ns, ts_ns) for row in self._listed)
        return sorted(found, key=_time)

    def _traded(self, row: Listed, from_ns: int, to_ns: int) -> Trade:
        """All that an instrument trades in a while, as one trade at its end."""
        minutes = range(from_ns, to_ns, MINUTE_NS)
        usd = sum(_volume_usd_per_s(row.instrument, ts_ns) for ts_ns in minutes) * row.share * MINUTE_NS / NS_PER_S
        last_ns = to_ns - timeline.DELAY_NS
        micros, price = row.fill(usd, self._price_then(row, last_ns))
        return Trade(row.instrument, "sell", micros, price, last_ns, to_ns)

    def _calm_liquidations(self, ts_ns: int) -> Iterator[MarketEvent]:
        sides: tuple[tuple[PositionSide, float], ...] = (("long", 0.55), ("short", 0.45))
        for row, weight in zip(self._derivatives, self._liquidated.tolist(), strict=True):
            for side, part in sides:
                usd = timeline.CALM_LIQUIDATIONS_USD * weight * part
                micros, price = row.fill(usd, self._price_then(row, ts_ns))
                yield Liquidation(row.instrument, side, micros, price, ts_ns, ts_ns)

    def value(self, instrument: Instrument, channel: Channel, ts_ns: int) -> float | None:
        """Of one instrument at one instant, before venue noise: what a venue's archive would say. None: it has none."""
        row = self._by_instrument.get(instrument)
        if row is None or ts_ns < EARLIEST_NS:
            return None
        if channel is Channel.PRICE:
            return self._price_then(row, ts_ns)
        if instrument.kind == "spot":
            return None
        if channel is Channel.OPEN_INTEREST:
            return self._interest_then(row, ts_ns)
        hours = instrument.funding_interval_h
        return timeline.funding_curve(instrument.base)(ts_ns) * hours / 8 if hours else None

    def _price_then(self, row: Listed, ts_ns: int) -> float:
        return round(self.price(row.instrument.base, ts_ns) * row.instrument.base_units, row.price_decimals)

    def _interest_then(self, row: Listed, ts_ns: int) -> float:
        base = row.instrument.base
        grown = timeline.open_interest_history(base)(ts_ns)
        share = timeline.open_interest_share(base, timeline.OPEN_INTEREST_SHARE(ts_ns))
        now = grown if ts_ns < self.start_ns else share
        return round(timeline.OPEN_INTEREST_AT_START_USD[base] * now * row.share, 2)

    def price(self, base: str, ts_ns: int) -> float:
        """US dollars per coin, before venue noise; before the scenario's start: its history."""
        return self.paths.price(base, ts_ns)

    def _minute(self, minute: int) -> tuple[list[MarketEvent], list[int]]:
        if self._block[0] != minute:
            rng = np.random.default_rng((self.seed, 1, minute))
            start_ns = self.start_ns + minute * MINUTE_NS
            events: list[MarketEvent] = []
            events += self._marks(rng, start_ns)
            events += self._background(rng, start_ns)
            events += self._positions(rng, start_ns)
            events += self._liquidations(rng, start_ns, minute)
            events.sort(key=_time)
            self._block = (minute, events, [event.ts_ns for event in events])
        return self._block[1], self._block[2]

    def _marks(self, rng: np.random.Generator, start_ns: int) -> Iterator[MarketEvent]:
        """A mark price per derivative and step; of spot pairs a last price."""
        step_ns = self.resolution_s * NS_PER_S
        times = start_ns + np.arange(0, MINUTE_NS, step_ns)
        for row in self._listed:
            kind: PriceKind = "last" if row.instrument.kind == "spot" else "mark"
            stamps = times + row.offset_ms * NS_PER_MS * self.resolution_s
            for ts_ns, value in zip(stamps.tolist(), self._prices(rng, row, stamps, 2e-5), strict=True):
                yield Price(row.instrument, kind, value, ts_ns, ts_ns + timeline.DELAY_NS)

    def _background(self, rng: np.random.Generator, start_ns: int) -> Iterator[MarketEvent]:
        """Last and index prices, a trade and the depth of every instrument, every `background_s`."""
        step_s = background_s(self.resolution_s)
        times = start_ns + np.arange(0, MINUTE_NS, step_s * NS_PER_S)
        for row in self._listed:
            stamps = times + row.offset_ms * NS_PER_MS * step_s
            prices = self._prices(rng, row, stamps, 1e-4)
            for ts_ns, price in zip(stamps.tolist(), prices, strict=True):
                yield from self._background_of(rng, row, ts_ns, price, step_s)

    def _background_of(
        self, rng: np.random.Generator, row: Listed, ts_ns: int, price: float, step_s: int
    ) -> Iterator[MarketEvent]:
        instrument, recv_ns = row.instrument, ts_ns + timeline.DELAY_NS
        if instrument.kind != "spot":
            index = self.price(instrument.base, ts_ns) * instrument.base_units * (1 + timeline.PERP_DISCOUNT(ts_ns))
            yield Price(instrument, "index", round(index, row.price_decimals), ts_ns, recv_ns)
            yield Price(instrument, "last", price, ts_ns, recv_ns)
        yield Price(instrument, "mid", price, ts_ns, recv_ns)
        usd = _volume_usd_per_s(instrument, ts_ns) * row.share * step_s * float(rng.gamma(2.0, 0.5))
        micros, traded = row.fill(usd, price)
        side: TakerSide = "sell" if rng.random() < 0.35 + 0.25 * timeline.LONG_SHARE(ts_ns) else "buy"
        yield Trade(instrument, side, micros, traded, ts_ns, recv_ns)
        yield _depth(rng, row, ts_ns, recv_ns)

    def _positions(self, rng: np.random.Generator, start_ns: int) -> Iterator[MarketEvent]:
        """Funding of perpetuals and open interest of all derivatives, once a minute."""
        share = timeline.OPEN_INTEREST_SHARE(start_ns)
        for row in self._derivatives:
            instrument = row.instrument
            ts_ns = start_ns + row.offset_ms * NS_PER_MS * 60
            recv_ns = ts_ns + timeline.DELAY_NS
            total = timeline.OPEN_INTEREST_AT_START_USD[instrument.base]
            usd = total * timeline.open_interest_share(instrument.base, share) * row.share
            usd *= 1 + 5e-4 * float(rng.standard_normal())
            yield OpenInterest(instrument, round(usd, 2), ts_ns, recv_ns)
            if instrument.kind == "perp":
                yield _funding(rng, row, ts_ns, recv_ns)

    def _liquidations(self, rng: np.random.Generator, start_ns: int, minute: int) -> Iterator[MarketEvent]:
        """Forced closings: heavy-tailed sizes whose sum over an hour is the timeline's figure."""
        if not self._derivatives:
            return
        usd = self._liquidated_usd(minute)
        count = max(1, int(rng.poisson(usd / timeline.MEAN_LIQUIDATION_USD)))
        rows = rng.choice(len(self._derivatives), count, p=self._liquidated)
        longs = rng.random(count) < timeline.LONG_SHARE(start_ns)
        sizes = rng.lognormal(0.0, 1.7, count)
        sizes *= usd / sizes.sum()
        times = np.sort(rng.integers(0, MINUTE_NS // NS_PER_MS, count))
        rows, longs, sizes, times = self._sample(rows, longs, sizes, times)
        slip = 1 + np.where(longs, -1, 1) * rng.exponential(0.002, rows.size)
        columns = zip(rows.tolist(), longs.tolist(), sizes.tolist(), times.tolist(), slip.tolist(), strict=True)
        for index, is_long, size, offset_ms, factor in columns:
            side: PositionSide = "long" if is_long else "short"
            yield self._liquidation(self._derivatives[index], side, size, start_ns + offset_ms * NS_PER_MS, factor)
        for ts_ns, row, size in self._large:
            if start_ns <= ts_ns < start_ns + MINUTE_NS:
                yield self._liquidation(row, "long", size, ts_ns, 1.0)

    def _liquidation(self, row: Listed, side: PositionSide, usd: float, ts_ns: int, factor: float) -> Liquidation:
        """One forced closing; `factor` is its price against the market's."""
        price = self.price(row.instrument.base, ts_ns) * row.instrument.base_units * factor
        micros, price = row.fill(usd, price)
        return Liquidation(row.instrument, side, micros, price, ts_ns, ts_ns + timeline.DELAY_NS)

    def _large_orders(self) -> list[tuple[int, Listed, float]]:
        """The timeline's single large liquidations on instruments that take part: (time, instrument, US dollars)."""
        rows = {(row.instrument.venue, row.instrument.symbol): row for row in self._derivatives}
        found = ((at(when), rows.get((venue, symbol)), usd) for when, venue, symbol, usd in timeline.LARGE_ORDERS)
        return [(ts_ns, row, usd) for ts_ns, row, usd in found if row is not None]

    def _liquidated_usd(self, minute: int) -> float:
        """This minute's part of its hour: clustered, and with single large orders summing to the hour's figure."""
        hour, place = divmod(minute, 60)
        begin_ns = self.start_ns + hour * HOUR_NS
        large = sum(usd for ts_ns, _, usd in self._large if begin_ns <= ts_ns < begin_ns + HOUR_NS)
        cluster = np.random.default_rng((self.seed, 2, hour)).gamma(0.7, 1.0, 60)
        return float((timeline.LIQUIDATIONS_M_USD[hour] * 1e6 - large) * cluster[place] / cluster.sum())

    def _sample(
        self, rows: Ints, longs: npt.NDArray[np.bool_], sizes: Floats, times: Ints
    ) -> tuple[Ints, npt.NDArray[np.bool_], Floats, Ints]:
        """Fold what a sampled venue reports into one event per symbol and step, at the last one's time.

        Real sampling loses the rest; here the one event carries the sum, so that totals hold. Its side is the first's.
        """
        sampled = np.array([row.instrument.venue in timeline.SAMPLED_VENUES for row in self._derivatives])[rows]
        slot = times // (1000 * self.resolution_s)
        key = np.where(sampled, rows * 100_000 + slot, -1 - np.arange(rows.size))
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        totals = np.bincount(group, weights=sizes).astype(np.float64)
        last = np.zeros(first.size, dtype=np.int64)
        np.maximum.at(last, group, times)
        return rows[first], longs[first], totals, last

    def _prices(self, rng: np.random.Generator, row: Listed, times: Ints, noise: float) -> list[float]:
        """Rounded prices of one instrument at many times."""
        clean = self.paths.prices(row.instrument.base, times) * row.instrument.base_units
        noisy = clean * (1 + row.basis + noise * rng.standard_normal(times.size))
        rounded: list[float] = np.round(noisy, row.price_decimals).tolist()
        return rounded


class MarketPaths:
    """The coins' prices as curves: hour by hour by the timeline, the scenario itself minute by minute, both with noise."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        grid = np.arange(timeline.START_NS, timeline.END_NS + MINUTE_NS, MINUTE_NS)
        sigma = timeline.MINUTE_SIGMA.many(grid)
        market = self._market(grid, sigma, 3)
        around = [self._hours(*span, number) for number, span in enumerate(_AROUND)]
        self._curves = {
            base: self._path(base, number, market, sigma, around) for number, base in enumerate(timeline.PRICE_AT_START)
        }
        self._curves |= {base: price for base, (_, price) in slow.STABLECOINS.items() if base in self._curves}

    def _market(self, grid: Ints, sigma: float | Floats, *stream: int) -> Floats:
        """Log of Bitcoin's price: the timeline's at its points, noisy between them."""
        times = timeline.BTC_PRICE.times_ns
        inside = np.searchsorted(grid, [t for t in times if grid[0] <= t <= grid[-1]])
        anchors = sorted({0, *(int(i) for i in inside), grid.size - 1})
        noise = bridge(np.random.default_rng((self._seed, *stream)), grid.size, anchors, sigma)
        line: Floats = np.log(timeline.BTC_PRICE.many(grid)) + noise
        return line

    def _hours(self, from_ns: int, to_ns: int, number: int) -> _Hours:
        grid = np.arange(from_ns, to_ns + HOUR_NS, HOUR_NS)
        return _Hours(grid, self._market(grid, timeline.HISTORY_HOUR_SIGMA, 6, number))

    def _path(self, base: str, number: int, market: Floats, sigma: Floats, around: Sequence[_Hours]) -> Curve:
        own = np.random.default_rng((self._seed, 4, number))
        moved = np.log(timeline.PRICE_AT_START[base]) + timeline.BETA[base] * (market - _LOG_START)
        if base != "BTC":
            moved += bridge(own, market.size, [0, market.size - 1], 0.6 * sigma)
        inside = [(timeline.START_NS + i * MINUTE_NS, v) for i, v in enumerate(moved.tolist())]
        before, after = ([*hours.of(self._seed, base, number)] for hours in around)
        past = [(t, _log_history(base, t, np.log(v))) for t, v in _points() if t < before[0][0]]
        rise = float(moved[-1]) - after[0][1]
        points = [*past, *before[:-1], *inside, *((t, v + rise) for t, v in after[1:])]
        return Curve(tuple(t for t, _ in points), tuple(float(np.exp(v)) for _, v in points), log=True)

    def price(self, base: str, ts_ns: int) -> float:
        """US dollars per coin at one instant."""
        path = self._curves[base]
        place = min(max(bisect_left(path.times_ns, ts_ns), 1), len(path.times_ns) - 1)
        t0, t1 = path.times_ns[place - 1], path.times_ns[place]
        weight = min(max((ts_ns - t0) / (t1 - t0), 0.0), 1.0)
        ratio: float = (path.values[place] / path.values[place - 1]) ** weight
        return path.values[place - 1] * ratio

    def prices(self, base: str, times_ns: Ints) -> Floats:
        """US dollars per coin at many instants."""
        return np.array([self.price(base, ts_ns) for ts_ns in times_ns.tolist()])


_AROUND = ((at(timeline.HISTORY_NOISE_FROM), timeline.START_NS), (timeline.END_NS, timeline.BTC_PRICE.times_ns[-1]))
"""Where prices go by the hour: before the scenario, and after it."""
_LOG_START = float(np.log(timeline.PRICE_AT_START["BTC"]))


@dataclass(frozen=True, slots=True)
class _Hours:
    """Hours outside the scenario, and the log of Bitcoin's price at each."""

    times_ns: Ints
    market: Floats

    def of(self, seed: int, base: str, number: int) -> Iterator[tuple[int, float]]:
        """The log of a coin's price at each hour; its own noise is none at both ends."""
        size = self.times_ns.size
        own = np.zeros(size)
        if base != "BTC":
            rng = np.random.default_rng((seed, 7, number, int(self.times_ns[0] // HOUR_NS)))
            own = bridge(rng, size, [0, size - 1], timeline.OWN_SHARE * timeline.HISTORY_HOUR_SIGMA)
        for ts_ns, market, noise in zip(self.times_ns.tolist(), self.market.tolist(), own.tolist(), strict=True):
            yield ts_ns, _log_history(base, ts_ns, market) + noise


def _log_history(base: str, ts_ns: int, market: float) -> float:
    """The log of a coin's price outside the scenario, from that of Bitcoin's."""
    beta = timeline.HISTORY_BETA.get(base, timeline.BETA[base])
    months = min(max(timeline.START_NS - ts_ns, 0) / (30 * DAY_NS), 1.0)
    drift = timeline.MONTH_DRIFT.get(base, 0.0) * months
    return float(np.log(timeline.PRICE_AT_START[base]) + beta * (market - _LOG_START) - drift)


def _points() -> Iterator[tuple[int, float]]:
    return zip(timeline.BTC_PRICE.times_ns, timeline.BTC_PRICE.values, strict=True)


def _time(event: Any) -> int:
    ts_ns: int = event.ts_ns
    return ts_ns


def _weight(instrument: Instrument) -> float:
    venue = timeline.VENUE_WEIGHT.get(instrument.venue, 0.05)
    small = instrument.form == "inverse" and instrument.venue not in timeline.SAMPLED_VENUES
    other_quote = instrument.kind == "spot" and instrument.quote not in {"USDT", "USD"}
    return venue * (timeline.INVERSE_WEIGHT if small or other_quote else 1.0)


def _list(instruments: Iterable[Instrument]) -> list[Listed]:
    chosen = list(instruments)
    totals: dict[tuple[str, bool], float] = {}
    for instrument in chosen:
        if instrument.base not in timeline.PRICE_AT_START or instrument.kind == "option":
            raise ValueError(f"{instrument.venue} {instrument.symbol}: not part of the scenario")
        market = (instrument.base, instrument.kind == "spot")
        totals[market] = totals.get(market, 0.0) + _weight(instrument)
    return [
        _listed(place, instrument, _weight(instrument) / totals[instrument.base, instrument.kind == "spot"])
        for place, instrument in enumerate(chosen)
    ]


def _listed(place: int, instrument: Instrument, share: float) -> Listed:
    price = timeline.PRICE_AT_START[instrument.base] * instrument.base_units
    inverse = instrument.form == "inverse"
    price_decimals = _price_decimals(price)
    quantity_decimals = _quantity_decimals(instrument)
    places = quantity_decimals + (0 if inverse else price_decimals)
    return Listed(
        instrument=instrument,
        share=share,
        basis=((place * 7919) % 5 - 2) * 5e-5,
        price_decimals=price_decimals,
        quantity_decimals=quantity_decimals,
        usd_scale=instrument.contract_value.scaleb(-places),
        offset_ms=(place * 619) % 997,
    )


def _liquidation_weights(rows: Sequence[Listed]) -> Floats:
    sizes = np.array([timeline.OPEN_INTEREST_AT_START_USD[row.instrument.base] * row.share for row in rows])
    return sizes / sizes.sum() if rows else sizes


def _volume_usd_per_s(instrument: Instrument, ts_ns: int) -> float:
    hourly = timeline.VOLUME_M_USD_PER_HOUR.get(instrument.base, timeline.VOLUME_SMALL_M_USD) * 1e6
    spot = timeline.SPOT_TO_PERP(ts_ns) if instrument.kind == "spot" else 1.0
    return hourly / (HOUR_NS / NS_PER_S) * timeline.VOLUME_SHARE(ts_ns) * spot


def _depth(rng: np.random.Generator, row: Listed, ts_ns: int, recv_ns: int) -> Depth:
    start = timeline.DEPTH_AT_START_USD.get(row.instrument.base, timeline.DEPTH_SMALL_USD)
    thick = timeline.DEPTH_SHARE(ts_ns)
    bid, ask = (start * row.share * thick * np.exp(0.05 * rng.standard_normal(2))).tolist()
    return Depth(row.instrument, round(bid * 0.95, 2), round(ask, 2), round(1e-5 / thick, 8), ts_ns, recv_ns)


def _funding(rng: np.random.Generator, row: Listed, ts_ns: int, recv_ns: int) -> Funding:
    interval_h = row.instrument.funding_interval_h or 8.0
    rate = timeline.funding_curve(row.instrument.base)(ts_ns) * interval_h / 8
    rate *= 1 + 0.05 * float(rng.standard_normal())
    period_ns = int(interval_h * HOUR_NS)
    next_ns = (ts_ns // period_ns + 1) * period_ns
    return Funding(row.instrument, round(rate, 8), interval_h, ts_ns, recv_ns, next_ns)
