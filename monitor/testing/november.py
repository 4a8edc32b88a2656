"""The whole synthetic autumn, 1 October to 24 November 2025, as one monitor would have received it. **Synthetic**.

By the hour, but for the 36 hours of `Scenario`, with thousands of liquidations each. What is not of exchanges comes
as from its source: fund flows in the evening of their session, ranks at midnight, daily closes an hour later.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from msgspec.structs import replace

from monitor.clock import NS_PER_S
from monitor.events import Channel, Event, FeedState, MarketEvent, Price, Sample
from monitor.inlets.rows import read_payload
from monitor.instruments import Instrument
from monitor.sources import SOURCES
from monitor.testing.demo_slow import GIVERS, pushed, table
from monitor.testing.scenario.curves import DAY_NS, HOUR_NS, at
from monitor.testing.scenario.listings import BASES, INSTRUMENTS, instruments_of
from monitor.testing.scenario.market import Scenario
from monitor.testing.scenario.slow import LONG_SHORT_RATIO, index_samples, slow_samples
from monitor.testing.scenario.tail import CHARTED, RANKED_ONLY, TAIL, market_cap_usd, tail_price
from monitor.testing.sources.replies import COINS

FROM_NS, TO_NS = at("2025-10-01"), at("2025-11-25")
LOOK_BACK = (("market_cap", at("2025-04-10")), ("sector_cap", at("2025-01-01")), ("tvl", at("2025-06-01")))
"""Slow series whose rules look further back, and how far: what the monitor is supposed to remember."""
PRICES_FROM_NS = at("2025-03-01")
DEEP = frozenset({"BTC", "ETH", "SOL", "XRP", "DOGE", "ZEC"})
VENUES = ("binance_usdm", "binance_coinm", "bybit", "okx", "binance_spot", "coinbase", "deribit")

Received = tuple[int, list[Event]]


def instruments() -> list[Instrument]:
    """Six coins and the stablecoins on every venue, the other coins on two: enough for baskets and breadth."""
    listed = INSTRUMENTS + instruments_of("binance_spot", "coinbase", "deribit")
    return [i for i in listed if i.base in {*DEEP, "USDC", "USDT"} or i.venue in {"bybit", "okx"}]


class November:
    """The autumn as (time of receipt, events), in time order.

    Args:
        seed: Of the scenario.
    """

    def __init__(self, seed: int = 7) -> None:
        self.scenario = Scenario(seed, instruments(), resolution_s=30)

    def received(self) -> Iterator[Received]:
        """Everything; the first entry is what is remembered of the time before."""
        yield FROM_NS, [*self._live(), *self._remembered()]
        for ts_ns in range(FROM_NS + HOUR_NS, TO_NS + 1, HOUR_NS):
            yield from self._hour(ts_ns)

    def _live(self) -> Iterator[Event]:
        for venue in VENUES:
            yield from (FeedState(venue, channel, up=True, ts_ns=FROM_NS - 400 * DAY_NS) for channel in Channel)
        for source in SOURCES:
            yield FeedState(source, Channel.REFERENCE, up=True, ts_ns=FROM_NS - 400 * DAY_NS)

    def _remembered(self) -> Iterator[MarketEvent]:
        """Daily closes since spring, and of the slow series as far as rules look."""
        for ts_ns in range(PRICES_FROM_NS, FROM_NS, DAY_NS):
            yield from self._closes(ts_ns, FROM_NS)
        for series, from_ns in LOOK_BACK:
            old = (s for s in slow_samples(from_ns, FROM_NS, DAY_NS) if s.series == series)
            yield from (self._given(sample, FROM_NS) for sample in old)

    def _hour(self, ts_ns: int) -> Iterator[Received]:
        if self.scenario.start_ns < ts_ns <= self.scenario.end_ns:
            yield from self._stormy(ts_ns)
        else:
            yield ts_ns, [*self.scenario.calm_hour(ts_ns)]
        yield ts_ns, [*self._slow(ts_ns)]

    def _stormy(self, ts_ns: int) -> Iterator[Received]:
        """An hour of the scenario: all that adds up, and of gauges what is not stale at its end."""
        for event in self.scenario.stormy_hour(ts_ns):
            yield min(event.recv_ns, ts_ns), [event]

    def _slow(self, ts_ns: int) -> Iterator[MarketEvent]:
        flows = (s for s in slow_samples(ts_ns - 3 * HOUR_NS, ts_ns - 3 * HOUR_NS + 1) if s.series == "etf_flow")
        now = (s for s in slow_samples(ts_ns, ts_ns + 1) if s.series not in ("etf_flow", "basket", "external"))
        yield from (self._given(sample, ts_ns) for sample in chain(flows, now))
        labels = (("base", "BTC"), ("quote", "USDT"), ("symbol", "BTCUSDT"), ("venue", "binance_usdm"))
        yield from index_samples(ts_ns, ts_ns + 1, HOUR_NS)
        yield from self._pushed(ts_ns)
        yield self._given(Sample("long_short_ratio", labels, LONG_SHORT_RATIO(ts_ns), ts_ns, ts_ns), ts_ns)
        if ts_ns % DAY_NS == 0:
            yield from self._ranks(ts_ns)
        if ts_ns % DAY_NS == HOUR_NS:
            yield from self._closes(ts_ns - HOUR_NS, ts_ns)

    def _pushed(self, ts_ns: int) -> list[Sample]:
        rows = [row for row in pushed(ts_ns, ts_ns, self.scenario) if ts_ns - HOUR_NS < row[0]]
        return [row.sample for row in read_payload(table(rows).encode(), "csv", ts_ns).rows]

    def _given(self, sample: Sample, recv_ns: int) -> Sample:
        late = recv_ns - sample.ts_ns > NS_PER_S
        return replace(sample, recv_ns=recv_ns, source=GIVERS.get(sample.series, "desk"), backfill=late)

    def _ranks(self, ts_ns: int) -> Iterator[Sample]:
        caps = {base: COINS[base] * self.scenario.price(base, ts_ns) for base in BASES}
        caps |= RANKED_ONLY | {coin: market_cap_usd(coin) for coin in TAIL}
        for asset, usd in caps.items():
            yield self._given(Sample("market_cap", (("asset", asset),), usd, ts_ns, ts_ns), ts_ns)

    def _closes(self, ts_ns: int, recv_ns: int) -> Iterator[Price]:
        bitcoin = self.scenario.price("BTC", ts_ns)
        prices = {base: self.scenario.price(base, ts_ns) for base in BASES}
        prices |= {coin: tail_price(coin, ts_ns, bitcoin) for coin in CHARTED}
        for base, usd in prices.items():
            yield Price(_pair(base), "last", usd, ts_ns, recv_ns, backfill=True)


def _pair(base: str) -> Instrument:
    return Instrument(venue="binance_spot", symbol=f"{base}USDT", base=base, quote="USDT", settle="USDT", kind="spot")
