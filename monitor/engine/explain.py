"""What stands behind one row of a rule: contributors, sub-expressions with their values, what is missing, the largest event."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from monitor.engine.compile import Compiler
from monitor.engine.cover.coverage import duration_text
from monitor.engine.nodes.base import ConditionNode, Node, row_of
from monitor.engine.nodes.temporal import ThenNode
from monitor.engine.rows.catalog import Index
from monitor.engine.rows.log import Column, Members
from monitor.engine.rows.panes import pane_of
from monitor.engine.rows.projection import PREFERRED_KINDS, matches
from monitor.engine.store import Store
from monitor.events import Labels
from monitor.expression import (
    Compare,
    Expr,
    KOf,
    Logic,
    Not,
    Number,
    Range,
    Selector,
    Then,
    children,
    selectors,
    unit_shown,
)
from monitor.format import amount, usd, utc_time
from monitor.language import to_text
from monitor.reading import FALSE, TRUE, Contributor, Explanation
from monitor.series import SERIES, Fold
from monitor.window import Ints

TOP = 10
SPARKS = 30
MICROS = 1e6


def explain(store: Store, compiler: Compiler, expr: Expr, labels: Labels, now_ns: int) -> Explanation:
    """Explain the reading of `expr` for one label set, as of the last evaluation."""
    valued = _valued(expr)
    window = next(_event_windows(valued), None)
    contributors, largest, spark = _events(store, window, labels, now_ns) if window else ((), "", ())
    parts = tuple(_parts(compiler, expr, labels, now_ns))
    signs, told = tuple(_signs(compiler, expr, labels)), set(_told_by_signs(expr))
    return Explanation(
        contributors=contributors or _gauges(store, compiler, valued, labels),
        parts=tuple((text, value) for text, value, _ in parts if text not in told),
        missing=tuple(sorted({words for _, _, words in parts if words})),
        largest=largest,
        spark=spark,
        unit=units_behind(expr)[0],
        signs=signs,
    )


def _valued(expr: Expr) -> Expr:
    """The part that gives a rule its value: of a sequence its last stage."""
    return _valued(expr.second) if isinstance(expr, Then) else expr


def units_behind(expr: Expr) -> tuple[str, dict[str, str]]:
    """In which unit an explanation's contributors are, and each of its parts by its text: not all are the rule's own."""
    valued = _valued(expr)
    window = next((found for found, _, _ in _event_windows(valued)), None)
    counted = window is not None and window.series in SERIES and SERIES[window.series].form == "events"
    source = window if counted else next(selectors(valued), None)
    return source.type.unit.value if source else "", dict(_part_units(expr))


def _part_units(expr: Expr) -> Iterator[tuple[str, str]]:
    yield to_text(expr), unit_shown(expr)
    for child in children(expr):
        yield from _part_units(child)


def _event_windows(expr: Expr) -> Iterator[tuple[Selector, int, int]]:
    if isinstance(expr, Range) and isinstance(expr.inner, Selector) and not expr.step_ns:
        yield expr.inner, expr.window_ns, expr.offset_ns + expr.inner.offset_ns
    for child in children(expr):
        yield from _event_windows(child)


def _parts(compiler: Compiler, expr: Expr, labels: Labels, now_ns: int) -> Iterator[tuple[str, float | None, str]]:
    """Every sub-expression that has one value for this row, outermost first; its members are the contributors.

    Not the conditions: what stands for them is the value of their left side, which is listed by itself.
    """
    if not isinstance(expr, Range | Number | Compare | Logic | Not):
        node = compiler.nodes.get(expr)
        if node is not None and set(node.label_names) <= {name for name, _ in labels}:
            yield _part(node, expr, labels, now_ns)
    for child in children(expr):
        yield from _parts(compiler, child, labels, now_ns)


def _part(node: Node, expr: Expr, labels: Labels, now_ns: int) -> tuple[str, float | None, str]:
    row = row_of(node, labels)
    value = float(node.values[row]) if 0 <= row < len(node.values) else node.default
    if np.isnan(value):
        return to_text(expr), None, node.reason(row, now_ns)
    return to_text(expr), value, ""


def _signs(compiler: Compiler, expr: Expr, labels: Labels) -> Iterator[str]:
    """The conditions of a ``k_of``: whether each is on, and its value; those that are on first."""
    counted = _counted(expr)
    said = [_sign(compiler, condition, labels) for condition in counted.conditions] if counted else []
    yield from (text for _, text in sorted(said, key=lambda pair: pair[0]))


def _told_by_signs(expr: Expr) -> Iterator[str]:
    """Parts whose value a sign has said: the left side of each counted condition, and the count where it is the rule's value."""
    counted = _counted(expr)
    if counted is not None:
        yield from (to_text(condition.left) for condition in counted.conditions if isinstance(condition, Compare))
        if counted is expr:
            yield to_text(counted)


def _counted(expr: Expr) -> KOf | None:
    return next((found for found in _below(expr) if isinstance(found, KOf)), None)


def _below(expr: Expr) -> Iterator[Expr]:
    yield expr
    for child in children(expr):
        yield from _below(child)


def _sign(compiler: Compiler, condition: Expr, labels: Labels) -> tuple[int, str]:
    node = compiler.nodes[condition]
    assert isinstance(node, ConditionNode)
    row = row_of(node, labels)
    known = 0 <= row < len(node.truth)
    truth = int(node.truth[row]) if known else node.default_truth
    value = float(node.values[row]) if known and row < len(node.values) else node.default
    rank, word = {TRUE: (0, "on"), FALSE: (1, "off")}.get(truth, (2, "unknown"))
    shown = "" if math.isnan(value) else f": {amount(value, unit_shown(condition))}"
    return rank, f"{word:<7} {to_text(condition)}{shown}"


def stages(compiler: Compiler, expr: Expr, labels: Labels) -> Iterator[str]:
    """When the stages of each ``a then b`` below `expr` held, the first stage first."""
    for child in children(expr):
        yield from stages(compiler, child, labels)
    node = compiler.nodes.get(expr)
    if isinstance(expr, Then) and isinstance(node, ThenNode):
        first, second = node.times(labels)
        if not isinstance(expr.first, Then):
            yield f"{to_text(expr.first)}: " + (f"last held at {utc_time(first)}" if first else "not seen to hold yet")
        yield f"then {to_text(expr.second)}: " + (f"holds since {utc_time(second)}" if second else "does not hold")


def _events(
    store: Store, window: tuple[Selector, int, int], labels: Labels, now_ns: int
) -> tuple[tuple[Contributor, ...], str, tuple[float, ...]]:
    """Who made up the total of the row's window; from the very rows that the total is made of."""
    selector, window_ns, delay_ns = window
    if store.specs[selector.series].form != "events":
        return (), "", ()
    end_ns = now_ns - delay_ns
    ts, members, values, panes = _rows(store, selector.series, window_ns, end_ns)
    index = store.catalog.series(selector.series)
    names = index.labels
    chosen = np.zeros(len(names), np.bool_)
    chosen[_members(index, selector, labels)] = True
    keep = chosen[members] if len(members) else np.empty(0, np.bool_)
    panes = int(keep[:panes].sum())
    ts, members, values = ts[keep], members[keep], values[keep] / MICROS
    if not len(values):
        return (), "", ()
    totals = np.bincount(members, weights=values, minlength=len(names))
    best = np.argsort(-totals, kind="stable")[:TOP]
    whole = float(totals.sum())
    contributors = tuple(
        Contributor(names[m], float(totals[m]), float(totals[m]) / whole) for m in best if totals[m] > 0
    )
    top = int(values.argmax())
    largest = f"{usd(float(values[top]))} USD " + " ".join(value for _, value in names[int(members[top])])
    if top < panes:
        largest += f" within {duration_text(pane_of(window_ns))}"
    buckets = (ts - (end_ns - window_ns) - 1) * SPARKS // window_ns
    spark = np.bincount(buckets.clip(0, SPARKS - 1), weights=values, minlength=SPARKS)
    return contributors, largest, tuple(spark.tolist())


def _rows(store: Store, series: str, window_ns: int, end_ns: int) -> tuple[Ints, Members, Column, int]:
    """Times, members and amounts of a window, and how many of the rows are totals of whole panes; these come first."""
    log, start_ns, pane_ns = store.log(series), end_ns - window_ns, pane_of(window_ns)
    coarse = store.logs.get((series, pane_ns)) if pane_ns else None
    if coarse is None:
        return *log.rows(log.position(start_ns), log.position(end_ns)), 0
    floor_ns = end_ns // pane_ns * pane_ns
    ts, members, values = coarse.rows(coarse.position(start_ns), coarse.position(floor_ns))
    late_ts, late_members, late_values = log.rows(log.position(floor_ns), log.position(end_ns))
    return (
        np.concatenate((ts, late_ts)),
        np.concatenate((members, late_members)),
        np.concatenate((values, late_values)),
        len(ts),
    )


def _gauges(store: Store, compiler: Compiler, expr: Expr, labels: Labels) -> tuple[Contributor, ...]:
    """Present members behind a gauge reading; they have shares only where their sum means something."""
    selector = next(selectors(expr), None)
    if selector is None or store.specs[selector.series].form != "gauge":
        return ()
    present = compiler.members(selector.series, selector.offset_ns).present
    index = store.catalog.series(selector.series)
    found = ((index.labels[m], float(present[m])) for m in _members(index, selector, labels) if m < len(present))
    rows = [(name, value) for name, value in found if not math.isnan(value)]
    if selector.series == "price" and not any(matcher.label == "kind" for matcher in selector.matchers):
        rows = _one_kind(rows)
    rows.sort(key=lambda pair: -abs(pair[1]))
    summed = store.specs[selector.series].fold is Fold.SUM
    total = sum(abs(value) for _, value in rows) if summed else float("inf")
    return tuple(Contributor(name, value, abs(value) / (total or 1.0)) for name, value in rows[:TOP])


def _one_kind(rows: list[tuple[Labels, float]]) -> list[tuple[Labels, float]]:
    """Of each instrument the price that counts: mark, else last."""
    best: dict[Labels, tuple[int, Labels, float]] = {}
    for labels, value in rows:
        kind = dict(labels).get("kind", "")
        if kind in PREFERRED_KINDS:
            key = tuple(pair for pair in labels if pair[0] != "kind")
            rank = PREFERRED_KINDS.index(kind)
            if key not in best or rank < best[key][0]:
                best[key] = rank, labels, value
    return [(labels, value) for _, labels, value in best.values()]


def _members(index: Index, selector: Selector, labels: Labels) -> list[int]:
    """The members of a selector that belong to a row."""
    accept, wanted = matches(selector.matchers), set(labels)
    names = index.labels
    return [m for m in index.candidates(labels) if _agrees(names[m], wanted) and accept(names[m])]


def _agrees(member: Labels, wanted: set[tuple[str, str]]) -> bool:
    """Whether a member belongs to a row: no label of the row says otherwise."""
    table = dict(member)
    return all(table.get(name, value) == value for name, value in wanted)
