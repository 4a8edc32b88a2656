"""Who is told what is followed, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from monitor.events import Channel
from monitor.feed import Feed, FeedOptions
from monitor.instruments import Instrument
from monitor.runtime.feeds.feed_room import FeedRoom
from monitor.runtime.market import MarketBoard
from tests.toy_venue import BTC, ETH, ToyFeed


async def test_what_is_followed_is_said_when_it_changes_and_an_empty_start_is_not_the_end_of_all() -> None:
    said: list[tuple[str, tuple[str, ...]]] = []
    runners: list[Any] = []

    def make(feed: Feed, _: Iterator[int]) -> Any:
        runners.append(
            SimpleNamespace(feed=feed, chosen=list[Instrument](), covered=frozenset(), run=asyncio.Event().wait)
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
