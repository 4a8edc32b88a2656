"""``status``: what a running monitor sees, in one screen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from monitor.commands.client import add_client_options, call

EPILOG = """examples:
  python -m monitor status
  python -m monitor status --json | jq .data.feeds
exit code: 0 when every feed is live, 1 when one is not, 2 when no monitor answers
"""


def run(argv: Sequence[str]) -> int:
    """Print the status of a running monitor."""
    parser = argparse.ArgumentParser(
        "monitor status", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_client_options(parser)
    options = parser.parse_args(argv)
    reply = call(options.url, "/api/v1/status")
    data = reply.get("data", reply)
    feeds = data.get("feeds", [])
    if options.json:
        print(json.dumps(reply, indent=2))
    else:
        print(render(data))
    return 0 if feeds and all(feed.get("up") for feed in feeds) else 1


def render(data: dict[str, Any]) -> str:
    """The status as text: one line per feed, with what is wrong beside it."""
    lines = []
    process = data.get("process", {})
    if process.get("synthetic"):
        lines.append(f"SYNTHETIC DATA: {process.get('synthetic_note') or 'not a live market'}")
    for feed in data.get("feeds", []):
        mark = "up  " if feed.get("up") else "DOWN"
        trouble = feed.get("error") or ""
        lines.append(f"{mark}  {feed.get('venue', '?'):<16} {feed.get('frames', 0):>12,} frames  {trouble}".rstrip())
    reload = process.get("reload", {})
    if not reload.get("ok", True):
        lines.append(f"LAST RELOAD FAILED, the old rules run on: {reload.get('error', '')}")
    return "\n".join(lines)
