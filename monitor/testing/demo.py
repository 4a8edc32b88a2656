"""The synthetic market of the demo: local venue servers that play the November 2025 scenario under a scaled clock.

Everything between the scenario and the monitor is real: sockets, wire protocols, REST metadata and polls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from monitor.clock import NS_PER_MS, NS_PER_S, Clock
from monitor.events import Channel, MarketEvent
from monitor.feeds import feed_class
from monitor.instruments import Instrument
from monitor.testing.demo_slow import DemoSlowSide
from monitor.testing.scenario import Scenario, instruments_of
from monitor.testing.scenario.listings import VOLATILITY_INSTRUMENTS
from monitor.testing.scenario.slow import index_samples
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol

NOTE = "SYNTHETIC market: a seeded scenario shaped on November 2025, not real data"
STEP_NS = 20 * NS_PER_MS
FEEDS: dict[str, tuple[str, ...]] = {
    "binance_usdm": ("binance_usdm", "binance_coinm"),
    "bybit": ("bybit",),
    "okx": ("okx",),
    "binance_spot": ("binance_spot",),
    "deribit": (),
}
"""Feed of the demo -> venues whose instruments its server lists: Binance serves both product lines, Deribit its
volatility index only."""

CHANNELS = ("price", "liquidations", "funding", "open_interest", "trades", "depth")
INDEX_EVERY_NS = 10 * NS_PER_S
INSTRUMENTS = instruments_of(*(venue for venues in FEEDS.values() for venue in venues))


class DemoMarket:
    """One local server per venue, and the scenario that drives them.

    Args:
        scenario: What happens.
        clock: Wall time is the scenario's.
    """

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self.scenario = scenario
        self.clock = clock
        self.servers = {
            feed: VenueServer(
                make_protocol(feed, _listed(scenario.instruments, venues) or VOLATILITY_INSTRUMENTS), clock
            )
            for feed, venues in FEEDS.items()
        }
        for server in self.servers.values():
            server.past = scenario
        self.slow = DemoSlowSide(scenario, clock)
        self._stack = AsyncExitStack()
        self.published = 0

    async def __aenter__(self) -> Self:
        for server in self.servers.values():
            await self._stack.enter_async_context(server)
        await self._stack.enter_async_context(self.slow)
        now_ns = self.clock.wall_ns()
        await self._publish(now_ns - 60 * NS_PER_S, now_ns)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Publish what happens until the scenario ends or the task is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            pushing = tasks.create_task(self.slow.run(), name="pushing")
            await self._play()
            pushing.cancel()

    async def _play(self) -> None:
        done_ns = self.clock.wall_ns()
        while done_ns < self.scenario.end_ns:
            await self.clock.sleep_until(self.clock.mono_ns() + STEP_NS)
            now_ns = min(self.clock.wall_ns(), self.scenario.end_ns)
            await self._publish(done_ns, now_ns)
            done_ns = now_ns

    async def _publish(self, from_ns: int, to_ns: int) -> None:
        events: list[MarketEvent] = list(self.scenario.events(from_ns, to_ns))
        events += index_samples(from_ns, to_ns, INDEX_EVERY_NS)
        for server in self.servers.values():
            self.published += await server.publish(*events)

    def configuration(
        self, listen: str, data_dir: str, rules: str, extra_sinks: Sequence[str] = (), *, slow: bool = True
    ) -> str:
        """The text of a configuration whose feeds (and with `slow` all other inputs) lead to these servers."""
        patterns = ", ".join(json.dumps(pattern.strip()) for pattern in rules.split(","))
        lines = [f"listen: {listen}", f"data_dir: {data_dir}", f"rules: [{patterns}]"]
        lines += ["engine: {allowed_lateness: 30m}  # a slow second of ours is minutes of the market's", "feeds:"]
        for feed, server in self.servers.items():
            lines += [
                f"  - venue: {feed}",
                f"    channels: [{', '.join(_channels(feed))}]",
                '    symbols: "*"',
                f"    ws_url: {server.ws_url}",
                f"    rest_url: {server.rest_url}",
            ]
        lines += self.slow.configuration(data_dir) if slow else []
        lines += ["sinks:", "  - type: console", "  - {type: file, path: " + f"{data_dir}/alerts.jsonl" + "}"]
        return "\n".join([*lines, *(f"  - {sink}" for sink in extra_sinks), ""])


def _channels(feed: str) -> list[str]:
    laws = feed_class(feed).spec.laws
    if not FEEDS[feed]:
        return [Channel.VOLATILITY]
    return [channel for channel in CHANNELS if Channel(channel) in laws]


def _listed(instruments: Sequence[Instrument], venues: Sequence[str]) -> list[Instrument]:
    return [instrument for instrument in instruments if instrument.venue in venues]
