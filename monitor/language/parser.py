"""Text to tree: `parse` reads an expression with the grammar of ``grammar.lark`` and bounds its size.

The tree is not typed yet and its names are not looked up; `monitor.language.checker` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from lark import Lark, Token, Tree, UnexpectedInput

from monitor.expression import (
    Arithmetic,
    ArithmeticOp,
    Call,
    Compare,
    CompareOp,
    Expr,
    Folded,
    Grouping,
    KOf,
    Logic,
    LogicOp,
    Matcher,
    Matching,
    Negate,
    Not,
    Number,
    Range,
    Selector,
    Span,
    Then,
)
from monitor.language.problems import ExpressionError, TextProblem, did_you_mean, problem_at
from monitor.language.syntax import explain_syntax_error
from monitor.literals import LiteralProblem, parse_duration, parse_literal
from monitor.series import Unit

MAX_TEXT = 10_000
MAX_DEPTH = 60
MAX_NODES = 2_000
_ESCAPES = {"n": "\n", "t": "\t"}


def parse(text: str, params: Mapping[str, Number] | None = None) -> Expr:
    """Parse an expression.

    Args:
        text: The expression.
        params: Values of ``$name``; a name that is not in it is a problem.

    Returns:
        The tree, untyped, with spans as offsets into ``text``.

    Raises:
        ExpressionError: With a place for every mistake found.
    """
    if len(text) > MAX_TEXT:
        raise ExpressionError(
            text[:MAX_TEXT], [TextProblem(0, 1, f"the expression is longer than {MAX_TEXT} characters")]
        )
    if not text.strip():
        raise ExpressionError(text, [TextProblem(0, 1, "the expression is empty")])
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as error:
        raise ExpressionError(text, [explain_syntax_error(text, error)]) from None
    _bound(text, tree)
    reader = _Reader(params or {})
    root = reader.read(tree.children[0])
    if reader.problems:
        raise ExpressionError(text, reader.problems)
    return root


@cache
def _lark() -> Lark:
    grammar = files("monitor.language").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", propagate_positions=True, maybe_placeholders=True)


def _bound(text: str, tree: Tree[Token]) -> None:
    """Refuse a tree that is too deep or too large, without recursion."""
    stack: list[tuple[Any, int]] = [(tree, 0)]
    nodes = 0
    while stack:
        node, depth = stack.pop()
        if not isinstance(node, Tree):
            continue
        nodes += 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            limit = f"nested more than {MAX_DEPTH} deep" if depth > MAX_DEPTH else f"more than {MAX_NODES} parts"
            raise ExpressionError(text, [TextProblem(_span(node).start, 1, f"the expression has {limit}")])
        stack.extend((child, depth + 1) for child in node.children)


def _span(node: Tree[Token] | Token) -> Span:
    if isinstance(node, Token):
        return Span(node.start_pos or 0, node.end_pos or 0)
    meta = node.meta
    return Span() if meta.empty else Span(meta.start_pos, meta.end_pos)


class _Reader:
    """Turns lark's tree into ours; collects problems and goes on where it can."""

    def __init__(self, params: Mapping[str, Number]) -> None:
        self.params = params
        self.problems: list[TextProblem] = []

    def read(self, tree: Any) -> Expr:
        return cast("Expr", getattr(self, f"_{tree.data}".rstrip("_"))(_span(tree), *tree.children))

    def _refuse(self, span: Span, message: str, hint: str = "") -> None:
        self.problems.append(problem_at(span, message, hint))

    # Leaves

    def _number(self, span: Span, token: Token) -> Expr:
        try:
            value, unit = parse_literal(str(token))
        except LiteralProblem as error:
            self._refuse(span, str(error), error.hint)
            return Number(0.0, span=span)
        return Number(value, unit, span=span)

    def _param(self, span: Span, token: Token) -> Number:
        known = self.params.get(token[1:])
        if known is None:
            hint = did_you_mean(token[1:], self.params) or "parameters are given under params: in the rule"
            self._refuse(span, f"unknown parameter {token}", hint)
            return Number(0.0, span=span)
        return Number(known.value, known.unit, span=span)

    def _series(self, span: Span, name: Token, matchers: Tree[Token] | None = None) -> Expr:
        found = [self._matcher(child) for child in matchers.children if isinstance(child, Tree)] if matchers else []
        return Selector(str(name), tuple(sorted(set(found), key=_matcher_order)), span=span)

    def _matcher(self, tree: Any) -> Matcher:
        label, operator, quoted = tree.children
        return Matcher(str(label), cast("Any", str(operator)), _unquote(quoted))

    def _duration(self, tree: Any) -> int:
        (token,) = tree.children
        if token.type == "PARAM":
            number = self._param(_span(token), token)
            if number.unit is not Unit.DURATION and token[1:] in self.params:
                self._refuse(_span(token), f"{token} is not a duration")
            return int(number.value)
        try:
            duration_ns = parse_duration(str(token))
        except LiteralProblem as error:
            self._refuse(_span(token), str(error), error.hint)
            return 1
        if not duration_ns:
            self._refuse(_span(token), "a duration of zero")
        return duration_ns

    # Postfix

    def _range(self, span: Span, inner: Any, window: Any) -> Expr:
        return Range(self.read(inner), self._duration(window), span=span)

    def _subrange(self, span: Span, inner: Any, window: Any, step: Any) -> Expr:
        if step is None:
            self._refuse(span, "a sub-range needs its step", "write expr[7d:5m]: every 5 minutes over 7 days")
        window_ns, step_ns = self._duration(window), self._duration(step) if step else 1
        if window_ns < step_ns:
            self._refuse(_span(step), "the step is longer than the window")
        return Range(self.read(inner), window_ns, step_ns, span=span)

    def _offset(self, span: Span, inner: Any, sign: Token | None, duration: Any) -> Expr:
        node, offset_ns = self.read(inner), self._duration(duration)
        if sign == "-":
            self._refuse(span, "a negative offset would look into the future", "write offset 1h to look back")
        if isinstance(node, Selector) and not node.offset_ns:
            return Selector(node.series, node.matchers, offset_ns, span=span)
        if isinstance(node, Range) and not node.offset_ns:
            return Range(node.inner, node.window_ns, node.step_ns, offset_ns, span=span)
        self._refuse(span, "offset follows a series or a window", "write sum(liquidations[1h] offset 1d)")
        return node

    def _grouped(self, span: Span, inner: Any, word: Token, names: Any) -> Expr:
        labels = [str(name) for name in names.children if name is not None] if names else []
        grouping = Grouping(tuple(sorted(set(labels))), without=word == "without")
        node = self.read(inner)
        if isinstance(node, Call) and inner.data != "paren":
            if node.grouping is not None:
                self._refuse(_span(word), "grouped twice", "list all labels in one by (...)")
            return Call(node.name, node.args, grouping, span=span)
        return Folded(node, grouping, span=span)

    # Calls

    def _call(self, span: Span, name: Token, arguments: Any) -> Expr:
        args = tuple(self.read(child) for child in arguments.children) if arguments else ()
        if name == "k_of":
            return self._k_of(span, args)
        return Call(str(name), args, span=span)

    def _k_of(self, span: Span, args: tuple[Expr, ...]) -> Expr:
        first, conditions = (args[0] if args else None), args[1:]
        if not isinstance(first, Number) or first.value != int(first.value) or not 1 <= first.value <= len(conditions):
            self._refuse(
                first.span if first else span,
                f"k_of needs a whole number from 1 to the number of its conditions ({len(conditions)}) first",
                "write k_of(2, a > 1, b > 2, c > 3): at least two of three hold",
            )
            return KOf(1, conditions or args, span=span)
        return KOf(int(first.value), conditions, span=span)

    def _paren(self, _span: Span, inner: Any) -> Expr:
        return self.read(inner)

    # Operators

    def _sign(self, span: Span, sign: Token, inner: Any) -> Expr:
        node = self.read(inner)
        if sign == "+":
            return node
        if isinstance(node, Number):
            return Number(-node.value, node.unit, span=span)
        return Negate(node, span=span)

    def _not(self, span: Span, _word: Token, inner: Any) -> Expr:
        return Not(self.read(inner), span=span)

    def _arithmetic(self, span: Span, left: Any, operator: Token, matching: Any, right: Any) -> Expr:
        op = cast("ArithmeticOp", str(operator))
        return Arithmetic(op, self.read(left), self.read(right), _matching(matching), span=span)

    def _compare(self, span: Span, left: Any, operator: Token, matching: Any, right: Any) -> Expr:
        op = cast("CompareOp", str(operator))
        return Compare(op, self.read(left), self.read(right), _matching(matching), span=span)

    def _logic(self, span: Span, left: Any, operator: Token, matching: Any, right: Any) -> Expr:
        op = cast("LogicOp", str(operator))
        return Logic(op, self.read(left), self.read(right), _matching(matching), span=span)

    def _then(self, span: Span, first: Any, second: Any, within: Any) -> Expr:
        return Then(self.read(first), self.read(second), self._duration(within), span=span)


def _matching(tree: Any) -> Matching:
    word, names, many = tree.children
    if word is None:
        return Matching()
    labels = tuple(sorted({str(name) for name in names.children if name is not None} if names else ()))
    side = "" if many is None else "left" if many.startswith("group_left") else "right"
    if word == "on":
        return Matching(on=labels, many=cast("Any", side))
    return Matching(ignoring=labels, many=cast("Any", side))


def _matcher_order(matcher: Matcher) -> tuple[str, str, str]:
    return matcher.label, matcher.op, matcher.value


def _unquote(quoted: str) -> str:
    body = quoted[1:-1]
    if quoted[0] == "`" or "\\" not in body:
        return body
    out, chars = [], iter(body)
    for char in chars:
        escaped = next(chars) if char == "\\" else ""
        # An escape that is none keeps its backslash, so that "a\.b" means what it looks like in a regular expression.
        out.append(_ESCAPES.get(escaped, escaped if escaped in "\"'\\`" else "\\" + escaped) if escaped else char)
    return "".join(out)
