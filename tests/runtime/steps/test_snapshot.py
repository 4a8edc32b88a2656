"""Windows over a restart: what was there is there again, what was missed is a gap, a damaged file never stops a start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from monitor.engine import Engine
from monitor.engine.engine import TRIM_EVERY
from monitor.engine.rows.log import CHUNK
from monitor.events import Channel, FeedState, Liquidation
from monitor.instruments import Instrument
from monitor.language import load_rules, parse_expression
from monitor.rule import RuleSet
from monitor.runtime.steps.snapshot import HEAD, ROWS, Snapshots
from monitor.testing.manual_clock import ManualClock

S = 1_000_000_000
T0 = 1_763_700_000 * S
BTC = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
TEXT = "sum(liquidations[1h])"


def rules() -> RuleSet:
    return load_rules([("r.yaml", f"groups: [{{name: g, rules: [{{alert: A, expr: '{TEXT} > 1B'}}]}}]")])


def engine() -> Engine:
    return Engine(rules(), expected={Channel.LIQUIDATIONS: ["bybit"]})


def busy() -> Engine:
    one = engine()
    one.evaluate(T0 - 3600 * S)
    one.ingest([FeedState("bybit", Channel.LIQUIDATIONS, up=True, ts_ns=T0 - 3600 * S)])
    one.ingest([Liquidation(BTC, "long", 7_000_000 + n, 80_000.0, T0 - n * S, T0 - n * S, str(n)) for n in range(100)])
    one.evaluate(T0)
    return one


def liquidation(usd: int, ts_ns: int) -> Liquidation:
    return Liquidation(BTC, "long", usd * 1_000_000, 80_000.0, ts_ns, ts_ns, f"{ts_ns}")


def fill(one: Engine) -> None:
    """Some full chunks, spread over the hour before T0."""
    rows = 3 * CHUNK
    members = np.full(rows, one.member("liquidations", one.store.catalog.series("liquidations").labels[0]), np.int32)
    one.ingest_columns("liquidations", members, T0 - S + np.arange(rows) - rows, np.ones(rows, np.int64))
    one.evaluate(T0)


def long() -> Engine:
    one = busy()
    fill(one)
    return one


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Name, size and change time of what is on disk."""
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir()}


def total(one: Engine, now_ns: int) -> float | None:
    return one.query(parse_expression(TEXT), now_ns)[0][1]


def total_after_restart(folder: Path, now_ns: int) -> float | None:
    one = engine()
    assert Snapshots(one, folder, clock_at(now_ns)).restore() is not None
    return total(one, now_ns)


def clock_at(wall_ns: int) -> ManualClock:
    return ManualClock(wall_ns)


async def test_windows_come_back_and_the_time_between_is_a_gap(tmp_path: Path) -> None:
    before = busy()
    await Snapshots(before, tmp_path / "w", clock_at(T0)).write()

    after = engine()
    Snapshots(after, tmp_path / "w", clock_at(T0 + 600 * S)).restore()
    after.evaluate(T0 + 600 * S)
    after.ingest([FeedState("bybit", Channel.LIQUIDATIONS, up=True, ts_ns=T0 + 600 * S)])

    value, coverage = after.query(parse_expression(TEXT), T0 + 900 * S)[0][1:]
    assert value == before.query(parse_expression(TEXT), T0)[0][1] == pytest.approx(700.00495)
    assert coverage == pytest.approx(50 / 60, abs=0.002)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"PK\x03\x04 torn", b"\x28\xb5\x2f\xfd torn"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / HEAD).write_bytes(damage)
    assert Snapshots(engine(), folder, clock_at(T0)).restore() is None
    assert not folder.exists()
    assert [found.read_bytes() for found in tmp_path.glob("w.corrupt-*/*")] == [damage]


async def test_a_missing_piece_sets_all_aside_rather_than_count_less(tmp_path: Path) -> None:
    await Snapshots(long(), tmp_path / "w", clock_at(T0)).write()
    next((tmp_path / "w").glob(ROWS)).unlink()
    one = engine()
    assert Snapshots(one, tmp_path / "w", clock_at(T0)).restore() is None
    assert one.now_ns == 0
    assert list(tmp_path.glob("w.corrupt-*"))


async def test_only_what_is_new_is_copied_and_written(tmp_path: Path) -> None:
    before = long()
    snapshots = Snapshots(before, tmp_path / "w", clock_at(T0))
    await snapshots.write()
    first = files(tmp_path / "w")
    assert snapshots.last_bytes == snapshots.last_written_bytes == sum(size for size, _ in first.values())
    before.ingest([liquidation(9, T0 + S)])
    before.evaluate(T0 + S)
    await snapshots.write()
    second = files(tmp_path / "w")
    assert {name for name in second if second[name] != first.get(name)} == {HEAD}
    assert snapshots.last_written_bytes == second[HEAD][0] < snapshots.last_bytes
    assert total_after_restart(tmp_path / "w", T0 + S) == total(before, T0 + S)


async def test_a_late_row_has_its_piece_written_again(tmp_path: Path) -> None:
    before = long()
    snapshots = Snapshots(before, tmp_path / "w", clock_at(T0))
    await snapshots.write()
    early = set(files(tmp_path / "w"))
    before.ingest([liquidation(9, T0 - 50 * S)])
    before.evaluate(T0 + S)
    await snapshots.write()
    assert early - set(files(tmp_path / "w"))
    assert total_after_restart(tmp_path / "w", T0 + S) == total(before, T0 + S)


async def test_pieces_that_no_window_reaches_leave_the_disk(tmp_path: Path) -> None:
    before = long()
    snapshots = Snapshots(before, tmp_path / "w", clock_at(T0))
    await snapshots.write()
    assert len(files(tmp_path / "w")) > 2
    for step in range(1, 2 * TRIM_EVERY):
        before.evaluate(T0 + step * 60 * S)
    await snapshots.write()
    assert set(files(tmp_path / "w")) == {HEAD}
    assert total_after_restart(tmp_path / "w", T0 + 2 * TRIM_EVERY * 60 * S) == 0


async def test_a_full_disk_leaves_the_last_copy_and_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = busy()
    snapshots = Snapshots(before, tmp_path / "w", clock_at(T0))
    await snapshots.write()
    first = files(tmp_path / "w")
    fill(before)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("monitor.runtime.steps.snapshot.write_atomically", full)
        await snapshots.write()
    assert files(tmp_path / "w") == first
    await snapshots.write()
    assert total_after_restart(tmp_path / "w", T0) == total(before, T0)


async def test_the_last_copy_waits_for_one_that_is_being_written(tmp_path: Path) -> None:
    before = busy()
    snapshots = Snapshots(before, tmp_path / "w", clock_at(T0))
    writing = asyncio.create_task(snapshots.write())
    await asyncio.sleep(0)
    fill(before)
    await snapshots.write()
    await writing
    assert total_after_restart(tmp_path / "w", T0) == total(before, T0)


async def test_the_next_run_numbers_on_and_clears_what_the_last_one_left(tmp_path: Path) -> None:
    await Snapshots(long(), tmp_path / "w", clock_at(T0)).write()
    left = set(files(tmp_path / "w")) - {HEAD}
    after = engine()
    snapshots = Snapshots(after, tmp_path / "w", clock_at(T0))
    assert snapshots.restore() is not None
    await snapshots.write()
    mine = set(files(tmp_path / "w")) - {HEAD}
    assert mine
    assert not mine & left
    assert total_after_restart(tmp_path / "w", T0) == total(after, T0)


async def test_windows_of_the_future_are_set_aside(tmp_path: Path) -> None:
    await Snapshots(busy(), tmp_path / "w", clock_at(T0)).write()
    one = engine()
    Snapshots(one, tmp_path / "w", clock_at(T0 - 86_400 * S)).restore()
    assert one.now_ns == 0
    assert list(tmp_path.glob("w.corrupt-*"))


async def test_it_is_written_every_so_often(tmp_path: Path) -> None:
    clock = clock_at(T0)
    snapshots = Snapshots(busy(), tmp_path / "w", clock, every_s=60)
    task = asyncio.get_running_loop().create_task(snapshots.run())
    await clock.advance(61)
    while not snapshots.last_bytes:
        await asyncio.sleep(0.01)
    task.cancel()
    assert sum(size for size, _ in files(tmp_path / "w").values()) == snapshots.last_bytes


async def test_a_venue_that_was_taken_out_before_the_restart_is_not_waited_for(tmp_path: Path) -> None:
    before = Engine(rules(), expected={Channel.LIQUIDATIONS: ["bybit", "okx"]})
    before.evaluate(T0 - 3600 * S)
    before.ingest([FeedState(venue, Channel.LIQUIDATIONS, up=True, ts_ns=T0 - 3600 * S) for venue in ("bybit", "okx")])
    before.evaluate(T0)
    await Snapshots(before, tmp_path / "w", clock_at(T0)).write()

    after = engine()
    Snapshots(after, tmp_path / "w", clock_at(T0 + 36 * S)).restore()
    after.evaluate(T0 + 36 * S)
    after.ingest([FeedState("bybit", Channel.LIQUIDATIONS, up=True, ts_ns=T0 + 36 * S)])
    assert after.query(parse_expression(TEXT), T0 + 72 * S)[0][2] == pytest.approx(0.99)
