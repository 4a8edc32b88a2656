"""``python -m monitor init``."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from monitor.commands import dispatch
from monitor.commands.init import SINKS
from monitor.feeds import FEEDS
from monitor.runtime.load import load

ENVIRONMENT = {"TELEGRAM_BOT_TOKEN": "t", "TELEGRAM_CHAT_ID": "1", "WEBHOOK_URL": "http://127.0.0.1:1/x"}


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))


def test_the_defaults_make_a_configuration_that_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["init", "--yes", "--dir", str(tmp_path / "desk")]) == 0
    assert dispatch(["check", "--config", str(tmp_path / "desk" / "config.yaml")]) == 0
    assert "no problem found" in capsys.readouterr().out


def test_answers_end_up_in_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "deribit okx", "7", "btc, xrp", "none", "1.5B")
    assert dispatch(["init", "--dir", str(tmp_path)]) == 0
    loaded = load(tmp_path / "config.yaml", {})
    assert [(entry.venue, entry.top) for entry in loaded.source.config.feeds] == [("deribit", 7), ("okx", 7)]
    assert loaded.source.config.watch == ("BTC", "XRP")
    assert [sink["type"] for sink in loaded.source.config.sinks] == ["console"]
    assert "limit: 1.5B" in (tmp_path / "rules" / "starter.yaml").read_text()
    assert capsys.readouterr().out.count("/5 ") == 5


def test_a_wrong_answer_is_explained_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "mtgox", "okx", "many", "5", "B*C", "BTC", "pigeon", "file", "a lot", "300M")
    assert dispatch(["init", "--dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for words in ("unknown venue mtgox", "a number from 1", "coins such as", "expected one of: none", "an amount"):
        assert words in out


@pytest.mark.parametrize("sink", SINKS)
def test_every_sink_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: str) -> None:
    answer(monkeypatch, "", "", "", sink, "")
    assert dispatch(["init", "--dir", str(tmp_path)]) == 0
    loaded = load(tmp_path / "config.yaml", ENVIRONMENT)
    assert [entry["type"] for entry in loaded.source.config.sinks] == ["console", *([sink] if sink != "none" else [])]


@pytest.mark.parametrize("venue", FEEDS)
def test_every_venue_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue: str) -> None:
    answer(monkeypatch, venue, "", "", "", "")
    assert dispatch(["init", "--dir", str(tmp_path)]) == 0
    assert [feed.spec.venue for feed in load(tmp_path / "config.yaml", {}).feeds] == [venue]


@pytest.mark.parametrize("name", ["config.yaml", "rules/starter.yaml"])
def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / name).write_text("mine")
    assert dispatch(["init", "--yes", "--dir", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_input_that_ends_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, "okx")
    assert dispatch(["init", "--dir", str(tmp_path)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_said_before_the_first_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    assert dispatch(["init", "--dir", str(tmp_path / "taken" / "desk")]) == 2
    said = capsys.readouterr()
    assert "is no folder" in said.err
    assert "1/5" not in said.out


def test_a_write_that_fails_takes_back_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").write_text("a file where the folder should be")
    assert dispatch(["init", "--yes", "--dir", str(tmp_path)]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]
