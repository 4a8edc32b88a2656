"""What the documentation does first: record the demo, and run the rules over the tape with the configuration beside it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from monitor.clock import ScaledClock
from monitor.commands import dispatch
from monitor.commands.demo import recorder_of
from monitor.errors import TapeError
from monitor.tape.folder import inspect, some_files
from monitor.testing.demo import INSTRUMENTS, NOTE, DemoMarket
from monitor.testing.scenario import Scenario
from tests.backtest.scene import cascade, write_tape

ROOT = Path(__file__).parents[2]


async def test_the_demo_writes_a_labelled_tape_and_a_configuration_that_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario, tape = Scenario(7, INSTRUMENTS, 30), tmp_path / "tape"
    clock = ScaledClock(scenario.start_ns, 1)
    options = argparse.Namespace(
        record=tape, rules=str(ROOT / "rules/liquidations.yaml"), listen="127.0.0.1:0", sink=[]
    )
    async with DemoMarket(scenario, clock) as market:
        with recorder_of(options, market, clock) as recorder:
            recorder("okx/chosen", "chosen", "[]", clock.wall_ns())
    (file,) = some_files(tape)
    assert inspect(file).note == NOTE
    file.unlink()
    write_tape(tape, cascade(), note=NOTE)
    assert dispatch(["backtest", "--config", str(tape / "config.yaml"), "--tape", str(tape)]) == 0
    out = capsys.readouterr().out
    assert NOTE in out
    assert "LiquidationsOver1BillionPerHour" in out
    assert "not always live: bybit" in out  # the demo's feeds are expected


async def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = argparse.Namespace(record=tmp_path / "file" / "tape", rules="*", listen="127.0.0.1:0", sink=[])
    scenario = Scenario(7, INSTRUMENTS, 30)
    clock = ScaledClock(scenario.start_ns, 1)
    async with DemoMarket(scenario, clock) as market:
        with pytest.raises(TapeError, match="Not a directory"):
            recorder_of(options, market, clock)


def test_the_demo_does_not_write_into_a_folder_with_a_tape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "00000001-20251121T044000Z.tape").touch()
    assert dispatch(["demo", "--record", str(tmp_path)]) == 2
    assert "there is a tape here already" in capsys.readouterr().err
