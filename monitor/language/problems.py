"""Mistakes inside the text of one expression or template, as offsets; the rule loader turns them into file positions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.errors import MonitorError, underlined
from monitor.expression import Span


@dataclass(frozen=True, slots=True, order=True)
class TextProblem:
    """One mistake: ``width`` characters from ``offset`` on, what is wrong, and what would be right."""

    offset: int
    width: int
    message: str
    hint: str = ""

    def render(self, text: str) -> str:
        """The line that holds the mistake, a caret under it, the message and the hint."""
        start = text.rfind("\n", 0, self.offset) + 1
        end = text.find("\n", start)
        line, caret = underlined(text[start : end if end >= 0 else len(text)], self.offset - start, self.width)
        return "\n".join(part for part in (line, caret, self.message, self.hint) if part)


class ExpressionError(MonitorError):
    """An expression or template is wrong; ``problems`` holds every mistake found, in the order of the text."""

    def __init__(self, text: str, problems: Iterable[TextProblem]) -> None:
        self.text = text
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(problem.render(text) for problem in self.problems))


def problem_at(span: Span, message: str, hint: str = "") -> TextProblem:
    """A problem that underlines a node."""
    return TextProblem(span.start, max(span.end - span.start, 1), message, hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the nearest known word, else the words themselves when they are few, else ""."""
    words = sorted(set(known))
    lowered = {candidate.lower(): candidate for candidate in reversed(words)}
    close = difflib.get_close_matches(word.lower()[:80], lowered, n=1, cutoff=0.6)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    return f"known: {', '.join(words)}" if 0 < len(words) <= 24 else ""
