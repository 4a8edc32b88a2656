"""``topk``: the others do not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.engine.rows.projection import group_labels
from monitor.events import Labels
from monitor.expression import Call, Number
from tests.property.naive.arithmetic import NEAR, exact
from tests.property.naive.market import ALL
from tests.property.naive.tables import NAN, Vector, known

if TYPE_CHECKING:
    from tests.property.naive.moment import Moment


def topk(call: Call, moment: Moment) -> Vector:
    k = call.args[0]
    assert isinstance(k, Number)
    inner = moment.vector(call.args[1])
    groups: dict[Labels, list[Labels]] = {}
    for labels, value in inner.values.items():
        if known(value):
            groups.setdefault(group_labels(labels, call.grouping or ALL), []).append(labels)
    gone: set[Labels] = set(inner.gone)
    for group in groups.values():
        ranked = sorted(group, key=lambda labels: (-inner.values[labels], labels))
        edge = ranked[int(k.value) - 1 : int(k.value) + 1]
        if len(edge) == 2:
            x, y = (inner.values[labels] for labels in edge)
            moment.near(when=x != y and abs(x - y) <= NEAR * max(abs(x), abs(y)))
            moment.near(when=x == y and not exact(call.args[1]))
        gone |= set(ranked[int(k.value) :])
    return Vector(inner.names, {k: NAN if k in gone else v for k, v in inner.values.items()}, NAN, frozenset(gone))
