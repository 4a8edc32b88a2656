"""A piece out of the middle of a tape gives the events that the whole gives from there on, venue by venue."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from monitor.clock import SystemClock
from monitor.events import Channel, Event, Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import Feed
from monitor.feeds import feed_class, make_feed
from monitor.instruments import Instrument
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.cut import CutReport, cut, window
from monitor.tape.folder import read_folder, some_files
from monitor.tape.format import Record
from monitor.tape.reader import Loss
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeLimits, TapeWriter
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import PROTOCOLS, make_protocol
from tests.integration.harness import Rig, now_ns, running
from tests.integration.test_venues import instrument_of, liquidation, publish_until, trade
from tests.tape.test_replay import plain

if TYPE_CHECKING:
    from monitor.feeds.gate import GateFeed


def reader(feed: Feed) -> Replay:
    return Replay([make_feed(feed.spec.venue, feed.options)], lambda: Repeats().is_new)


def own_events(items: Iterator[Record | Loss], feed: Feed) -> tuple[list[Event], Replay]:
    """Events of what is not carried."""
    replay, found = reader(feed), list[Event]()
    for item in items:
        assert isinstance(item, Record)
        events = replay.take(item)
        if not item.carried:
            found += events
    return found, replay


def from_whole(folder: Path, feed: Feed, from_ns: int) -> list[Event]:
    replay = reader(feed)
    items = [(item, replay.take(item)) for item in read_folder(folder) if isinstance(item, Record)]
    return [event for item, events in items if item.recv_ns >= from_ns for event in events]


def piece_of(whole: Path, piece: Path, feed: Feed, from_ns: int) -> CutReport:
    writer = TapeWriter(piece)
    report = cut(whole, writer, from_ns, None, reader(feed))
    writer.close()
    return report


def shown(events: Sequence[Event]) -> list[object]:
    return [plain(event) for event in events]


async def publish_a_little_of_everything(rig: Rig, item: Instrument, rounds: int) -> None:
    """Every value of its own time, so that some are old news wherever the tape is cut."""
    for number in range(rounds):
        t = now_ns()
        news: list[MarketEvent] = [
            Price(item, "mark", 84_000.0 + number, t, t),
            Price(item, "last", 83_000.0 + number, t, t),
            Price(item, "index", 82_000.0 + number, t, t),
            Funding(item, 0.0001 + number / 1e6, 8.0, t, t, t + 3600 * 10**9),
            OpenInterest(item, 1e9 + number * 1e6, t, t),
            trade(item),
            liquidation(item),
        ]
        await rig.server.publish(news[number % len(news)], trade(item))
        await rig.settle()


@pytest.mark.parametrize("venue", sorted(PROTOCOLS))
async def test_a_piece_gives_what_the_whole_gives_from_there_on(venue: str, tmp_path: Path) -> None:
    item = instrument_of(venue)
    laws = feed_class(venue).spec.laws
    channels = frozenset(channel for channel, law in laws.items() if law.kind != "not_covered")
    server = VenueServer(make_protocol(venue, [item]), SystemClock())
    with Recorder(TapeWriter(tmp_path / "whole"), SystemClock(), flush_s=0.05) as tap:
        async with running(
            channels=channels,
            server=server,
            make_feed=functools.partial(make_feed, venue),
            tap=tap,
            symbols=(item.symbol,),
        ) as rig:
            await rig.until(lambda: rig.stats.connected == rig.stats.connections > 0)
            await rig.until(lambda: not rig.stats.refused)
            await publish_a_little_of_everything(rig, item, 30)
            server.drop_all()
            await rig.until(lambda: rig.stats.reconnects["drop"] == rig.stats.connections)
            await rig.until(lambda: rig.stats.connected == rig.stats.connections)
            await publish_a_little_of_everything(rig, item, 20)
    whole, feed = tmp_path / "whole", rig.runner.feed
    frames = [item.recv_ns for item in read_folder(whole) if isinstance(item, Record) and item.kind == "in"]
    for number in range(1, 8):
        from_ns = frames[len(frames) * number // 8]
        wanted = shown(from_whole(whole, feed, from_ns))
        assert wanted
        report = piece_of(whole, tmp_path / f"piece{number}", feed, from_ns)
        events, replay = own_events(read_folder(tmp_path / f"piece{number}"), feed)
        assert shown(events) == wanted
        assert not replay.report.skipped
        assert not report.unknown
        assert shown(own_events(window(whole, from_ns), feed)[0]) == wanted, "what leads a window is enough, too"


async def test_what_a_venue_was_found_to_mean_is_in_every_piece(tmp_path: Path) -> None:
    """Gate's sign of liquidations is learned once, from rows that may lie weeks before the piece."""
    item = instrument_of("gate")
    server = VenueServer(make_protocol("gate", [item]), SystemClock())
    channels = frozenset({Channel.TRADES, Channel.LIQUIDATIONS})
    whole = tmp_path / "whole"
    with Recorder(TapeWriter(whole), SystemClock(), flush_s=0.02) as tap:
        async with running(
            channels=channels, server=server, make_feed=functools.partial(make_feed, "gate"), tap=tap
        ) as rig:
            await rig.until(lambda: rig.stats.connected == rig.stats.connections > 0)
            calibration = cast("GateFeed", rig.runner.feed).calibration
            for second in range(3):
                calibration.saw(item.symbol, Decimal(5), second * 1000)
                calibration.compare([(item.symbol, Decimal(-5), second)])
            assert calibration.sign == "order"
            await publish_until(rig, item, (Trade, Liquidation))
            tap.writer.limits = TapeLimits(file_bytes=1)  # what comes now is in a file of its own
            from_ns = now_ns()
            await publish_until(rig, item, (Trade, Liquidation))
            await rig.until(lambda: len(some_files(whole)) > 1)
    feed = make_feed("gate", rig.runner.feed.options)
    sides = [event.side for event in rig.of(Liquidation) if event.recv_ns >= from_ns]
    assert set(sides) == {"short"}, "the local venue says the position's sign, which was found to be the order's"
    last = tmp_path / "last"
    last.mkdir()
    (last / some_files(whole)[-1].name).write_bytes(some_files(whole)[-1].read_bytes())
    piece_of(whole, tmp_path / "piece", feed, from_ns)
    for folder in (whole, tmp_path / "piece"):
        events = own_events(read_folder(folder), feed)[0]
        assert [e.side for e in events if isinstance(e, Liquidation) and e.recv_ns >= from_ns] == sides
    replay = reader(feed)
    for record in read_folder(last):
        replay.take(cast("Record", record))
    assert replay.known(0)[0].payload == rig.runner.feed.memory()
