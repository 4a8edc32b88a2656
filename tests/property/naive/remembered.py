"""Conditions that remember since when: ``held``, ``since``, ``then``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.expression import Call, Then
from tests.property.naive.matching import Meeting
from tests.property.naive.tables import FALSE, NAN, TRUE, UNKNOWN, Condition, Vector

if TYPE_CHECKING:
    from tests.property.naive.moment import Moment


def held(call: Call, moment: Moment) -> Vector:
    inner = moment.condition(call.args[0])
    since, values = moment.memory.kept.setdefault(call, ({}, {}))
    for labels, truth in inner.truth.items():
        if truth == TRUE:
            values[labels] = float(moment.t - since.setdefault(labels, moment.t))
        elif truth == FALSE:
            since.pop(labels, None)
            values[labels] = 0.0
        else:
            values.setdefault(labels, NAN)
    return Vector(inner.names, dict(values), 0.0 if inner.default == FALSE else NAN)


def since(call: Call, moment: Moment) -> Vector:
    inner = moment.condition(call.args[0])
    last = moment.memory.kept.setdefault(call, {})
    last.update({labels: moment.t for labels, truth in inner.truth.items() if truth == TRUE})
    return Vector(inner.names, {k: float(moment.t - last[k]) if k in last else NAN for k in inner.truth})


def then(expr: Then, moment: Moment) -> Condition:
    sides = moment.condition(expr.first), moment.condition(expr.second)
    meeting = Meeting(expr, *sides)
    out = Condition(meeting.names, {}, {}, {}, FALSE if sides[1].default == FALSE else UNKNOWN)
    first_at, second_at, armed = moment.memory.kept.setdefault(expr, ({}, {}, set()))
    for labels, (a, b) in meeting.pairs.items():
        first, second = sides[0].at(a), sides[1].at(b)
        if first == TRUE:
            first_at[labels] = moment.t
        recent = labels in first_at and moment.t - first_at[labels] <= expr.within_ns
        if second == TRUE and labels not in second_at:
            second_at[labels] = moment.t
            (armed.add if recent else armed.discard)(labels)
        if second == FALSE:
            second_at.pop(labels, None)
            armed.discard(labels)
        truth = int(labels in armed and second == TRUE)
        out.truth[labels] = UNKNOWN if second == UNKNOWN and (labels in armed or recent) else truth
        out.values[labels] = sides[1].values.get(b, NAN) if b is not None else NAN
        out.thresholds[labels] = sides[1].thresholds.get(b, NAN) if b is not None else NAN
    return out
