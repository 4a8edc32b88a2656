"""Completion scripts in the shells that they are for, and that they know every option there is."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.commands import COMMANDS, dispatch
from monitor.commands.completion import commands


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Path]:
    def write(shell: str) -> Path:
        assert dispatch(["completion", shell]) == 0
        path = tmp_path / f"_monitor.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return write


def said(*arguments: str | Path, cwd: Path | None = None) -> list[str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_the_help_is_known(name: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        dispatch([name, "--help"])
    options = re.split(r"^exam", out.getvalue(), flags=re.MULTILINE)[0].partition("options:")[2]
    shown = set(re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)", options, re.MULTILINE))
    [found] = [command for command in commands() if command.path == (name,)]
    known = {flag for option in found.options for flag in option.names}
    assert shown
    assert shown <= known


BASH = """source {script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _monitor; printf '%s\\n' "${{COMPREPLY[@]}}" """


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("monitor sig", ["signals"]),
        ("monitor status --u", ["--url"]),
        ("monitor demo --log-level ''", ["debug", "info", "warning", "error"]),
        ("monitor tape ''", ["info", "cut", "-h", "--help"]),
        ("monitor tape cut --f", ["--from"]),
        ("monitor completion z", ["zsh"]),
        ("monitor --config con", ["config.yaml"]),
        ("monitor run --config con", ["config.yaml"]),
        ("monitor test ru", ["rules"]),
        ("monitor nonsense --x", [""]),
    ],
)
def test_bash_completes(words: str, offered: list[str], script: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "rules").mkdir()
    assert said("bash", "-c", BASH.format(script=script("bash"), words=words), cwd=tmp_path) == offered


@pytest.mark.needs("fish")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("monitor sig", {"signals"}),
        ("monitor demo --log-level ", {"debug", "info", "warning", "error"}),
        ("monitor tape cut --f", {"--from"}),
        ("monitor completion ", {"bash", "fish", "zsh"}),
    ],
)
def test_fish_completes(
    words: str, offered: set[str], script: Callable[[str], Path], binary: Callable[[str], Path], tmp_path: Path
) -> None:
    command = f"set -x HOME {tmp_path}; source {script('fish')}; complete -C '{words}'"
    assert {line.partition("\t")[0] for line in said(binary("fish"), "--no-config", "-c", command)} == offered


ZSH = """compdef() {{ :; }}; _describe() {{ print -l -- "${{commands[@]}}"; }}; _arguments() {{ print -l -- "$@"; }}
source {script}; words=({words}); CURRENT=${{#words}}; _monitor"""


@pytest.mark.needs("zsh")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("monitor ''", "signals:the signal catalogue with its values now"),
        ("monitor demo ''", "*--log-level[of the log]:value:(debug info warning error)"),
        ("monitor tape ''", "*: :(info cut)"),
        ("monitor tape cut ''", "*--from["),
    ],
)
def test_zsh_is_told_what_there_is(
    words: str, offered: str, script: Callable[[str], Path], binary: Callable[[str], Path]
) -> None:
    lines = said(binary("zsh"), "-f", "-c", ZSH.format(script=script("zsh"), words=words))
    assert any(line.startswith(offered) for line in lines), lines


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dispatch(["completion", "tcsh"])
    assert ended.value.code == 2
    assert "bash" in capsys.readouterr().err
