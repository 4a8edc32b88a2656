"""Tree to text: the canonical spelling of an expression. ``parse(to_text(tree)) == tree``."""

from __future__ import annotations

from monitor.expression import (
    Arithmetic,
    Call,
    Compare,
    Expr,
    Folded,
    Grouping,
    KOf,
    Logic,
    Matcher,
    Matching,
    Negate,
    Not,
    Number,
    Range,
    Selector,
    Then,
)
from monitor.literals import duration_text, literal_text

_ARITHMETIC = {"+": 6, "-": 6, "*": 7, "/": 7, "%": 7, "^": 9}
_LOGIC = {"or": 2, "and": 3, "unless": 3}
_NOT, _COMPARE, _SIGN, _POSTFIX, _PRIMARY = 4, 5, 8, 10, 11


def to_text(expr: Expr) -> str:
    """Write an expression in its canonical form: fixed spacing, sorted labels, only the brackets that are needed."""
    return _write(expr)[0]


def _write(node: Expr) -> tuple[str, int]:  # noqa: PLR0911 - one return for each kind of node
    """Text and how tightly its outermost operator binds."""
    match node:
        case Arithmetic(op=op, left=left, right=right, matching=matching):
            level = _ARITHMETIC[op]
            sides = (_POSTFIX, _SIGN) if op == "^" else (level, level + 1)
            return f"{_at(left, sides[0])} {op}{_matching(matching)} {_at(right, sides[1])}", level
        case Compare(op=op, left=left, right=right, matching=matching):
            return f"{_at(left, _COMPARE)} {op}{_matching(matching)} {_at(right, _COMPARE + 1)}", _COMPARE
        case Logic(op=op, left=left, right=right, matching=matching):
            level = _LOGIC[op]
            return f"{_at(left, level)} {op}{_matching(matching)} {_at(right, level + 1)}", level
        case Negate(inner=inner):
            return f"-{_at(inner, _SIGN)}" if not isinstance(inner, Number) else f"-({to_text(inner)})", _SIGN
        case Not(inner=inner):
            return f"not {_at(inner, _NOT)}", _NOT
        case Then(first=first, second=second, within_ns=within_ns):
            return f"{_at(first, 1)} then {_at(second, 2)} within {duration_text(within_ns)}", 1
        case _:
            return _write_postfix(node)


def _write_postfix(node: Expr) -> tuple[str, int]:
    match node:
        case Number(value=value, unit=unit):
            return literal_text(value, unit), _SIGN if value < 0 else _PRIMARY
        case Selector(series=series, matchers=matchers, offset_ns=offset_ns):
            return series + _matchers(matchers) + _offset(offset_ns), _POSTFIX
        case Range(inner=inner, window_ns=window_ns, step_ns=step_ns, offset_ns=offset_ns):
            window = duration_text(window_ns) + (f":{duration_text(step_ns)}" if step_ns else "")
            return f"{_at(inner, _POSTFIX)}[{window}]{_offset(offset_ns)}", _POSTFIX
        case Call(name=name, args=args, grouping=grouping):
            arguments = ", ".join(to_text(arg) for arg in args)
            return f"{name}({arguments})" + (_grouping(grouping) if grouping else ""), _POSTFIX
        case KOf(k=k, conditions=conditions):
            return f"k_of({', '.join([str(k), *(to_text(part) for part in conditions)])})", _POSTFIX
        case Folded(inner=inner, grouping=grouping):
            text = to_text(inner)
            needs = _write(inner)[1] < _POSTFIX or isinstance(inner, Call)
            return (f"({text})" if needs else text) + _grouping(grouping), _COMPARE + 1
        case _:
            raise TypeError(type(node).__name__)


def _at(node: Expr, level: int) -> str:
    """Text of an operand, in brackets if it binds more loosely than ``level``."""
    text, own = _write(node)
    return text if own >= level else f"({text})"


def _matchers(matchers: tuple[Matcher, ...]) -> str:
    if not matchers:
        return ""
    return "{" + ", ".join(f"{one.label}{one.op}{quote(one.value)}" for one in matchers) + "}"


def quote(value: str) -> str:
    """A label value as a quoted text."""
    for old, new in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        value = value.replace(old, new)
    return f'"{value}"'


def _grouping(grouping: Grouping) -> str:
    return f" {'without' if grouping.without else 'by'} ({', '.join(grouping.labels)})"


def _matching(matching: Matching) -> str:
    if matching == Matching():
        return ""
    word, labels = ("on", matching.on) if matching.on is not None else ("ignoring", matching.ignoring)
    many = f" group_{matching.many}" if matching.many else ""
    return f" {word} ({', '.join(labels)}){many}"


def _offset(offset_ns: int) -> str:
    return f" offset {duration_text(offset_ns)}" if offset_ns else ""
