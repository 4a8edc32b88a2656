"""Three values: comparisons, and, or, unless, not, at least k."""

from __future__ import annotations

import operator

from tests.property.naive.matching import Meeting
from tests.property.naive.tables import FALSE, NAN, TRUE, UNKNOWN, Condition, known, meet


def compared(op: str, x: float, y: float) -> int:
    if not (known(x) and known(y)):
        return UNKNOWN
    table = {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
    return int(table[op](x, y))


def negated(truth: int) -> int:
    return truth if truth == UNKNOWN else 1 - truth


def both(a: int, b: int) -> int:
    return FALSE if FALSE in (a, b) else UNKNOWN if UNKNOWN in (a, b) else TRUE


def either(a: int, b: int) -> int:
    return TRUE if TRUE in (a, b) else UNKNOWN if UNKNOWN in (a, b) else FALSE


def without(a: int, b: int) -> int:
    return both(a, negated(b))


def logical(op: str, left: Condition, right: Condition, meeting: Meeting) -> Condition:
    join = {"and": both, "or": either, "unless": without}[op]
    out = Condition(meeting.names, {}, {}, {}, join(left.default, right.default))
    for labels, (a, b) in meeting.pairs.items():
        x, y = left.at(a), right.at(b)
        if meeting.torn(labels):
            x, y = (x, UNKNOWN) if meeting.names == left.names else (UNKNOWN, y)
        out.truth[labels] = join(x, y)
        side, at = (right, b) if a is None or (op == "or" and x != TRUE and y == TRUE) else (left, a)
        out.values[labels] = side.values.get(at, NAN) if at is not None else NAN
        out.thresholds[labels] = side.thresholds.get(at, NAN) if at is not None else NAN
    return out


def at_least(k: int, conditions: list[Condition]) -> Condition:
    def truth_of(truths: list[int]) -> int:
        return TRUE if truths.count(TRUE) >= k else UNKNOWN if len(truths) - truths.count(FALSE) >= k else FALSE

    names = max((condition.names for condition in conditions), key=len)
    out = Condition(names, {}, {}, {}, truth_of([condition.default for condition in conditions]))
    for condition in conditions:
        for labels in condition.truth if condition.names == names else ():
            truths = [one.at(meet(labels, one)) for one in conditions]
            out.truth[labels] = truth_of(truths)
            out.values[labels], out.thresholds[labels] = float(truths.count(TRUE)), float(k)
    return out
