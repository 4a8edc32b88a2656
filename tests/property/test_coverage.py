"""Coverage against its naive twin: feeds that come, go and stutter, gaps found late and filled later, parts of slow series."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine
from monitor.engine.cover.coverage import Ledger
from monitor.engine.cover.slow_coverage import SlowNeed
from monitor.events import Channel, Event, FeedGap, FeedState, Labels
from tests.engine.market import at, liquidation, perp, price, rules
from tests.property.naive.coverage import SLOW, Seconds, Sources

VENUES = ("bybit", "okx", "kraken")
CHANNELS = (Channel.PRICE, Channel.LIQUIDATIONS, Channel.REFERENCE)
EXPECTED: Mapping[Channel, Sequence[str]] = {Channel.PRICE: VENUES, Channel.LIQUIDATIONS: VENUES[:2]}
SERIES, PARTS = "market_cap", ("total", "BTC")
SEEDS = st.integers(0, 2**32)


class Both:
    """A ledger and its twin, told the same."""

    def __init__(self, expected: Mapping[Channel, Sequence[str]]) -> None:
        self.ledger, self.twin = Ledger(expected), Sources()
        self.left: set[tuple[str, Channel]] = set()
        self.expected: set[tuple[str, Channel]] = set()
        self.expect(expected)

    def expect(self, expected: Mapping[Channel, Sequence[str]]) -> None:
        self.ledger.expect(expected)
        wanted = {(venue, channel) for channel, venues in expected.items() for venue in venues}
        self.left = (self.left | self.expected) - wanted
        self.expected = wanted
        for source in self.left:
            self.twin.leaves(*source)
        for source in wanted:
            list(self.twin.every(*source))

    def tell(self, rng: random.Random, now: int) -> None:
        """Something happened up to now; what is known of it late lies further back."""
        venue, channel = rng.choice(VENUES), rng.choice(CHANNELS)
        start, end = sorted((max(0, now - rng.randint(0, 60)), max(0, now - rng.randint(0, 20))))
        match rng.choice(["up", "up", "down", "lost", "found", "gives", "gives"]):
            case "up":
                self._record(FeedState(venue, channel, up=True, ts_ns=at(now)), lambda s: s.up(now))
            case "down":
                self._record(FeedState(venue, channel, up=False, ts_ns=at(now)), lambda s: s.down(now))
            case "lost":
                self._record(FeedGap(venue, channel, at(start), at(end), "x"), lambda s: s.lost(start, end))
            case "found":
                gap = FeedGap(venue, channel, at(start), at(end), "x", filled=True)
                self._record(gap, lambda s: s.found(start, end))
            case _:
                key = (SERIES, rng.choice(PARTS), venue)
                stretch = rng.choice([None, (start, end + 15)])
                self.ledger.give(key, None if stretch is None else (at(stretch[0]), at(stretch[1])))
                if not {(venue, channel) for channel in SLOW} & self.left:
                    self.twin.gives(key, stretch)

    def _record(self, event: FeedState | FeedGap, change: Callable[[Seconds], None]) -> None:
        self.ledger.record(event)
        if (event.venue, event.channel) not in self.left:
            for seconds in self.twin.every(event.venue, event.channel):
                change(seconds)


def ask(both: Both, rng: random.Random, now: int) -> None:
    """The same share of any window; it stays for as long as the ledger says."""
    end = max(0, now - rng.choice([0, 0, 7]))
    start = max(0, end - rng.choice([0, 1, 10, 45, 90]))
    length = end - start
    venues = rng.choice([VENUES, VENUES[:1], ("nobody",)])
    channel, part = rng.choice(CHANNELS), rng.choice([*PARTS, ""])

    def accept(text: str) -> bool:
        return text in venues

    def wants(text: str) -> bool:
        return part in ("", text)

    def fast(start: int, end: int) -> float:
        return both.twin.share(channel, accept, start, end)

    def slow(start: int, end: int) -> float:
        return both.twin.slow_share(SERIES, wants, start, end)

    cases: list[tuple[Channel, Callable[[str], bool], SlowNeed | None, Callable[[int, int], float]]] = [
        (channel, accept, None, fast),
        (Channel.REFERENCE, lambda _: True, SlowNeed(SERIES, wants), slow),
    ]
    for of, takes, need, twin in cases:
        got, until_ns = both.ledger.share(of, takes, at(start), at(end), need)
        assert got == twin(start, end), (of, need, start, end)
        assert until_ns > at(end)
        for later in range(end, end + 12):
            if at(later) < until_ns:
                assert twin(later - length, later) == got, (of, need, later)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_a_ledger_says_what_its_twin_says(seed: int) -> None:
    rng = random.Random(seed)
    both = Both(rng.choice([{}, EXPECTED]))
    now = 0
    for _ in range(rng.randint(1, 30)):
        now += rng.choice([0, 1, 1, 5, 20]) if now < 100 else 0
        if rng.random() < 0.05:
            both.expect(rng.choice([EXPECTED, {Channel.PRICE: VENUES[:1]}, {Channel.REFERENCE: VENUES[1:]}]))
        both.tell(rng, now)
        if both.twin.fast:
            ask(both, rng, now)


READS: dict[str, list[tuple[Channel, int, int]]] = {
    "sum(liquidations[45s]) > 1": [(Channel.LIQUIDATIONS, 45, 0)],
    "sum(liquidations[45s] offset 7s) by (base) > 1": [(Channel.LIQUIDATIONS, 45, 7)],
    "count(liquidations[10s]) by (venue) > 1": [(Channel.LIQUIDATIONS, 10, 0)],
    'sum(liquidations{venue!="okx"}[45s]) by (base) > 1': [(Channel.LIQUIDATIONS, 45, 0)],
    "max(liquidations[30s]) by (venue) > 1": [(Channel.LIQUIDATIONS, 30, 0)],
    "price by (base) > 1": [(Channel.PRICE, 0, 0)],
    "price > 1": [(Channel.PRICE, 0, 0)],
    "mean(price[20s]) > 1": [(Channel.PRICE, 20, 0)],
    "drawdown(price[20s]) > 1": [(Channel.PRICE, 20, 0)],
    "sum(liquidations[45s]) by (base) / price by (base) > 1": [(Channel.LIQUIDATIONS, 45, 0), (Channel.PRICE, 0, 0)],
    "sum(liquidations[45s]) by (base) > 1 and price by (base) > 1": [
        (Channel.LIQUIDATIONS, 45, 0),
        (Channel.PRICE, 0, 0),
    ],
    "mean(sum(liquidations[5s])[60s:5s]) > 1": [(Channel.LIQUIDATIONS, 60, 0)],
}
"""Rules, and which feeds each needs: channel, window and offset in seconds. The least of them counts."""


def wanted(text: str, labels: Labels, sources: Sources, now: int) -> float:
    """The coverage of one element, by its own venue where it has one."""
    venue = dict(labels).get("venue")

    def accept(other: str) -> bool:
        return other == venue if venue else not ('venue!="okx"' in text and other == "okx")

    return min(sources.share(channel, accept, now - w - back, now - back) for channel, w, back in READS[text])


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_every_reading_says_how_much_of_it_was_seen(seed: int) -> None:
    rng = random.Random(seed)
    loaded = rules(*READS)
    machine, twin = Engine(loaded, expected=EXPECTED), Sources()
    for channel, venues in EXPECTED.items():
        for venue in venues:
            list(twin.every(venue, channel))
    now = 90
    for _ in range(rng.randint(1, 25)):
        now += rng.choice([0, 1, 5, 20]) if now < 160 else 0
        machine.ingest(told(twin, rng, now))
        machine.evaluate(at(now))
        for rule in loaded.alerts:
            seen = machine.latest(rule.id)
            assert seen is not None
            for labels, share in zip(seen.labels, seen.coverage.tolist(), strict=True):
                assert share == wanted(rule.text, labels, twin, now), (rule.text, labels, now)


def told(twin: Sources, rng: random.Random, now: int) -> list[Event]:
    """Feeds change, gaps are found, and somebody trades."""
    venue, channel = rng.choice(VENUES), rng.choice(CHANNELS[:2])
    if channel not in EXPECTED or venue not in EXPECTED[channel]:
        return []
    start, end = sorted((now - rng.randint(0, 60), now - rng.randint(0, 20)))
    seconds = next(iter(twin.every(venue, channel)))
    perpetual = perp(venue, rng.choice(["BTC", "ETH"]))
    match rng.choice(["up", "up", "down", "lost", "found", "event", "event"]):
        case "up":
            seconds.up(now)
            return [FeedState(venue, channel, up=True, ts_ns=at(now))]
        case "down":
            seconds.down(now)
            return [FeedState(venue, channel, up=False, ts_ns=at(now))]
        case "lost":
            seconds.lost(start, end)
            return [FeedGap(venue, channel, at(start), at(end), "x")]
        case "found":
            seconds.found(start, end)
            return [FeedGap(venue, channel, at(start), at(end), "x", filled=True)]
        case _:
            return [price(perpetual, 100.0, now), liquidation(perpetual, 5.0, now)]
