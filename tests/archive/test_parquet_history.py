"""History from an archive: each step holds what arrived in it, and columns say to an engine what events say."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.archive.manifest import Lost
from monitor.archive.reader import Archive
from monitor.archive.writer import ArchiveWriter
from monitor.backtest.histories.parquet import ParquetHistory, knows
from monitor.backtest.history import Stretch
from monitor.engine import Engine
from monitor.events import Channel, Event, FeedState, Funding, Sample
from tests.archive.market import Arrivals, arrivals
from tests.archive.test_round_trip import plain, write
from tests.engine.market import at, engine, perp
from tests.engine.rows.test_bulk import RULES, same_state

GRID_NS = 250_000_000


def steps_of(history: Arrivals) -> dict[int, list[Event]]:
    """What arrived in each step; a time that runs back counts as the one before."""
    found: dict[int, list[Event]] = {}
    now_ns = 0
    for recv_ns, events in history:
        now_ns = max(now_ns, recv_ns)
        found.setdefault(-(-now_ns // GRID_NS) * GRID_NS, []).extend(events)
    return found


@given(st.integers(0, 2**32), st.integers(1, 150), st.sampled_from([0.0, 0.05, 0.5]))
@settings(max_examples=10, deadline=None)
def test_an_engine_hears_from_columns_what_it_hears_from_events(seed: int, size: int, backfill: float) -> None:
    recorded = arrivals(seed, size, backfill=backfill)
    single, bulk = engine(*RULES), engine(*RULES)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), recorded)
        history = ParquetHistory(Path(name))
        first, *rest = history.steps(history.stretch, GRID_NS)
    together = [first, *rest] if first.events or first.columns else rest
    steps = [step for several in together for step in several.singly()]
    expected = steps_of(recorded)
    assert [step.now_ns for step in steps] == list(expected)
    for step in steps:
        events = expected[step.now_ns]
        assert len(events) == len(step.events) + (step.columns.rows if step.columns else 0)
        single.ingest(events)
        bulk.ingest(step.events)
        if step.columns:
            step.columns.feed(bulk, 0)
        assert verdicts(single, step.now_ns) == verdicts(bulk, step.now_ns)
    assert same_state(single, bulk)


def verdicts(machine: Engine, now_ns: int) -> list[tuple[object, ...]]:
    return [
        (e.rule, e.at_ns, list(e.labels), e.truth.tobytes(), e.value.tobytes(), e.coverage.tobytes(), dict(e.reasons))
        for e in machine.evaluate(now_ns, changed_only=True)
    ]


def test_history_of_another_kind_in_the_same_step_leaves_a_row_whole(tmp_path: Path) -> None:
    told = Funding(perp("bybit", "BTC"), 0.0001, 8.0, at(5), at(5), next_ns=at(9))
    charted = Sample("tvl", (("scope", "total"),), 1.0, at(1), at(5), "llama", backfill=True)
    write(tmp_path, [(at(5), [told, charted])])
    *_, step = ParquetHistory(tmp_path).steps(Stretch(at(0), at(5) + 1), GRID_NS)
    assert [plain(event) for event in step.events] == [plain(told), plain(charted)]


def test_a_stretch_begins_with_what_was_still_true(tmp_path: Path) -> None:
    def up(second: float, venue: str, *, live: bool = True) -> tuple[int, list[Event]]:
        return at(second), [FeedState(venue, Channel.TRADES, live, at(second))]

    write(tmp_path, [up(0, "okx"), up(1, "bybit"), up(2, "okx", live=False), up(50, "okx"), up(90, "bybit")])
    history = ParquetHistory(tmp_path)
    steps = list(history.steps(Stretch(at(40), at(60)), GRID_NS))
    assert [step.now_ns for step in steps] == [at(40), at(50)]
    assert [(e.venue, e.up) for e in steps[0].events if isinstance(e, FeedState)] == [("okx", False), ("bybit", True)]


def test_looking_begins_with_the_stretch_though_nothing_has_come_yet(tmp_path: Path) -> None:
    write(tmp_path, [(at(50), [FeedState("okx", Channel.TRADES, True, at(50))])])
    steps = list(ParquetHistory(tmp_path).steps(Stretch(at(40), at(60)), GRID_NS))
    assert [(step.now_ns, len(step.events)) for step in steps] == [(at(40), 0), (at(50), 1)]


def test_it_says_what_it_is_and_what_is_missing(tmp_path: Path) -> None:
    assert not knows(tmp_path)
    recorded = arrivals(1, 50)
    write(tmp_path, recorded)
    assert knows(tmp_path)
    history = ParquetHistory(tmp_path)
    assert history.kind == "parquet"
    assert history.note == "synthetic"
    last_ns = max(recv_ns for recv_ns, _ in recorded)
    assert history.stretch == Stretch(min(recv_ns for recv_ns, _ in recorded), last_ns + 1)
    assert history.missing().losses == ["test: a hole"]
    assert history.missing().total == 4


@pytest.mark.parametrize(
    ("span", "losses"),
    [
        (Stretch(at(0), at(60)), ["one: early", "one: late", "one: some time"]),
        (Stretch(at(0), at(20)), ["one: early", "one: some time"]),
        (Stretch(at(41), at(60)), ["one: some time"]),
        (Stretch(at(100), at(160)), ["two: unknown"]),
    ],
)
def test_what_is_missing_is_that_of_the_stretch(tmp_path: Path, span: Stretch, losses: list[str]) -> None:
    lost = Lost(
        ("early", "late", "some time"), between=((at(10), at(12)), (at(30), at(40)), (None, None)), dropped={"slow": 1}
    )
    for origin, start, what in (("one", 0, lost), ("two", 100, Lost(("unknown",)))):
        with ArchiveWriter(tmp_path, origin, "a test") as writer:
            writer.add(at(start), [FeedState("okx", Channel.TRADES, up=True, ts_ns=at(start))])
            writer.commit(at(start), at(start + 60), what)
    history = ParquetHistory(tmp_path)
    assert history.missing().total == 5
    list(history.steps(span, GRID_NS))
    assert history.missing().losses == losses
    assert history.missing().dropped == ({"slow": 1} if span.start_ns < at(60) else {})


def test_two_origins_are_read_as_one(tmp_path: Path) -> None:
    first, second = arrivals(1, 60), arrivals(2, 60)
    later = [(recv_ns + 10**12, events) for recv_ns, events in second]
    write(tmp_path, first, origin="one")
    write(tmp_path, later, origin="two")
    found = [plain(event) for _, event in Archive(tmp_path).events()]
    assert found == [plain(event) for _, events in first for event in events] + [
        plain(event) for _, events in later for event in events
    ]
