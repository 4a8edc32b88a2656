"""``ack``: acknowledge an alert, so that it is not sent again until it is resolved or the time is over."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from monitor.commands.arguments import Parser
from monitor.commands.client import add_author_options, add_client_options, call, token_from_environment
from monitor.format import printable

EPILOG = """examples:
  python -m monitor ack --list
  python -m monitor ack 1f2e3d4c5b6a7988 --comment "on it"
  python -m monitor ack 1f2e3d4c5b6a7988 --for 4h
  python -m monitor ack 1f2e3d4c5b6a7988 --withdraw
Changing state needs the API token in $MONITOR_TOKEN. --list tells the fingerprints; webhooks, files and MQTT carry them, too.
exit code: 0 when it is done, 2 when the monitor refuses or does not answer
"""


def run(argv: Sequence[str]) -> int:
    """Acknowledge one alert instance, or list those that are active."""
    parser = Parser("monitor ack", description=__doc__, epilog=EPILOG)
    parser.add_argument("fingerprint", nargs="?", help="the alert's identity, 16 hexadecimal digits")
    parser.add_argument("--list", action="store_true", help="list what is pending or fires, with fingerprints")
    parser.add_argument(
        "--for", dest="duration", default="", metavar="TIME", help="for how long, such as 30m or 4h (default 1h)"
    )
    parser.add_argument("--withdraw", action="store_true", help="take the acknowledgement back")
    add_author_options(parser)
    add_client_options(parser)
    options = parser.parse_args(argv)
    if not (options.list or options.fingerprint):
        parser.error("which alert? give its fingerprint; --list tells them")
    reply, words = _asked(options)
    print(json.dumps(reply, indent=2) if options.json else words)
    return 0


def _asked(options: argparse.Namespace) -> tuple[Any, str]:
    """The reply, and what it means in words."""
    if options.list:
        reply = call(options.url, "/api/v1/alerts")
        return reply, "\n".join(map(_line, reply["data"]["alerts"])) or "nothing is pending or fires"
    token, which = token_from_environment(), options.fingerprint
    if options.withdraw:
        reply = call(options.url, f"/api/v1/acks/{quote(which, safe='')}", method="DELETE", token=token)
        return reply, f"the acknowledgement of {which} is taken back"
    body = {"fingerprint": which, "by": options.by, "comment": options.comment}
    body |= {"duration": options.duration} if options.duration else {}
    reply = call(options.url, "/api/v1/acks", method="POST", body=body, token=token)
    return reply, f"{which} is acknowledged{f' for {options.duration}' if options.duration else ''} by {options.by}"


def _line(alert: Mapping[str, Any]) -> str:
    labels = dict(alert["labels"])
    name, severity = labels.pop("alertname", ""), labels.pop("severity", "")
    rest = " ".join(f"{key}={value}" for key, value in labels.items())
    by = f"  acknowledged by {alert['acknowledgedBy']}" if alert.get("acknowledgedBy") else ""
    return printable(f"{alert['fingerprint']}  {alert['state']:<8} {severity:<8} {name}  {rest}".rstrip() + by)
