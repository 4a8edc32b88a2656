"""The command line's parser: help by example, and a mistake that names what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator
from typing import Any, NoReturn


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
