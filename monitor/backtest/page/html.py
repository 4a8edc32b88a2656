"""The report as one HTML file that asks for nothing from outside: style, script and charts are inside it."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files

from monitor import __version__
from monitor import format as fmt
from monitor.alert import AlertState
from monitor.backtest.ask import Answer, SweepTable, sweep_cells, sweep_heads
from monitor.backtest.compare import difference_text
from monitor.backtest.history import Stretch
from monitor.backtest.journal import Episode
from monitor.backtest.page.chart import PRICE_HEIGHT, VALUE_HEIGHT, Panel, Shade, bars, draw, strip
from monitor.backtest.report import SENT, Report, RuleReport, alert_text, names_of, weeks
from monitor.backtest.text import behind_text, contributor_text, counted, how_often, ill_timed
from monitor.backtest.watch import Line, live_share
from monitor.events import Labels
from monitor.expression import unit_shown

MOST_CHARTS = 4
"""Label sets of one rule that get a chart; the table has all."""
MOST_ROWS = 1000
BEGINNINGS = frozenset({AlertState.PENDING, AlertState.FIRING})
Span = tuple[int, int]
TITLE = "Backtest"
LEGEND = (("firing", "firing"), ("pending", "pending"), ("held", "held: too little data"))
TONES = {"critical": "bad", "page": "bad", "emergency": "bad", "high": "bad", "error": "bad", "warning": "warn", "medium": "warn"}  # fmt: skip


def as_html(found: Answer) -> str:
    """The whole page."""
    report = found.report
    style, script = _asset("report.css"), _asset("report.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{TITLE} {fmt.utc_time(report.stretch.start_ns)}</title>\n<style>{style}</style>\n</head>\n<body>\n",
            f'<aside class="banner" aria-label="about the data">{escape(report.note)}</aside>\n' if report.note else "",
            *_header(report),
            "<main>\n",
            *_feeds(report),
            *_sweep(found.table),
            *_comparison(found),
            *_alerts(report),
            *(part for rule in report.rules if rule.episodes for part in _rule(rule, report)),
            *_quiet(report),
            *_messages(report),
            "</main>\n",
            f"<footer>Market risk monitor {escape(__version__)}. All times are UTC.</footer>\n",
            f"<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def _asset(name: str) -> str:
    return files("monitor.backtest.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# -- overview ----------------------------------------------------------------------------------------------------------


def _header(report: Report) -> Iterator[str]:
    stretch = report.stretch
    span = f"{fmt.utc_time(stretch.start_ns)} to {fmt.utc_time(stretch.end_ns)} ({fmt.duration(stretch.length_ns)})"
    yield f"<header><h1>{TITLE}: what the rules would have done</h1>"
    yield f'<p>{span}</p><p class="note">{report.outcome.counts.events:,} events, {len(report.rules)} rules, '
    yield f"{how_often(report)}.</p>"
    if report.run.warm_from_ns < stretch.start_ns:
        yield f'<p class="note">Windows were filled from {fmt.utc_time(report.run.warm_from_ns)} on.</p>'
    yield from (f'<p class="note">{line}.</p>' for line in ill_timed(report))
    sent = sum(message.outcome in SENT for message in report.messages)
    cards: tuple[tuple[str, str, str], ...] = (
        (f"{report.fired:,}", "alerts fired", ""),
        (f"{sent:,}", "notifications after routing", ""),
        (f"{sum(rule.held for rule in report.rules):,}", "times held for want of data", ""),
        (f"{sum(bool(rule.fired) for rule in report.rules)} of {len(report.rules)}", "rules fired", ""),
        (f"{report.missing.total:,}", "things missing from the history", "bad" if report.missing.total else ""),
    )
    yield '<div class="cards">'
    for value, words, tone in cards:
        yield f'<div class="card" data-tone="{tone}"><b>{value}</b><span class="note">{words}</span></div>'
    yield "</div></header>\n"


def _feeds(report: Report) -> Iterator[str]:
    liveness, stretch, missing = report.run.liveness, report.stretch, report.missing
    yield '<h2>How complete the data is</h2><div class="box">'
    yield '<p class="legend"><span><i class="live"></i>live</span><span><i class="dead"></i>not live</span>'
    yield '<span><i class="lost"></i>lost for good</span></p>'
    keys = sorted(liveness.spans)
    venues = {venue: [key for key in keys if key[0] == venue] for venue, _ in keys}
    yield '<div class="strips">'
    for venue, own in venues.items():
        gaps = [gap for key in own for gap in liveness.gaps.get(key, ())]
        yield _strip(venue, _common([liveness.spans[key] for key in own]), gaps, stretch)
    yield '</div><details><summary>by channel</summary><div class="strips">'
    for key in keys:
        yield _strip(f"{key[0]} {key[1]}", liveness.spans[key], liveness.gaps.get(key, ()), stretch)
    yield "</div></details>"
    for line in (*missing.losses, *counted(missing)):
        yield f'<p class="bad">missing: {escape(line)}</p>'
    yield "</div>\n"


def _strip(name: str, spans: Sequence[Span], gaps: Sequence[tuple[int, int, str]], stretch: Stretch) -> str:
    words = fmt.share(live_share(spans, stretch))
    bar = strip(spans, gaps, stretch, f"{name} live {words} of the time")
    return f"<span>{escape(name)}</span>{bar}<span>{words}</span>"


def _common(channels: Sequence[Sequence[Span]]) -> list[Span]:
    """When all channels of a venue were live."""
    common = list(channels[0])
    for spans in channels[1:]:
        met = ((max(a, c), min(b, d)) for a, b in common for c, d in spans)
        common = [(start, end) for start, end in met if start < end]
    return common


def _alerts(report: Report) -> Iterator[str]:
    fired = [(episode, rule) for rule in report.rules for episode in rule.fired]
    fired.sort(key=lambda pair: (pair[0].fired_ns or 0, pair[0].name, pair[0].labels))
    per_week = ", ".join(f"{week['week']}: {week['fired']}" for week in weeks(report))
    yield f'<h2>Alerts</h2><p class="note">Fired per week: {per_week}</p><div class="box scroll tall">'
    if not fired:
        yield '<p class="note">No alert fired.</p></div>\n'
        return
    yield "<table><thead><tr><th>Fired<th>Alert<th>Severity<th class=n>Lasted<th class=n>Peak<th class=n>Threshold"
    yield "<th class=n>Coverage<th>Behind it<th class=n>Told</tr></thead><tbody>"
    for episode, rule in fired[:MOST_ROWS]:
        yield from _alert_row(episode, rule, report.stretch)
    yield "</tbody></table>"
    if len(fired) > MOST_ROWS:
        yield f'<p class="note">and {len(fired) - MOST_ROWS:,} more; --json has them all</p>'
    yield "</div>\n"


def _alert_row(episode: Episode, rule: RuleReport, stretch: Stretch) -> Iterator[str]:
    unit = unit_shown(rule.rule.expr)
    first = next(moment for moment in episode.moments if moment.at_ns == episode.fired_ns)
    over = "" if episode.end_ns is not None else f' <span class="tag">{episode.state}</span>'
    yield f"<tr><td class=t>{fmt.utc_time(episode.fired_ns)}<td>{_link(rule, alert_text(episode.name, episode.labels))}{over}"
    yield f"<td>{_severity(episode.severity)}<td class=n>{fmt.duration(episode.firing_ns(stretch.end_ns))}"
    yield f"<td class=n>{fmt.in_unit(episode.peak, unit)}<td class=n>{fmt.in_unit(first.threshold, unit)}"
    yield f"<td class=n>{fmt.share(first.coverage)}<td>{escape(behind_text(episode, 1))}<td class=n>{episode.sent}</tr>"


def _link(rule: RuleReport, words: str) -> str:
    return f'<a href="#{escape(rule.rule.name)}">{escape(words)}</a>'


def _severity(severity: str) -> str:
    return f'<span class="tag" data-tone="{TONES.get(severity, "")}">{escape(severity)}</span>' if severity else ""


# -- one rule ----------------------------------------------------------------------------------------------------------


def _rule(rule: RuleReport, report: Report) -> Iterator[str]:
    name = escape(rule.rule.name)
    yield f'<h2 id="{name}">{name}</h2><div class="box"><p><code>{escape(rule.rule.text)}</code></p>'
    facts = [f"fired {len(rule.fired)}", f"resolved {rule.resolved}", f"pending and dropped {rule.dropped}"]
    facts += [f"held {rule.held}", f"firing {fmt.duration(rule.firing_ns)} in all", f"{rule.sent} notifications"]
    warm = fmt.utc_time(rule.watch.warm_ns)
    facts += [f"enough data to decide from {warm} on, {fmt.share(rule.known_ratio)} of the time"]
    yield f'<p class="note">{", ".join(facts)}</p>'
    if rule.rule.clear_text:
        yield f'<p class="note">clears when <code>{escape(rule.rule.clear_text)}</code></p>'
    yield '<p class="legend">' + "".join(f'<span><i class="{tone}"></i>{words}</span>' for tone, words in LEGEND)
    yield "</p>"
    charts = _charts(rule)
    for labels, episodes in charts[:MOST_CHARTS]:
        yield _chart(rule, labels, episodes, report)
    if len(charts) > MOST_CHARTS:
        yield f'<p class="note">{len(charts) - MOST_CHARTS} more label sets had alerts and are not drawn</p>'
    yield "</div>\n"


def _charts(rule: RuleReport) -> list[tuple[Labels, list[Episode]]]:
    """Label sets with alerts, those that fired first, the longest firing leading."""
    found: dict[Labels, list[Episode]] = {}
    for episode in rule.episodes:
        found.setdefault(episode.series, []).append(episode)
    end_ns = rule.stretch.end_ns
    return sorted(found.items(), key=lambda item: (-sum(e.firing_ns(end_ns) for e in item[1]), item[0]))


def _chart(rule: RuleReport, labels: Labels, episodes: Sequence[Episode], report: Report) -> str:
    unit = unit_shown(rule.rule.expr)
    words = ", ".join(f"{name}={value}" for name, value in labels) or "all"
    line = _with_moments(rule.watch.lines.get(labels, Line()), episodes)
    title = f"{words}: value and threshold"
    value = Panel(title, line, lambda number: fmt.in_unit(number, unit), VALUE_HEIGHT, show_threshold=True)
    base = dict(labels).get("base", "BTC")
    panels = [value]
    prices = report.outcome.watch.prices.get(base)
    if prices is not None and any(math.isfinite(price) for price in prices.values):
        panels = [Panel(f"{base} price (USD)", prices, fmt.price, PRICE_HEIGHT), value]
    label = f"{rule.rule.name} {words}: {len(episodes)} alerts"
    chart = draw(panels, list(_shades(episodes, report.stretch)), report.stretch, label)
    plot = f'<div class="plot" role="group" tabindex="0" aria-label="{escape(label)}">{chart}</div>'
    return plot + "".join(_behind(episodes, report.stretch.end_ns))


def _behind(episodes: Sequence[Episode], end_ns: int) -> Iterator[str]:
    """What stood behind the longest firing, as bars where it adds up."""
    longest = max(episodes, key=lambda episode: episode.firing_ns(end_ns))
    parts = [part for part in longest.contributors if part.share > 0]
    if parts and longest.fired_ns is not None:
        yield f'<p class="note">Behind it when it fired at {fmt.utc_time(longest.fired_ns)}'
        yield f", largest single event: {escape(longest.largest)}</p>" if longest.largest else "</p>"
        yield bars([(contributor_text(part.labels), part.share, fmt.pct(part.share)) for part in parts])


def _with_moments(line: Line, episodes: Iterable[Episode]) -> Line:
    """The sampled line with the readings at which alerts began and fired, so that it crosses where they do."""
    found = dict(zip(line.times_ns, zip(line.values, line.thresholds, strict=True), strict=True))
    for episode in episodes:
        for moment in episode.moments:
            if moment.state not in BEGINNINGS:
                continue  # a timer that ran out ends an alert with the reading that started the timer
            threshold = math.nan if moment.threshold is None else moment.threshold
            found[moment.at_ns] = (math.nan if moment.value is None else moment.value, threshold)
    times = sorted(found)
    return replace(
        line, times_ns=times, values=[found[at][0] for at in times], thresholds=[found[at][1] for at in times]
    )


def _shades(episodes: Iterable[Episode], stretch: Stretch) -> Iterator[Shade]:
    for episode in episodes:
        end_ns = episode.end_ns or stretch.end_ns
        times = [moment.at_ns for moment in episode.moments] + [end_ns]
        for moment, until_ns in zip(episode.moments, times[1:], strict=True):
            if until_ns > moment.at_ns:
                words = f"{moment.state} {fmt.utc_time(moment.at_ns)}, {fmt.duration(until_ns - moment.at_ns)}"
                yield Shade(moment.at_ns, until_ns, str(moment.state), words)


def _quiet(report: Report) -> Iterator[str]:
    quiet = [rule for rule in report.rules if not rule.episodes]
    if not quiet:
        return
    yield f"<h2>Never true</h2><details><summary>{len(quiet)} rules whose condition never held</summary>"
    yield '<div class="box scroll"><table><thead><tr><th>Rule<th>Expression<th class=n>Lowest<th class=n>Highest'
    yield "<th>Enough data from<th class=n>of the time</tr></thead><tbody>"
    for rule in quiet:
        unit, watch = unit_shown(rule.rule.expr), rule.watch
        warm = "never" if watch.warm_ns is None else fmt.utc_time(watch.warm_ns)
        yield f"<tr><td>{escape(rule.rule.name)}<td><code>{escape(rule.rule.text)}</code>"
        yield f"<td class=n>{fmt.in_unit(watch.low, unit)}<td class=n>{fmt.in_unit(watch.high, unit)}"
        yield f"<td class=t>{warm}<td class=n>{fmt.share(rule.known_ratio)}</tr>"
    yield "</tbody></table></div></details>\n"


# -- the rest ----------------------------------------------------------------------------------------------------------


def _messages(report: Report) -> Iterator[str]:
    sent = [message for message in report.messages if message.outcome in SENT]
    by_sink = Counter(message.sink for message in sent)
    words = ", ".join(f"{count} to {escape(sink)}" for sink, count in sorted(by_sink.items())) or "none"
    yield f"<h2>Notifications after routing</h2><details><summary>{words}</summary>"
    yield '<div class="box scroll"><table><thead><tr><th>At<th>Sink<th>Outcome<th>What<th>Why</tr></thead><tbody>'
    names = names_of(report)
    for message in report.messages[:MOST_ROWS]:
        what = message.title or ", ".join(names.get(alert, alert) for alert in message.alerts)
        yield f"<tr><td class=t>{fmt.utc_time(message.at_ns)}<td>{escape(message.sink)}<td>{escape(message.outcome)}"
        yield f"<td>{escape(what)}<td>{escape(message.reason)}</tr>"
    yield "</tbody></table>"
    if len(report.messages) > MOST_ROWS:
        yield f'<p class="note">and {len(report.messages) - MOST_ROWS:,} more; --json has them all</p>'
    yield "</div></details>\n"


def _sweep(table: SweepTable | None) -> Iterator[str]:
    if table is None:
        return
    yield f'<h2>Sweep of {escape(table.sweep.name)}</h2><div class="box scroll"><p><b>{escape(table.rule.name)}</b> '
    yield f"<code>{escape(table.rule.text)}</code></p><table><thead><tr>"
    yield "".join(f"<th class=n>{head}" for head in sweep_heads())
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield "<tr>" + "".join(f"<td class=n>{escape(cell)}" for cell in sweep_cells(row)) + "</tr>"
    yield f'</tbody></table><p class="note">Lead against {escape(table.reference.name)}.</p></div>\n'


def _comparison(found: Answer) -> Iterator[str]:
    if found.difference is not None:
        lines = "".join(f"<p>{escape(line)}</p>" for line in difference_text(found.difference).splitlines())
        yield f'<h2>With the other rules</h2><div class="box">{lines}</div>\n'
