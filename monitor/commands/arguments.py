"""The command line's parser: help by example, a mistake that names what was probably meant; and kinds of values."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from monitor import config
from monitor.clock import NS_PER_S
from monitor.literals import LiteralProblem, parse_duration, parse_time


class Once(argparse.Action):
    """An option that names one thing: given twice, the first would be left out in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the value."""
        first = getattr(namespace, self.dest)
        if first is not None:
            parser.error(f"{option_string} is given twice: {first} and {values}")
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """As argparse has it; the epilog keeps its lines, and an unknown option is answered with the nearest one."""

    def __init__(self, prog: str, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(prog, **settings)

    def error(self, message: str) -> NoReturn:
        """Exit with 2: what is wrong, what was probably meant, and where the examples are."""
        self.exit(
            2, f"{self.prog}: {message}{self._meant(message)}\n{self.prog} --help shows every option, by example\n"
        )

    def _meant(self, message: str) -> str:
        if not message.startswith("unrecognized arguments"):
            return ""
        known = list(self._known())
        near = (difflib.get_close_matches(word, known, n=1) for word in re.findall(r"(?<!\S)--[\w-]+", message))
        words = [word for found in near for word in found]
        return f"; did you mean {', '.join(words)}?" if words else ""

    def _known(self) -> Iterator[str]:
        """Every option, those of the actions below included: argparse leaves to the parser above what they do not know."""
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public name for it
                for child in action.choices.values():
                    yield from child._option_string_actions  # noqa: SLF001 - nor a list of a parser's options


def size_bytes(text: str) -> int:
    """``50G`` as bytes; the units are powers of 1024."""
    try:
        size = config.size_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(size, int) or not size:
        raise argparse.ArgumentTypeError("a size cannot be 0")
    return size


def duration_ns(text: str) -> int:
    """``1h30m`` as nanoseconds, more than none."""
    try:
        length_ns = parse_duration(text)
    except LiteralProblem as error:
        raise argparse.ArgumentTypeError(error.words) from None
    if length_ns <= 0:
        raise argparse.ArgumentTypeError("expected more than zero")
    return length_ns


def duration_s(text: str) -> float:
    """``30d`` as seconds, more than none."""
    return duration_ns(text) / NS_PER_S


def time_ns(text: str) -> int:
    """A moment as unix nanoseconds."""
    try:
        return parse_time(text)
    except LiteralProblem as error:
        raise argparse.ArgumentTypeError(error.words) from None
