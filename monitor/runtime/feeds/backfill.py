"""The past of one feed, fetched beside it: closed prices, settled funding, open interest (gaps: `monitor.runtime.feeds.gaps`).

Only what the loaded rules need is asked for, within what the feed's polls leave of the venue's allowance, and only once:
what was answered is kept on disk. Nothing here ever holds the live feed up, and nothing that fails here ends it.

A point is handed over only where it is older than the live data of its channel, marked ``backfill``. Where history was
had, a `FeedGap` with ``filled`` says so for coverage; a hole in the venue's history stays one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.engine.past.needs import HistoryNeed
from monitor.engine.rows.catalog import market_labels
from monitor.errors import DecodeError, FetchError, StateError
from monitor.events import Channel, FeedGap, MarketEvent
from monitor.feed import Connection, HistoryPage
from monitor.instruments import Instrument
from monitor.past import Archive
from monitor.runtime.feeds.backfill_shelf import Kept, Shelf, Stretch, Wish, added, missing
from monitor.runtime.feeds.backoff import Backoff
from monitor.runtime.feeds.desk import Desk
from monitor.runtime.feeds.gaps import Failed, Gaps, Lost, Remember
from monitor.runtime.feeds.liveness import Recovery
from monitor.runtime.feeds.stats import BackfillStats
from monitor.transports.http import HttpClient
from monitor.venue import VenueFeed

ATTEMPTS = 3
AGAIN_S = 300.0
PASSES = 5
LONGEST_STOP_NS = 6 * 3600 * NS_PER_S
HOLE_STEPS = 2
ORDER = (Channel.PRICE, Channel.OPEN_INTEREST, Channel.FUNDING)
"""Prices first: some venues' open interest is valued by them."""


class Backfill:
    """Fetches for one feed.

    Args:
        desk: Of the feed.
        http: Shared by all feeds.
        shelf: What is kept on disk.
        needs: What the rules need now; asked anew for each pass.
        remember: Takes history.
        first: Coins whose instruments come first.
        stopped_ns: When the last run of the program ended; 0 where it is not known.
    """

    def __init__(
        self,
        desk: Desk,
        http: HttpClient,
        shelf: Shelf,
        *,
        needs: Callable[[], Sequence[HistoryNeed]],
        remember: Remember,
        first: Sequence[str] = (),
        stopped_ns: int = 0,
    ) -> None:
        self.stats = desk.stats.backfill = BackfillStats(state="waiting")
        self._desk, self._http, self._shelf = desk, http, shelf
        self._clock: Clock = desk.clock
        self._needs, self._remember = needs, remember
        self._first = {base: rank for rank, base in enumerate(first)}
        self._stopped_ns = stopped_ns
        self._live_ns: dict[Channel, int] = {}
        self._begun_ns: dict[Channel, dict[str, int]] = {}
        self._gaps = Gaps(desk, self.stats, self._ask, self._remember, self._sleep)
        self._wake = asyncio.Event()
        self._chosen: Sequence[Instrument] = ()
        self._log = structlog.get_logger("monitor.backfill").bind(venue=desk.stats.venue)

    # --- what the feed tells ------------------------------------------------------------------------------------------

    def follow(self, chosen: Sequence[Instrument], connections: Mapping[str, Connection]) -> None:
        """These instruments are followed from now on, by these connections."""
        self._chosen = chosen
        self._gaps.follow(chosen, connections)
        self._wake.set()

    def rules_changed(self) -> None:
        """Other rules may need more."""
        self._wake.set()

    def recovered(self, back: Recovery) -> None:
        """A connection delivers a channel again, or for the first time."""
        if back.lost_ns is not None:
            self._gaps.lost(Lost(back.channel, back.carrier, back.lost_ns, back.begun_ns, back.at_ns, back.reason))
        elif back.channel not in self._live_ns:
            self._begun_ns.setdefault(back.channel, {}).setdefault(back.carrier, back.begun_ns)

    def went_live(self, channel: Channel, at_ns: int) -> None:
        """A channel delivers for the first time: what happened while the program was not running is a gap."""
        if channel in self._live_ns:
            return
        self._live_ns[channel] = at_ns
        if 0 < self._stopped_ns < at_ns:
            start_ns = max(self._stopped_ns, at_ns - LONGEST_STOP_NS)
            for carrier, begun_ns in self._begun_ns.pop(channel, {}).items():
                self._gaps.lost(Lost(channel, carrier, start_ns, begun_ns, at_ns, "restart"))

    # --- running ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fetch until cancelled; an unexpected exception is logged, and what it broke off waits for the next occasion."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_running(self._gaps.fill), name=f"gaps-{self._desk.stats.venue}")
            tasks.create_task(self._keep_running(self._fetch_past), name=f"past-{self._desk.stats.venue}")

    async def _keep_running(self, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await part()
            except Exception:  # noqa: BLE001  # history must not end the live feed
                self.stats.failures["internal"] += 1
                self.stats.state = "partial"
                self._log.exception("backfill.crashed")

    async def _fetch_past(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        await self._passes()

    async def _passes(self) -> None:
        """Fetch what is needed; what failed is tried again some times, and then left."""
        for number in range(PASSES):
            if number:
                await self._sleep(AGAIN_S)
            if self._wake.is_set() or await self._pass():
                return

    async def _pass(self) -> bool:
        """One pass over everything that is needed; whether all of it was had."""
        stats, started_ns = self.stats, self._clock.mono_ns()
        groups = self._groups()
        stats.state, stats.made = "running", 0
        stats.wanted = await asyncio.to_thread(self._missing, groups)
        self._log.info("backfill.started", requests=stats.wanted, instruments=len(self._chosen))
        whole = True
        for wishes in groups:
            whole &= await self._group(wishes)
        stats.state = "done" if whole else "partial"
        self._log.info(
            "backfill.finished", state=stats.state, requests=stats.made, points=sum(stats.points.values()),
            from_disk=stats.kept, failed=sum(stats.failures.values()),
            took_s=round((self._clock.mono_ns() - started_ns) / NS_PER_S, 1),
        )  # fmt: skip
        return whole

    def _missing(self, groups: Sequence[Sequence[Wish]]) -> int:
        """How many requests it will take."""
        return sum(len(self._pages(wish, self._kept(wish))) for wishes in groups for wish in wishes)

    # --- planning -----------------------------------------------------------------------------------------------------

    def _groups(self) -> list[list[Wish]]:
        """Wishes by distance and channel: what reaches farthest first, prices first of it, the watched coins first of these."""
        now_ns = self._clock.wall_ns()
        chosen = sorted(self._chosen, key=lambda item: self._first.get(item.base, len(self._first)))
        reach: dict[tuple[Channel, int], dict[Instrument, int]] = {}
        for need in self._needs():
            for channel in self._channels(need):
                archive = self._archive(channel)
                if archive is None:
                    continue
                of_step = reach.setdefault((channel, archive.step_ns(need.step_ns)), {})
                for item in chosen:
                    if need.accept(market_labels(item)):
                        of_step[item] = max(of_step.get(item, 0), need.reach_ns)
        keys = sorted(reach, key=lambda key: (-key[1], ORDER.index(key[0])))
        return [[self._wish(item, *key, ago_ns, now_ns) for item, ago_ns in reach[key].items()] for key in keys]

    def _channels(self, need: HistoryNeed) -> tuple[Channel, ...]:
        feed = self._desk.feed
        valued = need.channel is Channel.OPEN_INTEREST and isinstance(feed, VenueFeed) and feed.interest_in_coins
        return (Channel.PRICE, need.channel) if valued else (need.channel,)

    def _wish(self, item: Instrument, channel: Channel, step_ns: int, reach_ns: int, now_ns: int) -> Wish:
        archive = self._archive(channel)
        assert archive is not None
        end_ns = min(self._live_ns.get(channel, now_ns), now_ns) // step_ns * step_ns
        since_ns = now_ns - min(reach_ns, archive.keeps_ns)
        return Wish(item, channel, step_ns, (since_ns // step_ns * step_ns - step_ns, end_ns), archive.kind)

    def _archive(self, channel: Channel) -> Archive | None:
        feed = self._desk.feed
        if not isinstance(feed, VenueFeed) or not feed.carries(channel):
            return None
        return feed.archives.get(channel)

    def _pages(self, wish: Wish, kept: Kept) -> list[HistoryPage]:
        feed = self._desk.feed
        stretches = missing(kept.asked, *wish.span)
        return [
            page
            for start_ns, end_ns in stretches
            for page in feed.history(wish.instrument, wish.channel, start_ns, end_ns, wish.step_ns)
        ]

    def _kept(self, wish: Wish) -> Kept:
        try:
            return self._shelf.load(wish.instrument, wish.channel, wish.step_ns)
        except (StateError, OSError) as error:
            self._log.warning("backfill.kept_unreadable", error=str(error))
            return Kept()

    # --- fetching -----------------------------------------------------------------------------------------------------

    async def _group(self, wishes: Sequence[Wish]) -> bool:
        """History of one channel at one distance, handed over in time order; whether all of it was had."""
        found: list[MarketEvent] = []
        failed = 0
        few = asyncio.Semaphore(self._desk.settings.polls_at_once)
        async with asyncio.TaskGroup() as tasks:
            fetches = [tasks.create_task(self._one_of_few(wish, few)) for wish in wishes]
        for wish, fetch in zip(wishes, fetches, strict=True):
            kept, whole = fetch.result()
            failed += not whole
            found += self._from(wish, kept)
        found.sort(key=lambda event: event.ts_ns)
        await self._remember(found)
        if wishes and found and failed * 2 <= len(wishes):
            await self._remember(self._covered(wishes[0], found))
        return not failed

    async def _one_of_few(self, wish: Wish, few: asyncio.Semaphore) -> tuple[Kept, bool]:
        """Fetch beside a few others; the venue's allowance is shared."""
        async with few:
            return await self._fetch(wish)

    def _from(self, wish: Wish, kept: Kept) -> list[MarketEvent]:
        """What is known, as events."""
        events = wish.events(kept, self._clock.wall_ns())
        self.stats.points[wish.channel] += len(events)
        return events

    async def _fetch(self, wish: Wish) -> tuple[Kept, bool]:
        """What is known of a wish after asking for what is missing, and whether nothing failed."""
        kept = await asyncio.to_thread(self._kept, wish)
        self.stats.kept += len(kept.points)
        if isinstance(self._desk.feed, VenueFeed):  # to value what comes next
            self._desk.feed.valuation.learn(wish.events(kept, self._clock.wall_ns()))
        pages = self._pages(wish, kept)
        whole = True
        for page in pages:
            try:
                events, _ = await self._ask(page)
            except Failed:
                whole = False
                continue
            finally:
                self.stats.made += 1
            kept = added(kept, (page.start_ns, page.end_ns), events, wish.span[0] - wish.step_ns)
        if pages:
            await self._keep(wish, kept)
        return kept, whole

    async def _keep(self, wish: Wish, kept: Kept) -> None:
        try:
            await asyncio.to_thread(self._shelf.store, wish.instrument, wish.channel, wish.step_ns, kept)
        except OSError as error:
            self._log.warning("backfill.not_kept", error=str(error))

    async def _ask(self, page: HistoryPage) -> tuple[list[MarketEvent], list[HistoryPage]]:
        """One answer, after some attempts.

        Raises:
            Failed: None of them succeeded.
        """
        backoff = Backoff(1.0, 30.0, self._desk.rng)
        for _ in range(ATTEMPTS):
            await self._wait_for_turn(page, backoff)
            try:
                reply = await self._http.fetch(page.request, timeout_s=self._desk.settings.metadata_timeout_s)
                return self._desk.feed.parse_history(page, reply.body, reply.recv_ns, self._desk.registry)
            except FetchError as error:
                self._note(page, error.reason, error.detail)
                await self._sleep(min(error.retry_after_s or 0.0, AGAIN_S))
            except DecodeError as error:
                self._note(page, error.reason, error.detail)
                break  # it would say the same again
            except Exception as error:  # noqa: BLE001  # a parser's bug must not end the feed; it is counted and logged
                self._note(page, "internal", repr(error))
                break
            backoff.failed()
        raise Failed(page.request.name)

    def _note(self, page: HistoryPage, reason: str, detail: str) -> None:
        self.stats.failures[reason] += 1
        self.stats.last_error = f"{page.request.name}: {reason}: {detail}"[:300]
        self._desk.sampled.warning("backfill.failed", reason, request=page.request.name, reason=reason, detail=detail)

    async def _wait_for_turn(self, page: HistoryPage, backoff: Backoff) -> None:
        await self._sleep(backoff.wait_s())
        while wait_ns := self._desk.budget.take(page.request.weight, self._clock.mono_ns()):
            await self._clock.sleep_until(self._clock.mono_ns() + wait_ns)

    def _covered(self, wish: Wish, events: Sequence[MarketEvent]) -> list[FeedGap]:
        """Stretches in which any instrument has a point every now and then; the last reaches to the live data."""
        times = sorted({event.ts_ns for event in events})
        live_ns = self._live_ns.get(wish.channel, self._clock.wall_ns())
        end_ns = min(live_ns, times[-1] + HOLE_STEPS * wish.step_ns)
        stretches = runs(times, wish.step_ns, end_ns)
        since_ns = stretches[0][0]
        self.stats.since_ns[wish.channel] = min(self.stats.since_ns.get(wish.channel, since_ns), since_ns)
        venue = self._desk.stats.venue
        return [FeedGap(venue, wish.channel, start, end, "history", filled=True) for start, end in stretches]

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            speed = self._desk.settings.poll_speed
            await self._clock.sleep_until(self._clock.mono_ns() + int(seconds / speed * NS_PER_S))


def runs(times: Sequence[int], step_ns: int, end_ns: int) -> list[Stretch]:
    """Stretches in which points follow one another without a hole; each begins a step before its first point.

    Points that lie farther apart by nature (settlements every eight hours) set the distance by their median.
    """
    apart = sorted(b - a for a, b in pairwise(times)) or [step_ns]
    hole_ns = HOLE_STEPS * max(step_ns, apart[len(apart) // 2])
    out = [[times[0] - step_ns, times[0]]]
    for ts_ns in times[1:]:
        if ts_ns - out[-1][1] > hole_ns:
            out.append([ts_ns - step_ns, ts_ns])
        out[-1][1] = ts_ns
    out[-1][1] = max(out[-1][1], end_ns)
    return [(start, end) for start, end in out]
