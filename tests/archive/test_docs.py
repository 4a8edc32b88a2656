"""docs/archive.md says what is: its tables, its mappings, and its queries in polars and DuckDB."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from monitor.archive.mapping import load_mapping
from monitor.clock import NS_PER_S
from monitor.events import Liquidation, Trade
from tests.archive.market import arrivals
from tests.archive.test_round_trip import write

ROOT = Path(__file__).parents[2]
DAY_OF_PAGE_NS = 1_763_704_800 * NS_PER_S  # 2025-11-21, which the queries ask about
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


def test_every_query_runs_in_duckdb_and_says_what_polars_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = [(DAY_OF_PAGE_NS, events) for _, events in arrivals(1, 400)]
    write(tmp_path / "archive", history)
    monkeypatch.chdir(tmp_path)
    statements = [text for block in blocks("sql") for text in block.split(";") if text.strip()]
    assert len(statements) == 2
    usd, trades = (duckdb.execute(text).fetchall() for text in statements)
    rows = [event for _, events in history for event in events]
    wanted: Counter[tuple[str, str, str]] = Counter()
    for event in rows:
        if isinstance(event, Liquidation):
            wanted[event.instrument.venue, event.instrument.base, event.side] += event.usd_micros
    assert {row[:3]: row[3] for row in usd} == pytest.approx({key: micros / 1e6 for key, micros in wanted.items()})
    assert dict(trades) == Counter(event.instrument.kind for event in rows if isinstance(event, Trade))
