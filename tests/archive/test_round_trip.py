"""Events into an archive and out again: the same events, in the same order, whatever waits in memory meanwhile."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.archive.manifest import Lost, checksum, manifest_path, read_manifests
from monitor.archive.reader import Archive, Span
from monitor.archive.schema import TABLE_OF, TABLES, CourseRow, Table
from monitor.archive.writer import ArchiveWriter, Limits
from monitor.errors import TapeError
from monitor.events import Channel, Event, FeedState, Liquidation, Sample, Trade
from tests.archive.market import INSTRUMENTS, Arrivals, arrivals
from tests.engine.market import at

OUTSIDE = {"path": "../x", "table": "trades", "venue": "v", "rows": 1, "first_ns": 0, "last_ns": 0}
SMALL = Limits(events=16, rows=200, part_rows=60)
ALL_COLUMNS = {name: [column.name for column in table.columns] for name, table in TABLES.items()}


def plain(event: Event) -> dict[str, Any]:
    fields = msgspec.structs.asdict(event)
    if "instrument" in fields:
        fields["instrument"] = msgspec.structs.asdict(fields["instrument"])
    return {"type": type(event).__name__, **fields}


def write(
    folder: Path, history: Arrivals, *, origin: str = "test", limits: Limits = SMALL, replace: bool = False
) -> None:
    with ArchiveWriter(folder, origin, "a test", note="synthetic", limits=limits, replace=replace) as writer:
        for recv_ns, events in history:
            writer.add(recv_ns, events)
        writer.commit(min(item[0] for item in history), writer.last_ns + 1, Lost(("a hole",), {"slow": 3}))


def flat(history: Arrivals) -> list[dict[str, Any]]:
    return [plain(event) for _, events in history for event in events]


@given(st.integers(0, 2**32), st.integers(1, 120), st.sampled_from([0.0, 1.0]), st.sampled_from([3, 1000]))
@settings(max_examples=10, deadline=None)
def test_everything_comes_back_in_the_order_of_arrival(seed: int, size: int, days: float, row_group: int) -> None:
    history = arrivals(seed, size, days=days)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), history)
        archive = Archive(Path(name))
        assert [plain(event) for _, event in archive.events()] == flat(history)
        batches = archive.batches(Span(), 250_000_000, ALL_COLUMNS, row_group)
        found = [archive.events_of(frames) for frames in batches]
        assert [plain(event) for batch in found for _, event in batch] == flat(history)
        edges = [batch[-1][0] for batch in found]
        steps = [-(-edge // 250_000_000) for edge in edges]
        assert len(set(steps)) == len(steps), "a step is in one batch"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_field_of_an_event_has_a_column(table: Table) -> None:
    elsewhere = {"instrument", "recv_ns", "venue"}
    assert set(table.event.__struct_fields__) - elsewhere <= {column.name for column in table.columns}


def test_every_kind_of_event_has_a_table() -> None:
    assert set(TABLE_OF) == {*get_args(Event), CourseRow}


def test_times_of_arrival_never_run_back(tmp_path: Path) -> None:
    trade = Trade(INSTRUMENTS[0], "buy", 1, 1.0, at(1), at(1))
    write(tmp_path, [(at(2), [trade]), (at(1), [trade]), (at(3), [trade])])
    assert [at_ns for at_ns, _ in Archive(tmp_path).events()] == [at(2), at(2), at(3)]


def test_names_from_outside_never_lead_out_of_the_archive(tmp_path: Path) -> None:
    labels = (("base", "BTC"), ("venue", "../../x"))
    sample = Sample("long_short_ratio", labels, 1.0, at(1), at(1))
    write(tmp_path / "a", [(at(1), [sample])])
    assert [event for _, event in Archive(tmp_path / "a").events()] == [sample]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    state = FeedState("../../x", Channel.TRADES, up=True, ts_ns=at(1))
    with pytest.raises(TapeError, match="not the name of a venue"):
        write(tmp_path / "b", [(at(1), [state])])


def test_a_span_is_what_arrived_in_it(tmp_path: Path) -> None:
    history: Arrivals = [(at(s), [Trade(INSTRUMENTS[s % 3], "buy", s, 1.0, at(s), at(s))]) for s in range(100)]
    write(tmp_path, history)
    found = [event for _, event in Archive(tmp_path).events(Span(at(10), at(20)))]
    assert [event.usd_micros for event in found if isinstance(event, Trade)] == list(range(10, 20))


def test_polars_reads_the_tables_by_day_and_venue(tmp_path: Path) -> None:
    history = arrivals(3, 300, days=1.0)
    write(tmp_path, history)
    wanted = [event for _, events in history for event in events if isinstance(event, Liquidation)]
    lazy = pl.scan_parquet(tmp_path / "liquidations" / "**" / "*.parquet", hive_partitioning=True)
    found = lazy.group_by("venue").agg(pl.col("usd_micros").sum()).sort("venue").collect()
    expected: dict[str, int] = {}
    for event in wanted:
        expected[event.instrument.venue] = expected.get(event.instrument.venue, 0) + event.usd_micros
    assert dict(found.iter_rows()) == expected
    assert lazy.collect_schema()["date"] == pl.Date
    instruments = pl.scan_parquet(tmp_path / "instruments" / "*.parquet")
    joined = lazy.join(instruments, on=["origin", "instrument"]).collect()
    assert len(joined) == len(wanted)
    assert (joined["symbol"] == joined["symbol_right"]).all()


def test_the_same_origin_again_replaces_what_it_wrote(tmp_path: Path) -> None:
    write(tmp_path, arrivals(1, 60, days=1.0))
    history = arrivals(2, 40)
    write(tmp_path, history)
    before = sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())
    write(tmp_path, history)
    assert sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()) == before
    assert [plain(event) for _, event in Archive(tmp_path).events()] == flat(history)
    named = {part.path for manifest in read_manifests(tmp_path) for part in manifest.parts}
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet")}
    assert files == named | {manifest.items for manifest in read_manifests(tmp_path)}


def test_another_origin_with_the_same_data_is_refused_unless_it_replaces(tmp_path: Path) -> None:
    history = arrivals(1, 50)
    write(tmp_path, history)
    with pytest.raises(TapeError, match="rows would count twice: test"):
        write(tmp_path, arrivals(2, 50), origin="other")
    assert [plain(event) for _, event in Archive(tmp_path).events()] == flat(history)
    later = [(recv_ns + 10**13, events) for recv_ns, events in arrivals(3, 50)]
    write(tmp_path, later, origin="later")
    write(tmp_path, arrivals(2, 50), origin="other", replace=True)
    assert [manifest.origin for manifest in read_manifests(tmp_path)] == ["other", "later"]
    assert [plain(event) for _, event in Archive(tmp_path).events()] == flat(arrivals(2, 50)) + flat(later)


def test_a_write_that_ends_early_leaves_what_was_there(tmp_path: Path) -> None:
    history = arrivals(1, 50)
    write(tmp_path, history)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, arrivals(2, 200))
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert [plain(event) for _, event in Archive(tmp_path).events()] == flat(history)


def interrupted(folder: Path, history: Arrivals) -> None:
    with ArchiveWriter(folder, "test", "a test", limits=SMALL) as writer:
        for recv_ns, events in history:
            writer.add(recv_ns, events)
        raise KeyboardInterrupt


def test_files_that_no_manifest_names_are_not_read(tmp_path: Path) -> None:
    history = arrivals(1, 50)
    write(tmp_path, history)
    some = next(tmp_path.glob("trades/**/*.parquet"))
    (some.parent / "stray-0001.parquet").write_bytes(some.read_bytes())
    assert [plain(event) for _, event in Archive(tmp_path).events()] == flat(history)


@pytest.mark.parametrize(
    "damage", ["truncated", "missing", "shorter", "no instruments", "flipped", "reversed", "retyped"]
)
def test_damage_is_an_error_that_names_the_file(tmp_path: Path, damage: str) -> None:
    write(tmp_path, arrivals(1, 200), limits=Limits())
    path = next(tmp_path.glob("trades/**/*.parquet"))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "missing":
        path.unlink()
    elif damage == "no instruments":
        (path,) = (tmp_path / "instruments").glob("*.parquet")
        path.write_bytes(b"PAR1")
    elif damage == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        frame = pl.read_parquet(path, hive_partitioning=False)
        other = {"shorter": frame[:-1], "reversed": frame.reverse(), "retyped": frame.cast({"price": pl.String})}[
            damage
        ]
        other.write_parquet(path)
    with pytest.raises(TapeError) as caught:
        list(Archive(tmp_path).events())
    assert caught.value.file == str(path)
    assert ("not readable" if damage == "missing" else "checksum") in caught.value.reason


REWRITTEN: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "no column": (lambda frame: frame.drop("usd_micros"), "no column 'usd_micros', which trades have"),
    "text": (lambda frame: frame.cast({"usd_micros": pl.String}), "column 'usd_micros' is String, expected Int64"),
    "fractions": (lambda frame: frame.cast({"usd_micros": pl.Float64}), "'usd_micros' is Float64, expected Int64"),
    "nothing": (lambda frame: frame.with_columns(price=pl.lit(None, pl.Float64)), "'price' has no value in some row"),
    "word": (lambda frame: frame.with_columns(side=pl.lit("up")), "in column 'side'"),
    "order": (lambda frame: frame.reverse(), "not in the order of arrival"),
    "time": (lambda frame: frame.with_columns(at_ns=pl.col("at_ns") - 1), "rows of another time"),
    "instrument": (lambda frame: frame.with_columns(pl.col("instrument") + 1000), "an instrument that is not in"),
}


@pytest.mark.parametrize("change", REWRITTEN)
def test_a_file_that_was_rewritten_with_a_right_checksum_is_an_error_all_the_same(tmp_path: Path, change: str) -> None:
    write(tmp_path, arrivals(1, 200), limits=Limits())
    path = next(tmp_path.glob("trades/**/*.parquet"))
    rewrite, words = REWRITTEN[change]
    rewrite(pl.read_parquet(path, hive_partitioning=False)).write_parquet(tmp_path / "other")
    other = path.with_name(path.name.replace(path.stem[-8:], f"{checksum(tmp_path / 'other'):08x}"))
    (tmp_path / "other").rename(other)
    manifest = manifest_path(tmp_path, "test")
    manifest.write_text(manifest.read_text().replace(path.name, other.name))
    with pytest.raises(TapeError, match=words) as caught:
        list(Archive(tmp_path).events())
    assert caught.value.file == str(other)


def test_words_may_be_plain_text_in_a_file(tmp_path: Path) -> None:
    """As other programs write them; the words of a later version may be more."""
    history = arrivals(1, 200)
    write(tmp_path, history, limits=Limits())
    for path in tmp_path.glob("trades/**/*.parquet"):
        pl.read_parquet(path, hive_partitioning=False).cast({"side": pl.String}).write_parquet(tmp_path / "other")
        other = path.with_name(path.name.replace(path.stem[-8:], f"{checksum(tmp_path / 'other'):08x}"))
        (tmp_path / "other").rename(other)
        manifest = manifest_path(tmp_path, "test")
        manifest.write_text(manifest.read_text().replace(path.name, other.name))
    assert [plain(event) for _, event in Archive(tmp_path).events()] == flat(history)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"version": 2}', "version 2, but this program reads version 1"),
        ("{", "not the manifest"),
        ('{"version":1,"origin":"x","source":"","start_ns":0,"end_ns":1}', "names another origin"),
        (
            json.dumps({"version": 1, "origin": "test", "source": "", "start_ns": 0, "end_ns": 1, "parts": [OUTSIDE]}),
            "outside of the archive",
        ),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = manifest_path(tmp_path, "test")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(TapeError, match=words):
        Archive(tmp_path)
