"""How elements of two sides meet."""

from __future__ import annotations

from monitor.events import Labels
from monitor.expression import Expr, Matching
from tests.property.naive.tables import Table, only, rows


class Meeting:
    """Which elements of two sides meet, by the labels that both have or that the rule names."""

    def __init__(self, expr: Expr, left: Table, right: Table) -> None:
        matching = getattr(expr, "matching", Matching())
        shared = left.names & right.names if matching.on is None else frozenset(matching.on)
        self.key = shared - set(matching.ignoring)
        self.names = frozenset(expr.type.labels)
        rights = matching.many == "right" or (not matching.many and self.names == right.names != left.names)
        many, one = (right, left) if rights else (left, right)
        self._many: dict[Labels, list[Labels]] = {}
        self.pairs: dict[Labels, tuple[Labels | None, Labels | None]] = {}
        table: dict[Labels, list[Labels]] = {}
        for labels in rows(one):
            table.setdefault(only(labels, self.key), []).append(labels)
        self._torn = {key for key, found in table.items() if len(found) > 1}
        for labels in rows(many):
            partner = next(iter(table.get(only(labels, self.key), ())), None)
            self._pair(only(labels, self.names), labels, partner, rights=rights)
        met = {only(labels, self.key) for labels in rows(many)}
        for key, found in table.items():
            if key not in met and self.names == self.key:
                self._pair(key, None, found[0], rights=rights)

    def _pair(self, out: Labels, many: Labels | None, one: Labels | None, *, rights: bool) -> None:
        self.pairs[out] = (one, many) if rights else (many, one)

    def torn(self, labels: Labels) -> bool:
        """Whether several elements of one side meet this one of the other."""
        return only(labels, self.key) in self._torn
