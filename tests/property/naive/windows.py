"""Windows (t - w, t] over the rows themselves: of events by group, of gauges by member, and both ends of a gauge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.clock import NS_PER_S
from monitor.engine.rows.panes import pane_of
from monitor.events import Labels
from monitor.expression import Call, Number, Range, Selector
from monitor.window import Path, Source
from monitor.windows import WINDOWS
from tests.property.naive.folding import common
from tests.property.naive.market import ALL, Market, Row
from tests.property.naive.tables import FALSE, NAN, TRUE, UNKNOWN, Condition, known

if TYPE_CHECKING:
    from tests.property.naive.moment import Moment

TOTALS = ("sum", "count", "rate", "mean")
ENDS = ("change", "delta", "rate")


def bounds(subject: Range, selector: Selector, t: int) -> tuple[int, int]:
    end = t - subject.offset_ns - selector.offset_ns
    return end - subject.window_ns, end


def of_events(call: Call, subject: Range, selector: Selector, market: Market, t: int) -> dict[Labels, float]:
    """Of long windows a total counts whole panes, from the one that its start falls into."""
    start, end = bounds(subject, selector, t)
    pane = pane_of(subject.window_ns) if call.name in TOTALS else 0
    out = {}
    for labels, rows in market.groups(selector, call.grouping or ALL).items():
        inside = [r for r in rows if (-(-r.ts // pane) * pane if pane else r.ts) > start and r.ts <= end]
        out[labels] = WINDOWS[call.name].naive(path_of(call, inside, start, end, "events"))
    return out


def of_rows(call: Call, subject: Range, selector: Selector, market: Market, t: int) -> dict[Labels, float]:
    """``sum`` and ``count`` of a gauge's rows."""
    start, end = bounds(subject, selector, t)
    out = {}
    for labels, rows in market.groups(selector, call.grouping or ALL).items():
        inside = [r for r in rows if start < r.ts <= end and known(r.value)]
        out[labels] = WINDOWS[call.name].naive(path_of(call, inside, start, end, "gauge"))
    return out


def of_members(call: Call, subject: Range, selector: Selector, market: Market, t: int) -> dict[Labels, float]:
    """A function of each member's path: its rows, and what it stood at when the window began."""
    start, end = bounds(subject, selector, t)
    out = {}
    for labels, rows in market.members(selector, None).items():
        inside = [r for r in rows if start < r.ts <= end and known(r.value)]
        path = path_of(
            call,
            inside,
            start,
            end,
            "gauge",
            now=market.value_at(rows, selector.series, end),
            before=market.value_at(rows, selector.series, start),
            stale_ns=market.specs[selector.series].stale_s * NS_PER_S,
        )
        out[labels] = WINDOWS[call.name].naive(path)
    return out


def of_ends(call: Call, subject: Range, selector: Selector, market: Market, t: int) -> dict[Labels, float]:
    """``change``, ``delta``, ``rate`` of a gauge: both ends over the members present at both."""
    how, grouping = market.fold_of(selector, call.grouping), call.grouping
    end = t - subject.offset_ns
    now, then = market.present(selector, grouping, end), market.present(selector, grouping, end - subject.window_ns)
    out = {}
    for labels in now:
        a, b = common(how, then.get(labels, {}), now[labels])
        if call.name == "change":
            out[labels] = b / a - 1 if a else NAN
        else:
            out[labels] = (b - a) / (subject.window_ns / NS_PER_S if call.name == "rate" else 1.0)
    return out


def absent(call: Call, moment: Moment) -> Condition:
    """No row in the window, for each group that was seen before; unknown until it has been watched for so long."""
    subject, market, t = call.args[0], moment.market, moment.t
    if isinstance(subject, Selector):
        subject = Range(inner=subject, window_ns=int(market.specs[subject.series].stale_s * NS_PER_S))
    assert isinstance(subject, Range)
    selector = subject.inner
    assert isinstance(selector, Selector)
    start, end = bounds(subject, selector, t)
    ran = t - moment.world.began_ns >= subject.window_ns
    out = Condition(frozenset(call.type.labels), {}, {}, {})
    for labels, rows in market.groups(selector, call.grouping or ALL).items():
        count = sum(start < row.ts <= end for row in rows)
        out.truth[labels] = FALSE if count else TRUE if ran else UNKNOWN
        out.values[labels], out.thresholds[labels] = float(count), 0.0
    return out


def path_of(call: Call, inside: list[Row], start: int, end: int, source: Source, **more: float) -> Path:
    q = call.args[0].value if isinstance(call.args[0], Number) else NAN
    return Path([r.ts for r in inside], [r.value for r in inside], start, end, source, q=q, **more)  # type: ignore[arg-type]
