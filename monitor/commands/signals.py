"""``signals``: the 37 signals of the catalogue, with their values now or what keeps them absent."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor import format as fmt
from monitor.clock import NS_PER_MS
from monitor.commands.arguments import Parser
from monitor.commands.client import add_client_options, call, show

EPILOG = """examples:
  python -m monitor signals
  python -m monitor signals --json | jq '.data.signals[] | select(.firing)'
The value, its coverage and FIRING are of the rule named first in docs/signals.md; another rule of the row that fires is named.
Wide terminals show more: the rule from 110 columns on, the input from 150, the metric from 190, the rule's test and the
panel from 260; --json has all.
exit code: 0, or 2 when no monitor answers
"""
NOT_A_TERMINAL = 120
"""Columns for a pipe; ``COLUMNS`` sets another width."""
LEAST_TEXT = 24


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: its key in a row of cells, its width, and the terminal that it needs."""

    name: str
    width: int
    from_width: int = 0


COLUMNS = (
    Column("", 4),
    Column("value", 15),
    Column("age", 7),
    Column("coverage", 8),
    Column("state", 6),
    Column("rule", 30, 110),
    Column("input", 38, 150),
    Column("metric", 38, 190),
    Column("test", 30, 260),
    Column("panel", 50, 260),
)


def run(argv: Sequence[str]) -> int:
    """Print the signal table of a running monitor."""
    parser = Parser("monitor signals", description=__doc__, epilog=EPILOG)
    add_client_options(parser)
    options = parser.parse_args(argv)
    reply = call(options.url, "/api/v1/signals")
    if options.json:
        print(json.dumps(reply, indent=2))
    else:
        data, width = reply["data"], shutil.get_terminal_size((NOT_A_TERMINAL, 24)).columns
        show(render(data["signals"], now_ns=data["now"] * NS_PER_MS, width=width))
    return 0


def render(rows: Sequence[Mapping[str, Any]], now_ns: int, width: int = NOT_A_TERMINAL) -> str:
    """A line or a few per signal; an absent one says why instead of a value.

    Args:
        rows: As the API gives them.
        now_ns: For ages.
        width: Of the terminal; what the signal is wraps within it.
    """
    shown = [column for column in COLUMNS if column.from_width <= width]
    alive = sum(not row["absent"] for row in rows)
    head = {column.name: column.name for column in shown}
    lines = [
        _line(head, "signal", shown, width),
        *(_line(_cells(row, now_ns), _text(row), shown, width) for row in rows),
    ]
    return "\n".join([*lines, "", f"{alive} of {len(rows)} signals have a value"])


def _cells(row: Mapping[str, Any], now_ns: int) -> dict[str, str]:
    cells = {"": row["id"], **{name: row[name] for name in ("rule", "input", "metric", "test", "panel")}}
    if row["absent"]:
        return cells | {"value": "absent"}
    age = fmt.duration(max(0, now_ns - row["as_of_ns"]) // 10**9 * 10**9) if row["as_of_ns"] else fmt.MISSING
    state = "FIRING" if row["rule"] in row["firing_rules"] else "quiet"
    value = fmt.amount(row["value"], row["unit"])
    return cells | {"value": value, "age": age, "coverage": fmt.share(row["coverage_ratio"]), "state": state}


def _text(row: Mapping[str, Any]) -> str:
    others = [rule for rule in row["firing_rules"] if rule != row["rule"]]
    parts = [
        row["title"],
        *([row["absent"]] if row["absent"] else []),
        *([f"firing {', '.join(others)}"] if others else []),
    ]
    return ": ".join(parts)


def _line(cells: Mapping[str, str], text: str, shown: Sequence[Column], width: int) -> str:
    before = "".join(f"{cells.get(column.name, ''):<{column.width}} " for column in shown)
    wrapped = textwrap.wrap(text, max(LEAST_TEXT, width - len(before)), break_on_hyphens=False) or [""]
    return "\n".join([(before + wrapped[0]).rstrip(), *(" " * len(before) + part for part in wrapped[1:])])
