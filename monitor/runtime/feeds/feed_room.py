"""The feeds that run: started, changed and ended as the configuration says, and their counters."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from monitor.engine import IngestReport
from monitor.events import Channel
from monitor.feed import Feed
from monitor.instruments import Instrument
from monitor.runtime.feeds.feed_runner import FeedRunner
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.market import MarketBoard

MakeRunner = Callable[[Feed, Iterator[int]], FeedRunner]
"""Makes the runner of a feed; the iterator numbers its links, and goes on where an earlier runner of the venue stopped."""


class FeedRoom:
    """Runs the configured feeds.

    Args:
        make: Makes a runner.
        board: Shows liquidation totals of what is followed.
        on_followed: Told the symbols of a venue that are followed, whenever they change.
    """

    def __init__(
        self, make: MakeRunner, board: MarketBoard, on_followed: Callable[[str, Sequence[str]], None] = lambda *_: None
    ) -> None:
        self._on_followed = on_followed
        self._make = make
        self._board = board
        self._runners: dict[str, tuple[FeedRunner, asyncio.Task[None]]] = {}
        self._declared: dict[str, list[Instrument]] = {}
        self._numbers: dict[str, Iterator[int]] = {}

    def __len__(self) -> int:
        return len(self._runners)

    def feeds(self) -> list[tuple[Feed, FeedStats]]:
        """Every running feed with its counters, in the order of the configuration."""
        return [(runner.feed, runner.stats) for runner, _ in self._runners.values()]

    def follow(self, feeds: Iterable[Feed], tasks: asyncio.TaskGroup) -> None:
        """Start what is configured and not running, end what is no longer configured as it runs."""
        wanted = {feed.spec.venue: feed for feed in feeds}
        for venue, (runner, task) in list(self._runners.items()):
            if venue not in wanted or wanted[venue].options != runner.feed.options:
                task.cancel()
                del self._runners[venue]
        for venue, feed in wanted.items():
            if venue not in self._runners:
                runner = self._make(feed, self._numbers.setdefault(venue, itertools.count(1)))
                self._runners[venue] = runner, tasks.create_task(runner.run(), name=f"feed/{venue}")
        self._runners = {venue: self._runners[venue] for venue in wanted}
        self._share_uptime()

    def _share_uptime(self) -> None:
        """A channel that comes over another venue's stream is live whenever that stream is."""
        for runner, _ in self._runners.values():
            for venue, channel in runner.feed.sources():
                if venue in self._runners:
                    self._runners[venue][0].stats.uptime[channel] = runner.stats.uptime[channel]

    def end(self) -> list[asyncio.Task[None]]:
        """Cancel every feed; the tasks are done when they have ended."""
        tasks = [task for _, task in self._runners.values()]
        for task in tasks:
            task.cancel()
        return tasks

    def rules_changed(self) -> None:
        """Other rules may need another past."""
        for runner, _ in self._runners.values():
            if runner.backfill is not None:
                runner.backfill.rules_changed()

    def declare(self) -> None:
        """Say what is followed, and show liquidation totals of it from zero on, so that the first event is an increase."""
        for venue in self._declared.keys() - self._runners.keys():
            del self._declared[venue]
            self._on_followed(venue, ())
        for venue, (runner, _) in self._runners.items():
            if runner.chosen and self._declared.get(venue) is not runner.chosen:
                self._declared[venue] = runner.chosen
                self._on_followed(venue, sorted({item.symbol for item in runner.chosen}))
                if Channel.LIQUIDATIONS in runner.stats.uptime:
                    self._board.declare(runner.chosen)

    def count(self, report: IngestReport) -> None:
        """Count with each feed what the engine said about the times of its events."""
        for venue, count in report.late.items():
            if venue in self._runners:
                self._runners[venue][0].stats.late += count
        for reason, counter in (("too_late", report.too_late), ("not_finite", report.invalid)):
            for venue, count in counter.items():
                if venue in self._runners:
                    self._runners[venue][0].stats.dropped[reason] += count
