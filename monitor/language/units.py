"""Arithmetic and comparison of units: what may meet, and what comes out."""

from __future__ import annotations

from monitor.expression import ArithmeticOp
from monitor.series import Unit

PURE = frozenset({Unit.NUMBER, Unit.COUNT, Unit.RATIO, Unit.ANY})
"""Units that scale another without changing it."""

_COMPARABLE = frozenset({frozenset({Unit.NUMBER, Unit.COUNT}), frozenset({Unit.NUMBER, Unit.RATIO})})

UNIT_WORDS = {
    Unit.USD: "an amount in USD",
    Unit.PRICE: "a price",
    Unit.RATIO: "a ratio",
    Unit.COUNT: "a count",
    Unit.DURATION: "a duration",
    Unit.VOL_POINTS: "volatility points",
    Unit.NUMBER: "a plain number",
    Unit.ANY: "a number",
}
UNIT_EXAMPLES = {
    Unit.USD: "write an amount: 20k, 600M, 1B",
    Unit.PRICE: "write a price: 82k, 0.995",
    Unit.RATIO: "write a ratio: 5%, 25bp, 0.05",
    Unit.COUNT: "write a count: 400k",
    Unit.DURATION: "write a duration: 30s, 8h, 7d",
    Unit.VOL_POINTS: "volatility is in percent points a year: write 50, not 50%",
    Unit.NUMBER: "write a plain number: 0.9, 4",
    Unit.ANY: "",
}


def comparable(left: Unit, right: Unit) -> bool:
    """Whether numbers of these units can be compared, added and subtracted."""
    return left is right or Unit.ANY in (left, right) or frozenset({left, right}) in _COMPARABLE


def combine(op: ArithmeticOp, left: Unit, right: Unit) -> Unit | None:
    """Unit of ``left op right``; None if that means nothing."""
    if op in ("+", "-", "%"):
        return _sum(left, right) if comparable(left, right) else None
    if op == "*":
        return _product(left, right)
    if op == "/":
        return _quotient(left, right)
    if right not in PURE:
        return None
    return left if left in PURE else Unit.ANY


def _sum(left: Unit, right: Unit) -> Unit:
    return right if left is Unit.ANY else left


def _product(left: Unit, right: Unit) -> Unit | None:
    if Unit.ANY in (left, right):
        return _sum(left, right)
    if left in PURE:
        return right if left is not Unit.RATIO or right is Unit.RATIO or right not in PURE else left
    return left if right in PURE else None


def _quotient(left: Unit, right: Unit) -> Unit | None:
    if left is right and left is not Unit.ANY:
        return Unit.RATIO
    if right in PURE:
        return left
    if (left, right) == (Unit.USD, Unit.PRICE):
        return Unit.NUMBER
    return Unit.ANY if left is Unit.ANY else None
