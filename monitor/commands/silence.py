"""``silence``: mute matching alerts for a while, list silences, or end one."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from monitor.commands.arguments import Parser
from monitor.commands.client import add_author_options, add_client_options, call, token_from_environment
from monitor.errors import MonitorError
from monitor.format import printable
from monitor.literals import LiteralProblem, parse_duration

EPILOG = """examples:
  python -m monitor silence alertname=FundingFlippedNegative base=DOGE --for 2h --comment "known"
  python -m monitor silence 'base=~"BTC|ETH"' --for 30m
  python -m monitor silence --list
  python -m monitor silence --expire 4f0c21d6a58b93e7
Changing state needs the API token in $MONITOR_TOKEN. Times are those of the monitor's clock.
exit code: 0 when it is done, 2 when the monitor refuses or does not answer
"""
_MATCHER = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(=~|!~|!=|=)\"?(.*?)\"?")


def run(argv: Sequence[str]) -> int:
    """Create, list or expire silences."""
    parser = Parser("monitor silence", description=__doc__, epilog=EPILOG)
    parser.add_argument("matchers", nargs="*", metavar="LABEL=VALUE", help="all must hold; also !=, =~ and !~")
    parser.add_argument(
        "--for", dest="duration", default="1h", metavar="TIME", help="how long, such as 30m or 1h30m (default 1h)"
    )
    parser.add_argument("--list", action="store_true", help="list silences that are active or to come")
    parser.add_argument("--expire", metavar="ID", help="end a silence now")
    add_author_options(parser)
    add_client_options(parser)
    options = parser.parse_args(argv)
    if not (options.list or options.expire or options.matchers):
        parser.error("give at least one LABEL=VALUE, or --list, or --expire ID")
    reply, words = _asked(options)
    print(json.dumps(reply, indent=2) if options.json else words)
    return 0


def _asked(options: argparse.Namespace) -> tuple[Any, str]:
    """The reply, and what it means in words."""
    if options.list:
        reply = call(options.url, "/api/v1/silences")
        return reply, "\n".join(map(_line, reply["data"])) or "no silence is active or to come"
    if options.expire:
        path = f"/api/v1/silences/{quote(options.expire, safe='')}"
        return call(options.url, path, method="DELETE", token=token_from_environment()), "the silence has ended"
    body = request(options.matchers, options.duration, options.by, options.comment)
    reply = call(options.url, "/api/v1/silences", method="POST", body=body, token=token_from_environment())
    made = reply["data"]["silenceID"]
    return reply, f"silence {made} for {options.duration}; end it with: python -m monitor silence --expire {made}"


def _line(silence: Mapping[str, Any]) -> str:
    matchers = " ".join(f'{one["name"]}{_operator(one)}"{one["value"]}"' for one in silence["matchers"])
    until = re.sub(r"T(.{8})[^Z]*Z", r" \1Z", silence["endsAt"])  # as all times are shown, without the fraction
    words = f"{silence['status']['state']:<8} until {until}  {matchers}  by {silence['createdBy']}"
    return printable(f"{silence['id']}  {words}: {silence['comment']}")


def _operator(matcher: Mapping[str, Any]) -> str:
    return f"{'=' if matcher['isEqual'] else '!'}{'~' if matcher['isRegex'] else '' if matcher['isEqual'] else '='}"


def request(matchers: Sequence[str], duration: str, by: str, comment: str) -> dict[str, Any]:
    """The body of a new silence, from now on as the monitor's clock has it.

    Raises:
        MonitorError: A matcher or the duration cannot be read.
    """
    try:
        parse_duration(duration)
    except LiteralProblem as error:
        raise MonitorError(f"--for: {error.words}") from None
    return {
        "matchers": [_matcher(text) for text in matchers],
        "duration": duration,
        "createdBy": by,
        "comment": comment or "from the command line",
    }


def _matcher(text: str) -> dict[str, Any]:
    match = _MATCHER.fullmatch(text)
    if not match:
        raise MonitorError(f"{text!r}: expected LABEL=VALUE, LABEL!=VALUE, LABEL=~REGEX or LABEL!~REGEX")
    name, operator, value = match.groups()
    return {"name": name, "value": value, "isRegex": "~" in operator, "isEqual": not operator.startswith("!")}
