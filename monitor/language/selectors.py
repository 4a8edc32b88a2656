"""Checks of a series selector: known series, known labels, values that exist, regular expressions that compile."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from monitor.expression import Matcher, Selector, Span
from monitor.feeds import FEEDS
from monitor.language.functions import FUNCTIONS
from monitor.language.problems import TextProblem, did_you_mean, problem_at
from monitor.pattern import compiled
from monitor.series import SeriesSpec

LABEL_VALUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("liquidations", "side"): ("long", "short"),
    ("liquidations", "kind"): ("spot", "perp", "future", "option"),
    ("trades", "side"): ("buy", "sell"),
    ("trades", "market"): ("spot", "perp", "future", "option"),
    ("price", "kind"): ("mark", "index", "last", "mid"),
    ("price", "market"): ("spot", "perp", "future", "option"),
    ("depth", "side"): ("bid", "ask"),
    ("tvl", "scope"): ("total", "chain", "protocol"),
}
"""Labels whose values are known, by series."""


def unknown_series(selector: Selector, known: Mapping[str, SeriesSpec], lets: Mapping[str, object]) -> TextProblem:
    """Say that a name is no series, and what it could have been."""
    name = selector.series
    message = f"unknown series {name!r}"
    if name in FUNCTIONS:
        return problem_at(selector.span, f"{name} is a function", f"write {FUNCTIONS[name].example}")
    return TextProblem(selector.span.start, len(name), message, did_you_mean(name, [*known, *lets]))


def check_matchers(selector: Selector, spec: SeriesSpec, text: str) -> Iterator[TextProblem]:
    """All mistakes between the braces."""
    for matcher in selector.matchers:
        place = label_span(text, selector.span, matcher.label)
        if matcher.label not in spec.labels:
            hint = did_you_mean(matcher.label, spec.labels)
            yield problem_at(place, f"{spec.name} has no label {matcher.label!r}", hint)
        elif matcher.op in ("=~", "!~"):
            yield from _check_regex(matcher, spec, value_span(text, selector.span, matcher))
        elif matcher.value:
            yield from _check_value(matcher, spec, value_span(text, selector.span, matcher))


def _check_regex(matcher: Matcher, spec: SeriesSpec, place: Span) -> Iterator[TextProblem]:
    try:
        pattern = compiled(matcher.value)
    except ValueError as error:
        yield problem_at(place, str(error))
        return
    values = LABEL_VALUES.get((spec.name, matcher.label), ())
    if values and not any(pattern.fullmatch(value) for value in values):
        yield problem_at(place, f"matches no {matcher.label} of {spec.name}", f"known: {', '.join(values)}")


def _check_value(matcher: Matcher, spec: SeriesSpec, place: Span) -> Iterator[TextProblem]:
    values = LABEL_VALUES.get((spec.name, matcher.label), ())
    if values and matcher.value not in values:
        hint = did_you_mean(matcher.value, values)
        yield problem_at(place, f"{spec.name} has no {matcher.label} {matcher.value!r}", hint)
    elif matcher.label == "venue" and matcher.value not in FEEDS:
        # Venues are open (an inlet may bring its own), so only a near miss is a mistake.
        hint = did_you_mean(matcher.value, FEEDS)
        if hint.startswith("did you mean"):
            yield problem_at(place, f"unknown venue {matcher.value!r}", hint)


def label_span(text: str, within: Span, label: str) -> Span:
    """Where a label's name stands inside a node's text; the node itself if it cannot be found."""
    match = re.compile(rf"(?<![\w\"'`]){re.escape(label)}(?!\w)").search(text, within.start, within.end)
    return Span(match.start(), match.end()) if match else within


def value_span(text: str, within: Span, matcher: Matcher) -> Span:
    """Where a matcher's quoted value stands."""
    pattern = rf"(?<!\w){re.escape(matcher.label)}\s*{re.escape(matcher.op)}\s*"
    for match in re.compile(pattern).finditer(text, within.start, within.end):
        if text[match.end() + 1 :].startswith(matcher.value):
            return Span(match.end(), match.end() + len(matcher.value) + 2)
    return within
