"""What becomes of the rows of a polled list that cannot be read."""

from __future__ import annotations

import asyncio
from random import Random

import structlog

from monitor.errors import DecodeError
from monitor.events import Channel, MarketEvent, OpenInterest
from monitor.feed import Bad, FeedOptions, Poll, Request
from monitor.instruments import Registry
from monitor.runtime.feeds.desk import Desk
from monitor.runtime.feeds.liveness import Liveness
from monitor.runtime.feeds.polling import Poller
from monitor.runtime.feeds.stats import FeedStats
from monitor.runtime.settings import FeedSettings
from monitor.runtime.steps.pump import Pump
from monitor.testing.manual_clock import ManualClock
from monitor.transports.http import HttpClient, Reply
from tests.toy_venue import BTC, ETH, ToyFeed

WRONG = DecodeError("wrong_type", "a row")


class Listing(ToyFeed):
    """Polls one list, of which so many rows are good and so many bad."""

    good, bad = 2, 1

    def parse_poll(self, poll: Poll, body: bytes, recv_ns: int, registry: Registry, bad: Bad) -> list[MarketEvent]:
        for _ in range(self.bad):
            bad(WRONG)
        return [OpenInterest(item, 5.0, recv_ns, recv_ns) for item in (BTC, ETH)[: self.good]]


async def polled(feed: Listing) -> tuple[FeedStats, list[MarketEvent], list[str]]:
    clock, stats, taken = ManualClock(), FeedStats("toy"), list[MarketEvent]()
    pump = Pump(lambda events, _: taken.extend(e for e in events if isinstance(e, OpenInterest)), clock)
    liveness = Liveness(stats, feed.sources(), pump.append, clock.wall_ns())
    with structlog.testing.capture_logs() as logs:
        desk = Desk(
            feed=feed, registry=Registry(), pump=pump, clock=clock, stats=stats, log=structlog.get_logger(), rng=Random(1),
            settings=FeedSettings(), liveness=liveness, on_unknown=lambda: None,
        )  # fmt: skip

        class Http(HttpClient):
            async def fetch(self, request: Request, *, timeout_s: float = 10.0, max_bytes: int | None = None) -> Reply:
                return Reply(b"[]", clock.wall_ns())

        poll = Poll(Request("list", "http://x/list"), Channel.OPEN_INTEREST, every_s=60.0)
        poller = Poller(desk, Http(clock), [poll])
        task = asyncio.create_task(poller.run())
        await clock.advance(1.0)
        poller.tick(clock.mono_ns())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pump.drain()
    return stats, taken, [entry["event"] for entry in logs if entry["log_level"] == "warning"]


async def test_a_bad_row_is_counted_and_logged_and_the_others_are_taken() -> None:
    stats, taken, said = await polled(Listing(FeedOptions(channels=frozenset({Channel.OPEN_INTEREST}))))
    assert len(taken) == 2
    assert (stats.decode_errors, stats.polls, stats.poll_errors) == ({"wrong_type": 1}, 1, {})
    assert said == ["feed.bad_frame"]
    assert stats.uptime[Channel.OPEN_INTEREST].up


async def test_a_list_without_a_readable_row_is_a_failed_poll_not_a_live_channel() -> None:
    """A venue that renames a field answers, and says nothing that can be read."""
    feed = Listing(FeedOptions(channels=frozenset({Channel.OPEN_INTEREST})))
    feed.good, feed.bad = 0, 40
    stats, taken, said = await polled(feed)
    assert taken == []
    assert (stats.decode_errors, stats.polls, stats.poll_errors) == ({"wrong_type": 40}, 0, {"wrong_type": 1})
    assert said == ["feed.bad_frame", "feed.poll_failed"], "sampled"
    assert not stats.uptime[Channel.OPEN_INTEREST].up
