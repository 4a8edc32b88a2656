"""Wrong use of every command: exit code 2, words that name the mistake, never a traceback."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.commands import COMMANDS, dispatch
from monitor.commands.check import annotation
from monitor.commands.completion import parser_of
from monitor.errors import Problem

WRONG = [
    ("rnu", "did you mean 'run'?"),
    ("statsu", "did you mean 'status'?"),
    ("--confg x", "did you mean --config?"),
    ("--config", "expected one argument"),
    ("--config nix.yaml", "nix.yaml: cannot read the configuration"),
    ("--config .", "Is a directory"),
    ("--config binary.yaml", "not UTF-8 text"),
    ("run extra", "unrecognized arguments: extra"),
    ("demo --spede 3", "did you mean --speed?"),
    ("demo --speed fast", "a number from 0.1 to 3600, not 'fast'"),
    ("demo --speed nan", "a number from 0.1 to 3600"),
    ("demo --from yesterday", "'yesterday' is not a time; write unix seconds"),
    ("demo --listen nowhere", "^~~~~~~"),
    ("demo --sink '{type: pigeon}'", "known: alertmanager"),
    ("demo --rules 'nix/*.yaml'", "nix/*.yaml"),
    ("demo --record file", "file: File exists"),
    ("demo --data-dir file", "data_dir cannot be created"),
    ("init --dir file", "is no folder"),
    ("init --dir /proc/nix --yes", "cannot be written"),
    ("check --config nix.yaml", "cannot read the configuration"),
    ("check --format xml", "invalid choice: 'xml'"),
    ("check nix.yaml", "unrecognized arguments: nix.yaml"),
    ("test nix", "nix: cannot be read: No such file or directory"),
    ("test folder", "no test files here"),
    ("test --rnu x", "did you mean --run?"),
    ("record", "required: --out"),
    ("record --config nix.yaml --out y", "nix.yaml"),
    ("tape", "required: action"),
    ("tape inf folder", "invalid choice: 'inf'"),
    ("tape info nix", "nix: no tape here"),
    ("tape info --verfy nix", "did you mean --verify?"),
    ("tape cut folder --out y --from x", "'x' is not a time"),
    ("export --tape nix --out y", "no tape here"),
    ("import nix.csv --mapping nix.yaml --out y", "cannot read the mapping"),
    ("replay --tape nix", "cannot read the configuration"),
    ("backtest", "required: --tape"),
    ("backtest --tape nix --from notatime", "'notatime' is not a time"),
    ("status --url nix", "must start with http:// or https://"),
    ("status --url file:///etc/passwd", "must start with http:// or https://"),
    ("status --url http://127.0.0.1:1", "Connection refused; is it running"),
    ("status --url 'http://[::1'", "is no address"),
    ("status --url http://127.0.0.1:port", "is no address"),
    ("top --url http://127.0.0.1:1", "top needs a terminal"),
    ("signals --url http://127.0.0.1:1", "no monitor answers"),
    ("why", "required: rule"),
    ("why X --url http://127.0.0.1:1", "no monitor answers"),
    ("silence", "give at least one LABEL=VALUE"),
    ("silence nix --for 1h", "expected LABEL=VALUE"),
    ("silence alertname=X --for nix", "--for: 'nix' is not a duration; write 30s"),
    ("silence alertname=X", "MONITOR_TOKEN"),
    ("ack", "--list tells them"),
    ("ack X", "MONITOR_TOKEN"),
    ("outbox nix", "unrecognized arguments: nix"),
    ("outbox --url http://127.0.0.1:1", "no monitor answers"),
    ("route", "required: --labels"),
    ("route --labels a", "expected NAME=VALUE"),
    ("notify-test", "required: --sink"),
    ("notify-test --sink x --config nix.yaml", "nix.yaml"),
    ("completion", "required: shell"),
    ("completion csh", "invalid choice: 'csh'"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MONITOR_TOKEN", raising=False)
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize(("typed", "words"), WRONG, ids=[typed for typed, _ in WRONG])
def test_it_is_explained(typed: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(typed) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


def exit_code(typed: str) -> int | str | None:
    try:
        return dispatch(shlex.split(typed))
    except SystemExit as ended:  # argparse's way out
        return ended.code


def test_every_command_is_among_them() -> None:
    tried = {words[0] for words in (shlex.split(typed) for typed, _ in WRONG) if not words[0].startswith("-")}
    assert set(COMMANDS) - tried == set()


@pytest.mark.parametrize("words", [*(f"help {name}" for name in COMMANDS), "tape info --help", "tape cut --help"])
def test_help_teaches_by_example(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dispatch(words.split())
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert re.search(r"^exit codes?: ", said, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_is_explained(name: str) -> None:
    assert [argument for argument in arguments(parser_of(name)) if not argument.help] == []


def arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from arguments(inner)
        else:
            yield action


def test_help_alone_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["help"]) == 0
    listed = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in listed] == []


def test_annotations_are_escaped_as_github_reads_them() -> None:
    problem = Problem("rules/a,b:100%.yaml", 3, 7, "100%, or:\nless", "a hint")
    assert annotation(problem) == ("::error file=rules/a%2Cb%3A100%25.yaml,line=3,col=7::100%25, or:%0Aless%0Aa hint")
    assert annotation(Problem("x", 0, 0, "gone", "")) == "::error file=x::gone"
