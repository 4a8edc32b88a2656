"""The plan of a rule as text: which series it reads, over which windows, and each part that is computed, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from monitor.expression import Call, Expr, Number, Range, Selector, Shape, children
from monitor.format import duration
from monitor.language.functions import FUNCTIONS
from monitor.language.text import to_text
from monitor.rule import Rule
from monitor.series import SERIES


def explain_rule(rule: Rule, keeps: Sequence[str] = ()) -> str:
    """The plan of a rule.

    Args:
        rule: A loaded rule.
        keeps: What the engine keeps in memory for it, a line each.
    """
    roots = {"expr": rule.expr, "clear": rule.clear}
    roots |= {f"level {level.severity}": level.expr for level in rule.levels[1:]}
    roots |= {f"override {_labels(dict(one.labels))}": one.expr for one in rule.overrides}
    present = {name: expr for name, expr in roots.items() if expr is not None}
    plan = _Plan()
    results = {name: plan.step(expr) for name, expr in present.items()}
    lines = [f"{rule.id}  ({rule.file}:{rule.line})" if rule.file else rule.id]
    lines += [f"  {name}: {to_text(expr)}  ->  {results[name]}" for name, expr in present.items()]
    lines.append(f"  one alert per {_elements(rule.expr)}; for {duration(rule.for_ns)}")
    lines += ["  reads", *(f"    {line}" for line in _reads(present.values()))]
    if keeps:
        lines += ["  keeps in memory", *(f"    {line}" for line in keeps)]
    lines += ["  computes, each part once", *(f"    {line}" for line in plan.lines)]
    return "\n".join(lines)


class _Plan:
    """Numbers every distinct part in the order in which it can be computed."""

    def __init__(self) -> None:
        self.names: dict[Expr, str] = {}
        self.lines: list[str] = []

    def step(self, node: Expr) -> str:
        """The name of a part, after its own parts were listed."""
        if isinstance(node, Number) or (isinstance(node, Range) and isinstance(node.inner, Selector)):
            return to_text(node)
        if node not in self.names:
            named = _with_children(node, [self.step(child) for child in children(node)])
            name = self.names[node] = f"#{len(self.names) + 1}"
            notes = [_kind(node), _cost(node)]
            self.lines.append(f"{name:<4}{to_text(named)}   [{'; '.join(note for note in notes if note)}]")
        return self.names[node]


def _with_children(node: Expr, names: list[str]) -> Expr:
    """The node with each sub-expression replaced by its name."""
    left = iter(names)
    changes: dict[str, Any] = {}
    for item in fields(node):
        value = getattr(node, item.name)
        if isinstance(value, Expr):
            changes[item.name] = Selector(next(left))
        elif isinstance(value, tuple) and value and isinstance(value[0], Expr):
            changes[item.name] = tuple(Selector(next(left)) for _ in value)
    return replace(node, **changes)


def _kind(node: Expr) -> str:
    what = "condition" if node.type.shape is Shape.CONDITION else str(node.type.unit)
    return f"{what}, one per {_elements(node)}"


def _elements(node: Expr) -> str:
    return ", ".join(node.type.labels) if node.type.labels else "rule"


def _cost(node: Expr) -> str:
    return FUNCTIONS[node.name].cost if isinstance(node, Call) else ""


def _reads(roots: Any) -> list[str]:
    windows: dict[str, set[int]] = {}
    for root in roots:
        for selector, window_ns in _windows(root, 0):
            windows.setdefault(selector, set()).add(window_ns)
    lines = []
    for selector, spans in sorted(windows.items()):
        spec = SERIES.get(selector.split("{", 1)[0])
        form = f"{spec.form}, {spec.unit}" if spec else "recorded by a rule"
        longest = max(spans)
        lines.append(f"{selector}: {form}; " + (f"history of {duration(longest)}" if longest else "last value"))
    return lines


def _windows(node: Expr, reach_ns: int) -> Iterator[tuple[str, int]]:
    """Every selector with how far back it is read."""
    if isinstance(node, Selector):
        yield to_text(replace(node, offset_ns=0)), reach_ns + node.offset_ns
    if isinstance(node, Range):
        reach_ns += node.window_ns + node.offset_ns
    for child in children(node):
        yield from _windows(child, reach_ns)


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())
