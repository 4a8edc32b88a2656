"""Which part of a reading rests on history that was fetched, not seen: for people, never for a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.engine.compile import Compiler
from monitor.engine.nodes.base import row_of
from monitor.engine.nodes.windows import SamplesNode
from monitor.events import Labels
from monitor.expression import Call, Expr, Range, children, series_names
from monitor.format import utc_time
from monitor.language import to_text


def provenance(
    compiler: Compiler, fetched: Mapping[str, int], expr: Expr, labels: Labels, now_ns: int
) -> tuple[str, ...]:
    """A line for each function over time below `expr` whose window holds history.

    Args:
        compiler: Holds the nodes.
        fetched: Time of the newest fetched value by series.
        expr: The rule's.
        labels: Of the row that is asked about.
        now_ns: The instant of the last evaluation.
    """
    return tuple(dict.fromkeys(_lines(compiler, fetched, expr, labels, now_ns)))


def _lines(compiler: Compiler, fetched: Mapping[str, int], expr: Expr, labels: Labels, now_ns: int) -> Iterator[str]:
    subject = expr.args[-1] if isinstance(expr, Call) else None
    node = compiler.nodes.get(expr)
    if isinstance(subject, Range) and node is not None:
        if isinstance(node, SamplesNode):
            yield from _of_samples(node, expr, labels)
        else:
            yield from _of_rows(fetched, expr, subject, now_ns)
    for child in children(expr):
        yield from _lines(compiler, fetched, child, labels, now_ns)


def _of_samples(node: SamplesNode, expr: Expr, labels: Labels) -> Iterator[str]:
    filled, known = node.filled(row_of(node, labels))
    if filled:
        yield f"{to_text(expr)}: {filled} of {known} samples are history, fetched or given, not seen live"
    if stood := node.stood():
        yield f"{to_text(expr)}: {stood} samples are as they were before a value was revised; their rows are forgotten"


def _of_rows(fetched: Mapping[str, int], expr: Expr, subject: Range, now_ns: int) -> Iterator[str]:
    start_ns = now_ns - subject.window_ns - subject.offset_ns
    newest_ns = max((fetched.get(series, 0) for series in series_names(subject)), default=0)
    if newest_ns > start_ns:
        yield f"{to_text(expr)}: holds history that was fetched, not seen live, up to {utc_time(newest_ns)}"
