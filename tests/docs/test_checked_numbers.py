"""The table of how the numbers are checked names tests, rules and series that exist, and leaves no derived series out."""

from __future__ import annotations

import re
from pathlib import Path

from monitor.backtest.run import DERIVED
from monitor.language import load_rules
from monitor.series import SERIES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "slow-series.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## How the numbers are checked")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| ")][
    2:
]
FORMULAS = "tests/property/test_formulas.py"
WORD = re.compile(r"`([\w.:/]+)`")


def test_every_check_exists_and_every_formula_test_is_in_the_table() -> None:
    named = [word if "::" in word else f"{FORMULAS}::{word}" for row in ROWS for word in WORD.findall(row[3])]
    for word in named:
        path, _, test = word.partition("::")
        assert f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), word
    there = re.findall(r"^def (test_\w+)", (ROOT / FORMULAS).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(there) <= {word.partition("::")[2] for word in named}


def test_every_rule_and_series_exists_and_no_derived_series_is_left_out() -> None:
    rules = load_rules(
        [(path.name, path.read_text(encoding="utf-8")) for path in sorted((ROOT / "rules").glob("*.yaml"))]
    )
    named = {word for row in ROWS for word in WORD.findall(row[1])}
    assert named <= {rule.name for rule in rules.alerts} | set(SERIES)
    assert {*DERIVED, "iv", "skew_25d"} <= named
