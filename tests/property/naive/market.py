"""What has arrived, as plain rows, and who is present in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeVar

from monitor.clock import NS_PER_S
from monitor.engine.rows.projection import PREFERRED_KINDS, group_labels, matches
from monitor.events import Labels
from monitor.expression import Call, Grouping, Matcher, Selector
from monitor.series import SERIES, Fold, SeriesSpec
from tests.property.naive.folding import Members, fold
from tests.property.naive.tables import NAN, known

T = TypeVar("T")
ALL = Grouping()


@dataclass(frozen=True)
class Row:
    """One event or gauge change; ``value`` in USD or the gauge's unit; ``order`` is that of arrival."""

    series: str
    labels: Labels
    ts: int
    value: float
    order: int


@dataclass
class Market:
    """Every row so far, in order of arrival."""

    rows: list[Row] = field(default_factory=list)
    specs: dict[str, SeriesSpec] = field(default_factory=lambda: dict(SERIES))

    def members(self, selector: Selector, grouping: Grouping | None) -> dict[Labels, list[Row]]:
        """Rows of each member that the selector takes, in time order; of a gauge the last word for each instant."""
        spec = self.specs[selector.series]
        given = {matcher.label for matcher in selector.matchers}
        given |= set(grouping.labels) if grouping and not grouping.without else set()
        defaults = [Matcher(k, "=", v) for k, v in spec.defaults if k not in given]
        accept = matches((*selector.matchers, *defaults))
        found: dict[Labels, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: (row.ts, row.order)):
            if row.series == selector.series and accept(row.labels):
                kept = found.setdefault(row.labels, [])
                if spec.form == "gauge" and kept and kept[-1].ts == row.ts:
                    kept.pop()
                kept.append(row)
        return preferred(found) if selector.series == "price" and "kind" not in given else found

    def groups(self, selector: Selector, grouping: Grouping) -> dict[Labels, list[Row]]:
        """Rows by group, in time order."""
        out = no_groups(grouping, list[Row]())
        for labels, rows in self.members(selector, grouping).items():
            out.setdefault(group_labels(labels, grouping), []).extend(rows)
        return {k: sorted(rows, key=lambda r: (r.ts, r.order)) for k, rows in out.items()}

    def value_at(self, rows: list[Row], series: str, at_ns: int) -> float:
        """The last value, until it is stale."""
        past = [row for row in rows if row.ts <= at_ns]
        if not past or past[-1].ts + self.specs[series].stale_s * NS_PER_S < at_ns:
            return NAN
        return past[-1].value

    def ended(self, selector: Selector, labels: Labels, t: int) -> float:
        """When the newest value of a member (or of its venue and symbol in another series) goes missing, or went."""
        spec, every = self.specs[selector.series], self.members(selector, None)
        same = [rows for own, rows in every.items() if own == labels]
        mine = same or [rows for own, rows in every.items() if instrument(own) == instrument(labels)]
        past = [row for rows in mine for row in rows if row.ts <= t - selector.offset_ns]
        if not past:
            return math.inf
        stands = 0 if not known(past[-1].value) else spec.stale_s * NS_PER_S
        return past[-1].ts + stands + selector.offset_ns

    def present(self, selector: Selector, grouping: Grouping | None, t: int) -> dict[Labels, Members]:
        """The present members of every group, with their weights."""
        at_ns = t - selector.offset_ns
        weigh = grouping is not None and self.specs[selector.series].fold is Fold.OI_MEAN
        interest = self.interest(at_ns) if weigh else {}
        groups: dict[Labels, Members] = no_groups(grouping, {}) if grouping else {}
        for labels, rows in self.members(selector, grouping).items():
            group = groups.setdefault(group_labels(labels, grouping), {})
            value = self.value_at(rows, selector.series, at_ns)
            weight = interest.get(instrument(labels), NAN) if weigh else 1.0
            if known(value) and known(weight):
                group[labels] = (value, weight)
        return groups

    def interest(self, at_ns: int) -> dict[tuple[str, str], float]:
        """Open interest by venue and symbol."""
        rows = self.members(Selector(series="open_interest"), None)
        return {instrument(labels): self.value_at(own, "open_interest", at_ns) for labels, own in rows.items()}

    def fold_of(self, selector: Selector, grouping: Grouping | None) -> Fold:
        """The natural fold; without a grouping every member is its own group."""
        return self.specs[selector.series].fold if grouping is not None else Fold.MEAN

    def folded(self, selector: Selector, grouping: Grouping | None, t: int) -> dict[Labels, float]:
        """The value of every group."""
        how = self.fold_of(selector, grouping)
        return {k: fold(how, group.values()) for k, group in self.present(selector, grouping, t).items()}

    def weighted(self, call: Call, t: int) -> dict[Labels, Members]:
        """``weighted_avg(x, w)``: the members of x that have a w, met on the labels of both."""
        x, w = call.args
        assert isinstance(x, Selector)
        assert isinstance(w, Selector)
        shared = set(self.specs[x.series].labels) & set(self.specs[w.series].labels)

        def key(labels: Labels) -> Labels:
            return tuple(pair for pair in labels if pair[0] in shared)

        at_ns = t - w.offset_ns
        weights = {key(k): self.value_at(rows, w.series, at_ns) for k, rows in self.members(w, None).items()}
        groups = self.present(Selector(series=x.series, matchers=x.matchers, offset_ns=x.offset_ns), None, t)
        grouping = call.grouping or ALL
        out: dict[Labels, Members] = no_groups(grouping, {})
        for labels in self.members(x, grouping):
            mine = out.setdefault(group_labels(labels, grouping), {})
            weight = weights.get(key(labels), NAN)
            for value, _ in groups[labels].values():
                if known(weight):
                    mine[labels] = (value, weight)
        return out


def no_groups(grouping: Grouping, empty: T) -> dict[Labels, T]:
    """What there is before any member: the one group of everything, if all labels are folded away."""
    return {} if grouping.labels or grouping.without else {(): empty}


def instrument(labels: Labels) -> tuple[str, str]:
    table = dict(labels)
    return table.get("venue", ""), table.get("symbol", "")


def preferred(found: dict[Labels, list[Row]]) -> dict[Labels, list[Row]]:
    """Of each instrument one kind of price: mark, else last."""
    best: dict[Labels, Labels] = {}
    for labels in found:
        kind = dict(labels)["kind"]
        key = tuple(pair for pair in labels if pair[0] != "kind")
        if kind in PREFERRED_KINDS:
            held = best.get(key)
            if held is None or PREFERRED_KINDS.index(kind) < PREFERRED_KINDS.index(dict(held)["kind"]):
                best[key] = labels
    return {labels: found[labels] for labels in best.values()}
