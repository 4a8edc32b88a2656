"""Write the dashboards as JSON: ``python grafana/build.py`` (``--check`` only says whether they are current)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from boards import BOARDS
from grafana_foundation_sdk.cog.encoder import JSONEncoder

OUT = Path(__file__).parent / "dashboards"


def render(name: str) -> str:
    """One dashboard as the text of its file, panel ids set."""
    board: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(BOARDS[name]().build()))
    for number, panel in enumerate(board["panels"], start=1):
        panel["id"] = number
    return json.dumps(board, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name in BOARDS:
        path, text = OUT / f"{name}.json", render(name)
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            stale.append(path.name)
        elif not check:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"out of date, run python grafana/build.py: {', '.join(stale)}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
