"""Write docs/signals.md from the signal catalogue: ``python scripts/gen_signals.py`` (``--check`` compares only)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from monitor.signals import markdown

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "signals.md"


def rule_tests() -> dict[str, str]:
    """For each rule the first test file that names it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "rules" / "tests").glob("*.yaml")):
        for rule in re.findall(r"alertname: (\w+)", path.read_text(encoding="utf-8")):
            found.setdefault(rule, f"rules/tests/{path.name}")
    return found


def main() -> int:
    """Write or compare."""
    text = markdown(rule_tests())
    if "--check" in sys.argv:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
