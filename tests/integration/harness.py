"""A feed runner against a local venue server over real sockets, with short patience."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from monitor.clock import SystemClock
from monitor.events import Channel, FeedGap, FeedState, Liquidation, Price, Trade
from monitor.feed import Feed, FeedOptions
from monitor.instruments import Registry
from monitor.runtime.feeds.backfill import Backfill
from monitor.runtime.feeds.desk import Desk, Tap
from monitor.runtime.feeds.feed_runner import FeedRunner, Surroundings
from monitor.runtime.feeds.instruments import InstrumentLoader
from monitor.runtime.feeds.instruments_cache import InstrumentsCache
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.pump import Pump, StreamEvent
from monitor.testing.venue_server import VenueServer
from monitor.transports.http import HttpClient
from tests.toy_venue import BTC, ETH, ToyFeed, ToyVenue

E = TypeVar("E")

QUICK = FeedSettings(
    connect_timeout_s=0.3,
    backoff_base_s=0.01,
    backoff_cap_s=0.05,
    stable_s=5.0,
    tick_s=0.02,
    idle_s=5.0,
    ping_every_s=5.0,
    pong_within_s=5.0,
    companion_s=1.0,
    renewal_patience_s=2.0,
    metadata_every_s=60.0,
    metadata_gap_s=0.1,
    metadata_patience_s=0.3,
    metadata_timeout_s=1.0,
    poll_timeout_s=0.3,
)
CHANNELS = frozenset({Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS})


@dataclass
class Rig:
    """A running feed, its venue, and everything that came out of it, oldest first."""

    server: VenueServer
    runner: FeedRunner
    stats: FeedStats
    pump: Pump
    registry: Registry
    stream: list[StreamEvent]

    def of(self, kind: type[E]) -> list[E]:
        """Events of one type so far."""
        return [event for event in self.stream if isinstance(event, kind)]

    def states(self, channel: Channel) -> list[tuple[bool, str]]:
        """The channel's history as (up, reason)."""
        return [(event.up, event.reason) for event in self.of(FeedState) if event.channel is channel]

    def gaps(self, channel: Channel) -> list[FeedGap]:
        return [gap for gap in self.of(FeedGap) if gap.channel is channel]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 8.0) -> None:
        """Wait until `condition` holds; it is looked at whenever anything may have happened."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await asyncio.sleep(0.005)
            self.pump.drain()
        except TimeoutError:
            raise AssertionError(f"did not happen; {self.stats}; {self.stream[-10:]}") from None

    async def settle(self) -> None:
        """Let a few turns of the loop pass, so that what was sent can arrive."""
        await asyncio.sleep(0.005)

    async def subscribed(self, times: int = 1) -> None:
        """Wait until the feed is subscribed to everything for the n-th time."""
        topics = 2 * len(self.runner.feed.options.channels & CHANNELS)
        await self.server.wait_for("subscribes", times * topics)

    async def sees(self, value: float) -> None:
        """Wait until the latest price is `value`."""
        await self.until(lambda: bool(prices := self.of(Price)) and prices[-1].value == value)

    async def quote(self, value: float = 100.0) -> None:
        """Publish a price and a trade, and wait until the price has come out."""
        await self.server.publish(price(value), trade())
        await self.sees(value)


def now_ns() -> int:
    return SystemClock().wall_ns()


def price(value: float = 100.0) -> Price:
    return Price(BTC, "mark", value, now_ns(), now_ns())


def trade(usd: int = 10) -> Trade:
    return Trade(BTC, "buy", usd * 1_000_000, 1.0, now_ns(), now_ns())


def liquidation(key: str = "", usd: int = 1000) -> Liquidation:
    return Liquidation(BTC, "long", usd * 1_000_000, 1.0, now_ns(), now_ns(), key)


@contextlib.asynccontextmanager
async def quoting(rig: Rig, every_s: float = 0.01) -> AsyncIterator[None]:
    """A market that never stands still while the block runs."""

    async def beat() -> None:
        while True:
            await rig.server.publish(price())
            await asyncio.sleep(every_s)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(
    settings: FeedSettings = QUICK,
    *,
    channels: frozenset[Channel] = CHANNELS,
    server: VenueServer | None = None,
    make_feed: Callable[[FeedOptions], Feed] = ToyFeed,
    data_dir: Path | None = None,
    tap: Tap | None = None,
    top: int | None = None,
    symbols: tuple[str, ...] | None = None,
    rng: Random | None = None,
    past: Callable[[Desk, HttpClient], Backfill] | None = None,
    **pump_limits: Any,
) -> AsyncIterator[Rig]:
    """Start server and runner; the feed is not yet connected when the block begins."""
    clock = SystemClock()
    server = server or VenueServer(ToyVenue([BTC, ETH]), clock)
    async with server, HttpClient(clock, max_body_bytes=1_000_000) as http:
        options = FeedOptions(
            channels=channels, symbols=symbols or "*", top=top, ws_url=server.ws_url, rest_url=server.rest_url
        )
        feed = make_feed(options)
        registry = Registry()
        cache = InstrumentsCache(data_dir) if data_dir else None
        stats = FeedStats(feed.spec.venue)
        stream: list[StreamEvent] = []
        pump = Pump(lambda events, _: stream.extend(events), clock, **pump_limits)
        around = Surroundings(
            registry=registry,
            pump=pump,
            clock=clock,
            http=http,
            loader=InstrumentLoader(registry, http, clock, cache, settings, tap=tap),
            settings=settings,
            rng=rng or Random(1),
            tap=tap,
            past=None if past is None else lambda desk: past(desk, http),
        )
        runner = FeedRunner(feed, stats, around)
        rig = Rig(server, runner, stats, pump, registry, stream)
        task = asyncio.create_task(runner.run(), name="runner")
        try:
            yield rig
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0)
