from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from monitor.clock import NS_PER_S, SystemClock
from monitor.commands import dispatch
from monitor.commands.record import without_alerts
from monitor.runtime.load import load_text
from monitor.tape.folder import read_folder, tape_files, write_lost
from monitor.tape.format import Record, Row
from monitor.tape.writer import TapeWriter
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol
from tests.integration.test_venues import instrument_of, price

START_NS = 1_763_700_000 * NS_PER_S


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A minute of one frame a second."""
    writer = TapeWriter(tmp_path / "tape", note="synthetic")
    connect: Row = (START_NS, "toy/0#1", "connect", "{}", False)
    frames: list[Row] = [(START_NS + n * NS_PER_S, "toy/0#1", "in", f"frame {n}", False) for n in range(60)]
    writer.write([connect, *frames], START_NS)
    writer.close()
    return tmp_path / "tape"


def test_info_says_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["tape", "info", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "2025-11-21 04:40:00Z to 2025-11-21 04:40:59Z  61 records" in out
    assert "toy  synthetic" in out


def test_info_says_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tape_files(folder)[0]
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert dispatch(["tape", "info", str(folder), "--json"]) == 1
    [info] = json.loads(capsys.readouterr().out)["files"]
    [loss] = info["losses"]
    assert loss["torn"]
    assert loss["records"] == 61
    assert loss["offset"] + loss["bytes"] == len(data) - 1
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert dispatch(["tape", "info", str(folder)]) == 0  # the index alone is whole
    assert dispatch(["tape", "info", str(folder), "--verify"]) == 1
    assert "checksum" in capsys.readouterr().out


def test_what_was_never_written_is_missing_too(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = TapeWriter(folder)
    now_ns = START_NS + 60 * NS_PER_S
    notes = [write_lost(3, "slow"), write_lost(2, "disk"), write_lost(5, "slow"), "no note"]
    writer.write([(now_ns, "recorder", "lost", note, False) for note in notes], now_ns)
    writer.close()
    assert dispatch(["tape", "info", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "MISSING 8 records that were never written: the disk was too slow" in out
    assert "MISSING 2 records that were never written: the disk refused" in out
    assert "0 losses, 11 records never written" in out
    assert dispatch(["tape", "info", str(folder), "--json", "--verify"]) == 1
    assert [info["dropped"] for info in json.loads(capsys.readouterr().out)["files"]] == [
        {},
        {"slow": 8, "disk": 2, "the note on it cannot be read": 1},
    ]
    assert dispatch(["tape", "cut", str(folder), "--from", str(now_ns // NS_PER_S), "--out", str(tmp_path / "p")]) == 1
    assert "MISSING 2 records that were never written: the disk refused" in capsys.readouterr().err


def test_cut_copies_a_stretch(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "piece")
    arguments = ["tape", "cut", str(folder), "--from", "2025-11-21T04:40:10", "--to", "2025-11-21T04:40:20"]
    assert dispatch([*arguments, "--out", out]) == 0
    assert "10 records, and 1 of before" in capsys.readouterr().out
    found = [item for item in read_folder(Path(out)) if isinstance(item, Record)]
    assert [item.payload for item in found] == ["{}", *(f"frame {n}" for n in range(10, 20))]
    assert dispatch([*arguments, "--out", out]) == 2
    assert "there is a tape here already" in capsys.readouterr().err


def test_nothing_there_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["tape", "info", str(tmp_path / "none")]) == 2
    assert "no tape here" in capsys.readouterr().err
    assert dispatch(["tape", "cut", str(folder), "--from", "2026-01-01", "--out", str(tmp_path / "p")]) == 2
    assert "nothing was recorded in this stretch" in capsys.readouterr().err


def test_a_file_that_is_no_tape_is_named_by_every_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing can be had from it; that it is of another version must not read as an empty stretch."""
    (path,) = tape_files(folder)
    data = path.read_bytes()
    for bad, said in ((b"PK\x03\x04" + bytes(200), "not a tape"), (data[:8] + b"\x63" + data[9:], "version 99")):
        path.write_bytes(bad)
        for words in (["tape", "cut", str(folder)], ["export", "--tape", str(folder)]):
            assert dispatch([*words, "--out", str(tmp_path / "out")]) == 2
            err = capsys.readouterr().err
            assert f"{path}:0: {len(bad)} bytes" in err
            assert said in err


def test_recording_evaluates_no_rule_and_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: sum(liquidations[1h]) > 1B\n"
    )
    text = "rules: [rules.yaml]\nfeeds:\n  - venue: bybit\nsinks:\n  - type: mqtt\n    url: mqtt://127.0.0.1:1\n"
    loaded = without_alerts(load_text(text, "c.yaml", tmp_path, {}), tmp_path / "state", "127.0.0.1:0")
    assert loaded.rules.alerts == ()
    assert loaded.source.config.sinks == ()
    assert loaded.source.data_dir == tmp_path / "state"
    assert [feed.spec.venue for feed in loaded.feeds] == ["bybit"]


async def test_record_runs_the_feeds_and_ends_with_a_whole_tape(tmp_path: Path) -> None:
    item = instrument_of("bybit")
    async with VenueServer(make_protocol("bybit", [item]), SystemClock()) as server:
        (tmp_path / "rules.yaml").write_text(
            "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: sum(liquidations[1h]) > 1B\n"
        )
        (tmp_path / "config.yaml").write_text(
            "rules: [rules.yaml]\nfeeds:\n  - venue: bybit\n    channels: [price]\n    symbols: [BTCUSDT]\n"
            f"    ws_url: {server.ws_url}\n    rest_url: {server.rest_url}\n"
        )
        command = [sys.executable, "-m", "monitor", "record", "--config", "config.yaml", "--out", "tape"]
        process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stderr=asyncio.subprocess.PIPE)
        await server.wait_for("subscribes", 1, timeout_s=60)
        await server.publish(price(item))
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert b"dropped: none" in errors
    found = list(read_folder(tmp_path / "tape"))
    kinds = {item.kind for item in found if isinstance(item, Record)}
    assert len(found) == sum(isinstance(item, Record) for item in found)
    assert kinds >= {"rest", "chosen", "state", "connect", "out", "in"}
