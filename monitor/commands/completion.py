"""``completion``: a script that teaches bash, zsh or fish the commands and options of ``monitor``."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import NoReturn
from unittest import mock

from monitor.commands import COMMANDS
from monitor.commands.arguments import Parser
from monitor.commands.shells import SHELLS, Command, Option

EPILOG = """examples:
  source <(monitor completion bash)
  monitor completion bash | sudo tee /etc/bash_completion.d/monitor
  monitor completion zsh > ~/.zfunc/_monitor          with fpath+=~/.zfunc before compinit in ~/.zshrc
  monitor completion fish > ~/.config/fish/completions/monitor.fish
It completes the command `monitor`, which a virtual environment with this package has.
exit code: 0, or 2 for another shell
"""


def run(argv: Sequence[str]) -> int:
    """Print the script."""
    parser = Parser("monitor completion", description=__doc__, epilog=EPILOG)
    parser.add_argument("shell", choices=sorted(SHELLS), help="whose language it is in")
    options = parser.parse_args(argv)
    print(SHELLS[options.shell](commands()), end="")
    return 0


def commands() -> list[Command]:
    """Every command with its options, and the actions of those that have some, as commands of two words."""
    return [found for name, (_, text) in COMMANDS.items() for found in _described(name, text, parser_of(name))]


class _Seen(Exception):
    """A parser, at the moment when it would read its arguments."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser that a command builds: the only description of its options, so that this one cannot differ."""

    def stop(parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise _Seen(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            importlib.import_module(COMMANDS[name][0]).run([])
        except _Seen as seen:
            return seen.parser
    raise AssertionError(f"{name} reads no arguments")


def _described(name: str, text: str, parser: argparse.ArgumentParser) -> list[Command]:
    actions = parser._actions  # noqa: SLF001 - argparse has no public list of them
    nested = [action for action in actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    own = Command((name,), text, _options(actions), tuple(word for found in nested for word in found.choices))
    inner = [
        Command((name, word), child.description or text, _options(child._actions), ())  # noqa: SLF001
        for found in nested
        for word, child in found.choices.items()
    ]
    words = tuple(str(word) for action in actions if not action.option_strings for word in action.choices or ())
    return [own if nested else Command(own.path, text, own.options, words), *inner]


def _options(actions: Sequence[argparse.Action]) -> tuple[Option, ...]:
    return tuple(
        Option(
            tuple(action.option_strings),
            (action.help or "").partition(" (default")[0].replace("%%", "%"),
            action.nargs != 0,
            tuple(map(str, action.choices or ())),
        )
        for action in actions
        if action.option_strings and action.help != argparse.SUPPRESS
    )
