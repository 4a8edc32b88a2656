"""A live session with a local venue server, recorded, and decoded again from the tape: the same events."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import SystemClock
from monitor.events import Channel, FeedGap, FeedState, Funding, Liquidation, OpenInterest, Price, Trade
from monitor.feed import Connection, Feed, FeedOptions, Topic
from monitor.feeds import make_feed
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.steps.pump import StreamEvent
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.cut import cut, window
from monitor.tape.facts import write_connection, write_instruments
from monitor.tape.folder import inspect, open_tape, read_blocks, read_folder, some_files, write_lost
from monitor.tape.format import KINDS, Record, Row
from monitor.tape.reader import Loss, Place
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeWriter
from monitor.testing.scenario.listings import instruments_of
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import PROTOCOLS, make_protocol
from tests.integration.harness import Rig, running
from tests.integration.test_venues import channels_of, instrument_of, publish_until
from tests.toy_venue import ToyFeed


def plain(event: StreamEvent) -> dict[str, Any]:
    """An event by value: instruments are compared by identity, and a replay has its own."""
    fields = msgspec.structs.asdict(event)
    if "instrument" in fields:
        fields["instrument"] = msgspec.structs.asdict(fields["instrument"])
    return {"type": type(event).__name__, **fields}


def replayed(folder: Path, *feeds: Feed) -> tuple[list[StreamEvent], Replay]:
    replay = Replay(feeds, lambda: Repeats().is_new)
    events = [event for _, batch in replay.run(read_folder(folder)) for event in batch]
    return events, replay


def of_loss(rig: Rig) -> bool:
    return bool(rig.of(FeedGap))


@pytest.mark.parametrize("venue", sorted(PROTOCOLS))
async def test_a_recorded_session_gives_the_same_events_as_live(venue: str, tmp_path: Path) -> None:
    item, channels = instrument_of(venue), channels_of(venue)
    kinds = (Price, Trade, Liquidation) if Channel.LIQUIDATIONS in channels else (Price, Trade)
    server = VenueServer(make_protocol(venue, [item]), SystemClock())
    with Recorder(TapeWriter(tmp_path), SystemClock(), flush_s=0.05) as tap:
        async with running(
            channels=channels, server=server, make_feed=functools.partial(make_feed, venue), tap=tap
        ) as rig:
            await rig.until(lambda: rig.stats.connected == rig.stats.connections > 0)
            await publish_until(rig, item, kinds)
            await rig.until(lambda: rig.stats.up)
            server.drop_all()
            await rig.until(lambda: rig.stats.reconnects["drop"] == rig.stats.connections)
            await publish_until(rig, item, kinds)
            await rig.until(lambda: rig.stats.up and of_loss(rig))
        rig.pump.drain()
    feed = make_feed(venue, rig.runner.feed.options)
    events, replay = replayed(tmp_path, feed)
    assert [plain(event) for event in events] == [plain(event) for event in rig.stream]
    assert {type(event) for event in events} >= {*kinds, FeedState, FeedGap}
    assert not replay.report.skipped
    assert not replay.report.decode_errors
    assert not replay.report.losses
    assert not tap.dropped.total()


async def test_polls_and_bad_frames_replay_as_live(tmp_path: Path) -> None:
    channels = frozenset({Channel.PRICE, Channel.OPEN_INTEREST})
    with Recorder(TapeWriter(tmp_path), SystemClock(), flush_s=0.05) as tap:
        async with running(channels=channels, tap=tap) as rig:
            await rig.subscribed()
            await rig.quote()
            await rig.server.broadcast("{not json", '{"boom":1}')
            await rig.until(lambda: rig.stats.decode_errors.total() == 2 and len(rig.of(OpenInterest)) > 3)
        rig.pump.drain()
    events, replay = replayed(tmp_path, ToyFeed(rig.runner.feed.options))
    assert [plain(event) for event in events] == [plain(event) for event in rig.stream]
    assert replay.report.decode_errors == {"malformed": 1, "internal": 1}


async def test_a_piece_cut_out_of_the_middle_replays_alone(tmp_path: Path) -> None:
    whole, piece = tmp_path / "whole", tmp_path / "piece"
    with Recorder(TapeWriter(whole), SystemClock(), flush_s=0.05) as tap:
        async with running(tap=tap) as rig:
            await rig.subscribed()
            for value in range(1, 30):
                await rig.quote(float(value))
    prices = rig.of(Price)
    start_ns, end_ns = prices[9].recv_ns, prices[19].recv_ns
    writer = TapeWriter(piece)
    reader = Replay([ToyFeed(rig.runner.feed.options)], lambda: Repeats().is_new)
    report = cut(whole, writer, start_ns, end_ns, reader)
    writer.close()
    assert report.carried > 0
    (info,) = map(inspect, some_files(piece))
    assert (info.first_ns, info.records) == (start_ns, report.carried + report.records), "what is repeated is older"
    events, replay = replayed(piece, ToyFeed(rig.runner.feed.options))
    assert not replay.report.skipped
    wanted = [plain(event) for event in prices if start_ns <= event.recv_ns < end_ns]
    assert [plain(event) for event in events if isinstance(event, Price)] == wanted
    assert any(isinstance(event, FeedState) and event.up for event in events)
    kept = [item for item in window(whole, start_ns, end_ns) if isinstance(item, Record) and not item.carried]
    assert kept[-report.records :] == [
        item for item in read_folder(piece) if isinstance(item, Record) and not item.carried
    ]


CHANGING = frozenset({Channel.PRICE, Channel.FUNDING, Channel.OPEN_INTEREST})


def ticker(kind: str, **fields: str) -> str:
    data = {"symbol": "BTCUSDT", **fields}
    return msgspec.json.encode({"topic": "tickers.BTCUSDT", "type": kind, "data": data, "cs": 1, "ts": 2}).decode()


def open_link(*, carried: bool) -> list[Row]:
    """Bybit's instruments, and a link to its tickers."""
    topic = Topic("tickers.BTCUSDT", tuple(CHANGING), "BTCUSDT")
    connection = Connection("bybit/linear/0", "wss://example.invalid/v5/public/linear", (topic,))
    return [
        (1, "bybit/instruments", "rest", write_instruments(instruments_of("bybit")), carried),
        (1, "bybit/linear/0#1", "connect", write_connection(connection, standby=False), carried),
    ]


def bybit_replay() -> Replay:
    return Replay([make_feed("bybit", FeedOptions(channels=CHANGING))], lambda: Repeats().is_new)


@pytest.mark.parametrize("carried", [True, False])
def test_changed_fields_are_all_that_a_piece_has_of_a_link_that_was_open_before(*, carried: bool) -> None:
    """After its snapshot Bybit sends changed fields only: what a delta says is right, and what it does not is missing."""
    rows: list[Row] = [
        *open_link(carried=carried),
        (2, "bybit/linear/0#1", "in", ticker("delta", markPrice="84121"), False),
        (3, "bybit/linear/0#1", "in", ticker("delta", fundingRate="0.0001"), False),
    ]
    replay = bybit_replay()
    found = [[type(event) for event in replay.take(Record(*row))] for row in rows]
    assert found[2:] == ([[Price], [Funding]] if carried else [[], []])
    assert not replay.report.skipped, "a link that was opened here is read as it was live"


LOSS = Loss("a.tape", 100, 50, "a block is damaged", 1)
LOST: Row = (3, "recorder", "lost", write_lost(1, "slow"), False)


@pytest.mark.parametrize("hole", [None, LOSS, LOST])
def test_what_changed_in_a_hole_completes_nothing_after_it(hole: Loss | Row | None) -> None:
    """The best ask is told after the hole, the best bid before it, and may have changed within: their middle is unknown."""
    rows: list[Row] = [
        *open_link(carried=False),
        (
            2,
            "bybit/linear/0#1",
            "in",
            ticker("snapshot", markPrice="84000", bid1Price="83999", ask1Price="84001"),
            False,
        ),
        (4, "bybit/linear/0#1", "in", ticker("delta", markPrice="84100", ask1Price="84101"), False),
    ]
    middle = [] if hole is None else [hole if isinstance(hole, Loss) else Record(*hole)]
    whole = [*map(Record._make, rows[:3]), *middle, *map(Record._make, rows[3:])]
    replay = bybit_replay()
    prices = {e.kind: e.value for ns, events in replay.run(whole) if ns == 4 for e in events if isinstance(e, Price)}
    assert prices == ({"mark": 84100.0, "mid": 84050.0} if hole is None else {"mark": 84100.0})
    assert len(replay.report.losses) + replay.report.lost_frames.total() == (hole is not None)


@pytest.mark.parametrize("hole", [None, LOSS, LOST])
def test_open_interest_is_not_valued_by_a_price_from_before_a_hole(hole: Loss | Row | None) -> None:
    """Binance tells contracts; the mark price of before the hole would make another amount of them."""
    venue, poll = "binance_usdm", "binance_usdm/poll/binance_usdm/openInterest/BTCUSDT"
    topic = Topic("btcusdt@markPrice@1s", (Channel.PRICE,), "BTCUSDT")
    link = Connection(f"{venue}/market/0", "wss://example.invalid/market/stream", (topic,))
    mark = {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "80000", "i": "0", "r": "", "T": 0}
    marks = [msgspec.json.encode({"stream": topic.name, "data": mark | {"p": price}}) for price in ("80000", "70000")]
    contracts = msgspec.json.encode({"symbol": "BTCUSDT", "openInterest": "2", "time": 1})
    before: list[Row] = [
        (1, f"{venue}/instruments", "rest", write_instruments(instruments_of(venue)), False),
        (1, f"{venue}/chosen", "chosen", '["BTCUSDT"]', False),
        (1, f"{venue}/market/0#1", "connect", write_connection(link, standby=False), False),
        (2, f"{venue}/market/0#1", "in", marks[0], False),
        (3, poll, "rest", contracts, False),
    ]
    after: list[Row] = [
        (4, poll, "rest", contracts, False),
        (5, f"{venue}/market/0#1", "in", marks[1], False),
        (6, poll, "rest", contracts, False),
    ]
    middle = [] if hole is None else [hole if isinstance(hole, Loss) else Record(*hole)]
    replay = Replay([make_feed(venue, FeedOptions(channels=CHANGING))], lambda: Repeats().is_new)
    whole = [*map(Record._make, before), *middle, *map(Record._make, after)]
    found = {ns: e.usd for ns, events in replay.run(whole) for e in events if isinstance(e, OpenInterest)}
    assert found == {3: 160_000.0, 6: 140_000.0} | ({4: 160_000.0} if hole is None else {})
    assert replay.report.decode_errors == ({} if hole is None else {"missing_price": 1})
    assert not replay.report.skipped


def test_a_piece_of_a_damaged_tape_says_where_its_hole_is(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path / "whole")
    for row in [
        *open_link(carried=False),
        (2, "bybit/linear/0#1", "in", ticker("snapshot", bid1Price="83999", ask1Price="84001"), False),
        (3, "bybit/linear/0#1", "in", ticker("delta", bid1Price="84099"), False),
        (4, "bybit/linear/0#1", "in", ticker("delta", ask1Price="84101"), False),
    ]:
        writer.write([row], row[0])
    writer.close()
    (path,) = some_files(tmp_path / "whole")
    with open_tape(path) as reader:
        places = [place for place in reader.index() if isinstance(place, Place)]
    data = bytearray(path.read_bytes())
    data[places[3].offset + places[3].head.size - 1] ^= 1
    path.write_bytes(data)
    out = TapeWriter(tmp_path / "piece")
    report = cut(tmp_path / "whole", out, 2, None, bybit_replay())
    out.close()
    assert [loss.records for loss in report.losses] == [1]
    replay = bybit_replay()
    prices = [
        e.value for _, events in replay.run(read_folder(tmp_path / "piece")) for e in events if isinstance(e, Price)
    ]
    assert prices == [84000.0]
    assert replay.report.lost_frames == {"damaged": 1}


async def test_steps_of_a_grid_hold_the_same_events_in_the_same_order(tmp_path: Path) -> None:
    with Recorder(TapeWriter(tmp_path), SystemClock(), flush_s=0.02) as tap:
        async with running(tap=tap) as rig:
            await rig.subscribed()
            for value in range(1, 20):
                await rig.quote(float(value))
    feed = functools.partial(ToyFeed, rig.runner.feed.options)
    grid_ns = 7_000_000
    steps = list(Replay([feed()], lambda: Repeats().is_new).steps(read_blocks(some_files(tmp_path)), grid_ns))
    single = list(Replay([feed()], lambda: Repeats().is_new).run(read_folder(tmp_path)))
    assert [plain(e) for _, batch in steps for e in batch] == [plain(e) for _, batch in single for e in batch]
    instants = [now_ns for now_ns, _ in steps]
    assert instants == sorted(set(instants))
    assert all(now_ns % grid_ns == 0 for now_ns in instants)
    for now_ns, batch in steps:
        assert all(now_ns - grid_ns < e.recv_ns <= now_ns for e in batch if isinstance(e, Price))


async def test_another_configuration_is_counted_not_guessed(tmp_path: Path) -> None:
    with Recorder(TapeWriter(tmp_path), SystemClock(), flush_s=0.05) as tap:
        async with running(tap=tap) as rig:
            await rig.subscribed()
            await rig.quote()
    bybit = make_feed("bybit", FeedOptions(channels=frozenset({Channel.PRICE})))
    events, replay = replayed(tmp_path, bybit)
    assert not events
    assert replay.report.skipped == {"unknown_venue": replay.report.records}


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["toy/0#1", "toy/0", "toy/metadata/0/metadata", "toy/poll/x", "toy/instruments", "toy", ""]),
    st.text(max_size=60) | st.binary(max_size=60) | st.sampled_from(['{"symbols":["A"]}', "[]", "{}", "null"]),
)
def test_any_record_is_events_or_a_count(kind: str, name: str, payload: str | bytes) -> None:
    replay = Replay([ToyFeed(FeedOptions(channels=frozenset({Channel.PRICE})))], lambda: Repeats().is_new)
    replay.take(Record(1, "toy/metadata/0/metadata", "rest", b'{"symbols":["BTCUSDT"]}'))
    events = replay.take(Record(2, name, kind, payload))
    assert replay.report.records == 2
    assert len(events) == replay.report.events
