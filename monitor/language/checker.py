"""Types and units: from the parser's tree to one in which every node has its `ExprType`, in canonical form.

Canonical means: matchers and groupings sorted, ``without`` written as ``by``, a literal on the right of its comparison. Equal meaning is then an equal tree, and is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from monitor.clock import NS_PER_S
from monitor.expression import (
    Arithmetic,
    Call,
    Compare,
    CompareOp,
    Expr,
    ExprType,
    Folded,
    Grouping,
    KOf,
    Logic,
    Matching,
    Negate,
    Not,
    Number,
    Range,
    Selector,
    Shape,
    Span,
    Then,
    selectors,
)
from monitor.language.functions import FUNCTIONS, OTHER_NAMES, Form, Labels, Signature
from monitor.language.matching import Mismatch, fixed_labels, join, side
from monitor.language.problems import TextProblem, did_you_mean, problem_at
from monitor.language.selectors import check_matchers, label_span, unknown_series
from monitor.language.units import UNIT_EXAMPLES, UNIT_WORDS, combine, comparable
from monitor.series import SERIES, SeriesSpec, Unit

DAY_NS = 86_400 * NS_PER_S
MAX_WINDOW_NS = 366 * DAY_NS
MAX_SAMPLES = 20_000

BROKEN = ExprType(Shape.SCALAR, Unit.ANY, ("?",))
"""Type of a node that holds a mistake; whatever reads it keeps silent about it."""

_FLIPPED: dict[CompareOp, CompareOp] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Checker:
    """Types one expression; collects every mistake it can find.

    Args:
        text: The expression's text, to place carets under labels.
        series: The known series by name.
        lets: Typed expressions that a bare name stands for.
    """

    def __init__(
        self, text: str, series: Mapping[str, SeriesSpec] = SERIES, lets: Mapping[str, Expr] | None = None
    ) -> None:
        self.text = text
        self.series = series
        self.lets = lets or {}
        self.problems: list[TextProblem] = []

    # What a place needs

    def condition(self, node: Expr) -> Expr:
        """Check a node that must be a condition."""
        typed = self.check(node)
        if typed.type is BROKEN or typed.type.shape is Shape.CONDITION:
            return typed
        hint = f"compare it: {_short(self._source(typed))} > ..."
        return self._broken(typed, f"expected a condition, found {UNIT_WORDS[typed.type.unit]}", hint)

    def value(self, node: Expr) -> Expr:
        """Check a node that must be a number or one number per label set."""
        typed = self.check(node)
        if typed.type is BROKEN or typed.type.shape in (Shape.SCALAR, Shape.VECTOR):
            return typed
        if typed.type.shape is Shape.RANGE:
            return self._broken(typed, *_bare_window(typed, self._source(typed)))
        return self._broken(typed, "expected a number, found a condition", "join conditions with and, or, unless")

    def check(self, node: Expr) -> Expr:  # noqa: PLR0911 - one return for each kind of node
        """Type a node, whatever it is."""
        match node:
            case Number():
                return replace(node, type=ExprType(Shape.SCALAR, node.unit))
            case Selector():
                return self._selector(node)
            case Range():
                return self._range(node)
            case Call():
                return self._call(node)
            case Folded():
                return self._folded(node)
            case Arithmetic():
                return self._arithmetic(node)
            case Compare():
                return self._compare(node)
            case _:
                return self._logic(node)

    def _logic(self, node: Expr) -> Expr:
        match node:
            case Negate(inner=inner):
                typed = self.value(inner)
                return replace(node, inner=typed, type=typed.type)
            case Not(inner=inner):
                typed = self.condition(inner)
                return replace(node, inner=typed, type=typed.type)
            case Logic(left=left, right=right):
                one, other = self.condition(left), self.condition(right)
                joined = self._joined(node, one, other, node.matching)
                return self._unless(replace(node, left=one, right=other, type=joined))
            case KOf(conditions=conditions):
                typed_all = tuple(self.condition(part) for part in conditions)
                return replace(node, conditions=typed_all, type=self._joined_all(node, typed_all))
            case Then(first=first, second=second):
                one, other = self.condition(first), self.condition(second)
                return replace(node, first=one, second=other, type=self._joined(node, one, other, Matching()))
            case _:
                raise TypeError(type(node).__name__)

    def _unless(self, node: Logic) -> Expr:
        extra = set(node.type.labels) - set(node.left.type.labels)
        if node.op != "unless" or node.type is BROKEN or not extra:
            return node
        hint = f"fold the right side with by ({', '.join(node.left.type.labels)})"
        return self._broken(node, f"the right side of unless has labels that the left has not: {_list(extra)}", hint)

    # Leaves

    def _selector(self, node: Selector) -> Expr:
        typed = self._series(node)
        spec = self.series.get(node.series)
        if typed.type is not BROKEN and spec is not None and node.series not in self.lets and spec.form == "events":
            # Its type stays, so that a unit that does not fit is reported as well.
            self._problem(typed, f"{node.series} is a stream of events: it needs a window", _window_hint(node))
        return typed

    def _series(self, node: Selector) -> Expr:
        """A selector in a place that may take events."""
        if node.series in self.lets:
            return self._let(node)
        spec = self.series.get(node.series)
        if spec is None:
            self.problems.append(unknown_series(node, self.series, self.lets))
            return replace(node, type=BROKEN)
        found = list(check_matchers(node, spec, self.text))
        self.problems += found
        labels = tuple(sorted(spec.labels))
        return replace(node, type=BROKEN if found else ExprType(Shape.VECTOR, spec.unit, labels))

    def _let(self, node: Selector) -> Expr:
        if node.matchers or node.offset_ns:
            return self._broken(node, f"{node.series} is a name of this rule: it takes no matchers and no offset")
        return _respan(self.lets[node.series], node.span)

    def _range(self, node: Range) -> Expr:
        bounds_ok = self._window_bounds(node)
        if node.step_ns:
            return self._subrange(node, bounds_ok=bounds_ok)
        if not isinstance(node.inner, Selector) or node.inner.series in self.lets:
            inner = self.value(node.inner)
            hint = "sample it: expr[1h:5m] is its value every 5 minutes; by (...) goes after the function"
            return self._broken(replace(node, inner=inner), "only a series has a plain window", hint)
        inner = self._series(node.inner)
        if inner.type is BROKEN or not bounds_ok:
            return replace(node, inner=inner, type=BROKEN)
        offset_ns = node.offset_ns + (inner.offset_ns if isinstance(inner, Selector) else 0)
        inner = replace(inner, offset_ns=0) if isinstance(inner, Selector) else inner
        return replace(node, inner=inner, offset_ns=offset_ns, type=replace(inner.type, shape=Shape.RANGE))

    def _subrange(self, node: Range, *, bounds_ok: bool) -> Expr:
        inner = self.value(node.inner)
        if inner.type is BROKEN or not bounds_ok:
            return replace(node, inner=inner, type=BROKEN)
        if inner.type.shape is Shape.SCALAR:
            return self._broken(node, "a number does not change over time")
        return replace(node, inner=inner, type=replace(inner.type, shape=Shape.RANGE))

    def _window_bounds(self, node: Range) -> bool:
        before = len(self.problems)
        if not NS_PER_S <= node.window_ns <= MAX_WINDOW_NS or node.offset_ns > MAX_WINDOW_NS:
            self._problem(node, "windows and offsets go from 1s to 366d")
        elif node.step_ns and (node.step_ns < NS_PER_S or node.window_ns // node.step_ns > MAX_SAMPLES):
            self._problem(node, f"a sub-range has steps of at least 1s and at most {MAX_SAMPLES:,} of them")
        return len(self.problems) == before

    # Folding

    def _folded(self, node: Folded) -> Expr:
        inner = self.value(node.inner)
        if inner.type is BROKEN:
            return replace(node, inner=inner, type=BROKEN)
        grouping = self._grouping(node, node.grouping, inner, node.inner.span.end)
        if grouping is None:
            return replace(node, inner=inner, type=BROKEN)
        typed = replace(node, inner=inner, grouping=grouping)
        if not self._natural_fold(typed, inner, grouping):
            return replace(typed, type=BROKEN)
        return replace(typed, type=replace(inner.type, labels=grouping.labels))

    def _natural_fold(self, node: Expr, inner: Expr, grouping: Grouping) -> bool:
        """Whether ``inner`` says by itself how its members become one."""
        dropped = set(inner.type.labels) - set(grouping.labels)
        source = inner.inner if isinstance(inner, Range) else inner
        if not dropped:
            return True
        if not isinstance(source, Selector):
            hint = "say how inside: avg(...) by (...), sum(...) by (...), max(...) by (...)"
            self._problem(node, "an expression has no natural fold over labels", hint)
            return False
        asset = {"base", "asset"} & dropped - fixed_labels(source).keys()
        if self.series[source.series].unit is Unit.PRICE and asset:
            label = min(asset)
            hint = f'keep {label} in by (...), or choose one: {source.series}{{{label}="..."}}'
            self._problem(node, "one price of different coins means nothing", hint)
            return False
        return True

    def _grouping(self, node: Expr, grouping: Grouping, main: Expr, after: int) -> Grouping | None:
        """The grouping as sorted ``by``; None after a problem."""
        have = main.type.labels
        missing = [label for label in grouping.labels if label not in have]
        for label in missing:
            hint = did_you_mean(label, have) or "it has no labels left: leave by (...) out"
            place = label_span(self.text, Span(min(after, node.span.end), node.span.end), label)
            what = _short(self._source(main))
            self.problems.append(problem_at(place, f"no label {label!r} on {what}", hint))
        if missing:
            return None
        if grouping.without:
            return Grouping(tuple(label for label in have if label not in grouping.labels))
        return grouping

    # Calls

    def _call(self, node: Call) -> Expr:
        signature = FUNCTIONS.get(node.name)
        if signature is None or signature.is_node:
            self._unknown_function(node)
            return replace(node, args=tuple(self.check(arg) for arg in node.args), type=BROKEN)
        lead = 1 if signature.leading else 0
        wanted = lead + 1 + (1 if signature.trailing else 0)
        if len(node.args) != wanted:
            self._problem(node, f"{node.name} takes {wanted} arguments, not {len(node.args)}", signature.example)
            return replace(node, args=tuple(self.check(arg) for arg in node.args), type=BROKEN)
        leading = [self._leading(signature, node.args[0])] if lead else []
        main = self.check(node.args[lead])
        trailing = [self._trailing(signature, arg, main) for arg in node.args[lead + 1 :]]
        args = (*leading, main, *trailing)
        if any(arg.type is BROKEN for arg in args):
            return replace(node, args=args, type=BROKEN)
        return self._typed_call(replace(node, args=args), signature, main, trailing)

    def _unknown_function(self, node: Call) -> None:
        other = OTHER_NAMES.get(node.name.lower())
        if node.name in self.series:
            hint = f"{node.name} is a series; matchers go in braces: {node.name}{{...}}"
        else:
            hint = f"write {other}" if other else did_you_mean(node.name, FUNCTIONS)
        message = f"unknown function {node.name!r}"
        self.problems.append(TextProblem(node.span.start, len(node.name), message, hint))

    def _leading(self, signature: Signature, node: Expr) -> Expr:
        ok = isinstance(node, Number) and node.unit in (Unit.ANY, Unit.RATIO)
        if ok and isinstance(node, Number) and signature.leading == "whole number":
            ok = node.unit is Unit.ANY and node.value >= 1 and node.value == int(node.value)
        elif ok and isinstance(node, Number):
            ok = 0 <= node.value <= 1
        if not ok or not isinstance(node, Number):
            kind = "a whole number from 1 on" if signature.leading == "whole number" else "a share from 0 to 1"
            return self._broken(node, f"{signature.name} needs {kind} first", f"write {signature.example}")
        return replace(node, unit=Unit.ANY, type=ExprType(Shape.SCALAR, Unit.ANY))

    def _trailing(self, signature: Signature, node: Expr, main: Expr) -> Expr:
        typed = self.check(node)
        if typed.type is BROKEN or main.type is BROKEN:
            return typed
        shape = typed.type.shape
        if signature.trailing == "same form":
            same = (
                isinstance(typed, Range)
                and isinstance(main, Range)
                and (typed.window_ns, typed.step_ns) == (main.window_ns, main.step_ns)
            )
            if not same:
                hint = f"write {signature.example}"
                return self._broken(typed, f"{signature.name} needs two windows of the same length and step", hint)
        elif shape is not Shape.VECTOR and not (shape is Shape.SCALAR and signature.trailing == "vector or number"):
            return self.value(node) if shape is Shape.RANGE else self._broken(typed, "expected a number per label set")
        return typed

    def _typed_call(self, node: Call, signature: Signature, main: Expr, trailing: list[Expr]) -> Expr:
        form = _form(main, self.series)
        if form is None or form not in signature.accepts:
            return self._wrong_form(node, signature, main, form)
        if signature.takes_units and main.type.unit not in signature.takes_units:
            found = UNIT_WORDS[main.type.unit]
            hint = "a relative change of a rate means little; use delta" if signature.name == "change" else ""
            return self._broken(node, f"{signature.name} of {found} means nothing", hint)
        rule = signature.accepts[form]
        labels, grouping = self._call_labels(node, rule, main, trailing)
        if labels is None:
            return replace(node, type=BROKEN)
        unit = signature.form_units.get(form, signature.unit)
        if rule is Labels.MATCH and not self._comparable(node, main, trailing[0]):
            return replace(node, type=BROKEN)
        shape = Shape.CONDITION if signature.gives_condition else Shape.VECTOR
        result = ExprType(shape, main.type.unit if unit == "same" else unit, labels)
        return replace(node, grouping=grouping, type=result)

    def _call_labels(
        self, node: Call, rule: Labels, main: Expr, trailing: list[Expr]
    ) -> tuple[tuple[str, ...] | None, Grouping | None]:
        """Labels of a call's result (None after a problem) and its grouping in canonical form."""
        grouping = node.grouping
        if grouping is not None:
            folded = (main, *trailing) if node.name in ("corr", "beta") else (main,)
            checked = [self._call_grouping(node, rule, grouping, arg) for arg in folded]
            if None in checked:
                return None, None
            grouping = checked[0]
        joined = main.type
        if trailing and (grouping is None or node.name == "weighted_avg"):
            joined = self._joined(node, main, trailing[0], Matching())
        if joined is BROKEN:
            return None, None
        if rule is Labels.FOLD:
            labels = grouping.labels if grouping else ()
            return labels, grouping if labels else None
        return (grouping.labels if grouping is not None and rule is Labels.KEEP else joined.labels), grouping

    def _call_grouping(self, node: Call, rule: Labels, grouping: Grouping, main: Expr) -> Grouping | None:
        if rule is Labels.MATCH or (rule is Labels.ALL and node.name != "topk"):
            self._problem(node, f"{node.name} takes no by (...)", "put by (...) on the expression inside")
            return None
        checked = self._grouping(node, grouping, main, node.args[-1].span.end)
        if checked is not None and rule is Labels.KEEP and not self._natural_fold(node, main, checked):
            return None
        return checked

    def _wrong_form(self, node: Call, signature: Signature, main: Expr, form: Form | None) -> Expr:
        found = form.value if form else "a number"
        text = _short(self._source(main))
        hint = f"it takes {' or '.join(accepted.value for accepted in signature.accepts)}"
        if form is Form.VECTOR and Form.GAUGE in signature.accepts:
            window = "[1h]" if isinstance(main, Selector) else "[24h:5m]"
            hint = f"give it a window: {node.name}({text}{window})"
        elif form is Form.GAUGE and Form.SAMPLES in signature.accepts:
            hint = f"say how often to sample it: {signature.example}"
        elif form is Form.EVENTS:
            hint = f"sample a sum: {node.name}(sum({text})[24h:5m])"
        elif form in (Form.GAUGE, Form.SAMPLES) and Form.VECTOR in signature.accepts and node.name == "avg":
            hint = "the mean over time is called mean"
        return self._broken(node, f"{node.name} does not take {found}", hint)

    # Operators

    def _arithmetic(self, node: Arithmetic) -> Expr:
        left, right = self.value(node.left), self.value(node.right)
        typed = replace(node, left=left, right=right)
        if BROKEN in (left.type, right.type):
            return replace(typed, type=BROKEN)
        unit = combine(node.op, left.type.unit, right.type.unit)
        if unit is None:
            pair = f"{UNIT_WORDS[left.type.unit]} {node.op} {UNIT_WORDS[right.type.unit]}"
            return self._broken(typed, f"{pair} means nothing")
        if Shape.VECTOR not in (left.type.shape, right.type.shape):
            return replace(typed, type=ExprType(Shape.SCALAR, unit))
        joined = self._joined(node, left, right, node.matching)
        return replace(typed, type=joined if joined is BROKEN else ExprType(Shape.VECTOR, unit, joined.labels))

    def _compare(self, node: Compare) -> Expr:
        if isinstance(node.left, Compare):
            self._problem(node, "comparisons cannot be chained", "write a > 1 and a < 2")
        left, right = self.value(node.left), self.value(node.right)
        typed = replace(node, left=left, right=right)
        if BROKEN in (left.type, right.type) or not self._comparable(node, left, right):
            return replace(typed, type=BROKEN)
        joined = self._joined(node, left, right, node.matching)
        if joined is BROKEN:
            return replace(typed, type=BROKEN)
        if left.type.shape is Shape.SCALAR and right.type.shape is not Shape.SCALAR:
            typed = replace(typed, op=_FLIPPED[node.op], left=right, right=left)
        return replace(typed, type=ExprType(Shape.CONDITION, typed.left.type.unit, joined.labels))

    def _comparable(self, node: Expr, left: Expr, right: Expr) -> bool:
        one, other = left.type.unit, right.type.unit
        literal = right if isinstance(right, Number) else left
        vague = Unit.DURATION in (one, other) and isinstance(literal, Number) and literal.unit is Unit.ANY
        if comparable(one, other) and not (vague and isinstance(literal, Number) and literal.value != 0):
            return True
        series = left if literal is right else right
        place = literal.span if isinstance(literal, Number) else node.span
        message = f"{UNIT_WORDS[one]} against {UNIT_WORDS[other]}"
        if isinstance(literal, Number):
            message += f": {_short(self._source(series))} is {UNIT_WORDS[series.type.unit]}"
        self.problems.append(problem_at(place, message, UNIT_EXAMPLES[series.type.unit]))
        return False

    def _joined(self, node: Expr, left: Expr, right: Expr, matching: Matching) -> ExprType:
        if BROKEN in (left.type, right.type):
            return BROKEN
        try:
            labels = join(side(left), side(right), matching)
        except Mismatch as error:
            self._problem(node, str(error), error.hint)
            return BROKEN
        return replace(left.type, labels=labels)

    def _joined_all(self, node: Expr, parts: tuple[Expr, ...]) -> ExprType:
        if any(part.type is BROKEN for part in parts):
            return BROKEN
        widest = max(parts, key=lambda part: len(part.type.labels))
        for part in parts:
            joined = self._joined(node, widest, part, Matching())
            if joined is BROKEN or set(joined.labels) != set(widest.type.labels):
                return BROKEN
        return widest.type

    # Reporting

    def _source(self, node: Expr) -> str:
        return self.text[node.span.start : node.span.end]

    def _problem(self, node: Expr, message: str, hint: str = "") -> None:
        self.problems.append(problem_at(node.span, message, hint))

    def _broken(self, node: Expr, message: str, hint: str = "") -> Expr:
        self._problem(node, message, hint)
        return replace(node, type=BROKEN)


def reads_series(node: Expr) -> bool:
    """Whether any series stands in the expression."""
    return any(True for _ in selectors(node))


def _form(node: Expr, series: Mapping[str, SeriesSpec]) -> Form | None:
    shape = node.type.shape
    if isinstance(node, Range):
        if node.step_ns:
            return Form.SAMPLES
        events = isinstance(node.inner, Selector) and series[node.inner.series].form == "events"
        return Form.EVENTS if events else Form.GAUGE
    return {Shape.VECTOR: Form.VECTOR, Shape.CONDITION: Form.CONDITION}.get(shape)


def _respan(node: Expr, span: Span) -> Expr:
    """The same tree with every node standing at ``span``: where its name is used."""
    changes: dict[str, Any] = {"span": span}
    for item in fields(node):
        value = getattr(node, item.name)
        if isinstance(value, Expr):
            changes[item.name] = _respan(value, span)
        elif isinstance(value, tuple) and value and isinstance(value[0], Expr):
            changes[item.name] = tuple(_respan(part, span) for part in value)
    return replace(node, **changes)


def _bare_window(node: Expr, source: str) -> tuple[str, str]:
    function = "change" if node.type.unit in (Unit.PRICE, Unit.ANY) else "sum"
    return "a window needs a function around it", f"write {function}({_short(source)})"


def _window_hint(node: Selector) -> str:
    return f"write sum({node.series}[1h]) for USD, count({node.series}[1h]) for events"


def _short(source: str) -> str:
    flat = " ".join(source.split())
    return flat if len(flat) <= 60 else flat[:57] + "..."


def _list(words: set[str]) -> str:
    return ", ".join(sorted(words))
