"""Every command of docs/backtest.md runs, and every figure that a verdict knows is described there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from monitor.backtest.verdict import OF_ALL, OF_RULE
from monitor.commands import dispatch
from tests.backtest.scene import CONFIG, cascade, write_tape

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backtest.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^python -m monitor (backtest .*)$", PAGE, re.MULTILINE)))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = CONFIG.replace("rules.yaml", str(ROOT / "rules" / "liquidations.yaml"))
    for folder in ("data/tape", "tape"):
        write_tape(tmp_path / folder, cascade(), turns=True)
    for place in ("config.yaml", "tape/config.yaml"):
        (tmp_path / place).write_text(config)
    (tmp_path / "new-rules").mkdir()
    (tmp_path / "new-rules" / "a.yaml").write_text((ROOT / "rules" / "liquidations.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    words = [word for text in shlex.split(command) for word in (sorted(map(str, Path().glob(text))) or [text])]
    assert dispatch(words) == 0
    assert capsys.readouterr().out
    if "--html" in words:
        assert "</html>" in (tmp_path / words[words.index("--html") + 1]).read_text()


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


def test_every_figure_is_in_the_table() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \|([^|]*\|[^|]*)\|", PAGE, re.MULTILINE))
    assert set(table) == OF_ALL.keys() | OF_RULE.keys()
    for name, cells in table.items():
        assert [cell.strip() == "yes" for cell in cells.split("|")] == [name in OF_ALL, name in OF_RULE]
