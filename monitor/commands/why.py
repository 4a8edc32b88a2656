"""``why``: why a rule did or did not fire, with each part's value and what is missing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from monitor.commands.client import add_client_options, call

EPILOG = """examples:
  python -m monitor why LiquidationsOver1BillionPerHour
  python -m monitor why funding/FundingNegativeFor8h --json
"""


def run(argv: Sequence[str]) -> int:
    """Print the explanation of one rule."""
    parser = argparse.ArgumentParser(
        "monitor why", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rule", help="alert name, or group/name")
    add_client_options(parser)
    options = parser.parse_args(argv)
    reply = call(options.url, f"/api/v1/why?rule={quote(options.rule, safe='')}")
    print(json.dumps(reply, indent=2) if options.json else render(reply.get("data", reply)))
    return 0


def render(data: Any) -> str:
    """One block per label set of the rule."""
    rows = data.get("rows", []) if isinstance(data, dict) else data
    blocks = [_block(row) for row in rows]
    return "\n\n".join(blocks) or "the rule has no label set yet: nothing that it reads has arrived"


def _block(row: dict[str, Any]) -> str:
    labels = row.get("labels") or {}
    pairs = labels.items() if isinstance(labels, dict) else labels
    name = ", ".join(f"{key}={value}" for key, value in pairs) or "(whole market)"
    lines = [f"{name}: {row.get('state', '?')}"]
    fields = ("value", "threshold", "coverage_ratio", "near_miss", "reason")
    lines += [f"  {key:<15} {row[key]}" for key in fields if row.get(key) not in (None, "")]
    explanation = row.get("explanation") or {}
    lines += [f"  {text} = {'missing' if value is None else value}" for text, value in explanation.get("parts", [])]
    lines += [f"  missing: {text}" for text in explanation.get("missing", [])]
    return "\n".join(lines)
