"""From text to a typed expression in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from monitor.expression import Expr, Number
from monitor.language.checker import BROKEN, Checker, reads_series
from monitor.language.parser import parse
from monitor.language.problems import ExpressionError, TextProblem
from monitor.series import SERIES, SeriesSpec

Expectation = Literal["condition", "value", "any"]


def parse_expression(
    text: str,
    extra_series: Iterable[SeriesSpec] = (),
    *,
    params: Mapping[str, Number] | None = None,
    lets: Mapping[str, Expr] | None = None,
    expect: Expectation = "any",
) -> Expr:
    """Parse and type an expression.

    Args:
        text: The expression.
        extra_series: Series beside the built-in ones: those of recording rules.
        params: Values of ``$name``.
        lets: Typed expressions that a bare name stands for.
        expect: What the whole must be.

    Returns:
        The tree with every node typed, in canonical form.

    Raises:
        ExpressionError: With every mistake found.
    """
    tree = parse(text, params)
    checker = Checker(text, {**SERIES, **{spec.name: spec for spec in extra_series}}, lets)
    check = {"condition": checker.condition, "value": checker.value, "any": checker.check}[expect]
    typed = check(tree)
    if not checker.problems and not reads_series(typed) and expect != "any":
        checker.problems.append(TextProblem(0, len(text), "no series stands in this expression"))
    if checker.problems or typed.type is BROKEN:
        raise ExpressionError(text, checker.problems or [TextProblem(0, len(text), "this cannot be typed")])
    return typed
