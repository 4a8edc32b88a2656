"""The typed tree of an expression: what the parser makes, what the engine compiles.

Nodes are immutable and compare by meaning: positions and types do not take part, so that equal sub-expressions of
different rules are one key in a dict and are computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from monitor.series import Unit


@dataclass(frozen=True, slots=True)
class Span:
    """Where a node stands in the expression's text, as offsets [start, end)."""

    start: int = 0
    end: int = 0


class Shape(StrEnum):
    """What an expression yields at one instant."""

    SCALAR = "number"
    VECTOR = "vector"
    CONDITION = "condition"
    RANGE = "range"


@dataclass(frozen=True, slots=True)
class ExprType:
    """Shape, unit and the labels that each element carries (empty: exactly one element)."""

    shape: Shape = Shape.SCALAR
    unit: Unit = Unit.ANY
    labels: tuple[str, ...] = ()


NOWHERE = Span()
UNTYPED = ExprType()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expr:
    """Base of all nodes."""

    span: Span = field(default=NOWHERE, compare=False)
    type: ExprType = field(default=UNTYPED, compare=False)


@dataclass(frozen=True, slots=True)
class Number(Expr):
    """A literal: ``1B``, ``35%`` (0.35, ratio), ``25bp``, ``8h`` (nanoseconds, duration)."""

    value: float
    unit: Unit = Unit.ANY


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label condition; values are text, regular expressions are anchored at both ends."""

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


@dataclass(frozen=True, slots=True)
class Selector(Expr):
    """A series with label conditions (sorted by label), optionally seen as of ``offset_ns`` earlier."""

    series: str
    matchers: tuple[Matcher, ...] = ()
    offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class Range(Expr):
    """``inner[window]`` of a selector, or ``inner[window:step]`` of any expression sampled every ``step_ns``."""

    inner: Expr
    window_ns: int
    step_ns: int = 0
    offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which labels stay: ``by (a, b)``, or with ``without`` all but these. Labels are sorted."""

    labels: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function of the registry. ``grouping`` None means: none was written."""

    name: str
    args: tuple[Expr, ...]
    grouping: Grouping | None = None


@dataclass(frozen=True, slots=True)
class Folded(Expr):
    """A gauge or vector with ``by`` and no function: folded by its natural fold, as in ``price by (base)``."""

    inner: Expr
    grouping: Grouping


@dataclass(frozen=True, slots=True)
class Matching:
    """How elements of two vectors meet: on these labels (None: on all shared), or ignoring them.

    ``many`` is the side that may have several elements for one of the other ("left" is Prometheus' group_left).
    """

    on: tuple[str, ...] | None = None
    ignoring: tuple[str, ...] = ()
    many: Literal["", "left", "right"] = ""


ArithmeticOp = Literal["+", "-", "*", "/", "%", "^"]
CompareOp = Literal["<", "<=", ">", ">=", "==", "!="]
LogicOp = Literal["and", "or", "unless"]


@dataclass(frozen=True, slots=True)
class Arithmetic(Expr):
    """``left op right``, element by element."""

    op: ArithmeticOp
    left: Expr
    right: Expr
    matching: Matching = Matching()


@dataclass(frozen=True, slots=True)
class Compare(Expr):
    """A condition per element; the left side's value is the condition's value."""

    op: CompareOp
    left: Expr
    right: Expr
    matching: Matching = Matching()


@dataclass(frozen=True, slots=True)
class Logic(Expr):
    """Three-valued ``and``, ``or``, ``unless`` of two conditions."""

    op: LogicOp
    left: Expr
    right: Expr
    matching: Matching = Matching()


@dataclass(frozen=True, slots=True)
class Negate(Expr):
    """Unary minus."""

    inner: Expr


@dataclass(frozen=True, slots=True)
class Not(Expr):
    """Three-valued negation of a condition."""

    inner: Expr


@dataclass(frozen=True, slots=True)
class KOf(Expr):
    """``k_of(k, a, b, ...)``: at least k conditions hold."""

    k: int
    conditions: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Then(Expr):
    """``first then second within w``: second became true at most ``within_ns`` after first was; per label set."""

    first: Expr
    second: Expr
    within_ns: int


def children(node: Expr) -> tuple[Expr, ...]:
    """Direct sub-expressions, in the order they are written."""
    match node:
        case Range(inner=inner) | Folded(inner=inner) | Negate(inner=inner) | Not(inner=inner):
            return (inner,)
        case Call(args=args):
            return args
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right) | Logic(left=left, right=right):
            return (left, right)
        case KOf(conditions=conditions):
            return conditions
        case Then(first=first, second=second):
            return (first, second)
        case _:
            return ()


def selectors(node: Expr) -> Iterator[Selector]:
    """Every series below an expression, leftmost first, each as often as it stands there."""
    if isinstance(node, Selector):
        yield node
    for child in children(node):
        yield from selectors(child)


def series_names(node: Expr) -> frozenset[str]:
    """Names of the series below an expression."""
    return frozenset(selector.series for selector in selectors(node))


def unit_shown(expr: Expr) -> str:
    """The unit of the value that a rule shows: the left side of its deciding comparison."""
    match expr:
        case Logic(left=inner) | Compare(left=inner) | Not(inner=inner) | Then(second=inner):
            return unit_shown(inner)
        case Call(name="crosses_above" | "crosses_below", args=(inner, *_)):
            return unit_shown(inner)
        case KOf() | Call(name="absent"):
            return Unit.COUNT.value
        case Call(name="held"):
            return Unit.DURATION.value
        case Arithmetic(op="*", left=one, right=other) if _is_worth(one, other) or _is_worth(other, one):
            return Unit.USD.value
        case _:
            return expr.type.unit.value


def _is_worth(quantity: Expr, price: Expr) -> bool:
    """Whether the product is an amount of dollars: a series in coins, as users push it, times a price."""
    return price.type.unit is Unit.PRICE and quantity.type.unit is Unit.ANY and bool(series_names(quantity))
