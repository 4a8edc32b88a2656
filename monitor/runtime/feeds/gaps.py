"""Liquidations and trades that a connection missed, fetched from the venue where it keeps them.

A gap is of one connection, so only what that connection carries is asked for: the others went on, and what they brought
must not be counted twice. Liquidations are told apart by the venue's key where REST tells the same keys as the socket;
then more is asked for than was missed. Everything else is cut to the time in which nothing can have arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from monitor.clock import NS_PER_S
from monitor.events import Channel, Event, FeedGap, Liquidation, MarketEvent, Sample
from monitor.feed import Connection, HistoryPage
from monitor.instruments import Instrument
from monitor.runtime.feeds.desk import Desk
from monitor.runtime.feeds.stats import BackfillStats
from monitor.venue import VenueFeed

Ask = Callable[[HistoryPage], Awaitable[tuple[list[MarketEvent], list[HistoryPage]]]]
"""Asks for one page; raises `Failed`."""
Remember = Callable[[Sequence[Event]], Awaitable[None]]
"""Takes history into the engine, a little at a time."""

PAGES_OF_ONE_GAP = 50
SETTLES_S = 2.0
MOST_WAITING = 1000
LIVE_LINK = -1
EVENTS = frozenset({Channel.LIQUIDATIONS, Channel.TRADES})
"""Channels of events; of the others only the present value counts."""


class Failed(Exception):
    """A request did not succeed within its attempts."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What one connection did not bring of one channel.

    Attributes:
        connection: Its name.
        start_ns: Unix time of the last sign of life.
        begun_ns: From when on its successor may have brought something: the opening, before any subscription.
        end_ns: Unix time from which the successor is known to deliver.
        reason: Why.
    """

    channel: Channel
    connection: str
    start_ns: int
    begun_ns: int
    end_ns: int
    reason: str


class Gaps:
    """The gaps of one feed, filled one after the other, liquidations first.

    Args:
        desk: Of the feed.
        stats: Counts what became of them.
        ask: Fetches.
        remember: Takes what was had.
        sleep: Waits so many seconds of the feed's clock.
    """

    def __init__(
        self, desk: Desk, stats: BackfillStats, ask: Ask, remember: Remember, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._desk, self._stats = desk, stats
        self._ask, self._remember, self._sleep = ask, remember, sleep
        self._waiting: asyncio.Queue[Lost] = asyncio.Queue(maxsize=MOST_WAITING)
        self._chosen: Sequence[Instrument] = ()
        self._connections: Mapping[str, Connection] = {}
        self._log = structlog.get_logger("monitor.backfill").bind(venue=desk.stats.venue)

    def follow(self, chosen: Sequence[Instrument], connections: Mapping[str, Connection]) -> None:
        """These instruments are followed from now on, by these connections."""
        self._chosen, self._connections = chosen, connections

    def lost(self, lost: Lost) -> None:
        """A gap ended; its events may be had."""
        if lost.channel not in EVENTS or lost.begun_ns <= lost.start_ns:
            return
        if self._waiting.full():
            self._stats.gaps["failed"] += 1
        else:
            self._waiting.put_nowait(lost)

    async def fill(self) -> None:
        """Wait for gaps and fill those that ended together."""
        batch = [await self._waiting.get()]
        await self._sleep(SETTLES_S)
        while not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        batch.sort(key=lambda lost: lost.channel is not Channel.LIQUIDATIONS)
        filled: list[FeedGap] = []
        open_still: list[Lost] = []
        for lost in batch:
            found = await self._fill(lost)
            if found is None:
                open_still.append(lost)
            else:
                filled.append(found)
        whole = [gap for gap in filled if not any(_overlap(gap, lost) for lost in open_still)]
        if whole:
            await self._remember(whole)

    async def _fill(self, lost: Lost) -> FeedGap | None:
        """Fetch the events of one gap; the stretch that is whole now, None where it is not."""
        pages = self._pages(lost)
        if not pages:
            self._stats.gaps["lost"] += 1
            return None
        try:
            events = await self._fetch(pages)
        except Failed:
            self._stats.gaps["failed"] += 1
            return None
        events = sorted(self._without_repeats(self._followed(events)), key=lambda event: event.ts_ns)
        self._stats.gap_events[lost.channel] += len(events)
        self._stats.gaps["filled"] += 1
        await self._remember(events)
        self._log.info(
            "backfill.gap_filled", channel=lost.channel.value, connection=lost.connection, events=len(events),
            length_s=round((lost.end_ns - lost.start_ns) / NS_PER_S, 3), reason=lost.reason,
        )  # fmt: skip
        begins_ns = max(lost.start_ns, min(page.start_ns for page in pages))
        return FeedGap(self._desk.stats.venue, lost.channel, begins_ns, lost.end_ns, "history", filled=True)

    def _pages(self, lost: Lost) -> list[HistoryPage]:
        feed, start_ns, end_ns = self._desk.feed, lost.start_ns, lost.begun_ns
        items: Sequence[Instrument] = self._chosen
        if isinstance(feed, VenueFeed):
            connection = self._connections.get(lost.connection)
            items = feed.carried(connection, lost.channel, items) if connection is not None else items
            if feed.gap_overlap_s and lost.channel is Channel.LIQUIDATIONS:
                start_ns, end_ns = start_ns - int(feed.gap_overlap_s * NS_PER_S), lost.end_ns
        return list(feed.gap(lost.channel, items, start_ns, end_ns)) if items else []

    async def _fetch(self, first: Iterable[HistoryPage]) -> list[MarketEvent]:
        """Events of all pages, those that a page leads to included."""
        pages, events = list(first), list[MarketEvent]()
        most = PAGES_OF_ONE_GAP + len(pages)
        for number, page in enumerate(pages):
            if number >= most:
                raise Failed(page.request.name)
            found, more = await self._ask(page)
            events += found
            pages += more
        return events

    def _followed(self, events: Sequence[MarketEvent]) -> Sequence[MarketEvent]:
        """Those that the connections would have brought: a page of a whole currency or family has others, too."""
        feed = self._desk.feed
        if not isinstance(feed, VenueFeed) or feed.selects_all:
            return events
        keys = {item.key for item in self._chosen}
        return [event for event in events if isinstance(event, Sample) or event.instrument.key in keys]

    def _without_repeats(self, events: Iterable[MarketEvent]) -> list[MarketEvent]:
        is_new = self._desk.repeats.is_new
        return [event for event in events if not isinstance(event, Liquidation) or is_new(event, LIVE_LINK)]


def _overlap(gap: FeedGap, lost: Lost) -> bool:
    return gap.channel is lost.channel and gap.start_ns < lost.end_ns and lost.start_ns < gap.end_ns
