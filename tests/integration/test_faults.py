"""Each misbehaviour of a venue, over real sockets: what is counted, what the stream says, and that the feed recovers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from random import Random

import pytest

from monitor.clock import SystemClock
from monitor.events import Channel, Liquidation, Price, Trade
from monitor.feed import Connection, Limits
from monitor.instruments import Instrument
from monitor.runtime.feeds.link import Link
from monitor.testing.faults import Faults
from monitor.testing.venue_server import VenueServer
from tests.integration.harness import CHANNELS, QUICK, Rig, liquidation, now_ns, price, quoting, running, trade
from tests.toy_venue import BTC, ETH, ToyFeed, ToyVenue, instrument


async def live(rig: Rig) -> None:
    """Wait until every channel is live, and see one price."""
    await rig.subscribed()
    await rig.quote()
    await rig.until(lambda: rig.stats.up)


async def test_a_healthy_feed_is_up_without_a_gap() -> None:
    async with running() as rig:
        await live(rig)
        await rig.server.publish(liquidation("a", 2_500_000))
        await rig.until(lambda: len(rig.of(Liquidation)) == 1)
        assert rig.of(Liquidation)[0].usd_micros == 2_500_000_000_000
        assert rig.of(Liquidation)[0].instrument is rig.registry.get("toy", "BTCUSDT")
        for channel in CHANNELS:
            assert rig.states(channel) == [(False, "starting"), (True, "")]
            assert rig.gaps(channel) == []
        assert rig.stats.events == {"price": 1, "trade": 1, "liquidation": 1}
        assert rig.stats.frames >= 3
        assert rig.stats.connected == 1
        assert not rig.stats.reconnects


async def test_drop_is_a_gap_and_the_feed_comes_back() -> None:
    async with running() as rig:
        await live(rig)
        rig.server.drop_all()
        await rig.subscribed(2)
        await rig.until(lambda: rig.stats.up)
        assert rig.stats.reconnects == {"drop": 1}
        for channel in CHANNELS:
            assert rig.states(channel) == [(False, "starting"), (True, ""), (False, "drop"), (True, "")]
            (gap,) = rig.gaps(channel)
            assert gap.reason == "drop"
            assert rig.of(Price)[0].recv_ns <= gap.start_ns < gap.end_ns
        await rig.quote()
        assert rig.stats.connected == 1


async def test_orderly_close_by_the_venue_is_a_drop_with_its_words() -> None:
    async with running() as rig:
        await live(rig)
        rig.server.close_all(1012, "service restart")
        await rig.subscribed(2)
        await rig.until(lambda: rig.stats.up)
        assert rig.stats.reconnects == {"drop": 1}


async def test_stall_with_pongs_is_noticed_by_the_idle_limit_on_data() -> None:
    """The application's pongs go on arriving; they are frames, but no data."""
    async with running(replace(QUICK, idle_s=1.5)) as rig:
        await live(rig)
        rig.server.faults.stall = True
        last_data_ns = rig.of(Trade)[-1].recv_ns
        await rig.until(lambda: rig.stats.reconnects["idle"] == 1)
        rig.server.faults.stall = False
        await rig.subscribed(2)
        await rig.quote()
        await rig.until(lambda: rig.stats.up)
        for channel in CHANNELS:
            (gap,) = rig.gaps(channel)
            assert gap.reason == "idle"
            assert gap.start_ns == last_data_ns, "a pong is no data"


async def test_a_connection_that_is_quiet_by_nature_is_replaced_less_and_less_often() -> None:
    """Nobody trades the coin. The venue answers pings, so it is alive: the limit on data alone would cut for ever."""
    settings = replace(QUICK, idle_s=0.1)
    async with running(settings, channels=frozenset({Channel.TRADES})) as rig:
        await rig.until(lambda: rig.stats.uptime[Channel.TRADES].up)
        since_ns = now_ns()
        await rig.until(lambda: rig.stats.reconnects["idle"] == 3)
        assert now_ns() - since_ns >= 0.65e9, "0.1 s, then 0.2 s, then 0.4 s"
        await rig.subscribed(4)
        await rig.server.publish(trade())
        await rig.until(lambda: len(rig.of(Trade)) == 1)
        assert rig.stats.reconnects["idle"] == 3


async def test_half_open_socket_is_noticed_without_any_data_expected() -> None:
    """Liquidations alone may be silent for an hour, so only the unanswered ping shows that the peer is gone."""
    settings = replace(QUICK, ping_every_s=0.15, pong_within_s=0.15)
    async with running(settings, channels=frozenset({Channel.LIQUIDATIONS})) as rig:
        await rig.until(lambda: rig.stats.up)
        rig.server.clients[0].faults = Faults(half_open=True)
        await rig.until(lambda: rig.stats.reconnects["half_open"] == 1)
        await rig.until(lambda: rig.stats.up)
        (gap,) = rig.gaps(Channel.LIQUIDATIONS)
        assert gap.reason == "half_open"
        await rig.server.publish(liquidation("after"))
        await rig.until(lambda: len(rig.of(Liquidation)) == 1)


async def test_quiet_but_answering_liquidation_feed_is_left_alone() -> None:
    settings = replace(QUICK, idle_s=0.05, ping_every_s=0.05, pong_within_s=0.2)
    async with running(settings, channels=frozenset({Channel.LIQUIDATIONS})) as rig:
        await rig.until(lambda: rig.stats.up)
        await rig.server.wait_for("pings", 3)
        assert not rig.stats.reconnects
        assert rig.gaps(Channel.LIQUIDATIONS) == []


class LongestWait(Random):
    """Full jitter that always draws the ceiling."""

    def uniform(self, a: float, b: float) -> float:
        return b


async def test_accept_then_close_does_not_become_a_hot_loop() -> None:
    """The wait doubles with each connection that did not deliver, although each one was accepted."""
    settings = replace(QUICK, backoff_base_s=0.02, backoff_cap_s=10.0)
    server = VenueServer(ToyVenue([BTC, ETH]), SystemClock())
    server.faults.accept_then_close = True
    async with running(settings, server=server, rng=LongestWait()) as rig:
        await rig.until(lambda: rig.stats.reconnects["drop"] == 1)
        started_ns = now_ns()
        await rig.until(lambda: rig.stats.reconnects["drop"] == 5)
        assert now_ns() - started_ns >= (0.02 + 0.04 + 0.08 + 0.16) * 1e9
        assert server.counts["connects"] == 5
        assert rig.states(Channel.PRICE) == [(False, "starting")]
        server.faults.accept_then_close = False
        await live(rig)


async def test_refused_handshake_is_counted_and_its_wait_honoured() -> None:
    server = VenueServer(ToyVenue([BTC, ETH]), SystemClock())
    server.faults.refuse_status = 429
    server.faults.refuse_retry_after_s = 1
    async with running(server=server) as rig:
        await rig.until(lambda: rig.stats.reconnects["refused"] == 1)
        refused_ns = now_ns()
        server.faults.refuse_status = None
        await rig.until(lambda: rig.stats.connected == 1)
        assert now_ns() - refused_ns >= 0.9e9
        assert rig.stats.reconnects == {"refused": 1}
        await live(rig)


async def test_server_gone_and_back_on_the_same_port() -> None:
    async with running() as rig:
        await live(rig)
        await rig.server.stop()
        await rig.until(lambda: rig.stats.reconnects["refused"] >= 2)
        assert rig.stats.reconnects["drop"] == 1
        assert not rig.stats.up
        await rig.server.start()
        await rig.subscribed(2)
        await rig.until(lambda: rig.stats.up)
        (gap,) = rig.gaps(Channel.TRADES)
        assert gap.reason == "drop"


async def test_silent_handshake_meets_the_deadline() -> None:
    server = VenueServer(ToyVenue([BTC, ETH]), SystemClock())
    async with running(replace(QUICK, connect_timeout_s=0.1), server=server) as rig:
        await rig.until(lambda: rig.registry.get("toy", "BTCUSDT") is not None)
        await live(rig)
        server.faults.silent_handshake = True
        server.drop_all()
        await rig.until(lambda: rig.stats.reconnects["handshake"] >= 1)
        server.faults.silent_handshake = False
        await rig.until(lambda: rig.stats.up)


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        ("{not json", "malformed"),
        ("", "malformed"),
        ("[1, 2]", "wrong_type"),
        (b"\x00\xff\x80", "malformed"),
        ('{"boom": 1}', "internal"),
        ("x" * 90_000, "malformed"),
    ],
)
async def test_garbage_frames_are_counted_and_do_no_harm(garbage: str | bytes, reason: str) -> None:
    async with running() as rig:
        await live(rig)
        await rig.server.broadcast(garbage)
        await rig.until(lambda: rig.stats.decode_errors[reason] == 1)
        await rig.quote()
        assert not rig.stats.reconnects
        assert rig.gaps(Channel.PRICE) == []


async def test_text_that_is_not_utf8_is_a_bad_frame_not_a_lost_connection() -> None:
    async with running() as rig:
        await live(rig)
        rig.server.clients[0].send_wire(b"\x81\x02\xff\xfe")
        await rig.until(lambda: rig.stats.decode_errors["malformed"] == 1)
        await rig.quote()
        assert not rig.stats.reconnects


async def test_bytes_that_are_no_websocket_end_the_connection() -> None:
    async with running() as rig:
        await live(rig)
        rig.server.clients[0].send_wire(b"\xff\xff\xff\xff")
        await rig.subscribed(2)
        await rig.until(lambda: rig.stats.up)
        assert rig.stats.reconnects == {"protocol_error": 1}


async def test_frame_above_the_limit_ends_the_connection() -> None:
    async with running() as rig:
        await live(rig)
        await rig.server.broadcast("x" * 100_001)
        await rig.subscribed(2)
        await rig.until(lambda: rig.stats.up)
        assert rig.stats.reconnects == {"too_large": 1}


async def test_duplicate_liquidations_with_a_key_count_once() -> None:
    async with running() as rig:
        await live(rig)
        rig.server.faults.duplicate = True
        await rig.server.publish(liquidation("k1"), liquidation("k2"), price(123.0))
        await rig.sees(123.0)
        assert [event.key for event in rig.of(Liquidation)] == ["k1", "k2"]
        assert rig.stats.dropped["duplicate"] == 2


async def test_out_of_order_frames_all_arrive() -> None:
    async with running() as rig:
        await live(rig)
        rig.server.faults.out_of_order = True
        await rig.server.publish(*(liquidation(f"k{number}") for number in range(20)))
        await rig.until(lambda: len(rig.of(Liquidation)) == 20)
        assert {event.key for event in rig.of(Liquidation)} == {f"k{number}" for number in range(20)}


async def test_live_socket_with_a_dead_subscription_is_noticed() -> None:
    """The venue acknowledges the topic and never sends it, while prices flow on the same socket."""
    settings = replace(QUICK, dead_after_s={Channel.LIQUIDATIONS: 0.3})
    server = VenueServer(ToyVenue([BTC, ETH]), SystemClock())
    server.faults.dead_topic = lambda topic: topic.startswith("liquidations")
    async with running(settings, server=server) as rig, quoting(rig):
        await rig.until(lambda: rig.stats.reconnects["dead_subscription"] >= 1)
        assert (False, "dead_subscription") in rig.states(Channel.LIQUIDATIONS)
        assert not rig.stats.uptime[Channel.LIQUIDATIONS].up
        assert rig.states(Channel.PRICE) == [(False, "starting"), (True, "")], "companions lose nothing"
        server.faults.dead_topic = None
        await rig.server.publish(liquidation("k"))
        await rig.until(lambda: rig.stats.uptime[Channel.LIQUIDATIONS].up)
        (gap,) = rig.gaps(Channel.LIQUIDATIONS)
        assert gap.reason == "dead_subscription"


async def test_dead_subscription_is_retried_less_and_less_often() -> None:
    settings = replace(QUICK, dead_after_s={Channel.LIQUIDATIONS: 0.1})
    server = VenueServer(ToyVenue([BTC, ETH]), SystemClock())
    server.faults.dead_topic = lambda topic: topic.startswith("liquidations")
    async with running(settings, server=server) as rig, quoting(rig):
        await rig.until(lambda: rig.stats.reconnects["dead_subscription"] >= 3)
        took_ns = SystemClock().wall_ns() - rig.stats.uptime[Channel.PRICE].since_ns
        assert took_ns >= 0.65e9, "0.1 s, then 0.2 s, then 0.4 s"
        assert not rig.gaps(Channel.PRICE)


@contextlib.asynccontextmanager
async def trading(rig: Rig, coins: Sequence[Instrument]) -> AsyncIterator[list[float]]:
    """Publish a price of every coin again and again: 100, then what the caller puts into the list."""
    value = [100.1]

    async def play() -> None:
        await rig.until(lambda: rig.stats.connected == 1)
        await rig.server.publish(*(Price(coin, "mark", 100.0, now_ns(), now_ns()) for coin in coins))
        while True:
            for coin in coins:
                await rig.server.publish(Price(coin, "mark", value[0], now_ns(), now_ns()))
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(play())
        yield value
        playing.cancel()


async def test_a_market_that_falls_without_one_liquidation_has_a_dead_subscription() -> None:
    """Liquidations are rare, so their silence alone says nothing; a fall of the whole market in silence does."""
    coins = [instrument(f"C{number}USDT") for number in range(30)]
    settings = replace(QUICK, moved_silence_s=0.2)
    server = VenueServer(ToyVenue(coins), SystemClock())
    server.faults.dead_topic = lambda topic: topic.startswith("liquidations")
    async with running(settings, server=server) as rig, trading(rig, coins) as value:
        await rig.until(lambda: len({event.instrument for event in rig.of(Price)}) == len(coins))
        await asyncio.sleep(2 * settings.moved_silence_s)
        assert not rig.stats.reconnects["dead_subscription"], "a calm market may be silent"
        value[0] = 95.0
        await rig.until(lambda: rig.stats.reconnects["dead_subscription"] >= 1)
        assert (False, "dead_subscription") in rig.states(Channel.LIQUIDATIONS)


async def test_missing_acknowledgements_do_not_hide_data() -> None:
    server = VenueServer(ToyVenue([BTC, ETH]), SystemClock())
    server.faults.no_acks = True
    async with running(server=server) as rig:
        await rig.subscribed()
        await rig.quote()
        await rig.until(lambda: rig.stats.uptime[Channel.PRICE].up)
        assert not rig.stats.uptime[Channel.LIQUIDATIONS].up, "neither acknowledged nor seen"


async def test_refused_topic_is_reported_with_the_venues_words() -> None:
    venue = ToyVenue([BTC, ETH])
    async with running(server=VenueServer(venue, SystemClock())) as rig:
        await live(rig)
        venue.instruments = (BTC,)
        rig.server.drop_all()
        await rig.until(lambda: len(rig.stats.refused) == 3)
        assert rig.stats.refused["price.ETHUSDT"].words == "no such symbol"
        await rig.until(lambda: rig.stats.up)


class ShortLived(ToyFeed):
    spec = replace(ToyFeed.spec, limits=Limits(connects=1000, connects_window_s=1.0, lifetime_s=0.5))


async def test_renewal_by_overlap_loses_nothing_and_counts_nothing_twice() -> None:
    async with running(make_feed=ShortLived) as rig:
        await rig.subscribed()
        for number in range(400):
            await rig.server.publish(liquidation(f"k{number}"), price(float(number)))
            if rig.stats.reconnects["renewal"] >= 2 and number > 50:
                break
            await rig.sees(float(number))
        keys = [event.key for event in rig.of(Liquidation)]
        assert rig.stats.reconnects["renewal"] >= 2
        assert set(rig.stats.reconnects) == {"renewal"}
        assert keys == [f"k{number}" for number in range(len(keys))]
        assert len(keys) >= number
        for channel in CHANNELS:
            assert rig.gaps(channel) == []


async def test_renewal_keeps_the_old_connection_when_the_successor_does_not_deliver() -> None:
    settings = replace(QUICK, renewal_patience_s=0.1)
    async with running(settings, make_feed=ShortLived) as rig:
        await live(rig)
        old = rig.server.clients[0]
        old.faults = Faults()
        rig.server.faults.stall = rig.server.faults.no_acks = True
        async with quoting(rig):
            await rig.until(lambda: rig.stats.reconnects["not_ready"] >= 1)
            assert old in rig.server.clients
            assert rig.gaps(Channel.PRICE) == []
            rig.server.faults.stall = rig.server.faults.no_acks = False
            await rig.until(lambda: rig.stats.reconnects["renewal"] >= 1)


async def test_announced_close_is_met_by_a_successor() -> None:
    async with running() as rig, quoting(rig):
        await rig.until(lambda: rig.stats.up)
        await rig.server.broadcast('{"op":"closing"}')
        await rig.until(lambda: rig.stats.reconnects["closing_notice"] == 1)
        assert rig.gaps(Channel.PRICE) == []
        await rig.until(lambda: len(rig.server.clients) == 1)


async def test_unknown_symbol_is_dropped_counted_and_looked_up() -> None:
    venue = ToyVenue([BTC, ETH])
    async with running(server=VenueServer(venue, SystemClock())) as rig:
        await live(rig)
        venue.instruments = (BTC, ETH, instrument("NEWUSDT"))
        row = json.dumps({"ch": "price", "s": "NEWUSDT", "v": 1, "t": 1})
        await rig.server.broadcast(row)
        await rig.until(lambda: rig.stats.dropped["unknown_instrument"] == 1)
        assert rig.stats.unknown_symbols == {"NEWUSDT"}
        await rig.until(lambda: rig.registry.get("toy", "NEWUSDT") is not None)
        async with quoting(rig):
            await rig.until(lambda: rig.stats.reconnects["topics"] == 1)
        assert rig.stats.instruments == 3
        assert any("liquidations.NEWUSDT" in client.topics for client in rig.server.clients)
        assert rig.gaps(Channel.PRICE) == []


async def test_sequence_gaps_are_counted() -> None:
    async with running() as rig:
        await live(rig)
        for number in (1, 2, 6):
            await rig.server.broadcast(json.dumps({"ch": "price", "s": "BTCUSDT", "v": 1, "t": 1, "n": number}))
        await rig.until(lambda: rig.stats.sequence_gaps[Channel.PRICE] == 3)


async def test_trades_of_two_overlapping_connections_are_taken_from_one() -> None:
    async with running(make_feed=ShortLived) as rig:
        await rig.subscribed()
        sent = 0
        while rig.stats.reconnects["renewal"] < 1:
            await rig.server.publish(trade(), price(float(sent)))
            sent += 1
            await rig.sees(float(sent - 1))
        assert sent - 1 <= len(rig.of(Trade)) <= sent


async def test_engine_slower_than_the_market_stops_the_reading_and_loses_nothing() -> None:
    async with running(max_batch=20, high_water=50) as rig:
        await live(rig)
        had = len(rig.of(Trade))
        await rig.server.publish(*(trade(number) for number in range(20_000)))
        await rig.until(lambda: len(rig.of(Trade)) == had + 20_000)
        assert [event.usd_micros for event in rig.of(Trade)[had:]] == [n * 1_000_000 for n in range(20_000)]
        assert rig.pump.pauses > 1
        assert not rig.pump.dropped
        assert not rig.stats.reconnects


class Fragile(ToyFeed):
    """Breaks once, where nothing was expected to."""

    broken = False

    def connections(self, instruments: Sequence[Instrument]) -> list[Connection]:
        if not self.broken:
            self.broken = True
            raise RuntimeError("a bug in the feed")
        return super().connections(instruments)


async def test_bug_in_a_feed_is_counted_and_the_feed_starts_again() -> None:
    async with running(make_feed=Fragile) as rig:
        await live(rig)
        assert rig.stats.reconnects["crashed"] == 1


async def test_cancelled_feed_says_that_it_stopped() -> None:
    async with running() as rig:
        await live(rig)
    assert rig.stats.connected == 0
    assert not rig.stats.up
    rig.pump.drain()
    assert rig.states(Channel.PRICE)[-1] == (False, "stopped")


async def test_hot_standby_bridges_a_sudden_loss_without_a_gap_or_a_repeat() -> None:
    async with running(replace(QUICK, hot_standby=True)) as rig:
        await rig.subscribed(2)
        await rig.quote()
        await rig.until(lambda: rig.stats.up and all(link is not None for link in _spares(rig)))
        first, spare = rig.server.clients
        await rig.server.publish(liquidation("both"), trade(), price(1.0))
        await rig.sees(1.0)
        trades = len(rig.of(Trade))
        first.drop()
        await rig.until(lambda: rig.stats.reconnects["failover"] == 1)
        await rig.server.publish(liquidation("after"), trade(), price(2.0))
        await rig.sees(2.0)
        assert [event.key for event in rig.of(Liquidation)] == ["both", "after"]
        assert len(rig.of(Trade)) == trades + 1
        for channel in CHANNELS:
            assert rig.gaps(channel) == []
            assert rig.states(channel) == [(False, "starting"), (True, "")]
        await rig.subscribed(3)
        assert spare in rig.server.clients


async def test_lost_spare_is_replaced_and_takes_nothing_down() -> None:
    async with running(replace(QUICK, hot_standby=True)) as rig:
        await rig.subscribed(2)
        await rig.quote()
        await rig.until(lambda: all(link is not None for link in _spares(rig)))
        rig.server.clients[1].drop()
        await rig.subscribed(3)
        await rig.quote(2.0)
        await rig.until(lambda: all(link is not None for link in _spares(rig)))
        assert rig.stats.reconnects == {"drop": 1}
        assert rig.gaps(Channel.PRICE) == []


def _spares(rig: Rig) -> list[Link | None]:
    return [supervisor._spare for supervisor, _ in rig.runner._supervisors.values()]
