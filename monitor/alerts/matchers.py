"""Label conditions as Alertmanager writes them: ``severity="critical"``, ``base=~"BTC|ETH"``, ``venue!=okx``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, cast

from monitor.expression import Matcher
from monitor.pattern import compiled

_MATCHER = re.compile(r"\s*([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\"\s]*))\s*", re.ASCII)


def parse_matcher(text: str) -> Matcher:
    """Read one condition; the quotes may be left out.

    Raises:
        ValueError: When it cannot be read, or its regular expression is wrong or may take too long.

    >>> parse_matcher('base=~"BTC|ETH"')
    Matcher(label='base', op='=~', value='BTC|ETH')
    """
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f'cannot read the matcher {text!r}; write it as severity="critical" or base=~"BTC|ETH"')
    label, op, quoted, plain = found.groups()
    value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    if op in {"=~", "!~"}:
        try:
            compiled(value)
        except ValueError as error:
            raise ValueError(f"the matcher {text!r}: {error}") from None
    return Matcher(label, cast("Literal['=', '!=', '=~', '!~']", op), value)


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether all conditions hold; a label that is absent counts as empty."""
    return all(_holds(matcher, labels.get(matcher.label, "")) for matcher in matchers)


def matcher_text(matcher: Matcher) -> str:
    """The condition as it is written."""
    return f'{matcher.label}{matcher.op}"{matcher.value}"'


def _holds(matcher: Matcher, value: str) -> bool:
    if matcher.op in {"=", "!="}:
        return (value == matcher.value) == (matcher.op == "=")
    return (_compiled(matcher.value).fullmatch(value) is not None) == (matcher.op == "=~")


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Read already, here or in the run that saved the silence."""
    return re.compile(pattern)
