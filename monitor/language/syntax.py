"""Syntax errors in words: what was found, what could have stood there, and the usual slip behind it."""

from __future__ import annotations

import re

from lark import UnexpectedInput, UnexpectedToken

from monitor.language.problems import TextProblem

_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_SLIPS = {
    "=": "compare with ==",
    "&&": "write and",
    "&": "write and",
    "||": "write or",
    "|": "write or",
    "!": "write not",
    "<>": "write !=",
    "=>": "write >=",
    "=<": "write <=",
    "and": "write and in lower case",
    "or": "write or in lower case",
    "not": "write not in lower case",
    "then": "write then in lower case",
    "bool": "comparisons are conditions here; leave bool out",
    "by": "by (...) comes after the call: sum(x[1h]) by (base)",
    "without": "without (...) comes after the call: sum(x[1h]) without (venue)",
    "for": "for is a key of the rule beside expr: for: 5m",
}
_GROUPED_BEFORE_CALL = re.compile(r"\b(?:by|without)\s*\([^()]{0,200}\)\s{0,20}\Z")
_GROUPED_BARE = re.compile(r"\b(by|without)\s{1,20}\Z")
_SEQUENCE = re.compile(r"\bthen\b")
_THOUSANDS = re.compile(r"\d,\d{3}")
_TEXT_QUOTES = "\"'`"


def explain_syntax_error(text: str, error: UnexpectedInput) -> TextProblem:
    """Turn lark's error into one located problem."""
    token = error.token if isinstance(error, UnexpectedToken) else None
    if token is not None and token.type == "$END":
        return _at_end(text, error)
    offset = getattr(error, "pos_in_stream", None) or 0
    found = str(token) if token is not None else _word_at(text, offset)
    unclosed = _unclosed(text[:offset])
    hint = _slip(text, offset, found) or _expected_hint(error, unclosed, text[:offset])
    if token is None and found[0] in _TEXT_QUOTES:
        return TextProblem(offset, 1, "this text never ends", f"close it with {found[0]}")
    return TextProblem(offset, len(found), f"unexpected {found!r}", hint)


def _at_end(text: str, error: UnexpectedInput) -> TextProblem:
    unclosed = _unclosed(text)
    end = len(text.rstrip())
    if unclosed is not None:
        bracket = text[unclosed]
        return TextProblem(unclosed, 1, f"{bracket!r} is never closed", f"a {_CLOSERS[bracket]!r} is missing")
    last = text[:end].rsplit(maxsplit=1)[-1]
    return TextProblem(end, 1, f"the expression ends after {last!r}", _expected_hint(error, None, text))


def _unclosed(text: str) -> int | None:
    """Offset of the innermost bracket that is still open, outside quotes and comments."""
    stack: list[int] = []
    quote = ""
    for offset, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[offset - 1] != "\\" else quote
        elif char in _TEXT_QUOTES or char == "#":
            quote = "\n" if char == "#" else char
        elif char in _CLOSERS:
            stack.append(offset)
        elif char in ")]}" and stack:
            stack.pop()
    return stack[-1] if stack else None


def _word_at(text: str, offset: int) -> str:
    for slip in ("&&", "||", "<>", "=>", "=<"):
        if text.startswith(slip, offset):
            return slip
    return text[offset : offset + 1] or " "


def _slip(text: str, offset: int, found: str) -> str:
    if found == "(" and _GROUPED_BEFORE_CALL.search(text[:offset]):
        return _SLIPS["by"]
    if grouped := _GROUPED_BARE.search(text[:offset]):
        return f"labels stand in brackets: {grouped[1]} (base)"
    if found == "," and _THOUSANDS.match(text, max(offset - 1, 0)):
        return "numbers have no commas: 80000 or 80k"
    pair = text[offset : offset + 2]
    if pair in ("=>", "=<"):
        return _SLIPS[pair]
    return _SLIPS.get(found, "") or (_SLIPS.get(found.lower(), "") if found.isupper() else "")


_EXPECTED = (
    ({"NAME", "NUMBER"}, "a series, a function, a number or '(' is expected here"),
    ({"STRING"}, "a quoted text is expected here"),
    ({"MATCH"}, "=, !=, =~ or !~ is expected here"),
    ({"NUMBER"}, "a duration such as 5m, 1h30m or 7d is expected here"),
    ({"NAME"}, "a label name is expected here"),
    ({"WITHIN"}, "a sequence ends in within: a > 1 then b > 2 within 30m"),
)


def _expected_hint(error: UnexpectedInput, unclosed: int | None, before: str) -> str:
    raw = getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None) or ()
    names = {str(name) for name in raw}
    if not _SEQUENCE.search(before):  # the lexer would read the word anywhere
        names.discard("WITHIN")
    for needed, hint in _EXPECTED:
        if needed <= names:
            return hint
    closers = [closer for name, closer in (("RPAR", "')'"), ("RSQB", "']'"), ("RBRACE", "'}'")) if name in names]
    if unclosed is not None and closers:
        return f"{' or '.join(closers)} or an operator is expected here"
    return "an operator (> + and or then ...) or the end is expected here"
