"""What the alert desk decided, as it decides it: the lives of alerts, and what would have been sent to whom. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.alert import AlertState, AlertView, Transition
from monitor.events import Labels
from monitor.reading import Contributor
from monitor.runtime.alerting.change import Change, Delivered, Outgoing

ACTIVE = frozenset({AlertState.FIRING, AlertState.HELD})
OVER = frozenset({AlertState.RESOLVED, AlertState.INACTIVE})
MOST_CONTRIBUTORS = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """One change of an alert, or of its severity, with the reading of that instant."""

    at_ns: int
    state: AlertState
    reason: str
    value: float | None
    threshold: float | None
    coverage: float | None
    severity: str


@dataclass(slots=True)
class Episode:
    """One life of one alert: from when its condition began to hold until it was over, or the history ended.

    Attributes:
        rule: The rule's identity, ``group/name``.
        name: ``alertname``.
        labels: What tells it from the rule's other alerts (identity without ``alertname``).
        series: Labels of the row of the rule's readings.
        fingerprint: Identity of the alert; a later episode may have the same.
        moments: Everything that happened to it, in order.
        peak: The value farthest beyond the threshold.
        contributors: What stood behind the reading when it fired, largest first.
        contributor_unit: In which unit they are.
        largest: The largest single event of the window when it fired, in words.
        summary: The rendered ``summary`` annotation of the firing.
        end_ns: When it was over; None while it is not.
        sent: Notifications that would have gone out about it.
    """

    rule: str
    name: str
    labels: Labels
    series: Labels
    fingerprint: str
    moments: list[Moment] = field(default_factory=list)
    peak: float | None = None
    contributors: tuple[Contributor, ...] = ()
    contributor_unit: str = ""
    largest: str = ""
    summary: str = ""
    end_ns: int | None = None
    sent: int = 0

    @property
    def pending_ns(self) -> int:
        """When its condition began to hold."""
        return self.moments[0].at_ns

    @property
    def fired_ns(self) -> int | None:
        """When it fired; None if it never did."""
        return next((moment.at_ns for moment in self.moments if moment.state in ACTIVE), None)

    @property
    def resolved_ns(self) -> int | None:
        """When it was called off; None while it fires or if it never did."""
        return self.end_ns if self.fired_ns is not None else None

    @property
    def state(self) -> AlertState:
        """Where it stood last."""
        return self.moments[-1].state

    @property
    def severity(self) -> str:
        """The severity that it had last."""
        return self.moments[-1].severity

    def firing_ns(self, until_ns: int) -> int:
        """How long it fired, held or not; to `until_ns` if it still does (the last instant may lie behind that)."""
        fired_ns = self.fired_ns
        return 0 if fired_ns is None else max(0, (self.end_ns or until_ns) - fired_ns)

    def held(self, until_ns: int) -> list[tuple[int, int]]:
        """The spans in which it was held for want of data."""
        last_ns = self.end_ns or max(until_ns, self.moments[-1].at_ns)
        ends = [moment.at_ns for moment in self.moments[1:]] + [last_ns]
        spans = zip(self.moments, ends, strict=True)
        return [(moment.at_ns, end_ns) for moment, end_ns in spans if moment.state is AlertState.HELD]

    def hear(self, transition: Transition) -> None:
        """Note a change."""
        alert = transition.alert
        self.moments.append(_moment(transition))
        self.peak = alert.peak if alert.peak is not None else self.peak
        if transition.state is AlertState.FIRING and alert.explanation is not None and not self.contributors:
            self.contributors = alert.explanation.contributors[:MOST_CONTRIBUTORS]
            self.contributor_unit = alert.explanation.unit
            self.largest = alert.explanation.largest
            self.summary = alert.annotation_map().get("summary", "")
        if transition.state in OVER:
            self.end_ns = transition.at_ns


@dataclass(frozen=True, slots=True)
class Message:
    """A notification that would have gone out, or why none did.

    ``outcome``: send, or why nothing was sent (silenced, inhibited, muted, below_severity, unannounced ...).
    ``alerts`` are the identities (fingerprints) of the alerts that it is about.
    """

    at_ns: int
    sink: str
    outcome: str
    status: str
    title: str
    reason: str
    alerts: tuple[str, ...]


@dataclass(slots=True)
class Journal:
    """Takes the place of the outbox behind an alert desk: what would be delivered is noted instead."""

    episodes: list[Episode] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    transitions: int = 0
    _open: dict[str, Episode] = field(default_factory=dict)
    _latest: dict[str, Episode] = field(default_factory=dict)

    def submit(self, change: Change) -> None:
        """Note one step's decisions."""
        self.hear(change.transitions)
        for item in change.outgoing:
            if item.notification.status == "heartbeat":
                continue  # one a minute, and about no alert
            self.messages.append(_sent(item))
            for alert in item.notification.alerts:
                self._latest[alert.fingerprint].sent += 1
        self.messages += [_not_sent(item) for item in change.delivered]

    def hear(self, transitions: Sequence[Transition]) -> None:
        """Note what became of alerts."""
        for transition in transitions:
            self.transitions += 1
            alert = transition.alert
            episode = self._open.get(alert.fingerprint)
            if episode is None:
                episode = self._open[alert.fingerprint] = self._latest[alert.fingerprint] = _begin(alert)
                self.episodes.append(episode)
            episode.hear(transition)
            if episode.end_ns is not None:
                del self._open[alert.fingerprint]

    def refresh(self, alerts: Sequence[AlertView]) -> None:
        """Take over the peaks of alerts that are not over."""
        for alert in alerts:
            if alert.fingerprint in self._open and alert.peak is not None:
                self._open[alert.fingerprint].peak = alert.peak


def _begin(alert: AlertView) -> Episode:
    labels = tuple((name, value) for name, value in alert.identity if name != "alertname")
    return Episode(alert.rule, alert.name, labels, alert.series, alert.fingerprint)


def _moment(transition: Transition) -> Moment:
    alert = transition.alert
    return Moment(
        transition.at_ns,
        transition.state,
        transition.reason,
        alert.value,
        alert.threshold,
        alert.coverage,
        alert.severity,
    )


def _sent(item: Outgoing) -> Message:
    note = item.notification
    alerts = tuple(alert.fingerprint for alert in note.alerts)
    return Message(note.at_ns, item.sink, "send", note.status, note.title, note.reason, alerts)


def _not_sent(item: Delivered) -> Message:
    return Message(item.at_ns, item.sink, item.outcome, "", "", item.reason, tuple(item.fingerprints))
