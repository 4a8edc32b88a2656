"""A piece out of the middle of a tape gives the events that the whole gives from there on, venue by venue."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from monitor.clock import NS_PER_S, SystemClock
from monitor.events import Channel, Event, Funding, Liquidation, MarketEvent, OpenInterest, Price, Trade
from monitor.feed import Feed
from monitor.feeds import feed_class, make_feed
from monitor.instruments import Instrument
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.cut import CutReport, cut, window
from monitor.tape.folder import RECORDER, open_tape, read_folder, some_files, write_lost
from monitor.tape.format import Record, Row
from monitor.tape.reader import Loss, Place
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeLimits, TapeWriter
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import PROTOCOLS, make_protocol
from tests.integration.harness import Rig, now_ns, running
from tests.integration.test_venues import instrument_of, liquidation, publish_until, trade
from tests.tape.test_replay import bybit_replay, open_link, plain, ticker

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
            tap.writer.limits = TapeLimits(file_bytes=1)  # every block that comes now is in a file of its own
            from_ns = now_ns()
            await publish_until(rig, item, (Trade, Liquidation))
            await rig.until(lambda: len(some_files(whole)) > 1)
    feed = make_feed("gate", rig.runner.feed.options)
    sides = [event.side for event in rig.of(Liquidation) if event.recv_ns >= from_ns]
    assert set(sides) == {"short"}, "the local venue says the position's sign, which was found to be the order's"
    later = tmp_path / "later"
    later.mkdir()
    for path in some_files(whole)[1:]:
        (later / path.name).write_bytes(path.read_bytes())
    piece_of(whole, tmp_path / "piece", feed, from_ns)
    for folder in (whole, tmp_path / "piece", later):
        events = own_events(read_folder(folder), feed)[0]
        assert [e.side for e in events if isinstance(e, Liquidation) and e.recv_ns >= from_ns] == sides
    replay = reader(feed)
    for record in read_folder(later):
        replay.take(cast("Record", record))
    assert replay.known(0)[0].payload == rig.runner.feed.memory()


SOME_NS = 1_763_700_000 * NS_PER_S
MS = NS_PER_S // 1000


def files_of(folder: Path, *blocks: tuple[int, Sequence[int]]) -> None:
    """A file for each (when it was written, when its records were received), in milliseconds."""
    writer = TapeWriter(folder, TapeLimits(file_bytes=1))
    for written_ms, received_ms in blocks:
        rows: list[Row] = [(SOME_NS + ms * MS, "toy/0#1", "in", str(ms), False) for ms in received_ms]
        writer.write(rows, SOME_NS + written_ms * MS)
    writer.close()


def received(folder: Path, from_ms: int | None = None, to_ms: int | None = None) -> list[int]:
    """Times of the records of a stretch, in milliseconds."""
    from_ns, to_ns = (None if ms is None else SOME_NS + ms * MS for ms in (from_ms, to_ms))
    items = [item for item in window(folder, from_ns, to_ns) if isinstance(item, Record) and not item.carried]
    return [(item.recv_ns - SOME_NS) // MS for item in items]


def test_no_record_is_left_in_a_file_that_was_ended_within_the_second_of_the_start(tmp_path: Path) -> None:
    """Names of files give whole seconds: 5.8 s is called 5 s."""
    files_of(tmp_path, (1_000, [1_000]), (5_700, [5_100, 5_700]), (5_800, [5_800]), (9_000, [9_000]))
    assert received(tmp_path, from_ms=5_100) == [5_100, 5_700, 5_800, 9_000]
    assert received(tmp_path, from_ms=5_750) == [5_800, 9_000]


def test_no_record_is_left_in_a_file_that_was_begun_after_the_end(tmp_path: Path) -> None:
    """A block waits up to a second, and longer where the disk is slow, and may then begin a file."""
    files_of(tmp_path, (1_000, [1_000]), (5_200, [4_300, 4_900, 5_200]), (9_000, [4_950, 9_000]), (12_000, [12_000]))
    assert received(tmp_path, to_ms=5_000) == [1_000, 4_300, 4_900, 4_950]
    assert received(tmp_path, from_ms=4_900, to_ms=5_000) == [4_900, 4_950]


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "counts"),
    [(None, None, True), (3_000, None, True), (3_001, None, False), (None, 1_001, True), (None, 1_000, False)],
)
def test_a_loss_counts_in_the_time_that_was_asked_for(
    tmp_path: Path, from_ms: int | None, to_ms: int | None, *, counts: bool
) -> None:
    """The record of 2 s is damaged: what is missing lies between 1 s and 3 s."""
    writer = TapeWriter(tmp_path)
    for ms in (0, 1_000, 2_000, 3_000, 4_000):
        writer.write([(SOME_NS + ms * MS, "toy/0#1", "in", "frame", False)], SOME_NS)
    writer.close()
    (path,) = some_files(tmp_path)
    with open_tape(path) as reader:
        place = [step for step in reader.index() if isinstance(step, Place)][2]
    data = bytearray(path.read_bytes())
    data[place.offset + place.head.size - 1] ^= 1
    path.write_bytes(data)
    from_ns, to_ns = (None if ms is None else SOME_NS + ms * MS for ms in (from_ms, to_ms))
    (loss,) = (item for item in window(tmp_path, from_ns, to_ns) if isinstance(item, Loss))
    assert loss.aside is not counts
    assert str(loss).endswith("checksum is wrong, between 2025-11-21 04:40:01Z and 2025-11-21 04:40:03Z")
    out = TapeWriter(tmp_path / "piece")
    report = cut(tmp_path, out, from_ns, to_ns, Replay([], lambda: Repeats().is_new))
    out.close()
    assert len(report.losses) == counts


@pytest.mark.parametrize(("from_ms", "counts"), [(2_000, True), (2_001, False)])
def test_dropped_frames_from_before_a_stretch_are_not_counted_and_not_joined_over(
    tmp_path: Path, from_ms: int, *, counts: bool
) -> None:
    writer = TapeWriter(tmp_path)
    rows: list[Row] = [
        (1_000, "bybit/linear/0#1", "in", ticker("snapshot", bid1Price="83999", ask1Price="84001"), False),
        (2_000, RECORDER, "lost", write_lost(7, "slow"), False),
        (3_000, "bybit/linear/0#1", "in", ticker("delta", markPrice="84100", ask1Price="84101"), False),
    ]
    for row in [*open_link(carried=False), *((SOME_NS + row[0] * MS, *row[1:]) for row in rows)]:
        writer.write([row], row[0])
    writer.close()
    replay = bybit_replay()
    found = [e for _, events in replay.run(window(tmp_path, SOME_NS + from_ms * MS)) for e in events]
    assert [(e.kind, e.value) for e in found if isinstance(e, Price)] == [("mark", 84_100.0)]
    assert replay.report.lost_frames == ({"slow": 7} if counts else {})
