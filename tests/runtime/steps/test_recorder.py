from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.clock import SystemClock
from monitor.runtime.steps.recorder import Recorder
from monitor.tape.folder import inspect_files, read_folder, read_lost, tape_files
from monitor.tape.format import Record, Row
from monitor.tape.writer import RESERVE, TapeWriter


class StuckWriter(TapeWriter):
    """A disk that does not answer until it is released."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reached = threading.Event()
        self.release = threading.Event()

    def write(self, rows: Sequence[Row], now_ns: int) -> None:
        self.reached.set()
        assert self.release.wait(10)
        super().write(rows, now_ns)


class FullWriter(TapeWriter):
    """A disk that refuses the first block."""

    refused = 0

    def write(self, rows: Sequence[Row], now_ns: int) -> None:
        if not self.refused:
            self.refused = len(rows)
            raise OSError(28, "No space left on device")
        super().write(rows, now_ns)


def on_tape(folder: Path) -> list[Record]:
    return [item for item in read_folder(folder) if isinstance(item, Record)]


def test_what_is_heard_is_on_the_tape_in_order(tmp_path: Path) -> None:
    with Recorder(TapeWriter(tmp_path), SystemClock(), block_bytes=5000) as tap:
        for number in range(1000):
            tap("toy/0#1", "in", f"frame {number}", number)
        tap("toy/0#1", "out", b"\x00\xff", 1000)
    wanted = [(number, "toy/0#1", "in", f"frame {number}", False) for number in range(1000)]
    assert on_tape(tmp_path) == [*wanted, (1000, "toy/0#1", "out", b"\x00\xff", False)]
    assert tap.recorded == 1001
    assert tap.writer.blocks > 10
    assert tap.waiting_bytes == 0


def test_a_slow_disk_costs_frames_that_are_counted_here_and_on_the_tape(tmp_path: Path) -> None:
    writer = StuckWriter(tmp_path)
    with Recorder(writer, SystemClock(), queue_bytes=10_000, block_bytes=300, flush_s=0.01) as tap:
        tap("toy/0#1", "in", "x" * 100, 0)
        assert writer.reached.wait(10)
        for number in range(1, 1000):
            tap("toy/0#1", "in", "x" * 100, number)
        tap("toy/state", "state", "[]", 1000)  # facts have room left
        dropped = tap.dropped["slow"]
        assert 900 < dropped < 1000
        assert tap.waiting_bytes <= 20_000
        writer.release.set()
    found = on_tape(tmp_path)
    lost = [read_lost(record.payload) for record in found if record.kind == "lost"]
    assert sum(frames for frames, _ in lost) == dropped
    assert {reason for _, reason in lost} == {"slow"}
    assert sum(record.kind == "in" for record in found) == 1000 - dropped
    assert [record.kind for record in found][-2:] == ["lost", "state"], "just where they are missing"


def test_a_full_disk_costs_the_block_and_the_tape_goes_on(tmp_path: Path) -> None:
    writer = FullWriter(tmp_path)
    with Recorder(writer, SystemClock(), block_bytes=2000) as tap:
        for number in range(100):
            tap("toy/0#1", "in", "x" * 100, number)
    found = on_tape(tmp_path)
    assert tap.dropped["disk"] == writer.refused > 0
    assert tap.recorded == 100 - writer.refused
    assert read_lost(found[0].payload) == (writer.refused, "disk"), "just where they are missing"
    assert {record.kind for record in found[1:]} == {"in"}
    assert [r.recv_ns for r in found if r.kind == "in"] == list(range(writer.refused, 100))


def test_a_disk_that_is_full_to_the_end_has_room_for_how_much_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = os.write, threading.Event()

    def until_released(fd: int, data: memoryview) -> int:
        if full.is_set() and (tmp_path / RESERVE).exists():
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", until_released)
    writer = TapeWriter(tmp_path)
    with Recorder(writer, SystemClock(), block_bytes=2000) as tap:
        for number in range(100):
            tap("toy/0#1", "in", "x" * 100, number)
            if number == 49:
                while writer.blocks < 5:
                    time.sleep(0.001)
                full.set()
    (info,) = inspect_files(tape_files(tmp_path))
    assert tap.dropped["disk"] >= 50
    assert info.dropped == {"disk": tap.dropped["disk"]}
    assert len(on_tape(tmp_path)) == tap.recorded + 1
    assert [path.suffix for path in tmp_path.iterdir()] == [".tape"], "the room is given back"


def test_the_log_says_how_much_is_missing_and_not_for_every_block(tmp_path: Path) -> None:
    class DeadWriter(TapeWriter):
        def write(self, rows: Sequence[Row], now_ns: int) -> None:
            raise OSError(28, "No space left on device")

    with capture_logs() as lines, Recorder(DeadWriter(tmp_path), SystemClock(), block_bytes=500, flush_s=0.01) as tap:
        for number in range(1000):
            tap("toy/0#1", "in", "x" * 100, number)
    said = [line for line in lines if line["event"] == "tape.incomplete"]
    assert len(said) == len(lines) <= 2  # at once, and at the end
    assert sum(line["disk"] for line in said) == tap.dropped["disk"] == 1000
    assert {line["error"] for line in said} == {"[Errno 28] No space left on device"}


def test_frames_that_were_dropped_last_are_noted_when_the_tape_ends(tmp_path: Path) -> None:
    writer = StuckWriter(tmp_path)
    tap = Recorder(writer, SystemClock(), queue_bytes=1000, block_bytes=300, flush_s=0.01)
    with tap:
        tap("toy/0#1", "in", "x" * 100, 0)
        assert writer.reached.wait(10)
        for number in range(1, 50):
            tap("toy/0#1", "in", "x" * 100, number)
        writer.release.set()
    last = on_tape(tmp_path)[-1]
    assert (last.kind, read_lost(last.payload)) == ("lost", (tap.dropped["slow"], "slow"))
