"""What came out of a run as one plain value: figures per rule and per week, what would have been sent, what is missing.

Nothing in it depends on the machine or on when it was made: the same history, configuration and rules give the same
report, byte for byte. Times are text (UTC), lengths of time seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from monitor.alert import severity_rank
from monitor.backtest.history import Missing, Stretch
from monitor.backtest.journal import Episode, Journal, Message
from monitor.backtest.run import Counts, Run
from monitor.backtest.watch import RuleWatch, Watch
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.rule import Rule

VERSION = 1
"""Of the JSON form; rises when a key changes its meaning or goes."""
WEEK_NS = 7 * 86_400 * NS_PER_S
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule's figures over the stretch; ``watch`` holds its readings."""

    rule: Rule
    watch: RuleWatch
    episodes: tuple[Episode, ...]
    messages: tuple[Message, ...]
    stretch: Stretch

    @property
    def fired(self) -> list[Episode]:
        """The episodes that fired."""
        return [episode for episode in self.episodes if episode.fired_ns is not None]

    @property
    def dropped(self) -> int:
        """Episodes that were pending and never fired."""
        return sum(episode.fired_ns is None and episode.end_ns is not None for episode in self.episodes)

    @property
    def resolved(self) -> int:
        """Episodes that fired and were over before the end."""
        return sum(episode.resolved_ns is not None for episode in self.episodes)

    @property
    def held(self) -> int:
        """Times that an alert was held for want of data."""
        return sum(len(episode.held(self.stretch.end_ns)) for episode in self.episodes)

    @property
    def firing_ns(self) -> int:
        """Time in which at least one of its alerts fired."""
        spans = sorted((e.fired_ns, e.end_ns or self.stretch.end_ns) for e in self.fired if e.fired_ns is not None)
        return union_ns(spans)

    @property
    def sent(self) -> int:
        """Notifications about its alerts; one that is about several rules counts for each."""
        return sum(message.outcome in SENT for message in self.messages)

    @property
    def known_ratio(self) -> float:
        """Share of the samples at which it could decide about a label set."""
        return self.watch.known / self.watch.looks if self.watch.looks else 0.0

    @property
    def extremes(self) -> tuple[float, float]:
        """Least and greatest value at the samples and in what its alerts told; NaN: none.

        Samples are hundreds over the whole stretch, so an hour's worst minute may lie between two of them; an alert has seen it.
        """
        told = [moment.value for episode in self.episodes for moment in episode.moments]
        told += [episode.peak for episode in self.episodes]
        values = [value for value in told if value is not None and math.isfinite(value)]
        values += [value for value in (self.watch.low, self.watch.high) if math.isfinite(value)]
        return min(values, default=math.nan), max(values, default=math.nan)


SENT = frozenset({"send", "digest"})


class Outcome(Protocol):
    """What a set of rules left behind: a lane of a run on a grid, or an exact rerun."""

    @property
    def journal(self) -> Journal:
        """What was decided."""
        ...

    @property
    def watch(self) -> Watch:
        """Readings."""
        ...

    @property
    def counts(self) -> Counts:
        """What went in."""
        ...


class Origin(Protocol):
    """Where the data came from; a `monitor.backtest.history.History` is one."""

    @property
    def kind(self) -> str:
        """Name of the source."""
        ...

    @property
    def note(self) -> str:
        """What its maker says of it."""
        ...

    def missing(self) -> Missing:
        """What it did not have."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told of a run."""

    run: Run
    kind: str
    note: str
    missing: Missing
    rules: tuple[RuleReport, ...]
    outcome: Outcome

    @property
    def stretch(self) -> Stretch:
        """What was looked at."""
        return self.run.stretch

    @property
    def weeks(self) -> float:
        """Length of the stretch in weeks."""
        return self.stretch.length_ns / WEEK_NS

    @property
    def fired(self) -> int:
        """Firings of all rules."""
        return sum(len(rule.fired) for rule in self.rules)

    @property
    def messages(self) -> list[Message]:
        """Everything that would have been sent, or why not, in order."""
        return self.outcome.journal.messages


def make_report(run: Run, origin: Origin, outcome: Outcome) -> Report:
    """The report of one set of rules."""
    by_rule: dict[str, list[Episode]] = {}
    rule_of: dict[str, str] = {}
    for episode in outcome.journal.episodes:
        by_rule.setdefault(episode.rule, []).append(episode)
        rule_of[episode.fingerprint] = episode.rule
    messages: dict[str, list[Message]] = {}
    for message in outcome.journal.messages:
        for rule_id in dict.fromkeys(rule_of[alert] for alert in message.alerts if alert in rule_of):
            messages.setdefault(rule_id, []).append(message)
    rules = tuple(
        RuleReport(watch.rule, watch, tuple(by_rule.get(rule_id, ())), tuple(messages.get(rule_id, ())), run.stretch)
        for rule_id, watch in outcome.watch.rules.items()
    )
    return Report(run, origin.kind, origin.note, origin.missing(), rules, outcome)


def union_ns(spans: Sequence[tuple[int, int]]) -> int:
    """Length of the union of spans, which are sorted by start."""
    total, reached = 0, 0
    for start, end in spans:
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


# -- the plain form ----------------------------------------------------------------------------------------------------


def as_plain(report: Report) -> dict[str, Any]:
    """The report as what JSON can say."""
    run, counts = report.run, report.outcome.counts
    return {
        "version": VERSION,
        "history": report.kind,
        "note": report.note,
        "from": time_text(report.stretch.start_ns),
        "to": time_text(report.stretch.end_ns),
        "warm_from": time_text(run.warm_from_ns),
        "grid_s": run.grid_ns / NS_PER_S if run.grid_ns else None,
        "evaluations": run.instants,
        "events": counts.events,
        "events_late": counts.late,
        "events_too_late": counts.too_late,
        "events_invalid": counts.invalid,
        "events_clock_rejected": counts.clock_rejected,
        "missing": plain_missing(report.missing),
        "feeds": _plain_feeds(report),
        "totals": {
            "fired": report.fired,
            "fired_per_week": rounded(report.fired / report.weeks),
            "sent": sum(message.outcome in SENT for message in report.messages),
            "not_sent": dict(sorted(Counter(m.outcome for m in report.messages if m.outcome not in SENT).items())),
        },
        "weeks": weeks(report),
        "rules": [plain_rule(rule, report) for rule in report.rules],
        "notifications": [_plain_message(message, names_of(report)) for message in report.messages],
    }


def plain_missing(missing: Missing) -> dict[str, Any]:
    """What the history does not have."""
    return {
        "total": missing.total,
        "losses": list(missing.losses),
        "dropped": dict(sorted(missing.dropped.items())),
        "skipped": dict(sorted(missing.skipped.items())),
        "undecoded": dict(sorted(missing.undecoded.items())),
        "steps_back": missing.steps_back,
    }


def _plain_feeds(report: Report) -> list[dict[str, Any]]:
    liveness = report.run.liveness
    return [
        {
            "venue": key[0],
            "channel": str(key[1]),
            "live_ratio": rounded(liveness.share(key, report.stretch)),
            "gaps": len(liveness.gaps.get(key, ())),
        }
        for key in sorted(liveness.spans)
    ]


def weeks(report: Report) -> list[dict[str, Any]]:
    """Firings per ISO week and rule, weeks in order, also those without any."""
    first, last = (_week(ns) for ns in (report.stretch.start_ns, report.stretch.end_ns - 1))
    found: dict[str, Counter[str]] = {}
    week = first
    while week <= last:
        found[_week_name(week)] = Counter()
        week += timedelta(days=7)
    for rule in report.rules:
        for episode in rule.fired:
            if episode.fired_ns is not None:
                found.setdefault(_week_name(_week(episode.fired_ns)), Counter())[rule.rule.name] += 1
    return [
        {"week": name, "fired": counts.total(), "by_rule": dict(sorted(counts.items()))}
        for name, counts in sorted(found.items())
    ]


def _week(at_ns: int) -> datetime:
    day = (_EPOCH + timedelta(seconds=at_ns // NS_PER_S)).replace(hour=0, minute=0, second=0)
    return day - timedelta(days=day.weekday())


def _week_name(monday: datetime) -> str:
    year, week, _ = monday.isocalendar()
    return f"{year}-W{week:02d}"


def plain_rule(report: RuleReport, whole: Report) -> dict[str, Any]:
    """One rule."""
    rule, watch, episodes = report.rule, report.watch, report.episodes
    lowest, highest = report.extremes
    return {
        "name": rule.name,
        "group": rule.group,
        "expr": rule.text,
        "fired": len(report.fired),
        "fired_per_week": rounded(len(report.fired) / whole.weeks),
        "pending_dropped": report.dropped,
        "resolved": report.resolved,
        "held": report.held,
        "firing_s": seconds(report.firing_ns),
        "longest_s": seconds(max((e.firing_ns(whole.stretch.end_ns) for e in episodes), default=0)),
        "sent": report.sent,
        "warm_at": None if watch.warm_ns is None else time_text(watch.warm_ns),
        "known_ratio": rounded(report.known_ratio),
        "label_sets": watch.label_sets,
        "lowest": number(lowest),
        "highest": number(highest),
        "alerts": [_plain_episode(episode, whole.stretch) for episode in episodes],
    }


def _plain_episode(episode: Episode, stretch: Stretch) -> dict[str, Any]:
    first = next((m for m in episode.moments if m.at_ns == episode.fired_ns), episode.moments[0])
    return {
        "labels": dict(episode.labels),
        "fingerprint": episode.fingerprint,
        "state": str(episode.state),
        "severity": max((m.severity for m in episode.moments), key=severity_rank),
        "pending_at": time_text(episode.pending_ns),
        "fired_at": _maybe_time(episode.fired_ns),
        "resolved_at": _maybe_time(episode.resolved_ns),
        "ended_at": _maybe_time(episode.end_ns),
        "firing_s": seconds(episode.firing_ns(stretch.end_ns)),
        "sent": episode.sent,
        "value": number(first.value),
        "threshold": number(first.threshold),
        "coverage": number(first.coverage),
        "peak": number(episode.peak),
        "summary": episode.summary,
        "largest": episode.largest,
        "contributors": [
            {"labels": dict(part.labels), "value": number(part.value), "share": number(part.share)}
            for part in episode.contributors
        ],
        "held": [{"from": time_text(start), "to": time_text(end)} for start, end in episode.held(stretch.end_ns)],
        "moments": [
            {
                "at": time_text(moment.at_ns),
                "state": str(moment.state),
                "severity": moment.severity,
                "value": number(moment.value),
                "threshold": number(moment.threshold),
                "coverage": number(moment.coverage),
                "reason": moment.reason,
            }
            for moment in episode.moments
        ],
    }


def names_of(report: Report) -> Mapping[str, str]:
    """Names of alerts with their labels, by fingerprint."""
    return {
        episode.fingerprint: alert_text(episode.name, episode.labels) for episode in report.outcome.journal.episodes
    }


def alert_text(name: str, labels: Labels) -> str:
    """``CoinLiquidations (base=BTC)``; the severity is left out."""
    words = ", ".join(f"{key}={value}" for key, value in labels if key != "severity")
    return f"{name} ({words})" if words else name


def _plain_message(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "at": time_text(message.at_ns),
        "sink": message.sink,
        "outcome": message.outcome,
        "status": message.status,
        "title": message.title,
        "reason": message.reason,
        "alerts": [names.get(alert, alert) for alert in message.alerts],
    }


def time_text(at_ns: int) -> str:
    """RFC 3339 in UTC, to the millisecond or as exactly as needed.

    >>> time_text(1_763_701_200_250_000_000)
    '2025-11-21T05:00:00.250Z'
    """
    whole, left = divmod(at_ns, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{left // 1_000_000:03d}Z" if left % 1_000_000 == 0 else f"{text}.{left:09d}Z"


def _maybe_time(at_ns: int | None) -> str | None:
    return None if at_ns is None else time_text(at_ns)


def seconds(length_ns: int) -> float:
    """Nanoseconds as seconds, to the millisecond."""
    return round(length_ns / NS_PER_S, 3)


def number(value: float | None) -> float | None:
    """A finite number, or None."""
    return value if value is not None and math.isfinite(value) else None


def rounded(value: float) -> float:
    """To six digits behind the point: enough for people, and equal on every machine."""
    return round(value, 6)
