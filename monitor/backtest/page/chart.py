"""Charts as SVG text, drawn here and not in the browser: the file needs no library, and is the same every time. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape

from monitor.backtest.history import Stretch
from monitor.backtest.watch import Line
from monitor.clock import NS_PER_MS, NS_PER_S

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 960, 64, 16, 8, 20
BAR_STEP, BAR_LEFT, BAR_WORDS = 16, 330, 60
ZONE_ROOM = 18
PRICE_HEIGHT, VALUE_HEIGHT, STRIP_HEIGHT = 74, 150, 16
TICKS_S = (60, 300, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 7_776_000)
MOST_TICKS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Show = Callable[[float], str]
"""A value in its unit."""


@dataclass(frozen=True, slots=True)
class Shade:
    """A span to shade; ``tone`` is firing, pending or held."""

    start_ns: int
    end_ns: int
    tone: str
    words: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: Above the chart.
        line: Its values; thresholds are drawn where ``show_threshold``.
        show: Words for a value.
        height: In pixels, without the axis.
    """

    title: str
    line: Line
    show: Show
    height: int
    show_threshold: bool = False


@dataclass(slots=True)
class Axes:
    """From values to pixels, for one panel."""

    stretch: Stretch
    low: float
    high: float
    top: int
    height: int
    ticks: list[float] = field(default_factory=list)

    def x(self, at_ns: float) -> float:
        """Where an instant is."""
        share = (at_ns - self.stretch.start_ns) / self.stretch.length_ns
        return LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Where a value is."""
        return self.top + (self.high - value) / (self.high - self.low) * self.height


def axes(panel: Panel, stretch: Stretch, top: int) -> Axes:
    """Axes that hold every value of a panel, with round ticks."""
    values = [value for value in panel.line.values if math.isfinite(value)]
    if panel.show_threshold:
        values += [value for value in panel.line.thresholds if math.isfinite(value)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        low, high = low - abs(low or 1.0) * 0.05, high + abs(high or 1.0) * 0.05
    margin = (high - low) * 0.06
    low = 0.0 if 0 <= low < (high - low) * 0.2 else low - margin
    high += margin
    return Axes(stretch, low, high, top, panel.height, list(round_ticks(low, high, max(2, panel.height // 36))))


def round_ticks(low: float, high: float, count: int) -> Iterator[float]:
    """About `count` round values in [low, high].

    >>> list(round_ticks(0, 10, 5))
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    rough = (high - low) / count
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * scale for factor in (1, 2, 2.5, 5, 10) if factor * scale >= rough * 0.999)
    number = math.ceil(low / step - 1e-9)
    while number * step <= high + step * 1e-9:
        yield number * step
        number += 1


def time_ticks(stretch: Stretch) -> list[tuple[int, str]]:
    """Round instants of a stretch with their words."""
    step_s = next((s for s in TICKS_S if stretch.length_ns / NS_PER_S / s <= MOST_TICKS), TICKS_S[-1])
    step_ns = step_s * NS_PER_S
    first = -(-stretch.start_ns // step_ns) * step_ns
    return [(at_ns, _tick_words(at_ns, step_s)) for at_ns in range(first, stretch.end_ns, step_ns)]


def _tick_words(at_ns: int, step_s: int) -> str:
    moment = _EPOCH + timedelta(seconds=at_ns // NS_PER_S)
    if step_s >= 86_400 or (moment.hour, moment.minute) == (0, 0):
        return f"{moment:%b} {moment.day}"
    return f"{moment:%H:%M}"


def draw(panels: Sequence[Panel], shades: Sequence[Shade], stretch: Stretch, label: str) -> str:
    """Panels one below the other over one time axis, alerts shaded through all of them."""
    placed, top = [], TOP
    for panel in panels:
        placed.append((panel, axes(panel, stretch, top + 16)))
        top += panel.height + 26
    height = top + BOTTOM - 6
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">']
    for panel, where in placed:
        parts += _frame(panel, where)
        parts += _shades(shades, where)
        parts += _lines(panel, where)
    parts += _time_axis(placed[0][1], top)
    parts += _crosshair(placed, top)
    return "".join([*parts, "</svg>"])


def _frame(panel: Panel, where: Axes) -> Iterator[str]:
    yield f'<text class="title" x="{LEFT}" y="{where.top - 5}">{escape(panel.title)}</text>'
    for tick in where.ticks:
        y = where.y(tick)
        yield f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text class="tick" x="{LEFT - 7}" y="{y + 3.5:.1f}" text-anchor="end">{escape(panel.show(tick))}</text>'


def _shades(shades: Sequence[Shade], where: Axes) -> Iterator[str]:
    for shade in shades:
        left, right = where.x(shade.start_ns), where.x(shade.end_ns)
        yield (
            f'<rect class="{shade.tone}" x="{left:.1f}" y="{where.top}" width="{max(right - left, 1.5):.1f}"'
            f' height="{where.height}"><title>{escape(shade.words)}</title></rect>'
        )


def _lines(panel: Panel, where: Axes) -> Iterator[str]:
    line = panel.line
    if panel.show_threshold:
        yield f'<path class="threshold" d="{path(line.times_ns, line.thresholds, where, steps=True)}"/>'
    yield f'<path class="line" d="{path(line.times_ns, line.values, where)}"/>'


def path(times_ns: Sequence[int], values: Sequence[float], where: Axes, *, steps: bool = False) -> str:
    """The line through values, broken where one is missing."""
    points = [
        (f"{where.x(at_ns):.1f}", f"{where.y(value):.1f}" if math.isfinite(value) else "")
        for at_ns, value in zip(times_ns, values, strict=True)
    ]
    found, pen = [], "M"
    for place, (x, y) in enumerate(points):
        if not y:
            pen = "M"
        elif pen == "M" or place + 1 == len(points) or not y == points[place - 1][1] == points[place + 1][1]:
            found.append(f"H{x}V{y}" if steps and pen == "L" else f"{pen}{x} {y}")
            pen = "L"
    return "".join(found)


def zone_words(stretch: Stretch) -> str:
    """What the times of the axis leave out: the zone, and the day where the ticks are hours.

    >>> zone_words(Stretch(1_763_701_200 * NS_PER_S, 1_763_708_400 * NS_PER_S))
    'Nov 21 UTC'
    """
    start = _EPOCH + timedelta(seconds=stretch.start_ns // NS_PER_S)
    has_days = any(" " in words for _, words in time_ticks(stretch))
    return "UTC" if has_days else f"{start:%b} {start.day} UTC"


def _time_axis(where: Axes, bottom: int) -> Iterator[str]:
    yield f'<text class="tick" x="0" y="{bottom + 8}">{zone_words(where.stretch)}</text>'
    for at_ns, words in time_ticks(where.stretch):
        x = where.x(at_ns)
        yield f'<path class="tickmark" d="M{x:.1f} {bottom - 8}v4"/>'
        if x > LEFT + ZONE_ROOM:
            yield f'<text class="tick" x="{x:.1f}" y="{bottom + 8}" text-anchor="middle">{words}</text>'


def _crosshair(placed: Sequence[tuple[Panel, Axes]], bottom: int) -> Iterator[str]:
    """What the script needs to show a reading under the pointer: words by pixel, and a line to move."""
    rows: dict[int, list[str]] = {}
    for place, (panel, where) in enumerate(placed):
        for at_ns, value in zip(panel.line.times_ns, panel.line.values, strict=True):
            if math.isfinite(value):
                rows.setdefault(round(where.x(at_ns)), [""] * len(placed))[place] = panel.show(value)
    text = "|".join(f"{x}:{' · '.join(word for word in words if word)}" for x, words in sorted(rows.items()))
    stretch = placed[0][1].stretch
    span = f'data-start="{stretch.start_ns // NS_PER_MS}" data-end="{stretch.end_ns // NS_PER_MS}"'
    yield f'<path class="cross" d="M0 {TOP}V{bottom - 10}" hidden=""/>'
    yield f'<text class="reading" x="{WIDTH - RIGHT}" y="{TOP + 11}" text-anchor="end" {span} data-left="{LEFT}"'
    yield f' data-rows="{escape(text)}"></text>'


def _stamp(at_ns: int) -> str:
    return f"{_EPOCH + timedelta(seconds=at_ns // NS_PER_S):%m-%d %H:%M:%S}"


def bars(parts: Sequence[tuple[str, float, str]]) -> str:
    """Shares as bars: (name, share from 0 to 1, words)."""
    height = len(parts) * BAR_STEP
    found = [f'<svg class="bars" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="what stands behind it">']
    for place, (name, share, words) in enumerate(parts):
        y, width = place * BAR_STEP, max(1.0, share * (WIDTH - BAR_LEFT - BAR_WORDS))
        found.append(f'<text x="{BAR_LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        found.append(f'<rect x="{BAR_LEFT}" y="{y + 1}" width="{width:.1f}" height="{BAR_STEP - 4}" rx="2"/>')
        found.append(f'<text x="{BAR_LEFT + width + 6:.1f}" y="{y + 11}">{escape(words)}</text>')
    return "".join([*found, "</svg>"])


def strip(spans: Sequence[tuple[int, int]], gaps: Sequence[tuple[int, int, str]], stretch: Stretch, label: str) -> str:
    """One row of the completeness strip: live spans, and what was lost inside them."""
    where = Axes(stretch, 0, 1, 0, STRIP_HEIGHT)
    scale = WIDTH / (WIDTH - LEFT - RIGHT)

    def rect(start_ns: int, end_ns: int, tone: str, words: str) -> str:
        left, right = ((where.x(at) - LEFT) * scale for at in (start_ns, end_ns))
        width = max(right - left, 1.0 if tone == "lost" else 0.0)
        title = f"<title>{escape(words)}</title>" if words else ""
        return f'<rect class="{tone}" x="{left:.1f}" y="0" width="{width:.1f}" height="{STRIP_HEIGHT}">{title}</rect>'

    parts = [f'<svg class="strip" viewBox="0 0 {WIDTH} {STRIP_HEIGHT}" preserveAspectRatio="none" role="img"']
    parts += [f' aria-label="{escape(label)}"><rect class="dead" x="0" y="0" width="{WIDTH}" height="{STRIP_HEIGHT}"/>']
    parts += [rect(start, end, "live", "") for start, end in spans]
    parts += [
        rect(start, end, "lost", f"{_stamp(start)} to {_stamp(end)}: {reason}")
        for start, end, reason in gaps
        if end > stretch.start_ns and start < stretch.end_ns
    ]
    return "".join([*parts, "</svg>"])
