"""Which elements of two vectors meet, decided from their label names alone, before any data is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.expression import Call, Expr, Matching, Number, Selector, Shape, children


@dataclass(frozen=True, slots=True)
class Side:
    """Labels of one operand; ``fixed`` are those that a matcher ``label="value"`` pins to one value."""

    labels: frozenset[str]
    fixed: Mapping[str, str]
    scalar: bool = False


class Mismatch(Exception):  # an answer, not a failure
    """The two sides cannot be matched; ``hint`` says how they could be."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


def side(node: Expr) -> Side:
    """What is known of an operand's labels."""
    labels = frozenset(node.type.labels)
    fixed = {name: value for name, value in fixed_labels(node).items() if name in labels}
    return Side(labels, fixed, scalar=node.type.shape is Shape.SCALAR)


def fixed_labels(node: Expr) -> dict[str, str]:
    """Labels that have one known value in every element of ``node``."""
    if isinstance(node, Selector):
        return {matcher.label: matcher.value for matcher in node.matchers if matcher.op == "="}
    parts = [child for child in children(node) if not isinstance(child, Number)]
    return fixed_labels(parts[0]) if len(parts) == 1 or (parts and isinstance(node, Call)) else {}


def join(left: Side, right: Side, matching: Matching) -> tuple[str, ...]:
    """Labels of the result of an operator.

    By default elements meet on all labels that both sides have, and one side's labels must contain the other's;
    ``on`` and ``ignoring`` choose the labels, ``group_left`` and ``group_right`` name the side with many elements.

    Raises:
        Mismatch: The pairs would be ambiguous, or there can be none.
    """
    if left.scalar or right.scalar:
        return tuple(sorted(left.labels | right.labels))
    key = _key(left, right, matching)
    _refuse_disjoint(left, right, key)
    left_many = left.labels - key - left.fixed.keys()
    right_many = right.labels - key - right.fixed.keys()
    if left_many and right_many:
        message = f"many elements could meet many: left has {_words(left)}, right has {_words(right)}"
        raise Mismatch(message, "fold one side with by (...) to labels that the other side has")
    explicit = matching.on is not None or bool(matching.ignoring)
    if explicit:
        return _explicit(left, right, matching.many, left_many, right_many) or tuple(sorted(key))
    return tuple(sorted(left.labels if not left.labels < right.labels and not right_many else right.labels))


def _key(left: Side, right: Side, matching: Matching) -> frozenset[str]:
    shared = left.labels & right.labels
    if matching.on is None:
        return shared - set(matching.ignoring)
    missing = [label for label in matching.on if label not in shared]
    if missing:
        raise Mismatch(f"on ({', '.join(matching.on)}): not both sides have {missing[0]!r}", _both_have(shared))
    return frozenset(matching.on)


def _refuse_disjoint(left: Side, right: Side, key: frozenset[str]) -> None:
    for label in sorted(key):
        one, other = left.fixed.get(label), right.fixed.get(label)
        if one is not None and other is not None and one != other:
            message = f"nothing can meet: left has {label}={one!r}, right has {label}={other!r}"
            raise Mismatch(message, f"write by (...) on both sides without {label}, or ignoring ({label})")


def _explicit(
    left: Side, right: Side, many: str, left_many: frozenset[str], right_many: frozenset[str]
) -> tuple[str, ...] | None:
    """Labels of the side that may have many elements; None when both have one for one."""
    if many == "left" and not right_many:
        return tuple(sorted(left.labels))
    if many == "right" and not left_many:
        return tuple(sorted(right.labels))
    if left_many or right_many:
        many = "left" if left_many else "right"
        extra = sorted(left_many or right_many)
        message = f"the {many} side can have many elements for one of the other (it also has {', '.join(extra)})"
        raise Mismatch(message, f"say so with group_{many}")
    return None


def _words(one: Side) -> str:
    return f"({', '.join(sorted(one.labels))})"


def _both_have(shared: frozenset[str]) -> str:
    return f"both have: {', '.join(sorted(shared))}" if shared else "the two sides share no label"
