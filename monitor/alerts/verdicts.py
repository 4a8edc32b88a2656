"""What a sink is to be told of one alert now, or why it is told nothing. Pure: it looks, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.alert import AlertState, AlertView, severity_rank
from monitor.alerts import message
from monitor.alerts.inhibition import Inhibition
from monitor.alerts.plans import NEVER, SinkPolicy, Told
from monitor.alerts.quiet import Quiet
from monitor.alerts.routes import Route
from monitor.clock import NS_PER_S
from monitor.sink import Status

_RECHECK_NS = 5 * NS_PER_S
"""When an alert that another keeps quiet is looked at again."""
_MINUTE_NS = 60 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Case:
    """One alert before one sink.

    Attributes:
        sink: What must be known of the sink.
        alert: The alert as it is.
        route: By which it came here.
        told: What the sink was last told of it, None for nothing.
        waits: Whether it waits for the sink's digest.
    """

    sink: SinkPolicy
    alert: AlertView
    route: Route
    told: Told | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say: ``status``, or None with the outcome; the reason for either, and when to look again."""

    status: Status | None
    outcome: str
    reason: str
    again_ns: int = NEVER


class Judge:
    """Compares what is with what was told, and asks who or what wants it kept quiet."""

    def __init__(self, quiet: Quiet, inhibition: Inhibition) -> None:
        self._quiet = quiet
        self._inhibition = inhibition

    def verdict(self, case: Case, now_ns: int) -> Verdict:
        """What to say now."""
        news = self._news(case, now_ns)
        if news.status is None:
            return news
        return self.hush(case, news.status, now_ns) or news

    # -- what is new ---------------------------------------------------------------------------------------------------

    def _news(self, case: Case, now_ns: int) -> Verdict:
        """What has changed since the sink was last told."""
        alert, told = case.alert, case.told
        if alert.state is AlertState.RESOLVED:
            return _news_of_end(case)
        if told is None:
            return _say("firing", alert.reason)
        if told.view.starts_at_ns != alert.starts_at_ns:
            return _say("firing", f"fires again; {alert.reason}")
        climbed = severity_rank(alert.severity) - severity_rank(told.view.severity)
        if climbed:
            return _say("escalated" if climbed > 0 else "deescalated", alert.reason)
        return self._news_of_data(case, told, now_ns)

    def _news_of_data(self, case: Case, told: Told, now_ns: int) -> Verdict:
        """Held for long enough to be told, or back from that; else perhaps a repeat."""
        alert = case.alert
        if alert.state is AlertState.FIRING:
            if told.status == "held":
                return _say("firing", alert.reason)
            return self._repeat(case, told, now_ns, NEVER)
        tell_ns = NEVER if told.status == "held" else alert.updated_ns + case.route.held_after_ns
        if tell_ns <= now_ns:
            return _say("held", alert.reason)
        return self._repeat(case, told, now_ns, tell_ns)

    def _repeat(self, case: Case, told: Told, now_ns: int, again_ns: int) -> Verdict:
        ack = self._quiet.acknowledgement(case.alert)
        if ack is not None and told.at_ns < ack.until_ns <= now_ns:
            return _say("repeat", f"the acknowledgement by {ack.by} has expired and it still fires")
        due_ns = told.at_ns + case.route.repeat_interval_ns
        if ack is not None and now_ns < ack.until_ns:
            return Verdict(None, "", "acknowledged", min(again_ns, ack.until_ns))
        if due_ns <= now_ns:
            return _say("repeat", "it still fires")
        return Verdict(None, "", "", min(again_ns, due_ns))

    # -- what keeps it quiet -------------------------------------------------------------------------------------------

    def hush(self, case: Case, status: Status, now_ns: int) -> Verdict | None:
        """A reason not to say it now, or None. Whom the worse was told is told that it is milder, or over."""
        sink = case.sink
        if _is_too_mild(case.alert, sink) and status not in {"deescalated", "resolved"}:
            return Verdict(None, "below_severity", f"{sink.name} takes {sink.min_severity} and worse")
        muted = self._quiet.muted_by(case.route, now_ns)
        if muted:
            return Verdict(None, "muted", muted, (now_ns // _MINUTE_NS + 1) * _MINUTE_NS)
        if status == "resolved":
            return None  # what was announced is called off, silence or not
        return self._silenced(case.alert, now_ns) or self._taken_care_of(case.alert, status, now_ns)

    def _silenced(self, alert: AlertView, now_ns: int) -> Verdict | None:
        silence = next(iter(self._quiet.silencing(alert, now_ns)), None)
        if silence is None:
            return None
        reason = f"silence {silence.id} by {silence.created_by}: {silence.comment}"
        return Verdict(None, "silenced", reason, silence.ends_ns)

    def _taken_care_of(self, alert: AlertView, status: Status, now_ns: int) -> Verdict | None:
        source = self._inhibition.source(alert)
        if source is not None:
            return Verdict(None, "inhibited", f"{message.name(source)} fires", now_ns + _RECHECK_NS)
        ack = self._quiet.acknowledgement(alert)
        if ack is not None and now_ns < ack.until_ns and status != "escalated":
            return Verdict(None, "acknowledged", f"acknowledged by {ack.by}", ack.until_ns)
        return None


def _say(status: Status, reason: str) -> Verdict:
    return Verdict(status, "send", reason)


def _news_of_end(case: Case) -> Verdict:
    if case.told is None and not case.waits:
        return Verdict(None, "unannounced", "resolved before it was announced here")
    return _say("resolved", case.alert.reason)


def _is_too_mild(alert: AlertView, sink: SinkPolicy) -> bool:
    return bool(sink.min_severity) and severity_rank(alert.severity) < severity_rank(sink.min_severity)
