"""The exceptions that this program raises on purpose.

::

    MonitorError
    ├── ConfigError          a file is wrong; carries every located problem found in it
    ├── DecodeError          one frame or one row could not be read; counted, never fatal to a feed
    ├── FeedRefused          a venue refused a connection or a subscription, with its own words
    ├── FetchError           an HTTPS request got no usable answer
    ├── SinkError            a sink could not be built or reached
    ├── StateError           a state file is corrupt or of an unknown version
    └── TapeError            a tape cannot be read: which file, at which offset, and why
"""

from __future__ import annotations

from dataclasses import dataclass

WIDEST = 200
"""Columns of a line that are shown; of a longer one those around the mistake."""


def underlined(line: str, offset: int, width: int) -> tuple[str, str]:
    """A line, or what of it stands around `offset`, and the caret that goes under it.

    >>> underlined("sum(x", 3, 2)
    ('sum(x', '   ^~')
    """
    if len(line) > WIDEST:
        start = max(0, min(offset - WIDEST // 2, len(line) - WIDEST))
        head, tail = "..." * (start > 0), "..." * (start + WIDEST < len(line))
        line, offset = f"{head}{line[start : start + WIDEST]}{tail}", offset - start + len(head)
    return line, " " * offset + "^" + "~" * (max(min(width, len(line) - offset), 1) - 1)


class MonitorError(Exception):
    """Base of all errors of this program."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file, with its place.

    ``line`` and ``column`` count from 1; 0 means that the place is not known. ``source`` is the offending source
    line, ``width`` how many columns the caret underlines, ``hint`` what would have been right.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    source: str = ""
    width: int = 1

    def render(self) -> str:
        """Format as ``file:line:col: message``, with the source line and a caret when they are known."""
        place = f":{self.line}:{self.column}" if self.line else ""
        text = f"{self.file}{place}: {self.message}"
        if self.source:
            line, caret = underlined(self.source, max(self.column - 1, 0), self.width)
            text += f"\n    {line}\n    {caret}"
        if self.hint:
            text += f"\n    {self.hint}"
        return text


class ConfigError(MonitorError):
    """A configuration, rule or test file is wrong; ``problems`` holds every mistake found, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


class DecodeError(MonitorError):
    """A frame could not be decoded.

    ``reason`` is a short constant fit for a metric label (``malformed``, ``wrong_type``, ``missing_field``,
    ``unexpected``, ``too_large``); ``detail`` is for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class FeedRefused(MonitorError):
    """A venue refused a connection or a subscription; the message holds its own words."""


class FetchError(MonitorError):
    """An HTTPS request got no usable answer.

    ``reason`` is a metric label: ``unreachable``, ``timeout``, ``bad_http`` (a reply that breaks the protocol: a wrong
    length, a broken packing), ``too_large``, ``redirect``, ``rate_limited`` or ``status`` with its number (``status_503``). ``retry_after_s`` is the wait that the server asked for.
    """

    def __init__(self, reason: str, detail: str = "", retry_after_s: float | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s
        super().__init__(f"{reason}: {detail}" if detail else reason)


class SinkError(MonitorError):
    """A sink cannot be built or reached; the message never holds a secret."""


class StateError(MonitorError):
    """A state file is corrupt or was written by an unknown version."""


class TapeError(MonitorError):
    """A tape, or a part of it, cannot be read. ``offset`` counts bytes from the start of ``file``; None: all of it."""

    def __init__(self, reason: str, file: str = "", offset: int | None = None) -> None:
        self.reason = reason
        self.file = file
        self.offset = offset
        place = file if offset is None else f"{file}:{offset}"
        super().__init__(f"{place}: {reason}" if file else reason)
