"""Draw the dashboards for the docs: the committed JSON, a real Prometheus, the real demo, and plain lines of our own.

Usage: scripts/dashboard_pictures.py [--out docs/images] [--seconds 90] [--only market-risk]
These are not pictures of Grafana, which is not available here: titles, places, units, queries and thresholds are those
of the JSON; how a panel is drawn is ours. Needs prometheus and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from monitor import format as fmt  # noqa: E402 - the tests' harness is found from the root
from scripts.screenshot import CHROMIUM, FLAGS  # noqa: E402
from tests.grafana.prometheus_harness import Prometheus, fill_in, run_prometheus  # noqa: E402
from tests.integration.program import demo  # noqa: E402

BOARDS = ("market-risk", "alerts", "feeds-and-engine", "slow-signals")
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#fade2a", "#96d98d", "#ffa6b0")
NAMED = {
    "green": "#73bf69",
    "orange": "#ff9830",
    "red": "#f2495c",
    "purple": "#b877d9",
    "text": "#8e9aab",
    "transparent": "none",
}
CELL = 30
SCRAPE_S = 3
SPEED = 60
"""Seconds of the market in one second."""
STYLE = """body{margin:0;padding:14px;background:#111217;color:#d8dce4;font:13px/1.35 system-ui,"DejaVu Sans",sans-serif;width:1400px}
h1{font-size:17px;margin:0 0 4px}p.from{margin:0 0 12px;color:#8e9aab;font-size:12px}
main{display:grid;grid-template-columns:repeat(24,1fr);gap:8px}
section{background:#181b1f;border:1px solid #2a2e35;border-radius:4px;padding:6px 9px;overflow:hidden;min-width:0;box-sizing:border-box}
h2{font-size:12.5px;margin:0 0 3px;font-weight:600;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
svg{display:block;width:100%}.big{font-size:34px;font-weight:650;line-height:1.5}.legend{font-size:11px;color:#a9b2bf;overflow:hidden;height:17px}.legend span{white-space:nowrap}
.legend i{display:inline-block;width:9px;height:3px;margin:0 4px 3px 8px}table{border-collapse:collapse;font-size:11.5px;width:100%}td,th{text-align:left;padding:2px 8px;border-bottom:1px solid #23272e;white-space:nowrap}
.none{color:#8e9aab;padding:20px 0}"""

Series = tuple[str, list[tuple[float, float]]]
Span = tuple[float, float]
"""From and to, Unix seconds."""
LEFT = 72
"""Room for the numbers of an axis, pixels."""
NAMED_LINES = 7
"""Lines that a legend names before it only counts them."""


def shown(value: float, unit: str) -> str:
    """A number in Grafana's unit, written our way."""
    sign = "-" if value < 0 else ""
    size = abs(value)
    match unit:
        case "percentunit":
            return fmt.pct(value)
        case "currencyUSD":
            return f"{sign}${fmt.usd(size)}"
        case "s":
            return sign + (fmt.duration(size * 1e9) if size >= 0.001 or not size else f"{size * 1e6:.0f}µs")
        case "bytes":
            return f"{fmt.num(value)}B"
        case "cps":
            return f"{fmt.num(value)}/s"
        case _:
            return fmt.num(value)


def name_of(metric: Mapping[str, str], legend: str) -> str:
    """The name of a series, by the panel's pattern."""
    if legend in ("", "__auto"):
        return " ".join(value for key, value in metric.items() if key not in ("__name__", "job", "instance")) or "value"
    for key, value in metric.items():
        legend = legend.replace("{{" + key + "}}", value)
    return " ".join(word for word in legend.split() if not word.startswith("{{"))


def chosen(board: Mapping[str, Any]) -> dict[str, str]:
    """The value of each variable that takes one; the others stand for everything."""
    variables = [one for one in board["templating"]["list"] if one["type"] == "query" and not one.get("multi")]
    return {variable["name"]: variable["current"]["value"] for variable in variables}


async def ranges(server: Prometheus, panel: Mapping[str, Any], values: Mapping[str, str], span: Span) -> list[Series]:
    """What a panel's queries give over the recorded time."""
    found: list[Series] = []
    for target in panel["targets"]:
        data = await server.get("/api/v1/query_range", query=fill_in(target["expr"], values, SCRAPE_S), start=str(span[0]), end=str(span[1]), step="1")  # fmt: skip
        for series in data["result"]:
            points = [(float(at), float(text)) for at, text in series["values"]]
            points = [(at, value) for at, value in points if math.isfinite(value)]
            if points:
                found.append((name_of(series["metric"], target.get("legendFormat", "")), points))
    return found


def thresholds(panel: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Value and colour of each threshold, the lowest first."""
    marks = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    return [
        (-math.inf if mark["value"] is None else float(mark["value"]), NAMED.get(mark["color"], "#8e9aab"))
        for mark in marks
    ]


def colour_at(panel: Mapping[str, Any], value: float) -> str:
    """By mapping, else by threshold."""
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", []):
        result = mapping["options"].get(str(int(value)))
        if result:
            return NAMED.get(result["color"], "#8e9aab")
    return next((colour for mark, colour in reversed(thresholds(panel)) if value >= mark), "#8e9aab")


def lines(panel: Mapping[str, Any], series: list[Series], width: int, height: int) -> str:
    """Lines over time, with the thresholds that lie in sight."""
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    series = sorted(series, key=lambda item: -abs(item[1][-1][1]))
    drawn_ones = series[: len(COLOURS)]
    values = [value for _, points in drawn_ones for _, value in points]
    times = [at for _, points in drawn_ones for at, _ in points]
    low, high = min(values), max(values)
    floor = panel["fieldConfig"]["defaults"].get("min")
    low = min(low, floor) if floor is not None else low
    span, length = (high - low) or abs(high) or 1.0, (max(times) - min(times)) or 1.0

    def place(at: float, value: float) -> tuple[str, str]:
        x = LEFT + (at - min(times)) / length * (width - LEFT - 6)
        return f"{x:.1f}", f"{height - 30 - (value - low) / span * (height - 40):.1f}"

    parts = []
    for share in (0.0, 0.5, 1.0):
        y = place(min(times), low + share * span)[1]
        parts.append(f'<line x1={LEFT} x2={width} y1={y} y2={y} stroke="#2a2e35"/>{_axis(LEFT - 5, float(y) + 4, "end", shown(low + share * span, unit))}')  # fmt: skip
    for at, anchor in ((min(times), "start"), ((min(times) + max(times)) / 2, "middle"), (max(times), "end")):
        parts.append(_axis(float(place(at, low)[0]), height - 14, anchor, fmt.utc_time(int(at * 1e9))[11:]))
    for mark, colour in thresholds(panel):
        if low < mark <= low + span and colour != "none":
            y = place(min(times), mark)[1]
            parts.append(f'<line x1={LEFT} x2={width} y1={y} y2={y} stroke="{colour}" stroke-dasharray="5 4"/>')
    for number, (_, points) in enumerate(drawn_ones):
        path = " ".join(",".join(place(at, value)) for at, value in points)
        parts.append(f'<polyline points="{path}" fill=none stroke="{COLOURS[number]}" stroke-width=1.5 />')
    picture = f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio=none height={height}>{"".join(parts)}</svg>'
    return picture + _legend(series, unit)


def _axis(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x={x:.1f} y={y:.1f} text-anchor={anchor} fill="#8e9aab" font-size=11>{html.escape(text)}</text>'


def _legend(series: list[Series], unit: str) -> str:
    named = [
        f'<span><i style="background:{COLOURS[number]}"></i>{html.escape(name)} {html.escape(shown(points[-1][1], unit))}</span>'
        for number, (name, points) in enumerate(series[:NAMED_LINES])
    ]
    rest = len(series) - len(named)
    return f"<div class=legend>{' '.join(named)}{f' <span>and {rest} more</span>' if rest > 0 else ''}</div>"


def bands(panel: Mapping[str, Any], series: list[Series], width: int, height: int) -> str:
    """A band per series, coloured by value."""
    series = sorted(series)[: max(1, height // 12)]
    each = height / len(series)
    start, end = series[0][1][0][0], max(points[-1][0] for _, points in series)
    parts = []
    for row, (name, points) in enumerate(series):
        y = row * each
        for (at, value), (until, _) in zip(points, [*points[1:], (end + 1, 0.0)], strict=True):
            x, x2 = (150 + max(0.0, moment - start) / ((end - start) or 1) * (width - 150) for moment in (at, until))
            parts.append(f'<rect x={x:.1f} y={y:.1f} width={x2 - x + 0.5:.1f} height={each * 0.86:.1f} fill="{colour_at(panel, value)}"/>')  # fmt: skip
        parts.append(f'<text x=146 y={y + each * 0.68:.1f} text-anchor=end fill="#a9b2bf" font-size="{min(11, each * 0.8):.0f}">{html.escape(name[:24])}</text>')  # fmt: skip
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio=none height={height}>{"".join(parts)}</svg>'


def heat(series: list[Series], width: int, height: int) -> str:
    """A histogram over time: the fuller a bucket, the brighter."""
    edges = sorted((float(name), dict(points)) for name, points in series)
    counts: dict[str, dict[float, float]] = {}
    below: dict[float, float] = {}
    for edge, totals in edges:
        name = shown(edge, "s") if math.isfinite(edge) else "more"
        counts[name] = {at: value - below.get(at, 0.0) for at, value in totals.items()}
        below = totals
    used = [(name, row) for name, row in counts.items() if any(count > 0 for count in row.values())]
    times = sorted(below)
    most = max((count for _, row in used for count in row.values()), default=1.0)
    each, step = height / max(1, len(used)), (width - LEFT) / max(1, len(times))
    parts = []
    for row, (name, found) in enumerate(reversed(used)):
        parts.append(_axis(LEFT - 5, (row + 0.5) * each + 4, "end", name))
        parts += [
            f'<rect x={LEFT + place * step:.1f} y={row * each:.1f} width={step + 0.5:.1f} height={each * 0.94:.1f} fill="#ff9830" opacity={found[at] / most:.2f} />'
            for place, at in enumerate(times)
            if found.get(at, 0.0) > 0
        ]
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio=none height={height}>{"".join(parts)}</svg>'


async def table(
    server: Prometheus, panel: Mapping[str, Any], values: Mapping[str, str], at_s: float, limit: int
) -> str:
    """The newest values, in the columns of the panel."""
    [target] = panel["targets"]
    data = await server.get("/api/v1/query", query=fill_in(target["expr"], values, SCRAPE_S), time=str(at_s))
    found = [{**sample["metric"], "Value": shown(float(sample["value"][1]), panel["fieldConfig"]["defaults"]["unit"])} for sample in data["result"]]  # fmt: skip
    [organized] = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
    order = organized["indexByName"]
    names = sorted({name for row in found for name in row} - set(organized["excludeByName"]), key=lambda name: (order.get(name, len(order)), name))  # fmt: skip
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows = [tuple(row.get(name, "") for name in names) for row in found]
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in sorted(rows)[:limit]
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def number(panel: Mapping[str, Any], series: list[Series], width: int, height: int) -> str:
    """One large number or its word, and its course behind it."""
    points = series[0][1]
    value = points[-1][1]
    defaults = panel["fieldConfig"]["defaults"]
    words = [mapping["options"].get(str(int(value))) for mapping in defaults.get("mappings", [])]
    text = next((word["text"] for word in words if word), shown(value, defaults.get("unit", "short")))
    colour = colour_at(panel, value).replace("none", "#d8dce4")
    return (
        f'<div class=big style="color:{colour}">{html.escape(text)}</div>{_course(points, colour, width, height - 46)}'
    )


def _course(points: list[tuple[float, float]], colour: str, width: int, height: int) -> str:
    low, high = min(value for _, value in points), max(value for _, value in points)
    start, length = points[0][0], (points[-1][0] - points[0][0]) or 1.0
    path = " ".join(
        f"{(at - start) / length * width:.1f},{height - 2 - (value - low) / ((high - low) or 1.0) * (height - 6):.1f}"
        for at, value in points
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio=none height={height}>'
        f'<polygon points="0,{height} {path} {width},{height}" fill="{colour}" opacity=0.14 />'
        f'<polyline points="{path}" fill=none stroke="{colour}" stroke-width=1.2 /></svg>'
    )


async def drawn(server: Prometheus, panel: Mapping[str, Any], values: Mapping[str, str], span: Span) -> str:
    """One panel at its place."""
    place, kind = panel["gridPos"], panel["type"]
    width, height = place["w"] * 58 - 24, place["h"] * CELL - 52
    series = await ranges(server, panel, values, span) if panel.get("targets") else []
    if kind == "alertlist":
        inside = "<p class=none>Drawn by Grafana from the rules API.</p>"
    elif not series:
        inside = "<p class=none>No data</p>"
    elif kind == "stat":
        inside = number(panel, series, width, height)
    elif kind == "state-timeline":
        inside = bands(panel, series, width, height + 16)
    elif kind == "heatmap":
        inside = heat(series, width, height + 12)
    elif kind == "table":
        inside = await table(server, panel, values, span[1], height // 22)
    else:
        inside = lines(panel, series, width, height)
    style = f"grid-column:{place['x'] + 1}/span {place['w']};grid-row:{place['y'] + 1}/span {place['h']};height:{place['h'] * CELL}px"
    return f'<section style="{style}"><h2>{html.escape(panel["title"])}</h2>{inside}</section>'


async def page_of(server: Prometheus, board: Mapping[str, Any], span: Span) -> str:
    """A dashboard as a page."""
    panels = [await drawn(server, panel, chosen(board), span) for panel in board["panels"]]
    said = (
        "Drawn by scripts/dashboard_pictures.py from the dashboard's JSON and a real Prometheus; not Grafana. "
        f"Synthetic data; the demo's market runs {SPEED} times as fast as the axes, and so do rates per second."
    )
    return (
        f"<!doctype html><meta charset=utf-8><style>{STYLE}main{{grid-auto-rows:{CELL - 8}px}}</style>"
        f"<h1>{html.escape(board['title'])}</h1><p class=from>{said}</p><main>{''.join(panels)}</main>"
    )


async def pictures(names: Sequence[str], out: Path, seconds: float) -> None:
    """Run the demo under a Prometheus for a while, then draw."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "demo").mkdir()
        (Path(scratch) / "prometheus").mkdir()
        async with demo(Path(scratch) / "demo", "--speed", str(SPEED), "--from", "2025-11-21T07:10") as program:
            await program.ready()
            async with (
                run_prometheus(program.url, Path(scratch) / "prometheus", SCRAPE_S) as server,
                async_playwright() as playwright,
            ):
                await asyncio.sleep(seconds)
                [moment] = await server.query("vector(time())")
                end_s = float(moment["value"][1])
                browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                page = await browser.new_page(viewport={"width": 1428, "height": 900})
                for name in names:
                    board = json.loads((ROOT / "grafana" / "dashboards" / f"{name}.json").read_text(encoding="utf-8"))
                    await page.set_content(await page_of(server, board, (end_s - seconds, end_s)))
                    await page.screenshot(path=out / f"dashboard-{name}.png", full_page=True)
                await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--only", action="append", choices=BOARDS)
    options = parser.parse_args()
    asyncio.run(pictures(options.only or BOARDS, options.out, options.seconds))


if __name__ == "__main__":
    main()
