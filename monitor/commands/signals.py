"""``signals``: the 37 signals of the catalogue, with their values now or what keeps them absent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from monitor import format as fmt
from monitor.clock import NS_PER_MS
from monitor.commands.arguments import Parser
from monitor.commands.client import add_client_options, call

EPILOG = """examples:
  python -m monitor signals
  python -m monitor signals --json | jq '.data.signals[] | select(.firing)'
exit code: 0, or 2 when no monitor answers
"""
COLUMNS = ("", "value", "age", "coverage", "state", "rule", "signal")
WIDTHS = (4, 17, 8, 9, 7, 31)


def run(argv: Sequence[str]) -> int:
    """Print the signal table of a running monitor."""
    parser = Parser("monitor signals", description=__doc__, epilog=EPILOG)
    add_client_options(parser)
    options = parser.parse_args(argv)
    reply = call(options.url, "/api/v1/signals")
    if options.json:
        print(json.dumps(reply, indent=2))
    else:
        data = reply["data"]
        print(render(data["signals"], now_ns=data["now"] * NS_PER_MS))
    return 0


def render(rows: Sequence[Mapping[str, Any]], now_ns: int) -> str:
    """One line per signal; an absent one says why instead of a value."""
    alive = sum(not row["absent"] for row in rows)
    lines = [_line(COLUMNS), *(_row(row, now_ns) for row in rows)]
    return "\n".join([*lines, "", f"{alive} of {len(rows)} signals have a value"])


def _row(row: Mapping[str, Any], now_ns: int) -> str:
    if row["absent"]:
        return _line((row["id"], "absent", "", "", "", row["rule"], f"{row['title']}: {row['absent']}"))
    age = fmt.duration(max(0, now_ns - row["as_of_ns"]) // 10**9 * 10**9) if row["as_of_ns"] else fmt.MISSING
    state = "FIRING" if row["firing"] else "quiet"
    cells = (row["id"], fmt.amount(row["value"], row["unit"]), age, fmt.share(row["coverage_ratio"]), state)
    return _line((*cells, row["rule"], row["title"]))


def _line(cells: Sequence[str]) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=False)]
    return " ".join([*padded, cells[-1]]).rstrip()
