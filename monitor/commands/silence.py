"""``silence``: mute matching alerts for a while, list silences, or end one."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import re
from collections.abc import Sequence
from typing import Any

from monitor.commands.arguments import Parser
from monitor.commands.client import add_client_options, call, token_from_environment
from monitor.errors import MonitorError

EPILOG = """examples:
  python -m monitor silence alertname=FundingFlippedNegative base=DOGE --for 2h --comment "known"
  python -m monitor silence 'base=~"BTC|ETH"' --for 30m
  python -m monitor silence --list
  python -m monitor silence --expire ID
Changing state needs the API token in $MONITOR_TOKEN.
"""
_MATCHER = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(=~|!~|!=|=)\"?(.*?)\"?")
_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def run(argv: Sequence[str]) -> int:
    """Create, list or expire silences."""
    parser = Parser("monitor silence", description=__doc__, epilog=EPILOG)
    parser.add_argument("matchers", nargs="*", metavar="LABEL=VALUE")
    parser.add_argument("--for", dest="duration", default="1h", help="how long, such as 30m (default 1h)")
    parser.add_argument("--comment", default="", help="why")
    parser.add_argument("--by", default=getpass.getuser(), help="who")
    parser.add_argument("--list", action="store_true", help="list silences")
    parser.add_argument("--expire", metavar="ID", help="end a silence now")
    add_client_options(parser)
    options = parser.parse_args(argv)
    if options.list:
        reply = call(options.url, "/api/v1/silences")
    elif options.expire:
        reply = call(options.url, f"/api/v1/silences/{options.expire}", method="DELETE", token=token_from_environment())
    elif options.matchers:
        body = request(options.matchers, options.duration, options.by, options.comment, dt.datetime.now(dt.UTC))  # noqa: TID251 - the command line has no other clock
        reply = call(options.url, "/api/v1/silences", method="POST", body=body, token=token_from_environment())
    else:
        parser.error("give at least one LABEL=VALUE, or --list, or --expire ID")
    print(json.dumps(reply, indent=2))
    return 0


def request(matchers: Sequence[str], duration: str, by: str, comment: str, now: dt.datetime) -> dict[str, Any]:
    """The body of a new silence, in Alertmanager's shape.

    Raises:
        MonitorError: A matcher or the duration cannot be read.
    """
    length = _DURATION.fullmatch(duration)
    if not length:
        raise MonitorError(f"--for {duration!r}: expected a duration such as 30m, 2h or 1d")
    end = now + dt.timedelta(**{_UNITS[length[2]]: int(length[1])})
    return {
        "matchers": [_matcher(text) for text in matchers],
        "startsAt": now.isoformat(),
        "endsAt": end.isoformat(),
        "createdBy": by,
        "comment": comment or "from the command line",
    }


def _matcher(text: str) -> dict[str, Any]:
    match = _MATCHER.fullmatch(text)
    if not match:
        raise MonitorError(f"{text!r}: expected LABEL=VALUE, LABEL!=VALUE, LABEL=~REGEX or LABEL!~REGEX")
    name, operator, value = match.groups()
    return {"name": name, "value": value, "isRegex": "~" in operator, "isEqual": not operator.startswith("!")}
