"""The report for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from monitor import format as fmt
from monitor.backtest.history import Missing
from monitor.backtest.journal import Episode, Message
from monitor.backtest.report import SENT, Report, RuleReport, alert_text, names_of, weeks
from monitor.backtest.watch import Series
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.expression import unit_shown

MOST_EPISODES = 20
MOST_HELD = 3
MOST_MESSAGES = 12
MOST_LOSSES = 10
WHOLE = 0.9995
"""Live for so much of the time is always."""


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
    run, counts = report.run, report.outcome.counts
    if report.note:
        yield report.note
    span = f"{fmt.utc_time(report.stretch.start_ns)} to {fmt.utc_time(report.stretch.end_ns)}"
    yield f"{span} ({fmt.duration(report.stretch.length_ns)}), {how_often(report)}"
    if run.warm_from_ns < report.stretch.start_ns:
        yield f"windows were filled from {fmt.utc_time(run.warm_from_ns)} on"
    late = f" ({counts.late:,} of them late)" if counts.late else ""
    yield f"{_count(counts.events, 'event')}{late}, {_count(len(report.rules), 'rule')}"
    yield from ill_timed(report)


def how_often(report: Report) -> str:
    """``evaluated every 250ms, 4,000 times``."""
    times = f"{report.run.instants:,} times"
    if not report.run.grid_ns:
        return f"evaluated when the recording monitor did, {times}"
    return f"evaluated every {fmt.duration(report.run.grid_ns)}, {times}"


def ill_timed(report: Report) -> Iterator[str]:
    """What could not be counted at its own time."""
    counts = report.outcome.counts
    for count, words in (
        (counts.too_late, "events came too late to be counted"),
        (counts.invalid, "events were not finite numbers and are left out"),
        (counts.clock_rejected, "events bore a time too far from receipt; the time of receipt was taken"),
        (report.missing.steps_back, "times the recorder's clock ran back, or another tape is among the files"),
    ):
        if count:
            yield f"{count:,} {words}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _missing(missing: Missing) -> Iterator[str]:
    for loss in missing.losses[:MOST_LOSSES]:
        yield f"MISSING {loss}"
    if len(missing.losses) > MOST_LOSSES:
        yield f"MISSING and {len(missing.losses) - MOST_LOSSES} more places"
    yield from (f"MISSING {line}" for line in counted(missing))
    if not missing.total:
        yield "missing from the history: nothing that it knows of"


def counted(missing: Missing) -> Iterator[str]:
    """What is missing without a place: counts by reason."""
    for counter, words in (
        (missing.dropped, "records were never written"),
        (missing.skipped, "records could not be used"),
        (missing.undecoded, "frames could not be read"),
    ):
        for reason, count in sorted(counter.items()):
            yield f"{count:,} {words}: {reason}"


def _feeds(report: Report) -> Iterator[str]:
    liveness = report.run.liveness
    for venue, keys in groupby(sorted(liveness.spans), key=lambda key: key[0]):
        shares = {key: liveness.share(key, report.stretch) for key in keys}
        words = [_feed(key, share, report) for key, share in shares.items() if share < WHOLE]
        if words:
            yield f"not always live: {venue} {', '.join(words)}"


def _feed(key: Series, share: float, report: Report) -> str:
    gaps = len(report.run.liveness.gaps.get(key, ()))
    return f"{key[1]} {fmt.share(share)}" + (f" ({_count(gaps, 'gap')})" if gaps else "")


def _rule(rule: RuleReport, report: Report) -> Iterator[str]:
    yield f"{rule.rule.name}   {' '.join(rule.rule.text.split())}"
    facts = [f"fired {len(rule.fired)}", f"resolved {rule.resolved}"]
    facts += [f"pending and dropped {rule.dropped}"] if rule.dropped else []
    facts += [f"held {rule.held}"] if rule.held else []
    facts += [f"firing {fmt.duration(rule.firing_ns)} in all", f"{rule.sent} notifications", _warm(rule)]
    yield f"  {', '.join(facts)}"
    shown = rule.fired or list(rule.episodes)
    for episode in shown[:MOST_EPISODES]:
        yield from _episode(episode, report.stretch.end_ns, unit_shown(rule.rule.expr))
    if len(shown) > MOST_EPISODES:
        yield f"    and {len(shown) - MOST_EPISODES} more (--json has them all)"


def _warm(rule: RuleReport) -> str:
    if rule.watch.warm_ns is None:
        return "never had enough data to decide"
    return f"decided {fmt.pct(rule.known_ratio)} of the time, from {_clock(rule.watch.warm_ns)} on"


def _episode(episode: Episode, end_ns: int, unit: str) -> Iterator[str]:
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
    yield "    " + _joined(times, f"peak {fmt.against(episode.peak, first.threshold, unit)}", labels, severity)
    if behind := behind_text(episode):
        yield f"        behind it: {behind}"
    held = episode.held(end_ns)
    for start_ns, stop_ns in held[:MOST_HELD]:
        yield f"        held {_clock(start_ns)} for {fmt.duration(stop_ns - start_ns)}"
    if len(held) > MOST_HELD:
        yield f"        held {len(held) - MOST_HELD} more times"


def behind_text(episode: Episode, most: int = 3) -> str:
    """The largest contributors in words: ``long BTCUSDT binance_usdm 19%``; where they do not add up, their values."""
    return ", ".join(
        f"{contributor_text(part.labels)} {fmt.pct(part.share) if part.share else fmt.amount(part.value, episode.contributor_unit)}"
        for part in episode.contributors[:most]
    )


def contributor_text(labels: Labels) -> str:
    """The labels that tell a contributor from others: a symbol says its coins and its kind."""
    found = dict(labels)
    if "symbol" in found:
        for name in ("base", "quote", "kind", "market"):
            found.pop(name, None)
    return " ".join(found.values())


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
            unit = unit_shown(rule.rule.expr)
            span = f"between {fmt.in_unit(watch.low, unit)} and {fmt.amount(watch.high, unit)}"
            span = span if math.isfinite(watch.low) else ""
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
    lines = [
        f"  {_clock(at_ns)}  {title}  ({', '.join(message.sink for message in same)})"
        for (at_ns, title), same in groupby(sent, key=lambda message: (message.at_ns, message.title))
    ]
    yield from lines[:MOST_MESSAGES]
    if len(lines) > MOST_MESSAGES:
        yield f"  and {len(lines) - MOST_MESSAGES} more (--json has them all)"
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
