"""Rules, signals, and why a rule says what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.alert import AlertState
from monitor.events import Labels
from monitor.reading import Evaluation, Explanation


@dataclass(frozen=True, slots=True)
class RuleView:
    """One alert rule and its last evaluation.

    Attributes:
        name: Alert name.
        group: Its group.
        text: The expression as written; ``clear_text`` the clear condition.
        states: One per row of ``evaluation``.
        evaluation: The last one, None before the first.
        last_duration_s: How long it took, or its share of the tick that it was part of.
        error: Why it could not be evaluated, empty when it could.
        limit: Most alerts at a time as the rule says, 0 where it says nothing.
        state_bytes: Memory for what the rule reads; what rules share is counted for each.
        dropped_rows: Rows that were dropped of it, because a series had as many as may be kept.
        withheld: Label sets that are true and have no alert, because there are as many as the limit allows.
    """

    name: str
    group: str
    text: str
    states: Sequence[AlertState] = ()
    evaluation: Evaluation | None = None
    clear_text: str = ""
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    min_coverage: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    file: str = ""
    line: int = 0
    last_evaluation_ns: int = 0
    last_duration_s: float = float("nan")
    evaluations: int = 0
    failures: int = 0
    error: str = ""
    limit: int = 0
    withheld: int = 0
    state_bytes: int = 0
    dropped_rows: int = 0

    @property
    def id(self) -> str:
        """``group/name``: unique among all loaded rules."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class WhyRow:
    """Why one label set of a rule is in its state; ``near_miss`` says how far a false condition is from true.

    ``unit`` is that of value and threshold, ``contributor_unit`` that of the contributors; ``part_units`` are those of
    the parts by their text.
    """

    labels: Labels
    state: AlertState
    truth: int
    value: float
    threshold: float
    coverage_ratio: float
    reason: str
    explanation: Explanation
    near_miss: str = ""
    unit: str = ""
    contributor_unit: str = ""
    part_units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One signal of the catalogue: its value now, or why it is absent.

    ``as_of_ns`` is the time of the newest value of its input (of the oldest input where it has several); ``firing``
    says whether an alert of any of its rules fires (a condition that is true on too little data does not), `firing_rules` which,
    and `rule` is the one whose value stands for it. ``test`` is the file that tests that rule,
    ``metric`` and ``panel`` are where the value is shown, too.
    """

    id: str
    title: str
    value: float
    unit: str
    source: str
    as_of_ns: int = 0
    absent: str = ""
    coverage_ratio: float = 1.0
    rule: str = ""
    firing: bool = False
    firing_rules: tuple[str, ...] = ()
    input: str = ""
    test: str = ""
    metric: str = ""
    panel: str = ""
