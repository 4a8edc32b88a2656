"""Each venue's feed against its own local server, over real sockets: subscribe, receive, lose, recover, renew."""

from __future__ import annotations

import functools
from dataclasses import replace
from decimal import Decimal

import pytest

from monitor.clock import SystemClock
from monitor.events import Channel, Liquidation, Price, Trade
from monitor.feed import FeedOptions
from monitor.feeds import feed_class, make_feed
from monitor.instruments import Instrument, Registry
from monitor.testing.faults import Faults
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import PROTOCOLS, make_protocol
from tests.feeds.support import metadata
from tests.integration.harness import QUICK, Rig, now_ns, running

LISTED = {
    "binance_usdm": Instrument(
        venue="binance_usdm", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp", funding_interval_h=8.0
    ),
    "binance_coinm": Instrument(
        venue="binance_coinm", symbol="BTCUSD_PERP", base="BTC", quote="USD", settle="BTC", kind="perp", form="inverse",
        contract_value=Decimal(100), funding_interval_h=8.0,
    ),
    "binance_spot": Instrument(
        venue="binance_spot", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="spot"
    ),
    "bybit": Instrument(
        venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp", category="linear",
        funding_interval_h=8.0,
    ),
    "okx": Instrument(
        venue="okx", symbol="BTC-USDT-SWAP", base="BTC", quote="USDT", settle="USDT", kind="perp", category="SWAP",
        contract_value=Decimal("0.01"), funding_interval_h=8.0,
    ),
}  # fmt: skip
USD = 84_000
WANTED = frozenset({Channel.PRICE, Channel.TRADES, Channel.LIQUIDATIONS})


def instrument_of(venue: str) -> Instrument:
    """Bitcoin on this venue: as listed above, or as the venue's golden metadata has it; perpetual where there is one."""
    if venue in LISTED:
        return LISTED[venue]
    feed = make_feed(venue, FeedOptions(channels=channels_of(venue)))
    registry, replies = Registry(), metadata(venue)
    for request in feed.metadata():
        registry.update(feed.parse_metadata(request, replies[request.name])[0])
    bitcoin = [item for item in feed.wanted(registry) if item.base == "BTC" and item.kind in {"perp", "spot"}]
    return min(bitcoin, key=lambda item: (item.kind, item.form != "linear", item.symbol))


def price(item: Instrument) -> Price:
    kind = "last" if item.kind == "spot" else "mark"
    return Price(item, kind, 84_000.0, now_ns(), now_ns())  # type: ignore[arg-type]


def trade(item: Instrument) -> Trade:
    return Trade(item, "buy", USD * 1_000_000, 84_000.0, now_ns(), now_ns())


def liquidation(item: Instrument, side: str = "long") -> Liquidation:
    return Liquidation(item, side, USD * 1_000_000, 84_000.0, now_ns(), now_ns())  # type: ignore[arg-type]


def channels_of(venue: str) -> frozenset[Channel]:
    laws = feed_class(venue).spec.laws
    return frozenset(channel for channel in WANTED if channel in laws and laws[channel].kind != "not_covered")


async def publish_until(rig: Rig, item: Instrument, kinds: tuple[type, ...]) -> None:
    """Publish until one event of each kind has come out."""
    had = {kind: len(rig.of(kind)) for kind in kinds}
    for _ in range(500):
        await rig.server.publish(price(item), trade(item))
        if Liquidation in kinds:
            await rig.server.publish(liquidation(item))
        if all(len(rig.of(kind)) > count for kind, count in had.items()):
            return
        await rig.settle()
    raise AssertionError(f"{kinds} did not arrive: {rig.stats}")


@pytest.fixture(params=sorted(PROTOCOLS))
def venue(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def test_live_then_lost_then_live_again(venue: str) -> None:
    item, channels = instrument_of(venue), channels_of(venue)
    kinds = (Price, Trade, Liquidation) if Channel.LIQUIDATIONS in channels else (Price, Trade)
    server = VenueServer(make_protocol(venue, [item]), SystemClock())
    async with running(channels=channels, server=server, make_feed=functools.partial(make_feed, venue)) as rig:
        await rig.until(lambda: rig.stats.connected == rig.stats.connections > 0)
        await publish_until(rig, item, kinds)
        await rig.until(lambda: rig.stats.up)
        assert not rig.stats.refused
        assert not rig.stats.decode_errors
        assert {event.instrument.symbol for event in rig.of(Trade)} == {item.symbol}
        assert all(event.usd_micros == pytest.approx(USD * 1e6, rel=1e-6) for event in rig.of(Trade))
        if Channel.LIQUIDATIONS in channels:
            assert {event.side for event in rig.of(Liquidation)} == {"long"}
            assert all(event.usd_micros == pytest.approx(USD * 1e6, rel=1e-6) for event in rig.of(Liquidation))
        lost = rig.stats.connected
        server.drop_all()
        await rig.until(lambda: rig.stats.reconnects["drop"] == lost)
        await rig.until(lambda: rig.stats.connected == lost)
        await publish_until(rig, item, kinds)
        await rig.until(lambda: rig.stats.up)
        for channel in channels:
            assert {gap.reason for gap in rig.gaps(channel)} == {"drop"}
        assert set(rig.stats.reconnects) == {"drop"}


async def test_stalled_venue_is_replaced(venue: str) -> None:
    item = instrument_of(venue)
    server = VenueServer(make_protocol(venue, [item]), SystemClock())
    settings = replace(QUICK, idle_s=0.4)
    channels = frozenset({Channel.TRADES})
    async with running(
        settings, channels=channels, server=server, make_feed=functools.partial(make_feed, venue)
    ) as rig:
        await rig.until(lambda: rig.stats.connected == rig.stats.connections > 0)
        await publish_until(rig, item, (Trade,))
        for client in server.clients:
            client.faults = Faults(stall=True)
        await rig.until(lambda: rig.stats.reconnects["idle"] >= 1)
        await rig.until(lambda: rig.stats.connected == 1)
        await publish_until(rig, item, (Trade,))
        await rig.until(lambda: bool(rig.gaps(Channel.TRADES)))
