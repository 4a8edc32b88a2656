"""docs/archive.md says what is: its tables, its mappings, and its query in polars."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.archive.mapping import load_mapping
from tests.archive.market import arrivals
from tests.archive.test_round_trip import write

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "archive.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_tables_are_those_of_the_code() -> None:
    run = subprocess.run([sys.executable, ROOT / "scripts/gen_archive_doc.py", "--check"], check=False)
    assert run.returncode == 0, "run python scripts/gen_archive_doc.py"


@pytest.mark.parametrize("text", blocks("yml"))
def test_the_mappings_load(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(text)
    assert load_mapping(tmp_path / "m.yaml").version == 1


def test_the_query_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "archive", arrivals(1, 100))
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    exec(code, {})
    assert "bybit" in capsys.readouterr().out
