"""Texts of labels and annotations: ``{{ value | usd }} in one hour ({{ coverage | pct }} of the feeds live)``.

A placeholder is a name of `NAMES`, or ``labels.x``, and filters. Nothing else can be reached: there are no
attributes, no calls, no arithmetic. Prometheus' spellings ``{{ $value }}`` and ``{{ $labels.x }}`` are read too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from monitor import format as fmt
from monitor.language.problems import ExpressionError, TextProblem, did_you_mean

MAX_TEXT = 5_000

NAMES: dict[str, str] = {
    "value": "the reading: the left side of the rule's comparison",
    "threshold": "what it was compared with",
    "coverage": "how complete the data behind the reading is, 0 to 1",
    "lower_bound": "whether the alert fires on incomplete data because what did arrive is already enough",
    "labels": "the alert's labels: labels.base, labels.venue ...",
    "state": "pending, firing, held or resolved",
    "severity": "the severity label",
    "reason": "why the alert is in this state, in words",
    "peak": "the value farthest beyond the threshold so far",
    "duration": "how long its condition has been going on, `for` included, in seconds",
}
"""What a template can name."""

FILTERS: dict[str, Callable[[float | None], str]] = {
    "usd": fmt.usd,
    "pct": fmt.pct,
    "price": fmt.price,
    "bp": fmt.bp,
    "num": fmt.num,
    "duration": fmt.duration,
    "time": fmt.utc_time,
}
"""Filters by name; see `monitor.format`. ``duration`` and ``time`` take nanoseconds, which is what a reading of
``held`` is; only the name ``duration`` is in seconds, and its filter knows."""

_TO_DIGITS: dict[str, Callable[[float | None, int], str]] = {
    "usd": fmt.num,
    "pct": fmt.pct,
    "price": lambda value, digits: fmt.price(value, digits - 1),
    "bp": fmt.bp,
    "num": fmt.num,
}
"""Filters that can show more digits: a value beside its threshold gets as many as tell them apart."""

_COMPARED = ("value", "threshold")

OTHER_FILTERS = {
    "humanize": "num",
    "humanizePercentage": "pct",
    "humanizeDuration": "duration",
    "humanizeTimestamp": "time",
    "percent": "pct",
    "humanize1024": "num",
}

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PART = re.compile(r"\s*(\$?)([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One ``{{ ... }}``: a name, for ``labels`` the label, and filters."""

    name: str
    label: str = ""
    filters: tuple[str, ...] = ()

    def render(self, values: Mapping[str, Any], digits: int | None = None) -> str:
        """Text of the placeholder; a number that is missing is ``n/a``.

        Args:
            values: By the names of `NAMES`.
            digits: Significant digits of a number; None: the filter's own.
        """
        value = values.get(self.name)
        if self.name == "labels":
            value = (value or {}).get(self.label, "")
        if self.name == "duration" and self.filters in ((), ("duration",)):
            seconds = _as_number(value)
            return fmt.duration(None if seconds is None else seconds * 1e9)
        if self.filters:
            chosen, number = self.filters[0], _as_number(value)
            return FILTERS[chosen](number) if digits is None else _TO_DIGITS[chosen](number, digits)
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return fmt.num(value)
        return str(value)


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled text: literal parts and placeholders in turn."""

    text: str
    parts: tuple[str | Placeholder, ...]

    @property
    def names(self) -> frozenset[str]:
        """The names that it reads."""
        return frozenset(part.name for part in self.parts if isinstance(part, Placeholder))

    def render(self, values: Mapping[str, Any]) -> str:
        """Fill in the values; ``values`` has the keys of `NAMES`.

        A value and a threshold that are shown alike are shown apart: ``-12.04%`` and ``-12%``, never ``-12%`` and ``-12%``.
        """
        digits: dict[tuple[str, ...], int] = {
            (shown, name): _digits(name, values) for name in self._compared for shown in _COMPARED
        }
        return "".join(
            part if isinstance(part, str) else part.render(values, digits.get((part.name, *part.filters)))
            for part in self.parts
        )

    @property
    def _compared(self) -> set[str]:
        """Filters by which both the value and the threshold are shown."""
        shown = {(part.name, *part.filters) for part in self.parts if isinstance(part, Placeholder)}
        return {name for name in _TO_DIGITS if {(which, name) for which in _COMPARED} <= shown}


def compile_template(text: str, labels: Collection[str] | None = None) -> Template:
    """Read a template.

    Args:
        text: The template.
        labels: Labels that the alert will have; None: any name is taken.

    Raises:
        ExpressionError: With every mistake in it.
    """
    problems: list[TextProblem] = []
    if len(text) > MAX_TEXT:
        raise ExpressionError(text, [TextProblem(0, 1, f"the text is longer than {MAX_TEXT} characters")])
    parts: list[str | Placeholder] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [text[end : match.start()], _placeholder(match, labels, problems)]
        end = match.end()
    rest = text[end:]
    if "{{" in rest:
        problems.append(TextProblem(end + rest.index("{{"), 2, "'{{' is never closed", "a '}}' is missing"))
    if problems:
        raise ExpressionError(text, problems)
    return Template(text, tuple(part for part in (*parts, rest) if part))


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Template:
    return compile_template(text)


def render(text: str, values: Mapping[str, Any]) -> str:
    """Render a template that was checked at load; compiled once."""
    return _compiled(text).render(values)


def _placeholder(match: re.Match[str], labels: Collection[str] | None, problems: list[TextProblem]) -> Placeholder:
    offset, found = match.start(1), list[re.Match[str]]()
    for piece in match[1].split("|"):
        part = _PART.fullmatch(piece)
        if part is None:
            message = f"{piece.strip()!r} is neither a name nor a filter" if piece.strip() else "a name is missing here"
            width = max(len(piece.strip()), 1)
            place = offset + len(piece) - len(piece.lstrip())
            hint = "write {{ value | usd }} or {{ labels.base }}"
            problems.append(TextProblem(min(place, match.end() - 2), width, message, hint))
            return Placeholder("value")
        found.append(part)
        offset += len(piece) + 1
    return _checked(match, found, labels, problems)


def _checked(
    match: re.Match[str], found: list[re.Match[str]], labels: Collection[str] | None, problems: list[TextProblem]
) -> Placeholder:
    name, label = found[0][2], found[0][3] or ""
    offset = match.start(1) + found[0].start(2)
    if name not in NAMES:
        problems.append(TextProblem(offset, len(name), f"unknown name {name!r}", did_you_mean(name, NAMES)))
    elif bool(label) != (name == "labels"):
        message = f"{name} has no parts" if label else "labels needs the name of a label"
        problems.append(TextProblem(offset, len(name), message, "write {{ labels.base }}"))
    elif label and labels is not None and label not in labels:
        hint = did_you_mean(label, labels)
        problems.append(TextProblem(match.start(1) + found[0].start(3), len(label), f"no label {label!r}", hint))
    names = [part[2] for part in found[1:]]
    offset = match.start(1) + len(found[0][0]) + 1
    for part in found[1:]:
        _check_filter(part, offset, problems)
        offset += len(part[0]) + 1
    if len(names) > 1:
        problems.append(TextProblem(match.start(), match.end() - match.start(), "one filter is enough"))
    return Placeholder(name, label, tuple(names))


def _check_filter(part: re.Match[str], offset: int, problems: list[TextProblem]) -> None:
    name = part[2]
    if name in FILTERS and not part[1] and not part[3]:
        return
    other = OTHER_FILTERS.get(name)
    hint = f"write {other}" if other else did_you_mean(name, FILTERS)
    problems.append(TextProblem(offset + part.start(2), len(name), f"unknown filter {name!r}", hint))


def _digits(filter_name: str, values: Mapping[str, Any]) -> int:
    value, threshold = _as_number(values.get("value")), _as_number(values.get("threshold"))
    return fmt.digits_apart(value, threshold, _TO_DIGITS[filter_name])


def _as_number(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
