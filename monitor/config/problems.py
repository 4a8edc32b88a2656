"""What the model refuses, in words and with its place in the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from monitor.config.model import Config
from monitor.errors import Problem
from monitor.yamlsource import Document

_EXPECTED = {
    "tuple_type": "expected a list such as [a, b]",
    "path_type": "expected a path",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "dict_type": "expected keys with values",
    "model_type": "expected keys with values",
    "model_attributes_type": "expected keys with values",
    "literal_error": "expected {expected}",
    "enum": "expected {expected}",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
}
"""What pydantic says in the words of Python, in those of the file."""


def model_problem(document: Document, details: dict[str, Any]) -> Problem:
    """One of pydantic's errors as a problem at its place, with the keys that there are where one is unknown."""
    path = tuple(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return document.problem(path, f"unknown key {str(path[-1])!r}", hint=hint, key=True)
    if kind == "missing":
        return document.problem(path[:-1], f"missing key {str(path[-1])!r}")
    return document.problem(path, f"{_dotted(path)}: {_shown_value(details.get('input'))}{expectation(details)}")


def expectation(details: dict[str, Any]) -> str:
    """What one of pydantic's errors would have liked to see."""
    words = _EXPECTED.get(details["type"], str(details["msg"]).removeprefix("Value error, "))
    return words.format(**details["ctx"]) if details.get("ctx") and details["type"] in _EXPECTED else words


def _shown_value(value: object) -> str:
    return f"{value!r}: " if isinstance(value, str | int | float | bool) and len(str(value)) <= 60 else ""


def _dotted(path: tuple[str | int, ...]) -> str:
    return ".".join(str(step) for step in path if not (isinstance(step, str) and not step.isidentifier()))


def _known_keys(path: tuple[str | int, ...]) -> list[str]:
    model: Any = Config
    for step in path:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation if step in model.model_fields else None
        model = next(_models(annotation), model)
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def one_per_place(problems: list[Problem]) -> list[Problem]:
    """One problem for each place: a union reports once per member, and each says what it expected."""
    first: dict[tuple[int, int], Problem] = {}
    for problem in problems:
        known = first.setdefault((problem.line, problem.column), problem)
        words, expected, other = problem.message.rpartition(": expected ")
        if expected and other not in known.message and known.message.startswith(f"{words}: expected "):
            first[problem.line, problem.column] = replace(known, message=f"{known.message}, or {other}")
    return list(first.values())
