"""Which gaps are asked for, from when to when, and what is called filled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.clock import NS_PER_S
from monitor.events import Channel, Event, FeedGap, Liquidation, MarketEvent, Trade
from monitor.feed import Connection, FeedOptions, HistoryPage, Topic
from monitor.feeds import make_feed
from monitor.instruments import Instrument
from monitor.runtime.feeds.gaps import Failed, Gaps, Lost
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.feeds.stats import FeedStats

LOST_NS, BEGUN_NS, BACK_NS = 1_000 * NS_PER_S, 1_010 * NS_PER_S, 1_012 * NS_PER_S
COINS = {
    coin: Instrument(venue="dydx", symbol=f"{coin}-USD", base=coin, quote="USD", settle="USDC", kind="perp")
    for coin in ("BTC", "ETH")
}


class Asking:
    """The gaps of a feed with a connection per market; remembers what was asked and what came of it."""

    def __init__(self, venue: str = "dydx", top: int | None = None) -> None:
        fills = (Channel.TRADES, Channel.LIQUIDATIONS)
        feed = make_feed(venue, FeedOptions(channels=frozenset(fills), top=top))
        self.repeats, self.stats = Repeats(), FeedStats(venue)
        desk: Any = SimpleNamespace(feed=feed, stats=self.stats, repeats=self.repeats)
        self.gaps = Gaps(desk, self.stats.backfill, self.ask, self.remember, self.sleep)
        topics = {coin: Topic(f"v4_trades:{coin}-USD", fills, f"{coin}-USD") for coin in COINS}
        self.connections = {coin: Connection(coin, "wss://x", (topics[coin],)) for coin in COINS}
        self.gaps.follow(list(COINS.values()), self.connections)
        self.asked: list[HistoryPage] = []
        self.taken: list[Event] = []
        self.found: list[MarketEvent] = []
        self.failing: set[str] = set()

    async def ask(self, page: HistoryPage) -> tuple[list[MarketEvent], list[HistoryPage]]:
        self.asked.append(page)
        if page.symbol in self.failing:
            raise Failed(page.symbol)
        return list(self.found), []

    async def remember(self, events: Sequence[Event]) -> None:
        self.taken += events

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0)

    async def fill(self, *lost: Lost) -> None:
        for each in lost:
            self.gaps.lost(each)
        await self.gaps.fill()

    @property
    def filled(self) -> list[tuple[Channel, int, int]]:
        return [
            (gap.channel, gap.start_ns, gap.end_ns) for gap in self.taken if isinstance(gap, FeedGap) and gap.filled
        ]


def lost(channel: Channel, coin: str = "BTC") -> Lost:
    return Lost(channel, coin, LOST_NS, BEGUN_NS, BACK_NS, "drop")


async def test_only_what_the_lost_connection_carries_is_asked_for() -> None:
    """The other connection went on: its trades of that time are counted already."""
    asking = Asking()
    await asking.fill(lost(Channel.TRADES, "ETH"))
    assert [page.symbol for page in asking.asked] == ["ETH-USD"]


async def test_trades_are_cut_to_the_time_in_which_none_can_have_arrived() -> None:
    """They have no key to be told apart by: what arrived before the successor was known to deliver would count twice."""
    asking = Asking()
    await asking.fill(lost(Channel.TRADES))
    assert [(page.start_ns, page.end_ns) for page in asking.asked] == [(LOST_NS, BEGUN_NS)]
    assert asking.filled == [(Channel.TRADES, LOST_NS, BACK_NS)]


async def test_liquidations_are_asked_for_with_an_overlap_and_told_apart_by_key() -> None:
    asking = Asking()
    known = Liquidation(COINS["BTC"], "long", 5, 1.0, LOST_NS, LOST_NS, "a")
    assert asking.repeats.is_new(known, 1)
    asking.found = [known, Liquidation(COINS["BTC"], "long", 7, 1.0, LOST_NS + 1, BACK_NS, "b")]
    await asking.fill(lost(Channel.LIQUIDATIONS))
    assert [(page.start_ns, page.end_ns) for page in asking.asked] == [(LOST_NS - 5 * NS_PER_S, BACK_NS)]
    assert [event.usd_micros for event in asking.taken if isinstance(event, Liquidation)] == [7]


async def test_liquidations_without_common_keys_are_cut_as_trades_are() -> None:
    asking = Asking("gate")
    item = Instrument(
        venue="gate", symbol="BTC_USDT", base="BTC", quote="USDT", settle="USDT", kind="perp", category="usdt"
    )
    topic = Topic("futures.public_liquidates:!all", (Channel.LIQUIDATIONS,))
    asking.gaps.follow([item], {"gate/usdt/0": Connection("gate/usdt/0", "wss://x", (topic,))})
    await asking.fill(Lost(Channel.LIQUIDATIONS, "gate/usdt/0", LOST_NS, BEGUN_NS, BACK_NS, "drop"))
    (page,) = asking.asked
    assert LOST_NS <= page.start_ns < page.end_ns < BEGUN_NS


async def test_of_a_page_of_a_whole_venue_only_what_is_followed_counts() -> None:
    """With ``top: 1`` the socket's rows of other coins are left out, and so are those of a page of all."""
    asking = Asking(top=1)
    asking.gaps.follow([COINS["BTC"]], {"BTC": asking.connections["BTC"]})
    asking.found = [Liquidation(COINS[coin], "long", 7, 1.0, LOST_NS + 1, BACK_NS, coin) for coin in COINS]
    await asking.fill(lost(Channel.LIQUIDATIONS))
    assert [event.instrument.base for event in asking.taken if isinstance(event, Liquidation)] == ["BTC"]


async def test_a_gap_that_overlaps_one_that_failed_is_not_called_filled() -> None:
    """Coverage is of the channel: it must not call whole what lacks the other connection's half."""
    asking = Asking()
    asking.failing = {"ETH-USD"}
    asking.found = [Trade(COINS["BTC"], "buy", 5, 1.0, LOST_NS + 1, BACK_NS)]
    await asking.fill(lost(Channel.TRADES, "BTC"), lost(Channel.TRADES, "ETH"))
    assert [event.usd_micros for event in asking.taken if isinstance(event, Trade)] == [5]
    assert asking.filled == []
    assert asking.stats.backfill.gaps == {"filled": 1, "failed": 1}


async def test_liquidations_come_first() -> None:
    asking = Asking()
    await asking.fill(lost(Channel.TRADES), lost(Channel.LIQUIDATIONS))
    assert [page.channel for page in asking.asked] == [Channel.LIQUIDATIONS, Channel.TRADES]


@pytest.mark.parametrize(
    "gap",
    [
        lost(Channel.PRICE),
        Lost(Channel.TRADES, "BTC", LOST_NS, LOST_NS, BACK_NS, "drop"),  # the successor was there before the loss
    ],
)
async def test_what_left_no_gap_of_events_is_not_asked_for(gap: Lost) -> None:
    asking = Asking()
    await asking.fill(gap, lost(Channel.LIQUIDATIONS, "ETH"))
    assert [page.channel for page in asking.asked] == [Channel.LIQUIDATIONS]
