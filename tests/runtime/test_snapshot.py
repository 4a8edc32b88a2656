"""Windows over a restart: what was there is there again, what was missed is a gap, a damaged file never stops a start."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.engine import Engine
from monitor.events import Channel, FeedState, Liquidation
from monitor.instruments import Instrument
from monitor.language import load_rules, parse_expression
from monitor.rule import RuleSet
from monitor.runtime.snapshot import Snapshots
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


def clock_at(wall_ns: int) -> ManualClock:
    return ManualClock(wall_ns)


async def test_windows_come_back_and_the_time_between_is_a_gap(tmp_path: Path) -> None:
    before = busy()
    await Snapshots(before, tmp_path / "w.npz", clock_at(T0)).write()

    after = engine()
    Snapshots(after, tmp_path / "w.npz", clock_at(T0 + 600 * S)).restore()
    after.evaluate(T0 + 600 * S)
    after.ingest([FeedState("bybit", Channel.LIQUIDATIONS, up=True, ts_ns=T0 + 600 * S)])

    value, coverage = after.query(parse_expression(TEXT), T0 + 900 * S)[0][1:]
    assert value == before.query(parse_expression(TEXT), T0)[0][1] == pytest.approx(700.00495)
    assert coverage == pytest.approx(50 / 60, abs=0.002)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"PK\x03\x04 torn"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(damage)
    Snapshots(engine(), path, clock_at(T0)).restore()
    assert not path.exists()
    assert [found.read_bytes() for found in tmp_path.glob("w.corrupt-*")] == [damage]


async def test_windows_of_the_future_are_set_aside(tmp_path: Path) -> None:
    await Snapshots(busy(), tmp_path / "w.npz", clock_at(T0)).write()
    one = engine()
    Snapshots(one, tmp_path / "w.npz", clock_at(T0 - 86_400 * S)).restore()
    assert one.now_ns == 0
    assert list(tmp_path.glob("w.corrupt-*"))


async def test_it_is_written_every_so_often(tmp_path: Path) -> None:
    import asyncio

    clock = clock_at(T0)
    snapshots = Snapshots(busy(), tmp_path / "w.npz", clock, every_s=60)
    task = asyncio.get_running_loop().create_task(snapshots.run())
    await clock.advance(61)
    while not snapshots.last_bytes:
        await asyncio.sleep(0.01)
    task.cancel()
    assert (tmp_path / "w.npz").stat().st_size == snapshots.last_bytes


async def test_a_venue_that_was_taken_out_before_the_restart_is_not_waited_for(tmp_path: Path) -> None:
    before = Engine(rules(), expected={Channel.LIQUIDATIONS: ["bybit", "okx"]})
    before.evaluate(T0 - 3600 * S)
    before.ingest([FeedState(venue, Channel.LIQUIDATIONS, up=True, ts_ns=T0 - 3600 * S) for venue in ("bybit", "okx")])
    before.evaluate(T0)
    await Snapshots(before, tmp_path / "w.npz", clock_at(T0)).write()

    after = engine()
    Snapshots(after, tmp_path / "w.npz", clock_at(T0 + 36 * S)).restore()
    after.evaluate(T0 + 36 * S)
    after.ingest([FeedState("bybit", Channel.LIQUIDATIONS, up=True, ts_ns=T0 + 36 * S)])
    assert after.query(parse_expression(TEXT), T0 + 72 * S)[0][2] == pytest.approx(0.99)
