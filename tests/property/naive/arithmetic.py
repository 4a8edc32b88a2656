"""Numbers element by element; whatever misses a side is missing."""

from __future__ import annotations

import math
import operator

from monitor.expression import Call, Expr, Folded, Number, Range, Selector
from tests.property.naive.matching import Meeting
from tests.property.naive.tables import NAN, Vector, known

NEAR = 1e-9
"""Of two numbers so close their order is rounding; a test that meets such a pair proves nothing and is left out."""


def negative(table: Vector) -> Vector:
    return Vector(table.names, {k: -v for k, v in table.values.items()}, -table.default, table.gone)


def arithmetic(op: str, left: Vector, right: Vector, meeting: Meeting) -> Vector:
    gone = frozenset(k for k, (a, b) in meeting.pairs.items() if a in left.gone or b in right.gone)
    values = {
        k: NAN if meeting.torn(k) else operation(op, left.at(a), right.at(b)) for k, (a, b) in meeting.pairs.items()
    }
    return Vector(meeting.names, values, operation(op, left.default, right.default), gone)


def operation(op: str, a: float, b: float) -> float:
    if not (known(a) and known(b)):
        return NAN
    if op in "/%":
        return NAN if b == 0 else a / b if op == "/" else math.fmod(a, b)
    if op == "^":
        try:
            out = math.pow(a, b)
        except (ValueError, OverflowError):
            return NAN
        return out if math.isfinite(out) else NAN
    return float({"+": operator.add, "-": operator.sub, "*": operator.mul}[op](a, b))


def exact(expr: Expr) -> bool:
    """Whether both engines come to the very same float: single rows, whole totals, counts."""
    match expr:
        case Number() | Selector():
            return True
        case Call(name="count"):
            return True
        case Call(name="sum" | "min" | "max" | "first" | "last" | "held" | "since" | "topk", args=args):
            inner = args[-1].inner if isinstance(args[-1], Range) else args[-1]
            return not isinstance(inner, Selector | Call | Folded) or exact(inner)
        case _:
            return False
