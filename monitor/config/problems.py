"""What the model refuses, in words and with its place in the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from monitor.config.model import Config
from monitor.errors import Problem
from monitor.yamlsource import Document


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
    message = str(details["msg"]).removeprefix("Value error, ")
    return document.problem(path, f"{_dotted(path)}: {_shown_value(details.get('input'))}{message}")


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
    """The first problem of each place: a union reports once per member."""
    first: dict[tuple[int, int], Problem] = {}
    for problem in problems:
        first.setdefault((problem.line, problem.column), problem)
    return list(first.values())
