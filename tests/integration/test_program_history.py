"""History in the real process: long rules are warm after the start, from the venue and then from the disk, and alert like live ones only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.commands.status import render as status_text
from monitor.commands.why import render as why_text
from monitor.events import Channel
from monitor.instruments import Instrument
from monitor.testing.venue_server import VenueServer
from tests.integration.program import Program, started
from tests.integration.test_program import Desk, fires, firing, quoting

pytestmark = pytest.mark.xdist_group("program")

RULES = """
groups:
  - name: long
    rules:
      - {alert: BelowYearHigh, expr: "drawdown(price[365d]) by (base) < -20%"}
      - {alert: CrossedItsMean, expr: "crosses_below(price by (base), sma(price[200d:1d]) by (base))"}
      - {alert: Swings, expr: "realized_vol(price[7d]) by (base) > 5"}
"""


class Fallen:
    """Bitcoin stood at 110,000 all year and swung by a percent from hour to hour."""

    def value(self, instrument: Instrument, channel: Channel, ts_ns: int) -> float | None:
        if channel is not Channel.PRICE:
            return None
        return 110_000.0 if ts_ns // 3_600_000_000_000 % 2 else 111_100.0


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A Bybit where bitcoin stands at 80,000 now."""
    async with quoting("bybit") as server:
        server.past = Fallen()
        desk = Desk(tmp_path, server)
        desk.rules.write_text(RULES, encoding="utf-8")
        yield desk


def asked(server: VenueServer) -> int:
    return server.counts["rest /v5/market/mark-price-kline"]


async def test_long_rules_are_warm_soon_and_again_from_the_disk(desk: Desk) -> None:
    async with desk.program() as program:
        await program.ready()
        await fires(program, "BelowYearHigh")
        await fires(program, "Swings")
        assert "CrossedItsMean" not in desk.notes  # it is below its mean, but nobody saw it cross
        why = why_text(await program.data("/api/v1/why?rule=BelowYearHigh"))
        assert "samples are history, fetched or given, not seen live" in why
        status = status_text(await program.data("/api/v1/status"))
        assert "history: done, " in status
        assert await program.metric("monitor_backfill_points_total", venue="bybit", channel="price") > 365 + 7 * 24
        assert "history, fetched or given" in json.dumps(await program.data("/api/v1/why?rule=Swings"))
        await program.end()
    first = asked(desk.server)
    assert first >= 2
    async with desk.program() as program:
        await program.ready()
        await fires(program, "BelowYearHigh")
        await program.until(lambda: history_done(program))
        await program.end()
    assert asked(desk.server) - first <= 2  # what has closed since, if an hour or a day has ended in between
    assert "CrossedItsMean" not in desk.notes


async def history_done(program: Program) -> bool:
    feeds = (await program.data("/api/v1/status"))["feeds"]
    return bool(feeds[0]["past"]["state"] == "done")


async def test_without_it_long_readings_are_unknown(desk: Desk) -> None:
    arguments = ("--config", desk.folder / "config.yaml", "--no-backfill")
    async with started(desk.folder, *arguments, port=desk.port) as program:
        await program.ready()

        async def reads() -> bool:
            rows = (await program.data("/api/v1/why?rule=Swings"))["rows"]
            return bool(rows) and rows[0]["reason"] != ""

        await program.until(reads)
        (row,) = (await program.data("/api/v1/why?rule=Swings"))["rows"]
        assert row["value"] is None
        assert await firing(program) == set()
        assert (await program.data("/api/v1/status"))["feeds"][0]["past"]["state"] == "off"
        await program.end()
    assert asked(desk.server) == 0


async def test_a_venue_without_a_past_runs_live(desk: Desk) -> None:
    desk.server.past = None
    async with desk.program() as program:
        await program.ready()

        async def failed() -> bool:
            return await program.metric("monitor_backfill_failures_total", venue="bybit") > 0

        await program.until(failed)
        assert (await program.data("/api/v1/status"))["feeds"][0]["up"]
        assert await firing(program) == set()
        await program.end()
