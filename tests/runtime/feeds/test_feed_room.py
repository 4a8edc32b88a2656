"""Who is told what is followed, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from monitor.events import Channel
from monitor.feed import Feed, FeedOptions
from monitor.feeds import make_feeds
from monitor.instruments import Instrument
from monitor.runtime.feeds.feed_room import FeedRoom
from monitor.runtime.feeds.stats import FeedStats, UpTime
from monitor.runtime.market import MarketBoard
from tests.toy_venue import BTC, ETH, ToyFeed


def stats_of(feed: Feed) -> FeedStats:
    stats = FeedStats(feed.spec.venue)
    stats.uptime.update((channel, UpTime()) for venue, channel in feed.sources() if venue == stats.venue)
    return stats


async def test_a_channel_that_comes_over_another_venues_stream_is_live_whenever_that_is() -> None:
    runners: dict[str, Any] = {}

    def make(feed: Feed, _: Iterator[int]) -> Any:
        made = SimpleNamespace(feed=feed, chosen=[BTC], stats=stats_of(feed), run=asyncio.Event().wait)
        return runners.setdefault(feed.spec.venue, made)

    options = FeedOptions(channels=frozenset({Channel.PRICE, Channel.LIQUIDATIONS}))
    board = MarketBoard()
    room = FeedRoom(make, board)
    async with asyncio.TaskGroup() as tasks:
        room.follow(make_feeds([("binance_coinm", options), ("binance_usdm", options)]), tasks)
        carrier, rider = runners["binance_usdm"].stats, runners["binance_coinm"].stats
        assert Channel.LIQUIDATIONS not in stats_of(runners["binance_coinm"].feed).uptime
        carrier.uptime[Channel.LIQUIDATIONS].change(1, up=True)
        assert rider.uptime[Channel.LIQUIDATIONS].up
        assert not rider.uptime[Channel.PRICE].up
        room.follow([], tasks)


async def test_what_is_followed_is_said_when_it_changes_and_an_empty_start_is_not_the_end_of_all() -> None:
    said: list[tuple[str, tuple[str, ...]]] = []
    runners: list[Any] = []

    def make(feed: Feed, _: Iterator[int]) -> Any:
        runners.append(
            SimpleNamespace(feed=feed, chosen=list[Instrument](), stats=stats_of(feed), run=asyncio.Event().wait)
        )
        return runners[-1]

    room = FeedRoom(make, MarketBoard(), lambda venue, symbols: said.append((venue, tuple(symbols))))
    async with asyncio.TaskGroup() as tasks:
        room.follow([ToyFeed(FeedOptions(channels=frozenset({Channel.PRICE})))], tasks)
        room.declare()
        assert said == [], "nothing is known yet"
        runners[0].chosen = [ETH, BTC]
        room.declare()
        room.declare()
        assert said == [("toy", ("BTCUSDT", "ETHUSDT"))]
        runners[0].chosen = [BTC]
        room.declare()
        assert said[1:] == [("toy", ("BTCUSDT",))]
        room.follow([], tasks)
        room.declare()
        assert said[2:] == [("toy", ())]
