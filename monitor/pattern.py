"""Regular expressions that people give, in rules, routes and silences: bounded, so that none of them can stop the program.

Python's matcher tries one way of fitting a text after the other, and cannot be interrupted. ``(.+)+x`` fits a name of thirty
letters in half a billion ways, and it would be asked about every alert, on the event loop. So the ways are counted from the
expression before it is used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

MAX_CHARS = 500
LONGEST = 128
"""Letters of a label's value that are reckoned with; names and symbols are shorter."""
MAX_WAYS = (LONGEST + 1) ** 4
"""Four times "any letters", one after the other."""

_parse = importlib.import_module("re._parser").parse  # what `re.compile` itself reads; it has no public name


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    r"""A pattern that is safe to match against anything.

    Raises:
        ValueError: It is no regular expression, too long, or may take too long.

    >>> compiled(r"(BTC|ETH)-?(USDT|USD\d*)").fullmatch("ETHUSD2") is not None
    True
    """
    if len(pattern) > MAX_CHARS:
        raise ValueError(f"a regular expression of more than {MAX_CHARS} characters")
    try:
        found = re.compile(pattern)
        ways = _ways(_parse(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if ways > MAX_WAYS:
        raise ValueError(
            "this regular expression may take too long: write it without a repetition of what has repetitions or"
            " alternatives in it, and with four repetitions at most"
        )
    return found


def _ways(items: Iterable[tuple[Any, Any]]) -> int:
    """In how many ways a sequence may fit one text: an upper bound, exact up to `MAX_WAYS`."""
    count = 1
    for operation, operand in items:
        count = min(count * _COUNTED.get(str(operation), _one)(operand), MAX_WAYS + 1)
    return count


def _one(_operand: Any) -> int:
    return 1


def _repeated(operand: tuple[int, int, Any]) -> int:
    least, most, inner = operand[0], min(operand[1], LONGEST), _ways(operand[2])
    if inner == 1:
        return max(1, most - least + 1)
    return sum(inner**times for times in range(min(least, most), most + 1))


def _grouped(operand: tuple[Any, ...]) -> int:
    return _ways(operand[-1])


def _either(operand: tuple[Any, ...]) -> int:
    return sum(_ways(branch) for branch in operand[1] if branch is not None)


def _conditional(operand: tuple[Any, ...]) -> int:
    return _either((None, operand[1:]))


_COUNTED: Mapping[str, Callable[[Any], int]] = {
    "MAX_REPEAT": _repeated,
    "MIN_REPEAT": _repeated,
    "POSSESSIVE_REPEAT": _repeated,
    "SUBPATTERN": _grouped,
    "ASSERT": _grouped,
    "ASSERT_NOT": _grouped,
    "ATOMIC_GROUP": _ways,
    "BRANCH": _either,
    "GROUPREF_EXISTS": _conditional,
}
"""How the operations of a parsed expression are counted; the others (letters, sets, anchors) fit in one way."""
