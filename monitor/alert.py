"""An alert as the outside world sees it, and a change of its state. Immutable values, fit for JSON: missing is None.

``starts_at_ns`` is event time: the moment the condition began to hold plus ``for``. It does not depend on when this
process happened to look, so that two monitors on the same feeds report the same start.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitor.events import Labels
from monitor.reading import Explanation


class AlertState(StrEnum):
    """Where an alert stands in its life cycle; see ``docs/alerts.md``."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    HELD = "held"
    RESOLVED = "resolved"


SEVERITIES = ("", "none", "info", "low", "warning", "medium", "high", "error", "critical", "page", "emergency")
"""Severities, mildest first; a word that is not here ranks with ``warning``."""


def severity_rank(severity: str) -> int:
    """Order of a severity, higher is worse.

    >>> severity_rank("critical") > severity_rank("warning") == severity_rank("odd")
    True
    """
    return SEVERITIES.index(severity) if severity in SEVERITIES else SEVERITIES.index("warning")


def meant_severity(word: str) -> str:
    """The severity that a slip of the pen stands for; "" where the word is one, or somebody's own.

    >>> meant_severity("critcal"), meant_severity("Critical"), meant_severity("critical"), meant_severity("P1")
    ('critical', 'critical', '', '')
    """
    if word in SEVERITIES:
        return ""
    return next(iter(difflib.get_close_matches(word.lower()[:40], SEVERITIES, n=1, cutoff=0.8)), "")


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert instance at one instant.

    Attributes:
        rule: The rule's identity, ``group/name``.
        fingerprint: Identity of the instance: Alertmanager's hash of ``identity``.
        identity: Labels that make the identity, with ``alertname``; a ladder's severity is not among them.
        labels: ``identity`` plus, for a ladder, the present severity.
        series: Labels of the row of the evaluation.
        annotations: Rendered texts.
        state: Where it stands.
        value: The reading; None when missing.
        threshold: What it was compared with; None when there is none.
        coverage: 0..1, how complete the data behind the reading is.
        lower_bound: Whether it fires on incomplete data because what did arrive is already enough.
        active_since_ns: Event time at which the condition began to hold.
        starts_at_ns: Event time of firing; 0 while pending.
        ends_at_ns: Event time of resolution; 0 until then.
        updated_ns: Event time of this view.
        peak: The value farthest beyond the threshold so far.
        reason: Why it is in this state, in words.
        severity: The value of the ``severity`` label, or "".
        level: Index in the ladder; -1 without a ladder.
        flapping: Whether it fired so often lately that it resolves only after a calm spell.
        explanation: What stands behind the reading, when it was asked for.
        unit: Of value, threshold and peak, as in `monitor.series.Unit`; texts are written in it.
    """

    rule: str
    fingerprint: str
    identity: Labels
    labels: Labels
    series: Labels
    annotations: Labels
    state: AlertState
    value: float | None
    threshold: float | None
    coverage: float | None
    lower_bound: bool
    active_since_ns: int
    starts_at_ns: int
    ends_at_ns: int
    updated_ns: int
    peak: float | None
    reason: str
    severity: str = ""
    level: int = -1
    flapping: bool = False
    explanation: Explanation | None = None
    unit: str = ""

    @property
    def name(self) -> str:
        """The ``alertname`` label."""
        return self.label("alertname")

    @property
    def duration_ns(self) -> int:
        """How long it has been firing, or was."""
        if not self.starts_at_ns:
            return 0
        return max((self.ends_at_ns or self.updated_ns) - self.starts_at_ns, 0)

    @property
    def going_on_ns(self) -> int:
        """How long it has been going on, or did: since its condition became true, which is ``for`` before it fires."""
        return max((self.ends_at_ns or self.updated_ns) - self.active_since_ns, 0)

    def label(self, name: str) -> str:
        """The value of a label, or ""."""
        return dict(self.labels).get(name, "")

    def label_map(self) -> Mapping[str, str]:
        """Labels as a dictionary."""
        return dict(self.labels)

    def annotation_map(self) -> Mapping[str, str]:
        """Annotations as a dictionary."""
        return dict(self.annotations)


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state, or of severity within firing, of one alert.

    ``at_ns`` is the event time of the evaluation that caused it.
    """

    alert: AlertView
    previous: AlertState
    state: AlertState
    at_ns: int
    reason: str
    escalation: int = 0
    """+1: the severity rose, -1: it fell, 0: it did not change."""


@dataclass(frozen=True, slots=True)
class SavedAlert:
    """What must survive a restart of one active alert; one row of the store."""

    view: AlertView
    keep_since_ns: int = 0
    lower_since_ns: int = 0
    unseen_ns: int = 0
    unknown_since_ns: int = 0
    seen_ns: int = 0
    missing_since_ns: int = 0
    rising: bool = True
    fires_ns: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """A small record that must survive a restart: what routing told whom, a silence, an acknowledgement."""

    kind: str
    id: str
    payload: bytes
