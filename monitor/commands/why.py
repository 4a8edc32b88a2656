"""``why``: why a rule did or did not fire, with each part's value and what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from monitor import format as fmt
from monitor.commands.arguments import Parser
from monitor.commands.client import add_client_options, call, show

EPILOG = """examples:
  python -m monitor why LiquidationsOver1BillionPerHour
  python -m monitor why funding/FundingNegativeFor8h --json
exit code: 0, or 2 when no rule has this name or no monitor answers
"""


def run(argv: Sequence[str]) -> int:
    """Print the explanation of one rule."""
    parser = Parser("monitor why", description=__doc__, epilog=EPILOG)
    parser.add_argument("rule", help="alert name, or group/name")
    add_client_options(parser)
    options = parser.parse_args(argv)
    reply = call(options.url, f"/api/v1/why?rule={quote(options.rule, safe='')}")
    show(json.dumps(reply, indent=2) if options.json else render(reply.get("data", reply)))
    return 0


def render(data: Any) -> str:
    """One block per label set of the rule."""
    rows = data.get("rows", []) if isinstance(data, dict) else data
    blocks = [_block(row) for row in rows]
    return "\n\n".join(blocks) or "the rule has no label set yet: nothing that it reads has arrived"


def _block(row: dict[str, Any]) -> str:
    """One label set: its state, the numbers behind it, who made them up, what is missing."""
    name = ", ".join(f"{key}={value}" for key, value in (row.get("labels") or {}).items()) or "(whole market)"
    lines = [f"{name}: {row.get('state', '?')}"]
    reading = fmt.against(row.get("value"), row.get("threshold"), row.get("unit", ""))
    lines.append(f"  value {reading}, coverage {fmt.share(row.get('coverage'))}")
    lines += [f"  {row[key]}" for key in ("near_miss", "reason") if row.get(key)]
    lines += [f"  {sign}" for sign in row.get("signs", [])]
    lines += [f"  {part['text']} = {_number(part['value'], part.get('unit', ''))}" for part in row.get("parts", [])]
    lines += [_contributor(part) for part in ([] if row.get("signs") else row.get("contributors", [])[:5])]
    if row.get("largest"):
        lines.append(f"  largest: {row['largest']}")
    lines += [f"  missing: {text}" for text in row.get("missing", [])]
    lines += [f"  {text}" for text in row.get("notes", [])]
    return "\n".join(lines)


def _contributor(part: dict[str, Any]) -> str:
    share = fmt.pct(part["share"]) if part.get("share") else ""
    return f"  {share:>7}  {' '.join(part['labels'].values())}  {fmt.amount(part['value'], part.get('unit', ''))}"


def _number(value: float | None, unit: str) -> str:
    return "missing" if value is None else fmt.amount(value, unit)
