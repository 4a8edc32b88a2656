"""The command line: one file per sub-command, one line each in `COMMANDS`.

A command module has ``run(argv) -> int``. Exit codes: 0 success, 1 a check failed, 2 wrong input or configuration,
130 stopped by Ctrl-C before it was done.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from monitor import __version__
from monitor.errors import ConfigError, MonitorError
from monitor.runtime.early_stop import noting_sigterm

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("monitor.commands.run", "watch the markets and send alerts (the default)"),
    "demo": ("monitor.commands.demo", "the November 2025 sell-off, synthetic, without a network"),
    "init": ("monitor.commands.init", "write a configuration and starter rules by asking five questions"),
    "check": ("monitor.commands.check", "validate configuration, rules and rule tests"),
    "test": ("monitor.commands.test", "run rule unit tests"),
    "record": ("monitor.commands.record", "write every frame of the configured feeds to a tape"),
    "tape": ("monitor.commands.tape", "what is on a tape; cut a piece out of it"),
    "export": ("monitor.commands.export", "a tape as normalised events in Parquet"),
    "import": ("monitor.commands.import_", "history that others recorded (CSV, Parquet) as normalised events"),
    "replay": ("monitor.commands.replay", "the alert log of a recorded run again, byte for byte"),
    "backtest": ("monitor.commands.backtest", "what the rules would have done over recorded history"),
    "status": ("monitor.commands.status", "what a running monitor sees"),
    "top": ("monitor.commands.top", "the live page in this terminal"),
    "signals": ("monitor.commands.signals", "the signal catalogue with its values now"),
    "why": ("monitor.commands.why", "why a rule did or did not fire"),
    "silence": ("monitor.commands.silence", "mute alerts for a while"),
    "ack": ("monitor.commands.ack", "acknowledge an alert"),
    "outbox": ("monitor.commands.outbox", "what waits or was given up, and why; send dead letters again"),
    "route": ("monitor.commands.route", "where an alert with given labels would go"),
    "notify-test": ("monitor.commands.notify_test", "send a test notification through one sink"),
    "completion": ("monitor.commands.completion", "a completion script for bash, zsh or fish"),
}

UNTIL_STOPPED = frozenset({"run", "demo", "record"})
"""They run until SIGTERM, which is success."""

USAGE = """usage: python -m monitor [COMMAND] [options]

{commands}

  --version     print the version
  COMMAND --help explains a command, with examples

examples:
  python -m monitor --config config.yaml
  python -m monitor demo --speed 120
  python -m monitor check --config config.yaml
"""


def usage() -> str:
    """The help text with every command."""
    width = max(map(len, COMMANDS))
    return USAGE.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()))


def dispatch(argv: Sequence[str]) -> int:
    """Find the command, run it, and turn expected errors into messages; no traceback for a user's mistake."""
    arguments = list(argv)
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0
    if arguments and arguments[0] in ("-V", "--version"):
        sys.stdout.write(f"monitor {__version__}\n")
        return 0
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "run"
    if name == "help":
        return dispatch([*arguments[:1], "--help"])
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        sys.stderr.write(f"monitor: no command {name!r}{hint}\nmonitor --help lists them\n")
        return 2
    return _guarded(name, arguments)


def _guarded(name: str, arguments: list[str]) -> int:
    try:
        with noting_sigterm() if name in UNTIL_STOPPED else nullcontext():
            module = importlib.import_module(COMMANDS[name][0])
            return int(module.run(arguments))
    except ConfigError as error:
        count = len(error.problems)
        sys.stderr.write(f"{error}\n{count} problem{'s' if count != 1 else ''} found\n")
        return 2
    except MonitorError as error:
        sys.stderr.write(f"monitor: {error}\n")
        return 2
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("\n")  # the shell's prompt begins a line of its own
        return 130
