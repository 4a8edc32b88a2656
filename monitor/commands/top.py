"""``top``: the live page in a terminal: prices, funding, liquidations, alerts, rules, feeds and signals as they change."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from monitor.commands.arguments import Parser
from monitor.commands.client import add_url_option
from monitor.errors import MonitorError

EPILOG = """examples:
  python -m monitor top
  python -m monitor top --url http://risk.example.com:9108
  NO_COLOR=1 python -m monitor top
keys: 0 overview, 1 to 7 one panel, arrows and Enter (why), a acknowledge, s silence, w withdraw, d light or dark, q quit
Changing state needs the API token, in $MONITOR_TOKEN or typed when it is asked for. Needs the package textual.
exit code: 0, or 2 when the output is no terminal or textual is missing
"""
MISSING = """top needs the package textual, which is not installed here. Install it with
  {python} -m pip install 'textual>=8,<9'
(scripts/run installs it; as a package: market-risk-monitor[tui]). Without it: `status`, `signals`, or the live page."""


def run(argv: Sequence[str]) -> int:
    """Show a running monitor until the person leaves."""
    parser = Parser("monitor top", description=__doc__, epilog=EPILOG)
    add_url_option(parser)
    options = parser.parse_args(argv)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise MonitorError("top needs a terminal; `status` and `signals` print once, with --json for programs")
    try:
        from monitor.terminal import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise MonitorError(MISSING.format(python=sys.executable)) from None
    from monitor.terminal.link import Link

    app.run(Link(options.url), os.environ.get("MONITOR_TOKEN", ""))
    return 0
