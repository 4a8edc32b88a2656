"""The gallery of error messages: every case of ``golden/*.txt`` reads exactly as it is written there.

To add one, write the expression and an empty line; run with ``UPDATE_GOLDEN=1`` and read what comes out.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.language import ExpressionError, load_rules, parse_expression

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(GOLDEN.glob("*.txt"))
SEPARATOR = "\n---\n"


def message(path: Path, text: str) -> str:
    if path.name.startswith("file_"):
        with pytest.raises(ConfigError) as caught:
            load_rules([("rules.yaml", text)])
        return str(caught.value)
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text, expect="condition")
    return str(refused.value)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_message_is_the_golden_one(path: Path) -> None:
    text, _, expected = path.read_text(encoding="utf-8").partition(SEPARATOR)
    found = message(path, text)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(f"{text}{SEPARATOR}{found}\n", encoding="utf-8")
        return
    assert found == expected.rstrip("\n")


def test_the_gallery_is_large_enough() -> None:
    assert len(CASES) >= 20
