"""Between the sockets and the engine: adaptive batches in a bounded buffer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import structlog

from monitor.clock import Clock
from monitor.events import (
    Depth,
    FeedGap,
    FeedState,
    Funding,
    Liquidation,
    MarketEvent,
    OpenInterest,
    Price,
    Sample,
    Trade,
)

StreamEvent = MarketEvent | FeedState | FeedGap
Flush = Callable[[list[StreamEvent], int], None]

REST_OVER_S = 0.001
"""A batch that took longer is followed by a pause,"""
REST_MOST_S = 0.002
"""of so long at most,"""
FEW = 1024
"""unless it held more events than this."""


class Reader(Protocol):
    """A source that can be told to stop reading."""

    def pause(self) -> None:
        """Read no more."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...


class Pump:
    """Collects events and hands everything that waits to `flush`, once per turn of the event loop.

    The first event schedules the flush; it never waits to fill a batch, so that the batch is the backlog: one event
    when calm, thousands in a burst. A flush takes at most `max_batch`, and the rest goes in the next turn, so that
    timers and other sockets get theirs in between.

    With `rests` a small batch that took long (many rules) is followed by a pause as long as it took, `REST_MOST_S` at
    most: else a thousand messages a second keep a core busy with turns of one event each. A large batch is not.

    When the engine is slower than the sockets, in this order:

    1. At `high_water` waiting events every attached reader is paused: the kernel's buffers, then the venue, hold what
       comes. Below half of it they read again. Nothing is lost.
    2. What was already in hand can still pass `capacity`. Then of each gauge (price, funding, open interest, depth,
       sample) only the newest value is kept; ``dropped["superseded"]`` counts the others.
    3. Liquidations, trades, `FeedState` and `FeedGap` are never dropped and never summed. With the readers paused
       they cannot grow without end.

    An exception of the engine is logged and counted in ``dropped["engine_error"]`` with the size of its batch; the
    stream goes on. ``on_relieved`` is told the time whenever gauges were superseded.
    """

    def __init__(
        self,
        flush: Flush,
        clock: Clock,
        *,
        max_batch: int = 16_384,
        high_water: int = 65_536,
        capacity: int = 262_144,
        on_relieved: Callable[[int], None] | None = None,
        rests: bool = False,
    ) -> None:
        self._on_relieved = on_relieved
        self._rests = rests
        self._rest_until_s = 0.0
        self._flush = flush
        self._clock = clock
        self._max_batch = max_batch
        self._high_water = high_water
        self._capacity = capacity
        self._waiting: list[StreamEvent] = []
        self._readers: set[Reader] = set()
        self._scheduled = False
        self._log = structlog.get_logger("monitor.pump")
        self.paused = False
        self.dropped: Counter[str] = Counter()
        self.pauses = 0
        self.batches = 0
        self.events = 0
        self.largest_batch = 0

    def __len__(self) -> int:
        """Events that wait."""
        return len(self._waiting)

    def attach(self, reader: Reader) -> None:
        """Have a reader paused when the buffer fills."""
        self._readers.add(reader)
        if self.paused:
            reader.pause()

    def detach(self, reader: Reader) -> None:
        """Forget a reader that is closed."""
        self._readers.discard(reader)

    def append(self, events: Sequence[StreamEvent]) -> None:
        """Add events in order; must be called from the event loop."""
        self._waiting += events
        if not self._scheduled:
            self._schedule()
        if len(self._waiting) >= self._high_water:
            self._relieve()

    def drain(self) -> None:
        """Hand over everything that waits, now: for shutdown and for tests."""
        while self._waiting:
            self._take()

    def _schedule(self) -> None:
        self._scheduled = True
        loop = asyncio.get_running_loop()
        if self._rest_until_s and self._rest_until_s > loop.time():
            loop.call_at(self._rest_until_s, self._run)
        else:
            loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        loop, size = asyncio.get_running_loop(), len(self._waiting)
        began_s = loop.time()
        if size:
            self._take()
        if self._rests:
            now_s = loop.time()
            took_s = now_s - began_s if size <= FEW else 0.0
            self._rest_until_s = now_s + min(took_s, REST_MOST_S) if took_s > REST_OVER_S else 0.0
        if self._waiting:
            self._schedule()
        if self.paused and len(self._waiting) <= self._high_water // 2:
            self._resume()

    def _take(self) -> None:
        batch = self._waiting
        if len(batch) <= self._max_batch:
            self._waiting = []
        else:
            self._waiting = batch[self._max_batch :]
            batch = batch[: self._max_batch]
        self.batches += 1
        self.events += len(batch)
        self.largest_batch = max(self.largest_batch, len(batch))
        try:
            self._flush(batch, self._clock.wall_ns())
        except Exception:  # noqa: BLE001  # the engine's bug must not end the stream; it is counted and logged
            self.dropped["engine_error"] += len(batch)
            self._log.exception("pump.flush_failed", events=len(batch))

    def _relieve(self) -> None:
        if not self.paused:
            self.paused = True
            self.pauses += 1
            for reader in self._readers:
                reader.pause()
        if len(self._waiting) > self._capacity:
            kept = newest_gauges(self._waiting)
            self.dropped["superseded"] += len(self._waiting) - len(kept)
            self._waiting = kept
            if self._on_relieved is not None:
                self._on_relieved(self._clock.wall_ns())

    def _resume(self) -> None:
        self.paused = False
        for reader in tuple(self._readers):
            reader.resume()


def newest_gauges(events: Sequence[StreamEvent]) -> list[StreamEvent]:
    """All events but those gauges of which a newer value follows; the order stays."""
    seen: set[Hashable] = set()
    kept: list[StreamEvent] = []
    for event in reversed(events):
        key = _gauge_key(event)
        if key is None:
            kept.append(event)
        elif key not in seen:
            seen.add(key)
            kept.append(event)
    kept.reverse()
    return kept


def _gauge_key(event: StreamEvent) -> Hashable:
    match event:
        case Liquidation() | Trade() | FeedState() | FeedGap():
            return None
        case Price(instrument=instrument, kind=kind):
            return Price, id(instrument), kind
        case Funding(instrument=instrument) | OpenInterest(instrument=instrument) | Depth(instrument=instrument):
            return type(event), id(instrument)
        case Sample(series=series, labels=labels, source=source):
            return Sample, series, labels, source
