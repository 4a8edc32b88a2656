"""What nobody heard is not covered: a tape with a hole, read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.archive.export import export
from monitor.archive.reader import Archive
from monitor.archive.schema import CourseRow
from monitor.backtest.again import run_again
from monitor.backtest.ask import Answer, Ask, answer
from monitor.backtest.histories.parquet import ParquetHistory
from monitor.backtest.histories.tape import TapeHistory
from monitor.backtest.history import Stretch
from monitor.clock import NS_PER_S
from monitor.engine import Engine
from monitor.events import Channel, Event, FeedGap, FeedState
from monitor.feed import Connection, Topic
from monitor.language import parse_expression
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.steps.rerun import AlertLog, Rules
from monitor.tape.course import HEARD, START, read_events, write_events
from monitor.tape.facts import write_connection, write_states
from monitor.tape.folder import inspect_files, open_tape, read_blocks, read_folder, some_files, write_lost
from monitor.tape.format import Record, Row
from monitor.tape.holes import NOT_ON_TAPE, is_of_hole, with_holes
from monitor.tape.reader import Loss, Place
from monitor.tape.writer import TapeWriter
from tests.backtest.scene import START_NS, at, cascade, feeds, liquidation, loaded, write_tape

WINDOW = parse_expression("sum(liquidations[5m])")
OKX = ("okx", Channel.LIQUIDATIONS)
LOSS = Loss("a.tape", 100, 50, "a block is damaged", 1)
RULES = """
groups:
  - name: tiny
    rules:
      - alert: FiveMinutes
        expr: sum(liquidations[5m]) > 100k
        labels: {severity: critical}
"""


def state(ns: int, *, up: bool, carried: bool = False, venue: str = "okx") -> Row:
    payload = write_states([FeedState(venue, Channel.LIQUIDATIONS, up, ns)])
    return ns, f"{venue}/state", "state", payload, carried


def frame(ns: int, venue: str = "okx") -> Row:
    return ns, f"{venue}/public/0#1", "in", "{}", False


def lost(ns: int) -> Row:
    return ns, "recorder", "lost", write_lost(3, "slow"), False


def told(*blocks: list[Row] | Loss) -> list[Row]:
    """The records that were put in."""
    before = [row for block in blocks if not isinstance(block, Loss) for row in block]
    after = [row for block in with_holes(blocks) if not isinstance(block, Loss) for row in block]
    return [row for row in after if row not in before]


def down(ns: int) -> Row:
    payload = write_states([FeedState(*OKX, False, ns, NOT_ON_TAPE)])
    return ns, "okx/state", "state", payload, False


def back(ns: int, start_ns: int, end_ns: int) -> Row:
    events: list[FeedGap | FeedState] = [
        FeedGap(*OKX, start_ns, end_ns, NOT_ON_TAPE),
        FeedState(*OKX, True, end_ns, NOT_ON_TAPE),
    ]
    return ns, "okx/state", "state", write_states(events), False


def test_a_whole_tape_is_left_as_it_is() -> None:
    assert not told([state(1, up=True), frame(2)], [frame(3)])


@pytest.mark.parametrize("hole", [LOSS, [lost(9)]])
def test_a_channel_is_away_from_the_last_record_before_to_the_first_behind(hole: Loss | list[Row]) -> None:
    assert told([state(1, up=True), frame(2)], hole, [frame(9), frame(10)]) == [down(2), back(9, 2, 9)]


def test_a_feed_that_stays_quiet_is_unknown_until_it_is_heard_and_then_known_since_the_hole() -> None:
    bybit = state(1, up=False, venue="bybit")
    assert told([state(1, up=True), bybit], LOSS, [frame(9, "bybit"), frame(10)]) == [down(1), back(10, 1, 9)]


def link(number: int, *channels: Channel, carried: bool = False) -> Row:
    connection = Connection("okx/public/0", "wss://example.invalid", (Topic("t", channels, "BTC"),))
    return number, f"okx/public/0#{number}", "connect", write_connection(connection, standby=False), carried


def said(ns: int, number: int) -> Row:
    return ns, f"okx/public/0#{number}", "in", "{}", False


def test_a_channel_is_back_when_every_link_that_carried_it_was_heard() -> None:
    """Another link of the venue says nothing of it, and one that was lost within the hole says nothing more."""
    before = [link(1, Channel.PRICE), link(2, Channel.LIQUIDATIONS), link(3, Channel.LIQUIDATIONS), state(4, up=True)]
    assert told(before, LOSS, [said(5, 1), said(6, 2), said(7, 1)]) == [down(4)]
    assert told(before, LOSS, [said(5, 1), said(6, 2), said(7, 1), said(8, 3)]) == [down(4), back(8, 4, 5)]
    closed: Row = (5, "okx/public/0#3", "disconnect", "", False)
    assert told([*before, closed], LOSS, [said(6, 1), said(8, 2)]) == [down(5), back(8, 5, 6)]


def test_behind_a_file_that_is_gone_its_links_are_those_that_the_next_one_repeats() -> None:
    before = [link(1, Channel.LIQUIDATIONS), state(2, up=True)]
    head = [link(4, Channel.LIQUIDATIONS, carried=True), state(2, up=True, carried=True)]
    assert told(before, LOSS, head, [said(9, 5), said(10, 4)]) == [down(2), back(10, 2, 9)]


def test_two_holes_before_it_is_heard_are_one() -> None:
    rows = [frame(5, "bybit"), lost(7), frame(7, "bybit"), frame(8)]
    assert told([state(1, up=True)], LOSS, rows) == [down(1), back(8, 1, 7)]


def test_a_feed_says_itself_that_it_is_away() -> None:
    """What it says behind the hole counts, and what was not live before is not live behind it."""
    assert told([state(1, up=True)], LOSS, [state(5, up=False), frame(6)]) == [down(1)]
    assert told([state(1, up=False)], LOSS, [frame(6)]) == []


def test_behind_a_file_that_is_gone_the_next_one_says_what_is_live() -> None:
    """A channel that was restored within the hole is told by what the next file repeats, and is not covered before."""
    blocks: list[list[Row] | Loss] = [[state(1, up=False), frame(2)], LOSS, [state(4, up=True, carried=True), frame(9)]]
    rows = [row for block in with_holes(blocks) if not isinstance(block, Loss) for row in block]
    assert rows == [state(1, up=False), frame(2), back(9, 2, 9), frame(9)]


def test_a_program_that_was_killed_covers_nothing_until_its_next_start() -> None:
    start: Row = (9, START, "config", "{}", False)
    assert told([state(1, up=True), frame(2)], [start, frame(10)]) == [down(2)]


def test_sources_are_told_of_as_they_told() -> None:
    source = "coingecko", Channel.REFERENCE
    up: Row = (1, HEARD, "events", write_events([FeedState(*source, True, 1)]), False)
    poll: Row = (9, HEARD, "events", write_events([]), False)
    events: list[Event] = [FeedGap(*source, 1, 9, NOT_ON_TAPE), FeedState(*source, True, 9, NOT_ON_TAPE)]
    assert told([up], LOSS, [poll]) == [
        (1, HEARD, "events", write_events([FeedState(*source, False, 1, NOT_ON_TAPE)]), False),
        (9, HEARD, "events", write_events(events), False),
    ]


def test_what_cannot_be_read_tells_nothing() -> None:
    assert not told([(1, "okx/state", "state", "{", False), (1, HEARD, "events", b"\xc1", False)], LOSS, [frame(9)])


# Over a real tape on the disk -----------------------------------------------------------------------------------------


def heard(second: float, *events: Event) -> Row:
    return at(second), HEARD, "events", write_events(events), False


def holed_tape(folder: Path, kind: str) -> Path:
    """140k at 250 s, records each minute until 300 s, and again from 540 s on; with "block" and "file" something lay between."""
    rows = [heard(0, *feeds(-3600, up=True)), heard(250, liquidation(250, 140_000)), heard(300)]
    after = [heard(540), heard(541), heard(900)]
    writer = TapeWriter(folder, program="test")
    for row in rows:
        writer.write([row], row[0])
    if kind == "lost":
        after.insert(0, lost(at(540)))
    elif kind == "block":
        writer.write([heard(400, liquidation(400, 500_000))], at(400))
    writer.write(after, after[-1][0])
    writer.close()
    if kind == "block":
        _flip(folder, 3)
    return folder


def _flip(folder: Path, number: int) -> None:
    """Damage one block."""
    (path,) = some_files(folder)
    with open_tape(path) as reader:
        places = [place for place in reader.index() if isinstance(place, Place)]
    data = bytearray(path.read_bytes())
    data[places[number].offset + places[number].head.size - 1] ^= 1
    path.write_bytes(data)


def asked(folder: Path, tape: Path, *, parquet: bool = False) -> Answer:
    """What a backtest says, from the tape or from what `export` makes of it."""
    given = loaded(folder, rules=RULES)
    if not parquet:
        return answer(given, TapeHistory(tape, given), Ask())
    export(tape, folder / "archive", feeds=given.feeds, repeats=lambda: Repeats().is_new)
    return answer(given, ParquetHistory(folder / "archive"), Ask())


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize("kind", ["none", "lost", "block"])
def test_an_alert_is_held_over_a_hole_until_its_window_is_covered_again(
    tmp_path: Path, kind: str, *, parquet: bool
) -> None:
    """The sum leaves the window at 550 s; of the five minutes up to 780 s only one is missing, and 80% are enough."""
    found = asked(tmp_path, holed_tape(tmp_path / "tape", kind), parquet=parquet)
    (episode,) = found.report.rules[0].episodes
    moments = [((moment.at_ns - START_NS) // NS_PER_S, str(moment.state)) for moment in episode.moments]
    end = [(550, "resolved")] if kind == "none" else [(550, "held"), (780, "resolved")]
    assert moments == [(250, "firing"), *end]
    assert found.report.missing.total == {"none": 0, "lost": 3, "block": 1}[kind]


@pytest.mark.parametrize("kind", ["none", "lost", "block"])
def test_coverage_of_a_window_over_the_hole_falls_by_its_share(tmp_path: Path, kind: str) -> None:
    """Of the five minutes up to 541 s, 300 s to 540 s are missing; none of those up to 900 s."""
    tape, given = holed_tape(tmp_path / "tape", kind), loaded(tmp_path, rules=RULES)
    engine = Engine(given.rules, expected=given.expected())
    seen = {}
    for step in TapeHistory(tape, given).steps(Stretch(at(0), at(901)), NS_PER_S):
        engine.ingest(step.events)
        ((_, _, seen[(step.now_ns - START_NS) // NS_PER_S]),) = engine.query(WINDOW, step.now_ns)
    assert (seen[250], seen[541], seen[900]) == (1.0, 1.0 if kind == "none" else 0.2, 1.0)


def test_a_rerun_at_recorded_steps_hears_nothing_of_it(tmp_path: Path) -> None:
    """The program that recorded saw what is missing: its steps are taken with what the tape has, from the archive, too."""
    whole, given = write_tape(tmp_path / "whole", cascade(), turns=True), loaded(tmp_path)
    rows: list[Row] = [item for item in read_folder(whole) if isinstance(item, Record)]
    writer = TapeWriter(tmp_path / "tape", program="test")
    writer.write([*rows[:-20], lost(rows[-20][0]), *rows[-20:]], rows[-1][0])
    writer.close()
    export(tmp_path / "tape", tmp_path / "archive", feeds=given.feeds, repeats=lambda: Repeats().is_new)
    assert any(
        is_of_hole(event) for event in Archive(tmp_path / "archive").course() if not isinstance(event, CourseRow)
    )
    logs = {}
    for name in ("whole", "tape", "archive"):
        log = AlertLog()
        report = run_again(given, tmp_path / name, log, rules=Rules.GIVEN)
        assert (report.short, report.tape.lost_frames.total()) == (0, 0 if name == "whole" else 3)
        logs[name] = list(log.lines("screen"))
    assert logs["tape"] == logs["archive"] == logs["whole"] != []


def test_a_file_that_is_gone_is_a_hole(tmp_path: Path) -> None:
    for number, rows in enumerate([[heard(0, *feeds(-3600, up=True))], [heard(300)], [heard(540), heard(900)]]):
        writer = TapeWriter(tmp_path, program="test")
        writer.write(rows, at(number))
        writer.close()
    whole = list(with_holes(read_blocks(some_files(tmp_path))))
    some_files(tmp_path)[1].unlink()
    *_, loss, _last = holed = list(with_holes(read_blocks(some_files(tmp_path))))
    assert not any(isinstance(block, Loss) for block in whole)
    assert isinstance(loss, Loss)
    between = "between 2025-11-21 05:00:00Z and 2025-11-21 05:09:00Z"
    assert str(loss) == f"{some_files(tmp_path)[1]}: file 2 is not there, {between}"
    assert [len(info.losses) for info in inspect_files(some_files(tmp_path))] == [0, 1]
    put_in = [event for block in holed if not isinstance(block, Loss) for row in block for event in read_events(row[3])]
    assert [type(event) for event in put_in if is_of_hole(event)] == [*2 * [FeedState], *2 * [FeedGap, FeedState]]
