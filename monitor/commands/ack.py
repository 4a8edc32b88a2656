"""``ack``: acknowledge an alert, so that it is not sent again until it is resolved or the time is over."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence

from monitor.commands.arguments import Parser
from monitor.commands.client import add_client_options, call, token_from_environment

EPILOG = """examples:
  python -m monitor ack 1f2e3d4c5b6a7988 --comment "on it"
  python -m monitor ack 1f2e3d4c5b6a7988 --for 4h
  python -m monitor ack 1f2e3d4c5b6a7988 --withdraw
Changing state needs the API token in $MONITOR_TOKEN. Fingerprints are in every notification and in `monitor status --json`.
"""


def run(argv: Sequence[str]) -> int:
    """Acknowledge one alert instance."""
    parser = Parser("monitor ack", description=__doc__, epilog=EPILOG)
    parser.add_argument("fingerprint", help="the alert's identity, 16 hexadecimal digits")
    parser.add_argument("--comment", default="", help="a note for the others")
    parser.add_argument(
        "--for", dest="duration", default="", metavar="TIME", help="for how long, such as 30m or 4h (default 1h)"
    )
    parser.add_argument("--by", default=getpass.getuser(), help="who")
    parser.add_argument("--withdraw", action="store_true", help="take the acknowledgement back")
    add_client_options(parser)
    options = parser.parse_args(argv)
    token = token_from_environment()
    if options.withdraw:
        reply = call(options.url, f"/api/v1/acks/{options.fingerprint}", method="DELETE", token=token)
    else:
        body = {"fingerprint": options.fingerprint, "by": options.by, "comment": options.comment}
        body |= {"duration": options.duration} if options.duration else {}
        reply = call(options.url, "/api/v1/acks", method="POST", body=body, token=token)
    print(json.dumps(reply, indent=2))
    return 0
