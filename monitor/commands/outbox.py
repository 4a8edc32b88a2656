"""``outbox``: what waits for each sink, what was given up and why, and the log of decisions; dead letters can be sent again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from monitor import format as fmt
from monitor.clock import NS_PER_MS
from monitor.commands.arguments import Parser
from monitor.commands.client import add_client_options, call, show, token_from_environment

MOST = 5000
EPILOG = """examples:
  python -m monitor outbox
  python -m monitor outbox --log --sink telegram
  python -m monitor outbox --log --fingerprint 1f2e3d4c5b6a7988
  python -m monitor outbox --resend 17 18
  python -m monitor outbox --resend all --sink webhook
Sending again needs the API token in $MONITOR_TOKEN.
exit code: 0, 1 when some could not be put back in line, 2 when the monitor refuses or does not answer
"""


def run(argv: Sequence[str]) -> int:
    """Show the outbox, or put dead letters back in line."""
    parser = Parser("monitor outbox", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--log", action="store_true", help="the delivery log, newest first: what was sent or not, and why"
    )
    parser.add_argument("--resend", nargs="+", metavar="ID", help="send these dead letters again, or all")
    parser.add_argument("--sink", default="", metavar="NAME", help="of this sink only")
    parser.add_argument("--fingerprint", default="", help="of this alert only; with --log")
    parser.add_argument("--limit", type=int, default=50, metavar="NUMBER", help="lines at most (default 50)")
    add_client_options(parser)
    options = parser.parse_args(argv)
    if options.resend:
        return _resend(options, parser)
    if options.log:
        deliveries = _deliveries(options)
        show(json.dumps(deliveries, indent=2) if options.json else "\n".join(_log(deliveries)))
    else:
        overview = _overview(options)
        show(json.dumps(overview, indent=2) if options.json else "\n".join(_lines(overview)))
    return 0


def _get(options: argparse.Namespace, path: str, **query: object) -> Any:
    return call(options.url, f"{path}?{urlencode(query)}")["data"]


def _deliveries(options: argparse.Namespace) -> list[Any]:
    query = {"sink": options.sink, "fingerprint": options.fingerprint, "limit": options.limit}
    found: list[Any] = _get(options, "/api/v1/deliveries", **query)["deliveries"]
    return found


def _overview(options: argparse.Namespace) -> dict[str, Any]:
    sinks = [s for s in call(options.url, "/api/v1/status")["data"]["sinks"] if options.sink in ("", s["name"])]
    dead = _get(options, "/api/v1/dead-letters", sink=options.sink, limit=options.limit)["deadLetters"]
    return {"sinks": sinks, "deadLetters": dead}


def _resend(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    token = token_from_environment()
    if options.resend == ["all"]:
        dead = _get(options, "/api/v1/dead-letters", sink=options.sink, limit=MOST)["deadLetters"]
        ids = [letter["id"] for letter in dead]
    elif all(text.isascii() and text.isdigit() for text in options.resend):
        ids = [int(text) for text in options.resend]
    else:
        parser.error("--resend takes the numbers of dead letters, or all")
    body = {"ids": ids}
    resent = (
        call(options.url, "/api/v1/dead-letters/resend", method="POST", body=body, token=token)["data"]["resent"]
        if ids
        else 0
    )
    print(json.dumps({"resent": resent}) if options.json else f"{resent} of {len(ids)} put back in line")
    return 0 if resent == len(ids) else 1


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for sink in found["sinks"]:
        state = "up" if sink["up"] else "down"
        error = f", last error: {sink['error']}" if sink.get("error") else ""
        yield f"{sink['name']:<16} {state:<5} {sink['outbox']:>6} waiting{error}"
    dead = found["deadLetters"]
    yield f"{len(dead)} dead letter{'s' * (len(dead) > 1)}" if dead else "no dead letters"
    for letter in dead:
        when = fmt.utc_time(letter["created"] * NS_PER_MS)
        yield f"{letter['id']:>8}  {when}  {letter['sink']:<16} {letter['title']}: {letter['reason']}"


def _log(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for entry in found:
        when, alerts = fmt.utc_time(entry["at"] * NS_PER_MS), " ".join(entry["fingerprints"])
        yield f"{when}  {entry['sink']:<16} {entry['outcome']:<14} {alerts}  {entry['reason']}"
    if not found:
        yield "nothing yet"
