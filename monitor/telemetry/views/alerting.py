"""What became of alerts: sinks, history, deliveries, silences, acknowledgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SinkView:
    """One notification channel. ``outcomes`` counts attempts by outcome (``ok``, ``retry``, ``drop`` ...)."""

    name: str
    kind: str
    up: bool
    outcomes: Mapping[str, int] = field(default_factory=dict)
    outbox_depth: int = 0
    oldest_ns: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to an alert; ``kind`` is a state (``firing``) or an action (``acknowledged``)."""

    at_ns: int
    kind: str
    rule: str
    fingerprint: str
    labels: Mapping[str, str]
    value: float = float("nan")
    threshold: float = float("nan")
    coverage_ratio: float = float("nan")
    text: str = ""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which entries to return, newest first; 0 and "" mean: no limit of this kind."""

    since_ns: int = 0
    until_ns: int = 0
    rule: str = ""
    fingerprint: str = ""
    limit: int = 200


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """One label condition of a silence, as in Alertmanager; regular expressions are anchored at both ends."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True


@dataclass(frozen=True, slots=True)
class Silence:
    """Notifications of matching alerts are muted in [starts_ns, ends_ns); ``id`` is "" in a request for a new one."""

    matchers: tuple[LabelMatcher, ...]
    starts_ns: int
    ends_ns: int
    created_by: str
    comment: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Someone has seen this alert instance and takes care of it until ``until_ns``, or until it resolves.

    An acknowledgement that has expired is still listed while the instance is active. 0 asks for the usual hour.
    """

    fingerprint: str
    by: str
    at_ns: int
    comment: str = ""
    until_ns: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryEntry:
    """One line of the delivery log: what was sent to a sink, or why it was not. ``outcome`` is ok, retry, dead, silenced ..."""

    at_ns: int
    sink: str
    key: str
    fingerprints: tuple[str, ...]
    outcome: str
    reason: str
    attempts: int
    latency_ns: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notification that was given up; ``id`` is what `MonitorView.resend` takes."""

    id: int
    sink: str
    key: str
    title: str
    created_ns: int
    attempts: int
    reason: str
