"""What ``replay --against`` says of a log that differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.commands import dispatch
from tests.backtest.scene import cascade, loaded, write_tape


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The log of a small tape, in whose folder the test runs."""
    loaded(tmp_path)
    write_tape(tmp_path / "tape", cascade(), turns=True)
    monkeypatch.chdir(tmp_path)
    dispatch(["replay", "--tape", "tape", "--rules", "given", "--sink", "screen", "--out", "log.jsonl"])
    capsys.readouterr()
    return [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]


def difference(capsys: pytest.CaptureFixture[str], theirs: bytes) -> list[str]:
    """What is said of another log."""
    Path("theirs.jsonl").write_bytes(theirs)
    words = ["--rules", "given", "--sink", "screen", "--out", "again.jsonl", "--against", "theirs.jsonl"]
    assert dispatch(["replay", "--tape", "tape", *words]) == 1
    said = capsys.readouterr().err.splitlines()
    return said[next(place for place, line in enumerate(said) if line.startswith("DIFFERS")) :]


def test_the_fields_that_differ_are_shown(log: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    before = log[1]["alerts"][0]["value"]
    log[1]["alerts"][0]["value"] = 7.5
    del log[1]["reason"]
    theirs = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in log)
    first, rest = Path("log.jsonl").read_bytes().splitlines(keepends=True)[:1], theirs.splitlines(keepends=True)[1:]
    head, *fields = difference(capsys, b"".join(first + rest))
    assert head == f"DIFFERS at line 2 ({len(log)} here, {len(log)} there):"
    assert sorted(fields) == [f"  alerts.0.value: {before} here, 7.5 there", *[f for f in fields if "reason" in f]]
    assert len(fields) == 2
    assert fields[0].endswith(" here, nothing there")


def test_what_is_no_line_of_a_log_is_shown_as_it_is(
    log: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    head, here, there = difference(capsys, b"{not json\n")
    assert head == f"DIFFERS at line 1 ({len(log)} here, 1 there):"
    assert here.startswith('  here   {"key":')
    assert there == "  there  {not json"


def test_the_same_in_other_words_differs_in_no_field(
    log: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = "".join(json.dumps(line) + "\n" for line in log).encode()
    assert difference(capsys, theirs)[1:] == ["  in how it is written, not in what it says"]
