"""The series of the rules: values, states and cost, as many rows of each rule as the budget allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.alert import AlertState
from monitor.events import Labels
from monitor.telemetry import specs
from monitor.telemetry.exposition import Family, labelled_family, seconds, simple_family
from monitor.telemetry.views.rules import RuleView

RULE_STATES = (AlertState.INACTIVE, AlertState.PENDING, AlertState.FIRING, AlertState.HELD)


@dataclass(slots=True)
class _RuleRows:
    """Families of all rules, filled rule by rule."""

    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)
    thresholds: list[tuple[Mapping[str, str], float]] = field(default_factory=list)
    states: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    coverage: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    hidden: list[tuple[tuple[str, ...], float]] = field(default_factory=list)

    def add(self, name: str, rule: RuleView, limit: int) -> None:
        """Add one rule under its label value."""
        counts = dict.fromkeys(RULE_STATES, 0)
        for state in rule.states:
            if state in counts:
                counts[state] += 1
        self.states += [((name, str(state)), count) for state, count in counts.items()]
        evaluation = rule.evaluation
        if evaluation is None:
            return
        rows = _shown_rows(rule.states, len(evaluation.labels), limit)
        self.hidden.append(((name,), len(evaluation.labels) - len(rows)))
        if len(evaluation.coverage):
            self.coverage.append(((name,), float(np.min(evaluation.coverage))))
        for row in rows:
            labels = _row_labels(name, evaluation.labels[row])
            self.values.append((labels, float(evaluation.value[row])))
            self.thresholds.append((labels, float(evaluation.threshold[row])))

    def families(self) -> Iterator[Family]:
        """All of them."""
        yield labelled_family(specs.RULE_VALUE, self.values)
        yield labelled_family(specs.RULE_THRESHOLD, self.thresholds)
        yield simple_family(specs.RULE_STATE, self.states)
        yield simple_family(specs.RULE_COVERAGE, self.coverage)
        yield simple_family(specs.RULE_HIDDEN, self.hidden)


def _row_labels(alert: str, labels: Labels) -> Mapping[str, str]:
    return {"alert": alert, **{("exported_alert" if name == "alert" else name): value for name, value in labels}}


def _shown_rows(states: Sequence[AlertState], rows: int, limit: int) -> Sequence[int]:
    if rows <= limit:
        return range(rows)
    active = dict.fromkeys(row for row, state in enumerate(states) if state is not AlertState.INACTIVE)
    quiet = (row for row in range(rows) if row not in active)
    return sorted([*active, *quiet][:limit])


def rule_names(rules: Sequence[RuleView]) -> list[str]:
    """The ``alert`` label of each rule: its name, or ``group/name`` where two groups have a rule of one name."""
    uses = Counter(rule.name for rule in rules)
    return [rule.name if uses[rule.name] == 1 else rule.id for rule in rules]


def rule_families(rules: Sequence[RuleView], limit: int) -> Iterator[Family]:
    """Everything about the rules; of each at most `limit` rows, the active ones first."""
    rows = _RuleRows()
    named = list(zip(rule_names(rules), rules, strict=True))
    for name, rule in named:
        rows.add(name, rule, limit)
    yield from rows.families()
    yield simple_family(specs.RULE_DURATION, (((name,), rule.last_duration_s) for name, rule in named))
    yield simple_family(specs.RULE_TIMESTAMP, (((name,), seconds(rule.last_evaluation_ns)) for name, rule in named))
    yield simple_family(specs.RULE_EVALUATIONS, (((name,), rule.evaluations) for name, rule in named))
    yield simple_family(specs.RULE_WITHHELD, (((name,), rule.withheld) for name, rule in named))
    yield simple_family(specs.RULE_STATE_BYTES, (((name,), rule.state_bytes) for name, rule in named))
    yield simple_family(specs.RULE_ROWS_DROPPED, (((name,), rule.dropped_rows) for name, rule in named))
    yield simple_family(specs.RULE_FAILURES, (((name,), rule.failures) for name, rule in named))
