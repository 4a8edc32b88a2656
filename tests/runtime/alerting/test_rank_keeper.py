"""The recorded past of the rules: taken rule by rule, kept over a restart, set aside when damaged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.engine import Engine
from monitor.events import Price
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.runtime.alerting.rank_keeper import ROW, RankKeeper
from monitor.testing.manual_clock import ManualClock

BTC = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
RULES = "groups: [{name: g, rules: [{alert: Low, expr: 'price{base=\"BTC\"} by (base) < 90k'}]}]"
KEY = f"g/Low{ROW}0"


def keeper(folder: Path, clock: ManualClock) -> tuple[Engine, RankKeeper]:
    engine = Engine(load_rules([("r.yaml", RULES)]))
    kept = RankKeeper(engine, folder / "ranks.bin", clock)
    kept.restore()
    return engine, kept


def quote(engine: Engine, clock: ManualClock, value: float) -> None:
    now_ns = clock.wall_ns()
    engine.ingest([Price(BTC, "mark", value, now_ns, now_ns)])
    engine.evaluate(now_ns)


async def test_one_reading_a_minute_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.alerts.ranks.ENOUGH", 4)
    clock = ManualClock()
    engine, kept = keeper(tmp_path, clock)
    task = asyncio.create_task(kept.run())
    await clock.settle()
    for _ in range(4):
        quote(engine, clock, 100_000.0)
        await clock.advance(60)
    quote(engine, clock, 80_000.0)
    (words,) = kept.notes(KEY)
    assert "of 4 readings since 2025-11-21" in words
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_past_survives_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    engine, kept = keeper(tmp_path, clock)
    for number in range(100):
        quote(engine, clock, 100_000.0 + number)
        kept.look("g/Low")
    quote(engine, clock, 80_000.0)
    (words,) = kept.notes(KEY)
    assert words.startswith("lower than 100.0% of 100 readings since 2025-11-21")
    assert kept.notes("g/Low") == (), "a note about a rule is not about a row"
    await kept.save()
    engine, again = keeper(tmp_path, clock)
    quote(engine, clock, 80_000.0)
    assert again.notes(KEY) == (words,)


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "ranks.bin").write_bytes(b"\xff")
    engine, kept = keeper(tmp_path, ManualClock())
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["ranks.corrupt"]
    quote(engine, ManualClock(), 80_000.0)
    assert kept.notes(KEY) == ()
