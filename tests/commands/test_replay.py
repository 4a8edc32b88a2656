"""What ``replay --against`` says of a log that differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.commands import dispatch
from monitor.events import Event, Sample
from monitor.tape.course import DERIVED, HEARD, REMEMBERED, TURN, write_events, write_turn
from monitor.tape.format import Row
from monitor.tape.writer import TapeWriter
from tests.backtest.scene import RULES, at, cascade, feeds, liquidation, loaded, price, write_tape


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


def test_tape_and_archive_count_the_same_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was fetched of the past and what was derived is on the tape as the program's course, in an archive among its rows."""
    loaded(tmp_path, f"{RULES}      - {{alert: Cheap, expr: price < 1}}\n")
    monkeypatch.chdir(tmp_path)
    fetched: list[Event] = [msgspec.structs.replace(price(-60.0 * ago, 80_000.0), backfill=True) for ago in (3, 2, 1)]
    heard = [*feeds(0, up=True), price(1, 80_000.0), liquidation(2, 60_000), price(2, float("nan"))]
    derived: list[Event] = [Sample("basket", (("basket", "all"),), 1.0, at(3), at(3), "test")]
    rows: list[Row] = [
        (at(0), REMEMBERED, "events", write_events(fetched), False),
        (at(2), HEARD, "events", write_events(heard), False),
        (at(2), TURN, "turn", write_turn(len(heard)), False),
        (at(3), DERIVED, "events", write_events(derived), False),
        (at(3), TURN, "turn", write_turn(len(derived)), False),
    ]
    writer = TapeWriter(tmp_path / "tape", program="test")
    writer.write(rows, at(3))
    writer.close()
    assert dispatch(["export", "--tape", "tape", "--out", "archive"]) == 0
    told = []
    for source in ("tape", "archive"):
        capsys.readouterr()
        assert dispatch(["replay", "--tape", source, "--rules", "given", "--out", "x.jsonl", "--json"]) == 0
        told.append(json.loads(capsys.readouterr().err))
        assert (told[-1]["events"], told[-1]["history"]) == (7, 3), source  # 3 fetched, 3 heard, 1 derived
    assert told[0] == told[1]
    assert dispatch(["replay", "--tape", "archive", "--rules", "given", "--out", "x.jsonl"]) == 0
    assert "2 steps, 7 events (3 of them history)" in capsys.readouterr().err
    assert dispatch(["backtest", "--tape", "tape", "--exact", "--json"]) == 0
    exact = json.loads(capsys.readouterr().out)
    assert (exact["events"], exact["events_invalid"]) == (7, 1)
