"""The desk of the demo pushes into a folder: the one that the monitor reads, whatever the disk does."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.commands.demo import recorder_of
from monitor.testing.demo import INSTRUMENTS, DemoMarket
from monitor.testing.demo_slow import PUSH_EVERY_NS, DemoSlowSide, pushed_folder
from monitor.testing.manual_clock import ManualClock
from monitor.testing.scenario import START_NS, Scenario

EVERY_S = PUSH_EVERY_NS / 1e9


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_NS)


@pytest.fixture
async def desk(clock: ManualClock, tmp_path: Path) -> AsyncIterator[DemoSlowSide]:
    """It pushes into ``data/pushed``."""
    desk = DemoSlowSide(Scenario(7, INSTRUMENTS, 30), clock)
    desk.folder = pushed_folder(tmp_path / "data")
    task = asyncio.create_task(desk.run())
    yield desk
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_pushes_the_past_once_and_the_present_again_and_again(desk: DemoSlowSide, clock: ManualClock) -> None:
    await clock.advance(0)
    assert desk.folder is not None
    past, present = desk.folder / "past.csv", desk.folder / "desk.csv"
    assert len(past.read_text().splitlines()) > len(present.read_text().splitlines()) > 0
    past.unlink()
    present.unlink()
    await clock.advance(EVERY_S)
    assert [path.name for path in desk.folder.iterdir()] == ["desk.csv"]


async def test_a_disk_that_refuses_is_said_once_and_tried_again(
    desk: DemoSlowSide, clock: ManualClock, tmp_path: Path
) -> None:
    await clock.advance(0)
    desk.folder = pushed_folder(tmp_path / "file")
    desk.folder.parent.touch()  # no folder can be made in it
    with capture_logs() as lines:
        await clock.advance(5 * EVERY_S)
    assert [line["event"] for line in lines] == ["demo.push_failed"]
    desk.folder.parent.unlink()
    await clock.advance(EVERY_S)
    assert (desk.folder / "desk.csv").exists()


async def test_recording_leaves_the_folder_that_the_monitor_reads(clock: ManualClock, tmp_path: Path) -> None:
    """The configuration beside the tape names a folder of its own."""
    options = argparse.Namespace(record=tmp_path / "tape", rules="rules/*.yaml", listen="127.0.0.1:0", sink=[])
    async with DemoMarket(Scenario(7, INSTRUMENTS, 30), clock) as market:
        market.slow.folder = pushed_folder(tmp_path / "data")
        recorder_of(options, market, clock)
        assert market.slow.folder == tmp_path / "data" / "pushed"
        assert str(tmp_path / "tape" / "state" / "pushed") in (tmp_path / "tape" / "config.yaml").read_text()
