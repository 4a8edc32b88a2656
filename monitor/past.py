"""What a venue keeps of the past, as data, and how its replies become backfilled events. Pure; no venue is named here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from monitor.clock import NS_PER_MS, NS_PER_S
from monitor.errors import DecodeError
from monitor.events import Channel, Depth, Funding, MarketEvent, OpenInterest, Price, PriceKind
from monitor.instruments import Instrument

LARGEST = 1e15
LARGEST_RATE = 10.0
USUAL_H = frozenset({1.0, 2.0, 4.0, 8.0})
"""Hours between payments of funding."""
MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class HistorySpan:
    """Values of one instrument in (``start_ns``, ``end_ns``], ``step_ns`` apart."""

    instrument: Instrument
    channel: Channel
    start_ns: int
    end_ns: int
    step_ns: int

    @property
    def rows(self) -> int:
        """How many values that is at most."""
        return (self.end_ns - self.start_ns) // self.step_ns

    @property
    def start_ms(self) -> int:
        """Unix milliseconds of the start."""
        return self.start_ns // NS_PER_MS

    @property
    def end_ms(self) -> int:
        """Unix milliseconds of the end."""
        return self.end_ns // NS_PER_MS


@dataclass(frozen=True, slots=True)
class Archive:
    """A venue's history of one channel.

    Attributes:
        words: What the venue calls a distance of values, by nanoseconds.
        rows: Most values in one reply.
        keeps_s: How far back it goes; None: to the listing.
        kind: Which price the candles become. Where a venue keeps none of its mark price, closes of trades stand in for it,
            because that is the price that the live feed has.
        rate_h: Hours that a funding rate stands for, where they are not those since the payment before.
    """

    words: Mapping[int, str]
    rows: int
    keeps_s: float | None = None
    kind: PriceKind = "mark"
    rate_h: float | None = None

    @property
    def keeps_ns(self) -> int:
        """How far back it goes; to the listing: a very long time."""
        return 1 << 62 if self.keeps_s is None else int(self.keeps_s * NS_PER_S)

    def step_ns(self, wanted_ns: int) -> int:
        """The distance nearest to the wanted one from below, else the finest."""
        return max((step for step in self.words if step <= wanted_ns), default=min(self.words))

    def spans(
        self, instrument: Instrument, channel: Channel, start_ns: int, end_ns: int, wanted_ns: int
    ) -> Iterator[HistorySpan]:
        """The stretch as pieces of one reply each, on whole steps, oldest first."""
        step_ns = self.step_ns(wanted_ns)
        at_ns, end_ns = start_ns // step_ns * step_ns, end_ns // step_ns * step_ns
        while at_ns < end_ns:
            next_ns = min(end_ns, at_ns + self.rows * step_ns)
            yield HistorySpan(instrument, channel, at_ns, next_ns, step_ns)
            at_ns = next_ns


class Valuation:
    """Closed prices by instrument, to say in dollars what a venue's history of open interest says in coins."""

    def __init__(self) -> None:
        self._closes: dict[str, dict[int, float]] = {}

    def learn(self, events: Iterable[MarketEvent]) -> None:
        """Take up prices, fetched now or kept from before."""
        for event in events:
            if isinstance(event, Price):
                self._closes.setdefault(event.instrument.key, {})[event.ts_ns] = event.value

    def dollars(self, span: HistorySpan, coins: Iterable[tuple[int, float]]) -> Iterator[tuple[int, float]]:
        """Amounts at the close of their own instant; without one an amount is left out, not guessed."""
        closes = self._closes.get(span.instrument.key, {})
        for ts_ns, amount in coins:
            if ts_ns in closes:
                yield ts_ns, amount * closes[ts_ns]


def history_events(
    span: HistorySpan, values: Iterable[tuple[int, float]], recv_ns: int, archive: Archive
) -> list[MarketEvent]:
    """Values as backfilled events, oldest first; what is not closed yet or not of the span is left out.

    Raises:
        DecodeError: A value that no market can have.
    """
    events: list[MarketEvent] = []
    item, end_ns = span.instrument, min(span.end_ns, recv_ns)
    rows = [row for row in sorted(values) if span.start_ns < row[0] <= end_ns]
    hours = [archive.rate_h] * len(rows)
    if span.channel is Channel.FUNDING and archive.rate_h is None:
        hours = payment_hours([ts_ns for ts_ns, _ in rows], item.funding_interval_h)
    for (ts_ns, value), rate_h in zip(rows, hours, strict=True):
        if not -LARGEST < value < LARGEST or (value <= 0 and span.channel is not Channel.FUNDING):
            raise DecodeError("out_of_range", f"{span.channel.value} of {item.symbol}: {value!r:.40}")
        if span.channel is Channel.PRICE:
            events.append(Price(item, archive.kind, value, ts_ns, recv_ns, backfill=True))
        elif span.channel is Channel.OPEN_INTEREST:
            events.append(OpenInterest(item, value, ts_ns, recv_ns, backfill=True))
        elif abs(value) <= LARGEST_RATE and rate_h:
            events.append(Funding(item, value, rate_h, ts_ns, recv_ns, backfill=True))
    return events


def payment_hours(times_ns: Sequence[int], listed_h: float | None) -> list[float | None]:
    """Hours that each of these payments stands for: those since the one before, of the first those to the next.

    Only distances that are usual and come twice running are believed: one alone may be a hole. Else it is `listed_h`.

    >>> payment_hours([hour * HOUR_NS for hour in (0, 8, 16, 20, 24, 28, 36)], 4.0)
    [8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 4.0]
    """
    steps = [(later - earlier) / HOUR_NS for earlier, later in pairwise(times_ns)]
    found: list[float | None] = []
    for place, step in enumerate(steps):
        beside = steps[max(place - 1, 0) : place] + steps[place + 1 : place + 2]
        found.append(step if step in USUAL_H and step in beside else listed_h)
    return found[:1] + found if found else [listed_h] * len(times_ns)


def as_history(events: Iterable[MarketEvent], start_ns: int, end_ns: int) -> list[MarketEvent]:
    """Events of (start, end], marked as backfill, oldest first."""
    found = [
        msgspec.structs.replace(event, backfill=True)
        for event in events
        if start_ns < event.ts_ns <= end_ns and not isinstance(event, Depth)
    ]
    return sorted(found, key=lambda event: event.ts_ns)


def older_edge(times_ns: Iterable[int], start_ns: int) -> int | None:
    """Where a full page that reaches backwards is to be cut, and the next one to end; None: it reaches the start.

    Rows of its oldest instant may be split between the two: they are left to the next page, which has them all. Only a page
    that is full of one instant is taken as it is.
    """
    ordered = sorted(times_ns)
    if not ordered or ordered[0] <= start_ns:
        return None
    return ordered[0] if ordered[0] < ordered[-1] else ordered[0] - 1


def newer_edge(times_ns: Iterable[int], end_ns: int) -> int | None:
    """As `older_edge`, of a page that reaches forwards."""
    ordered = sorted(times_ns)
    if not ordered or ordered[-1] > end_ns:
        return None
    return ordered[-1] - 1 if ordered[0] < ordered[-1] else ordered[-1]
