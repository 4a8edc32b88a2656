"""The program: parts wired together, started, reloaded, drained. Everything that decides anything lives elsewhere."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from time import thread_time_ns

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.config import Config
from monitor.engine import Engine, EngineSettings
from monitor.engine.past.needs import needs
from monitor.errors import ConfigError, MonitorError
from monitor.events import Event, Sample
from monitor.feed import Feed
from monitor.instruments import Registry
from monitor.runtime.alerting.alert_desk import AlertDesk
from monitor.runtime.alerting.delivery import Delivery
from monitor.runtime.alerting.rank_keeper import RankKeeper
from monitor.runtime.alerting.reporting import Reporting
from monitor.runtime.alerting.self_rules import with_self_rules
from monitor.runtime.alerting.self_watch import SelfWatch
from monitor.runtime.alerting.store import Store
from monitor.runtime.data_dir import make_data_dir
from monitor.runtime.early_stop import EarlyStop
from monitor.runtime.feeds.backfill import Backfill
from monitor.runtime.feeds.backfill_shelf import Shelf
from monitor.runtime.feeds.desk import Desk, Tap
from monitor.runtime.feeds.feed_room import FeedRoom
from monitor.runtime.feeds.feed_runner import FeedRunner, Surroundings
from monitor.runtime.feeds.instruments import InstrumentLoader
from monitor.runtime.feeds.instruments_cache import InstrumentsCache
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.front import serve
from monitor.runtime.load import Loaded
from monitor.runtime.market import MarketBoard
from monitor.runtime.reload import Reloader, needs_restart
from monitor.runtime.settings import FeedSettings
from monitor.runtime.slow_side import SlowSide
from monitor.runtime.steps.backlog import Pace
from monitor.runtime.steps.engine_room import EngineRoom
from monitor.runtime.steps.journal import Journal
from monitor.runtime.steps.pump import Pump
from monitor.runtime.steps.recorder import Recorder, recorder_of
from monitor.runtime.steps.snapshot import Snapshots
from monitor.runtime.steps.ticker import Ticker
from monitor.runtime.steps.turns import Turns
from monitor.runtime.view import AppView, Happenings, Parts
from monitor.sinks import build_sink, sink_options
from monitor.transports.http import HttpClient

DRAIN_S = 1.5
WATCH_S = 2.0
KEEP_HISTORY_NS = 400 * 86_400 * NS_PER_S
PRUNE_EVERY_NS = 3_600 * NS_PER_S
REMEMBERED_AT_ONCE = 4000
PAST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What the caller decides, not the configuration.

    Attributes:
        synthetic_note: Not empty: the market is made up, and every output says so with these words.
        time_scale: Market seconds per real second.
        feed: Patience and pace of the feeds' plumbing.
        tap: Hears everything on the wire.
        tls: Replaces the system's trust store for websockets.
        watch_files: Whether a changed file reloads.
        on_started: Called with the address of the live page once it answers.
        history: What the monitor would remember, had it run before; taken in before it starts.
        backfill: Whether history is fetched from the venues, unless the configuration says no.
    """

    synthetic_note: str = ""
    time_scale: float = 1.0
    feed: FeedSettings = field(default_factory=FeedSettings)
    tap: Tap | None = None
    tls: ssl.SSLContext | None = None
    watch_files: bool = True
    on_started: Callable[[str], None] | None = None
    history: Iterable[Event] = ()
    backfill: bool = True


class App:
    """One running monitor.

    Args:
        loaded: Checked configuration and rules.
        clock: Wall time is the market's; monotonic time is real.
        reload: Loads everything again from disk, for SIGHUP and changed files; None: no reloading.
        settings: What the caller decides.
    """

    def __init__(
        self,
        loaded: Loaded,
        clock: Clock,
        reload: Callable[[], Loaded] | None = None,
        settings: AppSettings | None = None,
    ) -> None:
        self.loaded = with_self_rules(loaded)
        self.clock = clock
        self.settings = settings or AppSettings()
        self.stop = asyncio.Event()
        self.log = structlog.get_logger("monitor.app")
        self._reload = reload
        self.happenings = Happenings(
            started_ns=clock.wall_ns(), synthetic_note=self.settings.synthetic_note, config_hash=loaded.digest
        )

    async def run(self) -> None:
        """Run until `stop` is set, then drain.

        Raises:
            ConfigError: The listen address cannot be taken.
            MonitorError: The state directory cannot be used.
        """
        async with AsyncExitStack() as stack:
            await self._build(stack)
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(self.delivery.run(), name="delivery"),
                    tasks.create_task(self._ticker.run(), name="ticker"),
                    tasks.create_task(self._watch_loop(), name="loop-lag"),
                    tasks.create_task(self.snapshots.run(), name="snapshots"),
                    tasks.create_task(self._prune_for_ever(), name="prune"),
                    tasks.create_task(self.self_watch.run(), name="self-watch"),
                    tasks.create_task(self.ranks.run(), name="ranks"),
                ]
                if self._reload is not None and self.settings.watch_files:
                    background.append(tasks.create_task(self.reloader.watch(WATCH_S), name="reload"))
                self._slow_task = tasks.create_task(self.slow.run(), name="slow-side")
                self._follow_feeds(tasks)
                self._tasks = tasks
                rules, kernels = len(self.loaded.rules.alerts), self.engine.store.kernels.name
                self.log.info("app.started", url=self.url, feeds=len(self.feeds), rules=rules, kernels=kernels)
                if self.settings.on_started is not None:
                    self.settings.on_started(self.url)
                await self.stop.wait()
                await self._drain()
                for task in background:
                    task.cancel()
            self.log.info("app.stopped")

    # -- building ------------------------------------------------------------------------------------------------------

    async def _build(self, stack: AsyncExitStack) -> None:
        make_data_dir(self.loaded.source.data_dir)
        self._build_engine(stack)
        await self._build_alerts(stack)
        await self._build_inflow(stack)
        self.reloader = Reloader(self)
        self.view = AppView(self._parts())
        await self._remember()
        self.url = await serve(self.loaded, self.view, self.slow.route, stack)

    def _build_engine(self, stack: AsyncExitStack) -> None:
        """Windows as they were left, and the tape that hears of it."""
        loaded, data_dir = self.loaded, self.loaded.source.data_dir
        self.registry = Registry()
        self.board = MarketBoard()
        self.feeds = FeedRoom(self._runner, self.board, self._followed)
        self.engine = Engine(loaded.rules, expected=loaded.expected(), settings=engine_settings(loaded))
        every_s = loaded.source.config.engine.snapshot_interval
        self.snapshots = Snapshots(self.engine, data_dir / "windows", self.clock, every_s)
        self.recorder = self._recorder(stack)
        self._tap = self.settings.tap or self.recorder
        self.journal = Journal(self._tap)
        self.journal.started(loaded, self.clock.wall_ns())
        self.journal.windows(self.snapshots.restore(), self.clock.wall_ns())
        self._stopped_ns = self.engine.now_ns

    async def _build_alerts(self, stack: AsyncExitStack) -> None:
        """State, sinks, and the desk between them and the engine."""
        loaded, config, data_dir = self.loaded, self.loaded.source.config, self.loaded.source.data_dir
        self.store = await Store.open(data_dir / "monitor.db")
        stack.push_async_callback(self.store.close)
        if self.store.set_aside is not None:
            self.log.error("state.corrupt_set_aside", moved_to=str(self.store.set_aside))
        self.sink_options = [sink_options(entry) for entry in config.sinks]
        sinks = {
            options.id: build_sink(options.type, entry)
            for options, entry in zip(self.sink_options, config.sinks, strict=True)
        }
        self.delivery = Delivery(sinks, self.store, self.clock, self.log, observe=self._observe_dispatch)
        stack.push_async_callback(self.delivery.close)
        self.ranks = RankKeeper(self.engine, data_dir / "ranks.bin", self.clock)
        self.ranks.restore()
        self.reporting = Reporting(loaded.rules, self.feeds.feeds, self.clock.wall_ns)
        self.desk = AlertDesk(
            loaded,
            routing=loaded.routing,
            sinks=self.sink_options,
            engine=self.engine,
            store=self.store,
            delivery=self.delivery,
            clock=self.clock,
            notes=lambda key: (*self.ranks.notes(key), *self.reporting.notes(key)),
            journal=self.journal,
        )
        await self.desk.restore()
        self.delivery.handle_command = self.desk.handle_command
        self.delivery.active = self.desk.active_for

    async def _build_inflow(self, stack: AsyncExitStack) -> None:
        """Everything that leads events to the engine."""
        config, data_dir = self.loaded.source.config, self.loaded.source.data_dir
        self.room = EngineRoom(
            self.engine,
            self.board,
            on_evaluated=self.desk.step,
            on_report=self.feeds.count,
            latencies=self.happenings.latencies,
            time_scale=self.settings.time_scale,
            pace=pace_of(config, self.settings.time_scale),
        )
        self.turns = Turns(self.room, self.desk, self._observe, self._put, self.journal)
        self.pump = Pump(self.turns.take_in, self.clock, on_relieved=self.journal.relieved, rests=True)
        self._ticker = Ticker(self.turns.tick, self.pump, self.clock, self.room.pace.step_ns)
        self.http = await stack.enter_async_context(HttpClient(self.clock))
        cache = InstrumentsCache(data_dir / "instruments")
        self.loader = InstrumentLoader(self.registry, self.http, self.clock, cache, self.settings.feed, tap=self._tap)
        self.slow = SlowSide(
            config.sources,
            config.inlets,
            config.derived,
            self._hear,
            http=self.http,
            clock=self.clock,
            base=self.loaded.source.base,
            data_dir=data_dir,
            rng=Random(),  # noqa: S311 - jitter
            speed=self.settings.feed.poll_speed,
            tap=self._tap,
        )
        self.self_watch = SelfWatch(
            data_dir,
            self.happenings,
            self.delivery,
            self.clock,
            self._hear,
            tape=lambda: None if self.recorder is None else self.recorder.view(),
            own_ns=self.room.pace.own_ns,
        )

    def _hear(self, events: Sequence[Event]) -> None:
        self.turns.hear(events, self.clock.wall_ns())

    def _recorder(self, stack: AsyncExitStack) -> Recorder | None:
        """The caller's recorder, or that of the configuration, which ends its file when all else has ended."""
        tap, options = self.settings.tap, self.loaded.source.config.record
        if tap is not None or options is None:
            return tap if isinstance(tap, Recorder) else None
        note = self.settings.synthetic_note
        return stack.enter_context(recorder_of(options, self.loaded.source.data_dir, self.clock, note))

    def _parts(self) -> Parts:
        return Parts(
            clock=self.clock,
            engine=self.engine,
            room=self.room,
            board=self.board,
            feeds=self.feeds.feeds(),
            store=self.store,
            delivery=self.delivery,
            desk=self.desk,
            happenings=self.happenings,
            min_coverage=self.loaded.source.config.engine.min_coverage,
            sink_kinds={options.id: options.type for options in self.sink_options},
            slow=self.slow,
            snapshots=self.snapshots,
            pump=self.pump,
            recorder=self.recorder,
        )

    # -- feeds ---------------------------------------------------------------------------------------------------------

    def _follow_feeds(self, tasks: asyncio.TaskGroup) -> None:
        self.feeds.follow(self.loaded.feeds, tasks)
        self.view.parts = self._parts()

    def _runner(self, feed: Feed, numbers: Iterator[int]) -> FeedRunner:
        around = Surroundings(
            registry=self.registry,
            pump=self.pump,
            clock=self.clock,
            http=self.http,
            loader=self.loader,
            settings=self.settings.feed,
            tap=self._tap,
            tls=self.settings.tls,
            past=self._backfill if self.fetches_past else None,
        )
        return FeedRunner(feed, FeedStats(feed.spec.venue), around, numbers)

    def _followed(self, venue: str, symbols: Sequence[str]) -> None:
        """Have alerts on what has ended end; a halt is not the end."""
        halted = {item.symbol for item in self.registry.venue(venue).values() if item.status == "halted"}
        self.desk.follow(venue, sorted(halted.union(symbols)) if symbols else ())

    # -- the past ------------------------------------------------------------------------------------------------------

    @property
    def fetches_past(self) -> bool:
        """Whether history is asked for."""
        return self.settings.backfill and self.loaded.source.config.backfill

    def _backfill(self, desk: Desk) -> Backfill:
        return Backfill(
            desk,
            self.http,
            Shelf(self.loaded.source.data_dir),
            needs=lambda: needs(self.loaded.rules),
            remember=self._take_past,
            first=self.loaded.source.config.watch,
            stopped_ns=self._stopped_ns,
        )

    async def _take_past(self, events: Sequence[Event]) -> None:
        """Hand history to the engine in pieces, so that the live stream gets its turns in between."""
        for start in range(0, len(events), PAST_AT_ONCE):
            self.turns.remember(events[start : start + PAST_AT_ONCE], self.clock.wall_ns())
            await asyncio.sleep(0)

    # -- running -------------------------------------------------------------------------------------------------------

    def _observe(self, events: Sequence[Event], now_ns: int) -> list[Sample]:
        return self.slow.observe(events, now_ns)

    def _put(self, events: Sequence[Event]) -> None:
        self.pump.append(events)

    async def _remember(self) -> None:
        """Take in the given past before the first evaluation."""
        history = iter(self.settings.history)
        while chunk := list(islice(history, REMEMBERED_AT_ONCE)):
            self.turns.remember(chunk, self.clock.wall_ns())
            await asyncio.sleep(0)

    async def _watch_loop(self) -> None:
        """Twice a second: how late the loop wakes us, the share of time in which its thread works, new instruments."""
        step_ns = NS_PER_S // 2
        while True:
            began_ns, busy_ns = self.clock.mono_ns(), thread_time_ns()
            await self.clock.sleep_until(began_ns + step_ns)
            took_ns = self.clock.mono_ns() - began_ns
            self.feeds.declare()
            self.happenings.loop_lag_s = max(0, took_ns - step_ns) / NS_PER_S
            self.happenings.saturation_ratio = min(1.0, (thread_time_ns() - busy_ns) / max(1, took_ns))

    async def _prune_for_ever(self) -> None:
        """Forget history and deliveries that nobody will ask for any more."""
        while True:
            try:
                await self.store.prune(self.clock.wall_ns() - KEEP_HISTORY_NS)
            except sqlite3.Error as error:  # a disk that is full is no reason to end
                self.log.warning("app.prune_failed", error=str(error))
            await self.clock.sleep_until(self.clock.mono_ns() + PRUNE_EVERY_NS)

    def _observe_dispatch(self, sink: str, seconds: float) -> None:
        latencies = self.happenings.latencies
        dispatch_ns = int(seconds / self.settings.time_scale * NS_PER_S)
        latencies["dispatch"].observe_exemplar(dispatch_ns, {"sink": sink})
        latencies["total"].observe_exemplar(dispatch_ns + self.room.last_receive_lag_ns, {"sink": sink})

    async def _drain(self) -> None:
        self.happenings.draining = True
        self.log.info("app.draining")
        self.pump.drain()
        self.turns.end()
        self._slow_task.cancel()
        await asyncio.gather(*self.feeds.end(), self._slow_task, return_exceptions=True)
        self.pump.drain()
        await self.snapshots.write()
        await self.ranks.save()
        if not await self.delivery.drain(DRAIN_S):
            self.log.warning("app.outbox_not_empty", note="what is left is sent after the next start")

    # -- reloading -----------------------------------------------------------------------------------------------------

    def adopt(self, loaded: Loaded) -> None:
        """Take over a reloaded configuration. All of it has been checked; this cannot fail half way."""
        self.loaded, now_ns = loaded, self.clock.wall_ns()
        self.journal.reloaded(loaded, now_ns)
        self.engine.replace_rules(loaded.rules, loaded.expected())
        self.desk.replace(loaded, loaded.routing, now_ns)
        self.reporting.replace_rules(loaded.rules)
        self.happenings.config_hash = loaded.digest
        self._follow_feeds(self._tasks)
        self.feeds.rules_changed()

    def load_again(self) -> Loaded:
        """Read everything from disk.

        Raises:
            ConfigError: Something is wrong, or asks for what only a restart can do.
        """
        if self._reload is None:
            raise MonitorError("this monitor was started without files")
        loaded = with_self_rules(self._reload())
        problems = needs_restart(self.loaded.source.config, loaded.source)
        if problems:
            raise ConfigError(problems)
        return loaded

    def reload_now(self) -> None:
        """Reload on request (SIGHUP)."""
        self.reloader.reload("requested")


def pace_of(config: Config, time_scale: float = 1.0) -> Pace:
    """Our own time: in steps of the evaluation's interval, and one of them behind the clock."""
    step_ns = int(config.engine.interval * NS_PER_S)
    return Pace(step_ns, step_ns, int(step_ns * time_scale))


def engine_settings(loaded: Loaded) -> EngineSettings:
    """The engine's settings out of the configuration."""
    return EngineSettings(
        lateness_ns=int(loaded.source.config.engine.allowed_lateness * NS_PER_S),
        stale_s=loaded.stale_s(),
        refill_in_background=True,
        max_rows=loaded.source.config.engine.max_rows_per_series,
        kernels=loaded.source.config.engine.kernels,
    )


def install_signals(app: App) -> None:
    """SIGTERM and SIGINT drain; SIGHUP reloads. A SIGTERM that came while the program was loading is obeyed now."""
    loop, early = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop.set)
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, app.reload_now)
    if isinstance(early, EarlyStop) and early.wanted:
        app.stop.set()
