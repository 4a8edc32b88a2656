"""A monitor run again from what it recorded: from the tape and from Parquet, by the command, against what was sent live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.backtest.again import run_again
from monitor.clock import NS_PER_S, ScaledClock
from monitor.commands import dispatch
from monitor.errors import TapeError
from monitor.runtime.load import Loaded
from monitor.runtime.steps.rerun import AlertLog
from monitor.tape.folder import inspect, some_files
from tests.commands.test_wrong_use import exit_code
from tests.runtime.steps.test_rerun import START_NS, calm, history_of, live, told, trouble, venues

SPEED = 30.0


@pytest.fixture
async def place(tmp_path: Path) -> tuple[Loaded, Path]:
    """Two runs on one tape: one with faults, people and reloads, and one with the state that it left."""
    clock = ScaledClock(START_NS, SPEED)
    async with venues(clock) as servers:
        loaded = await live(tmp_path, servers, clock, trouble)
        await live(tmp_path, servers, clock, calm)
    return loaded, tmp_path


async def test_tape_and_parquet_give_the_alerts_of_the_live_run_byte_for_byte(
    place: tuple[Loaded, Path], capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, folder = place
    monkeypatch.chdir(folder)
    assert dispatch(["export", "--tape", "tape", "--out", "archive"]) == 1
    assert b"MISSING 1 not decoded" in capfdbinary.readouterr().out, (
        "the garbage, which the live run could not read either"
    )
    log = AlertLog()
    report = run_again(loaded, folder / "archive", log)
    assert (report.exact, report.starts, report.reloads) == (True, 2, {"taken": 2})
    assert told(log) == await history_of(folder)
    live_log = (folder / "state" / "alerts.jsonl").read_bytes()
    for source in ("tape", "archive"):
        assert dispatch(["replay", "--tape", source, "--against", "state/alerts.jsonl"]) == 0
        out, err = capfdbinary.readouterr()
        assert out == live_log
        assert b"the same as state/alerts.jsonl, byte for byte" in err
        assert dispatch(["replay", "--tape", source, "--out", f"{source}.jsonl", "--json"]) == 0
        found = json.loads(capfdbinary.readouterr().err)
        assert (found["exact"], found["same"], found["missing"]) == (True, None, [])
    assert (folder / "tape.jsonl").read_bytes() == (folder / "archive.jsonl").read_bytes() == live_log

    # a line is missing over there
    lines = live_log.splitlines(keepends=True)
    (folder / "other.jsonl").write_bytes(b"".join(lines[:3] + lines[4:]))
    assert dispatch(["replay", "--tape", "tape", "--out", "again.jsonl", "--against", "other.jsonl"]) == 1
    assert f"DIFFERS at line 4 ({len(lines)} here, {len(lines) - 1} there)".encode() in capfdbinary.readouterr().err


async def test_two_exports_that_do_not_adjoin_are_not_the_whole_run(
    place: tuple[Loaded, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, folder = place
    monkeypatch.chdir(folder)
    infos = [inspect(path) for path in some_files(folder / "tape")]
    first_s = min(info.first_ns or 0 for info in infos) // NS_PER_S
    dispatch(["export", "--tape", "tape", "--out", "a", "--to", str(first_s + 20)])
    dispatch(["export", "--tape", "tape", "--out", "a", "--from", str(first_s + 40)])
    capsys.readouterr()
    assert dispatch(["replay", "--tape", "a", "--out", "x.jsonl"]) == 1
    assert "does not end where it begins" in capsys.readouterr().err
    report = run_again(loaded, folder / "a", AlertLog())
    assert (report.exact, report.cold) == (False, False)

    # one venue alone: the steps are of all of them, so there are none here
    dispatch(["export", "--tape", "tape", "--out", "okx", "--venue", "okx"])
    with pytest.raises(TapeError, match="export all of its venues"):
        run_again(loaded, folder / "okx", AlertLog())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([".", "--sink", "fil"], "no sink 'fil'"),
        ([".", "--against", "nowhere.jsonl"], "nowhere.jsonl"),
        (["nowhere"], "there is no such folder"),
        ([".", "--tape", "other"], "--tape is given twice"),
    ],
)
def test_wrong_words(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(
        "feeds: [{venue: okx}]\nrules: [r.yaml]\nsinks: [{type: file, path: a.jsonl}]\n"
    )
    (tmp_path / "r.yaml").write_text("groups: []\n")
    assert exit_code(" ".join(["replay --config config.yaml --tape", *words])) == 2
    assert message in capsys.readouterr().err
