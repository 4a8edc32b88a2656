"""``record:`` in the running program: the tape of the real command gives its alerts again, over SIGTERM and ``kill -9``."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.runtime.load import load
from monitor.runtime.steps.rerun import AlertLog, rerun
from monitor.tape.folder import inspect, read_blocks, some_files
from tests.integration.program import Program, run_to_end
from tests.integration.test_program import Desk, firing, quoting

pytestmark = pytest.mark.xdist_group("program")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A Bybit where bitcoin stands at 80,000, and a program that records."""
    async with quoting("bybit") as server:
        desk = Desk(tmp_path, server)
        config = tmp_path / "config.yaml"
        config.write_text(config.read_text(encoding="utf-8") + "record: {budget: 64M, keep: 1d}\n", encoding="utf-8")
        yield desk


def again(folder: Path) -> tuple[bytes, int]:
    """The alerts of a rerun as the file sink writes them, and how often the program was started."""
    log = AlertLog()
    report = rerun(load(folder / "config.yaml", {}), read_blocks(some_files(folder / "state" / "tape")), log)
    return b"".join(log.lines("file")), report.starts


async def fires(program: Program) -> None:
    async def it_fires() -> bool:
        return "BitcoinLow" in await firing(program)

    await program.ready()
    await program.until(it_fires)


async def recorded(program: Program) -> None:
    """Wait until all that happened so far has reached the disk."""
    for _ in range(2):
        before = await program.metric("monitor_tape_frames_total")

        async def grown(before: float = before) -> bool:
            return await program.metric("monitor_tape_frames_total") > before

        await program.until(grown)


async def test_a_running_program_records_and_says_so(desk: Desk) -> None:
    async with desk.program() as program:
        await fires(program)
        await recorded(program)
        assert await program.metric("monitor_tape_dropped_total") == 0
        assert 0 < await program.metric("monitor_tape_budget_ratio") < 1
        tape = (await program.data("/api/v1/status"))["process"]["tape"]
        assert tape["folder"] == str(desk.folder / "state" / "tape")
        shown = run_to_end("status", "--url", program.url)
        assert f"tape  {tape['folder']}" in shown.stdout
        assert "of 64.0 MiB" in shown.stdout
        code, _ = await program.end()
    assert code == 0
    [path] = some_files(desk.folder / "state" / "tape")
    info = inspect(path, deep=True)
    assert not info.losses
    assert info.records >= tape["records"]
    assert again(desk.folder) == (desk.notes.encode(), 1)
    text = run_to_end("tape", "info", desk.folder / "state" / "tape", "--json")
    assert json.loads(text.stdout)["files"][0]["venues"] == ["bybit"]


async def test_after_a_kill_the_tape_is_whole_blocks_and_the_next_run_goes_on(desk: Desk) -> None:
    async with desk.program() as program:
        await fires(program)
        await recorded(program)
        await program.end(signal.SIGKILL)
    async with desk.program() as program:
        await fires(program)
        desk.rule("BitcoinLow", "70k")
        program.process.send_signal(signal.SIGHUP)

        async def calm() -> bool:
            return not await firing(program)

        await program.until(calm)
        await program.end()
    first, second = some_files(desk.folder / "state" / "tape")
    assert all(loss.torn for loss in inspect(first, deep=True).losses)
    assert not inspect(second, deep=True).losses
    lines, starts = again(desk.folder)
    assert starts == 2
    assert lines == desk.notes.encode()


async def test_the_tape_cannot_move_while_running_and_a_bad_folder_is_an_error(desk: Desk) -> None:
    config = desk.folder / "config.yaml"
    text = config.read_text(encoding="utf-8")
    async with desk.program() as program:
        await program.ready()
        config.write_text(text.replace("64M", "65M"), encoding="utf-8")
        program.process.send_signal(signal.SIGHUP)

        async def refused() -> bool:
            return "record cannot change while running" in program.stderr

        await program.until(refused)
        await program.end()
    (desk.folder / "file").write_text("", encoding="utf-8")
    config.write_text(text.replace("budget: 64M", f"dir: {desk.folder}/file"), encoding="utf-8")
    ended = run_to_end("--config", config, cwd=desk.folder)
    assert ended.returncode == 2
    assert "no tape can be written here" in ended.stderr
