"""The report for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from monitor import format as fmt
from monitor.backtest.history import Missing
from monitor.backtest.journal import Episode, Message
from monitor.backtest.report import SENT, Report, RuleReport, alert_text, names_of, weeks
from monitor.clock import NS_PER_S

MOST_EPISODES = 40
MOST_MESSAGES = 30
MOST_LOSSES = 10


def as_text(report: Report) -> str:
    """Everything that a person wants to read first."""
    return "\n".join(
        [
            *_head(report),
            *_missing(report.missing),
            *_feeds(report),
            "",
            *(line for rule in report.rules if rule.episodes for line in (*_rule(rule, report), "")),
            *_quiet([rule for rule in report.rules if not rule.episodes]),
            *_messages(report),
            *_weeks(report),
            *_foot(report),
        ]
    )


def _head(report: Report) -> Iterator[str]:
    run = report.run
    if report.note:
        yield report.note
    span = f"{fmt.utc_time(report.stretch.start_ns)} to {fmt.utc_time(report.stretch.end_ns)}"
    yield f"{span} ({fmt.duration(report.stretch.length_ns)}), evaluated every {fmt.duration(run.grid_ns)}"
    if run.warm_from_ns < report.stretch.start_ns:
        yield f"windows were filled from {fmt.utc_time(run.warm_from_ns)} on"
    counts = report.lane.counts
    late = f", {counts.late:,} of them late" if counts.late else ""
    yield f"{counts.events:,} events{late}, {run.instants:,} evaluations, {len(report.rules)} rules"
    for count, words in (
        (counts.too_late, "events came too late to be counted"),
        (counts.invalid, "events were not finite numbers and are left out"),
        (counts.clock_rejected, "events bore a time too far from receipt; the time of receipt was taken"),
    ):
        if count:
            yield f"{count:,} {words}"


def _missing(missing: Missing) -> Iterator[str]:
    if not missing.total:
        yield "missing from the history: nothing that it knows of"
        return
    for loss in missing.losses[:MOST_LOSSES]:
        yield f"MISSING {loss}"
    if len(missing.losses) > MOST_LOSSES:
        yield f"MISSING and {len(missing.losses) - MOST_LOSSES} more places"
    for counter, words in (
        (missing.dropped, "records were never written"),
        (missing.skipped, "records could not be used"),
        (missing.undecoded, "frames could not be read"),
    ):
        for reason, count in sorted(counter.items()):
            yield f"MISSING {count:,} {words}: {reason}"


def _feeds(report: Report) -> Iterator[str]:
    liveness = report.run.liveness
    for key in sorted(liveness.spans):
        share = liveness.share(key, report.stretch)
        if share < 0.9995:
            gaps = len(liveness.gaps.get(key, ()))
            more = f", {gaps} gaps" if gaps else ""
            yield f"MISSING {key[0]} {key[1]}: live {fmt.pct(share)} of the time{more}"


def _rule(rule: RuleReport, report: Report) -> Iterator[str]:
    yield f"{rule.rule.name}   {rule.rule.text}"
    facts = [f"fired {len(rule.fired)}", f"resolved {rule.resolved}"]
    facts += [f"pending and dropped {rule.dropped}"] if rule.dropped else []
    facts += [f"held {rule.held}"] if rule.held else []
    facts += [f"firing {fmt.duration(rule.firing_ns)} in all", f"{rule.sent} notifications", _warm(rule)]
    yield f"  {', '.join(facts)}"
    shown = rule.fired or list(rule.episodes)
    for episode in shown[:MOST_EPISODES]:
        yield from _episode(episode, report.stretch.end_ns)
    if len(shown) > MOST_EPISODES:
        yield f"    and {len(shown) - MOST_EPISODES} more (--json has them all)"


def _warm(rule: RuleReport) -> str:
    if rule.watch.warm_ns is None:
        return "never had enough data to decide"
    return f"decided {fmt.pct(rule.known_ratio)} of the time, from {_clock(rule.watch.warm_ns)} on"


def _episode(episode: Episode, end_ns: int) -> Iterator[str]:
    labels = alert_text("", episode.labels).strip(" ()")
    severity = f"[{episode.severity}]" if episode.severity else ""
    if episode.fired_ns is None:
        over = "still pending" if episode.end_ns is None else f"dropped {_clock(episode.end_ns)}"
        yield "    " + _joined(f"pending {_clock(episode.pending_ns)}  {over}", labels, severity)
        return
    waited = f"pending {_clock(episode.pending_ns)}  " if episode.pending_ns < episode.fired_ns else ""
    over = "still firing" if episode.end_ns is None else f"resolved {_clock(episode.end_ns)}"
    lasted = fmt.duration(episode.firing_ns(end_ns))
    times = f"{waited}fired {_clock(episode.fired_ns)}  {over}  after {lasted}"
    first = next(moment for moment in episode.moments if moment.at_ns == episode.fired_ns)
    peak = f"peak {fmt.num(episode.peak)}" + ("" if first.threshold is None else f" against {fmt.num(first.threshold)}")
    yield "    " + _joined(times, peak, labels, severity)
    if episode.contributors:
        parts = (
            f"{' '.join(value for _, value in part.labels)} {fmt.pct(part.share) if part.share else fmt.num(part.value)}"
            for part in episode.contributors[:3]
        )
        yield f"        from {', '.join(parts)}"
    for start_ns, stop_ns in episode.held(end_ns):
        yield f"        held {_clock(start_ns)} for {fmt.duration(stop_ns - start_ns)}"


def _joined(*parts: str) -> str:
    return "  ".join(part for part in parts if part)


def _quiet(rules: Sequence[RuleReport]) -> Iterator[str]:
    if not rules:
        return
    yield f"never true ({len(rules)}):"
    width = max(len(rule.rule.name) for rule in rules)
    for rule in rules:
        watch = rule.watch
        if watch.warm_ns is None:
            yield f"  {rule.rule.name:<{width}}  never had enough data to decide"
        else:
            known = math.isfinite(watch.low)
            span = f"between {fmt.num(watch.low)} and {fmt.num(watch.high)}" if known else ""
            yield f"  {rule.rule.name:<{width}}  {_joined(span, _warm(rule))}"
    yield ""


def _messages(report: Report) -> Iterator[str]:
    sent = [message for message in report.messages if message.outcome in SENT]
    kept = Counter((message.sink, message.outcome) for message in report.messages if message.outcome not in SENT)
    if not sent and not kept:
        return
    by_sink = Counter(message.sink for message in sent)
    words = ", ".join(f"{count} to {sink}" for sink, count in sorted(by_sink.items()))
    yield f"notifications after routing: {words or 'none'}"
    for message in sent[:MOST_MESSAGES]:
        yield f"  {_clock(message.at_ns)}  {message.sink}  {message.title}"
    if len(sent) > MOST_MESSAGES:
        yield f"  and {len(sent) - MOST_MESSAGES} more (--json has them all)"
    names = names_of(report)
    for (sink, outcome), count in sorted(kept.items()):
        example = next(m for m in report.messages if (m.sink, m.outcome) == (sink, outcome))
        yield f"  {count} not sent to {sink}: {outcome} ({_example(example, names)})"
    yield ""


def _example(message: Message, names: Mapping[str, str]) -> str:
    about = names.get(message.alerts[0], "") if message.alerts else ""
    return f"{about}: {message.reason}" if about else message.reason


def _weeks(report: Report) -> Iterator[str]:
    table = weeks(report)
    yield "fired per week"
    for week in table:
        by_rule = ", ".join(f"{name} {count}" for name, count in week["by_rule"].items())
        yield f"  {week['week']}  {week['fired']:>5}  {by_rule}"


def _foot(report: Report) -> Iterator[str]:
    if report.stretch.length_ns < 7 * 86_400 * NS_PER_S:
        yield f"  (the stretch is {fmt.pct(report.weeks)} of a week)"


def _clock(at_ns: int) -> str:
    """``2025-11-21 07:41:12.250``: to the millisecond where it is not a whole second."""
    text = fmt.utc_time(at_ns).removesuffix("Z")
    left_ms = at_ns % NS_PER_S // 1_000_000
    return f"{text}.{left_ms:03d}" if left_ms else text
