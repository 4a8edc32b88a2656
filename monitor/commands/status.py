"""``status``: what a running monitor sees, in one screen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from monitor.commands.arguments import Parser
from monitor.commands.client import add_client_options, call, show

EPILOG = """examples:
  python -m monitor status
  python -m monitor status --json | jq .data.feeds
exit code: 0 when every feed is live, 1 when one is not, 2 when no monitor answers
"""


def run(argv: Sequence[str]) -> int:
    """Print the status of a running monitor."""
    parser = Parser("monitor status", description=__doc__, epilog=EPILOG)
    add_client_options(parser)
    options = parser.parse_args(argv)
    reply = call(options.url, "/api/v1/status")
    data = reply.get("data", reply)
    feeds = data.get("feeds", [])
    if options.json:
        print(json.dumps(reply, indent=2))
    else:
        show(render(data))
    return 0 if feeds and all(feed.get("up") for feed in feeds) else 1


def render(data: dict[str, Any]) -> str:
    """The status as text: one line per feed, with what is wrong beside it."""
    lines = []
    process = data.get("process", {})
    if process.get("synthetic"):
        note = process.get("synthetic_note") or "not a live market"
        lines.append(note if note.startswith("SYNTHETIC") else f"SYNTHETIC DATA: {note}")
    for feed in data.get("feeds", []):
        mark = "up  " if feed.get("up") else "DOWN"
        trouble = feed.get("error") or ""
        lines.append(f"{mark}  {feed.get('venue', '?'):<16} {feed.get('frames', 0):>12,} frames  {trouble}".rstrip())
        lines += past_lines(feed.get("past") or {})
    lines += [line for source in data.get("sources", []) for line in source_lines(source)]
    lines += inlet_lines(data.get("inlet") or {})
    lines += tape_lines(process.get("tape") or {})
    reload = process.get("reload", {})
    if not reload.get("ok", True):
        lines.append(f"LAST RELOAD FAILED, the old rules run on: {reload.get('error', '')}")
    return "\n".join(lines)


def past_lines(past: dict[str, Any]) -> list[str]:
    """What was fetched of a feed's past, in a line; nothing where nothing was wanted."""
    points, gaps = past.get("points") or {}, past.get("gaps") or {}
    if past.get("state", "off") in {"off", "waiting"} or not (past.get("wanted") or points or gaps):
        return []
    words = [f"{past['state']}, {past.get('made', 0):,} of {past.get('wanted', 0):,} requests"]
    words += [f"{count:,} of {channel.replace('_', ' ')}" for channel, count in sorted(points.items())]
    words += [f"{count:,} gaps {outcome}" for outcome, count in sorted(gaps.items()) if count]
    failed = sum((past.get("failures") or {}).values())
    if failed:
        words.append(f"{failed:,} failed: {past.get('error', '')}")
    return [f"        history: {'; '.join(words)}"]


def source_lines(source: dict[str, Any]) -> list[str]:
    """A slow source in a line, and one line for each of its requests that fails."""
    polls = source.get("polls", [])
    left = source.get("calls_left")
    quota = "" if left is None else f"  {left:,} calls left"
    mark = "up  " if source.get("up") else "DOWN"
    replies = sum(poll.get("replies", 0) for poll in polls)
    failing = [poll for poll in polls if poll.get("error")]
    return [
        f"{mark}  {source.get('name', '?'):<16} {replies:>12,} replies{quota}",
        *(f"        {poll['request']}: {poll['error']}" for poll in failing),
    ]


def inlet_lines(inlet: dict[str, Any]) -> list[str]:
    """What was pushed in, and what of it was refused; nothing where nobody pushed anything."""
    taken, refused = inlet.get("taken") or {}, inlet.get("refused") or {}
    words = [f"{count:,} by {way}" for way, count in sorted(taken.items()) if count]
    words += [f"REFUSED {sum(reasons.values()):,} by {way}" for way, reasons in sorted(refused.items()) if reasons]
    last = (inlet.get("last_refusals") or [""])[-1]
    return [f"inlet   {', '.join(words)}{f' (last: {last})' if last else ''}"] if words else []


def tape_lines(tape: dict[str, Any]) -> list[str]:
    """The tape in a line, with what it had to leave out; nothing where none is written."""
    if not tape:
        return []
    budget = f" of {bytes_text(tape['budget_bytes'])}" if tape.get("budget_bytes") else ""
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in tape.get("dropped", {}).items() if count)
    trouble = f"  NOT RECORDED: {dropped}" if dropped else ""
    failing = f"  {tape['failing']}" if tape.get("failing") else ""
    size = f"{bytes_text(tape.get('folder_bytes', 0))}{budget}"
    return [f"tape  {tape.get('folder', '?'):<16} {tape.get('frames', 0):>12,} frames  {size}{trouble}{failing}"]


def bytes_text(count: int) -> str:
    """Bytes with a unit of 1024.

    >>> bytes_text(900), bytes_text(20 << 30)
    ('900 B', '20.0 GiB')
    """
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
