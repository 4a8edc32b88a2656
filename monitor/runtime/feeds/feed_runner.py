"""One configured feed, running: its instruments, connections and polls, restarted whatever happens to them."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.errors import DecodeError, FetchError
from monitor.events import Channel, FeedGap, FeedState
from monitor.feed import Connection, Feed
from monitor.instruments import Instrument, Registry
from monitor.runtime.feeds.backfill import Backfill
from monitor.runtime.feeds.backoff import Backoff, ConnectBudget
from monitor.runtime.feeds.desk import Desk, Tap
from monitor.runtime.feeds.instruments import InstrumentLoader, Loaded, choose, symbol_problems
from monitor.runtime.feeds.liveness import Liveness, Recovery
from monitor.runtime.feeds.polling import Poller
from monitor.runtime.feeds.saturation import Saturation
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.feeds.supervisor import Supervisor
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.pump import Pump
from monitor.tape.facts import write_chosen, write_states
from monitor.transports.http import HttpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all feeds of a program share.

    Attributes:
        registry: Filled by the loader.
        pump: Takes every event of the feeds, `FeedState` and `FeedGap` included.
        clock: Time.
        http: For metadata, polls and history.
        loader: Finds the instruments.
        settings: Patience and pace.
        rng: Jitter.
        tap: Hears everything on the wire, for a tape.
        tls: Replaces the system's trust store for websockets.
        past: Makes what fetches history and fills gaps; None: neither is done.
    """

    registry: Registry
    pump: Pump
    clock: Clock
    http: HttpClient
    loader: InstrumentLoader
    settings: FeedSettings = field(default_factory=FeedSettings)
    rng: Random = field(default_factory=Random)
    tap: Tap | None = None
    tls: ssl.SSLContext | None = None
    past: Callable[[Desk], Backfill] | None = None


class FeedRunner:
    """Runs one feed until it is cancelled; never raises anything else.

    Attributes:
        chosen: The instruments that are followed; a new list whenever they change.

    Args:
        feed: What to run.
        stats: Counters to write.
        around: What it shares with the other feeds.
        numbers: Numbers the links; goes on where a feed of the same venue ran before, so that no name comes twice.
    """

    def __init__(
        self, feed: Feed, stats: FeedStats, around: Surroundings, numbers: Iterator[int] | None = None
    ) -> None:
        self.feed = feed
        self.stats = stats
        self.settings = _with_options(around.settings, feed)
        self._around = around
        self._clock = around.clock
        self._log = structlog.get_logger("monitor.feed").bind(venue=feed.spec.venue)
        law = feed.spec.laws.get(Channel.LIQUIDATIONS)
        if law is not None and law.cap is not None and (feed.spec.venue, Channel.LIQUIDATIONS) in feed.sources():
            stats.saturation = Saturation(law.cap, self._clock.wall_ns())
        self.backfill: Backfill | None = None
        self._liveness = Liveness(stats, feed.sources(), self._emit, self._clock.wall_ns(), self._on_recovery)
        self._refresh_wanted = asyncio.Event()
        self._desk = self._make_desk()
        self.backfill = around.past(self._desk) if around.past is not None else None
        limits = feed.spec.limits
        self._budget = ConnectBudget(limits.connects, limits.connects_window_s)
        self._numbers = itertools.count(1) if numbers is None else numbers
        self._sizes: dict[str, float] = {}
        self._ranked_ns = 0
        self._supervisors: dict[str, tuple[Supervisor, asyncio.Task[None]]] = {}
        self._poller: tuple[Poller, asyncio.Task[None]] | None = None
        self.chosen: list[Instrument] = []

    def _make_desk(self) -> Desk:
        around = self._around
        return Desk(
            feed=self.feed,
            registry=around.registry,
            pump=around.pump,
            clock=around.clock,
            stats=self.stats,
            log=self._log,
            rng=around.rng,
            settings=self.settings,
            liveness=self._liveness,
            on_unknown=self._refresh_wanted.set,
            tap=around.tap,
            tls=around.tls,
        )

    async def run(self) -> None:
        """Run until cancelled. An unexpected exception is logged and counted, and the feed starts again."""
        backoff = Backoff(1.0, self.settings.backoff_cap_s, self._around.rng)
        while True:
            started_ns = self._clock.mono_ns()
            try:
                await self._run_once()
            except asyncio.CancelledError:
                self._liveness.down_all(self._clock.wall_ns(), "stopped")
                raise
            except Exception:  # noqa: BLE001  # the supervisor of a feed, and only it, catches everything
                self.stats.reconnects["crashed"] += 1
                self._log.exception("feed.crashed")
            self._liveness.down_all(self._clock.wall_ns(), "crashed")
            if self._clock.mono_ns() - started_ns > self.settings.stable_s * NS_PER_S:
                backoff.reset()
            backoff.failed()
            await self._sleep(backoff.wait_s())

    def _emit(self, events: list[FeedState | FeedGap]) -> None:
        if (tap := self._around.tap) is not None:
            tap(f"{self.stats.venue}/state", "state", write_states(events), self._clock.wall_ns())
        self._around.pump.append(events)
        for event in events:
            if (
                self.backfill is not None
                and isinstance(event, FeedState)
                and event.up
                and event.venue == self.stats.venue
            ):
                self.backfill.went_live(event.channel, event.ts_ns)

    def _on_recovery(self, recovery: Recovery) -> None:
        if self.backfill is not None:
            self.backfill.recovered(recovery)

    async def _run_once(self) -> None:
        self._supervisors.clear()
        self._poller = None
        await self._first_load()
        async with asyncio.TaskGroup() as tasks:
            self._follow(tasks, joining=False)
            tasks.create_task(self._tick_for_ever(), name=f"tick-{self.stats.venue}")
            if self.backfill is not None:
                tasks.create_task(self.backfill.run(), name=f"backfill-{self.stats.venue}")
            await self._refresh_for_ever(tasks)

    # Instruments

    async def _first_load(self) -> None:
        """Load instruments; keep trying when neither the venue nor the cache has any."""
        backoff = Backoff(1.0, self.settings.backoff_cap_s, self._around.rng)
        while True:
            loaded = await self._around.loader.load(self.feed)
            self._note_source(loaded)
            if loaded.source != "none":
                break
            backoff.failed()
            await self._sleep(backoff.wait_s())
        await self._rank()
        if loaded.source == "cache":
            self._refresh_wanted.set()

    async def _rank(self) -> None:
        if self.feed.options.top is None:
            return
        try:
            self._sizes = await self._around.loader.ranking(self.feed)
            self._ranked_ns = self._clock.mono_ns()
        except (FetchError, DecodeError) as error:
            instead = "the last one stays" if self._sizes else f"so the first {self.feed.options.top} by name"
            self.stats.instruments_error = f"no ranking, {instead}: {error}"
            self._log.warning("feed.no_ranking", error=str(error), note=instead)

    async def _refresh_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        """Refresh metadata at its period, and soon after an unknown symbol, but not too often."""
        while True:
            await self._sleep(self.settings.metadata_gap_s)
            await self._wait_for_refresh(self.settings.metadata_every_s - self.settings.metadata_gap_s)
            self._refresh_wanted.clear()
            try:
                self._note_source(await self._around.loader.refresh(self.feed))
            except (FetchError, DecodeError) as error:
                self._log.warning("feed.refresh_failed", error=str(error))
                self._refresh_wanted.set()
                continue
            if not self._sizes or self._clock.mono_ns() - self._ranked_ns >= self.settings.rank_every_s * NS_PER_S:
                await self._rank()
            self._follow(tasks, joining=True)

    async def _wait_for_refresh(self, at_most_s: float) -> None:
        """Return when a refresh is wanted or the period is over; looks once a tick."""
        until_ns = self._clock.mono_ns() + int(at_most_s * NS_PER_S)
        while not self._refresh_wanted.is_set() and self._clock.mono_ns() < until_ns:
            await self._sleep(self.settings.tick_s)

    def _note_source(self, loaded: Loaded) -> None:
        self.stats.instruments_source = loaded.source
        self.stats.instruments_error = loaded.error

    # Connections

    def _follow(self, tasks: asyncio.TaskGroup, *, joining: bool) -> None:
        """Open, change and end connections so that they are those of the chosen instruments."""
        feed, registry = self.feed, self._desk.registry
        chosen = choose(feed, registry, self._sizes)
        self.stats.symbol_problems = symbol_problems(feed, registry)
        for problem in self.stats.symbol_problems:
            self._log.warning("feed.symbol_problem", problem=problem)
        if not chosen:
            self.stats.instruments_error = "no instrument fits the configuration"
            self._log.error("feed.no_instruments")
        if joining and [item.symbol for item in chosen] == [item.symbol for item in self.chosen]:
            return
        self.chosen = chosen
        if (tap := self._around.tap) is not None:
            tap(f"{self.stats.venue}/chosen", "chosen", write_chosen(chosen), self._clock.wall_ns())
        self.stats.instruments = len(chosen)
        wanted = {connection.name: connection for connection in feed.connections(chosen)}
        if self.backfill is not None:
            self.backfill.follow(chosen, wanted)
        self.stats.connections = len(wanted) * (2 if self.settings.hot_standby else 1)
        for name in self._supervisors.keys() - wanted.keys():
            self._end(name)
        for connection in wanted.values():
            self._start_or_update(tasks, connection, joining=joining)
        self._poll(tasks, chosen)

    def _start_or_update(self, tasks: asyncio.TaskGroup, connection: Connection, *, joining: bool) -> None:
        name = connection.name
        if name in self._supervisors:
            supervisor, _ = self._supervisors[name]
            if supervisor.connection != connection:
                supervisor.update(connection)
            return
        supervisor = Supervisor(self._desk, connection, self._budget, self._next_number, joining=joining)
        self._supervisors[name] = supervisor, tasks.create_task(supervisor.run(), name=f"connection-{name}")

    def _end(self, name: str) -> None:
        _, task = self._supervisors.pop(name)
        task.cancel()
        self._liveness.forget(name, self._clock.wall_ns())

    def _poll(self, tasks: asyncio.TaskGroup, chosen: Sequence[Instrument]) -> None:
        if self._poller is not None:
            self._poller[1].cancel()
        speed = self.settings.poll_speed
        polls = [
            replace(poll, every_s=poll.every_s / speed, pace_s=poll.pace_s / speed) for poll in self.feed.polls(chosen)
        ]
        poller = Poller(self._desk, self._around.http, polls)
        self._poller = poller, tasks.create_task(poller.run(), name=f"polls-{self.stats.venue}")

    def _next_number(self) -> int:
        return next(self._numbers)

    # Time

    async def _tick_for_ever(self) -> None:
        while True:
            await self._sleep(self.settings.tick_s)
            now_ns = self._clock.mono_ns()
            for supervisor, _ in tuple(self._supervisors.values()):
                supervisor.tick(now_ns)
            if self._poller is not None:
                self._poller[0].tick(now_ns)

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.mono_ns() + int(seconds * NS_PER_S))


def _with_options(settings: FeedSettings, feed: Feed) -> FeedSettings:
    return replace(settings, hot_standby=settings.hot_standby or feed.options.hot_standby)
