"""What is wrong with ``routes:``, all of it at once: in itself, and in the sinks and times that it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from monitor.alerts.calendar import TimeInterval, TimeRange
from monitor.alerts.routes import HeartbeatConfig, InhibitRule, RouteConfig, RoutingConfig
from monitor.config.problems import expectation
from monitor.errors import Problem
from monitor.language.problems import did_you_mean
from monitor.yamlsource import Document, Path

_LISTS = {"mute_times": "mute time", "active_times": "mute time", "sinks": "sink"}
"""Keys of a route that name what is defined elsewhere."""
_PARTS: dict[str, type[BaseModel]] = {
    "root": RouteConfig, "routes": RouteConfig, "inhibit": InhibitRule, "heartbeat": HeartbeatConfig,
    "mute_times": TimeInterval, "times": TimeRange,
}  # fmt: skip
"""What stands under the keys of ``routes:``."""


def route_problems(raw: Any, sinks: Collection[str], document: Document) -> list[Problem]:
    """Every mistake of a routing configuration.

    Args:
        raw: The value of ``routes:``.
        sinks: Names of the sinks that there are.
        document: Where it stands.
    """
    times = raw.get("mute_times") if isinstance(raw, Mapping) else None
    known = {"sink": sinks, "mute time": list(times) if isinstance(times, Mapping) else []}
    problems = [*_shape_problems(raw, document), *_name_problems(raw, known, document)]
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _shape_problems(raw: Any, document: Document) -> Iterator[Problem]:
    """What the model refuses; names of times are told apart from it, each at its place."""
    try:
        RoutingConfig.model_validate(raw)
    except ValidationError as error:
        for details in error.errors():
            if details["loc"] or details["type"] != "value_error":
                yield _shape_problem(("routes", *_own_path(raw, details["loc"])), details, document)


def _shape_problem(path: Path, details: Any, document: Document) -> Problem:
    last = str(path[-1])
    if details["type"] == "extra_forbidden":
        hint = did_you_mean(last, _known_keys(path[1:-1]))
        return document.problem(path, f"unknown key {last!r}", hint=hint, key=True)
    if details["type"] == "missing":
        return document.problem(path[:-1], f"missing key {last!r}")
    where = next(step for step in reversed(path) if isinstance(step, str))
    return document.problem(path, f"{where}: {expectation(details)}")


def _known_keys(path: Path) -> list[str]:
    """The keys of the part that stands at a path below ``routes:``."""
    named = [_PARTS[step] for step in path if isinstance(step, str) and step in _PARTS]
    model = named[-1] if named else RouteConfig if path else RoutingConfig
    return [field.alias or name for name, field in model.model_fields.items()]


def _own_path(raw: Any, path: Path) -> Path:
    """The place in the file: a list of routes stands for the routes, and labels with values for a list of matchers."""
    if isinstance(raw, list) and path[:1] == ("routes",):
        path = path[1:]
    found: list[str | int] = []
    for number in path:
        step = list(raw)[number] if isinstance(number, int) and isinstance(raw, Mapping) else number
        found.append(step)
        raw = _part(raw, step)
    return tuple(found)


def _part(raw: Any, step: str | int) -> Any:
    try:
        return raw[step]
    except (KeyError, IndexError, TypeError):
        return None


def _name_problems(raw: Any, known: Mapping[str, Collection[str]], document: Document) -> Iterator[Problem]:
    for path, kind, name in _names(raw):
        if name not in known[kind]:
            hint = did_you_mean(name, known[kind]) or f"there are: {', '.join(sorted(known[kind])) or 'none'}"
            yield document.problem(("routes", *path), f"no {kind} named {name!r}", hint=hint)


def _names(raw: Any) -> Iterator[tuple[Path, str, str]]:
    """Where something is named, what it should be, and its name."""
    if isinstance(raw, list):
        yield from _names_of_all(raw, ())
    elif isinstance(raw, Mapping):
        yield from _names_of(raw.get("root"), ("root",))
        yield from _names_of_all(raw.get("routes"), ("routes",))
        yield from _names_of(raw.get("heartbeat"), ("heartbeat",))


def _names_of_all(routes: Any, path: Path) -> Iterator[tuple[Path, str, str]]:
    for number, route in enumerate(routes if isinstance(routes, list) else ()):
        yield from _names_of(route, (*path, number))


def _names_of(route: Any, path: Path) -> Iterator[tuple[Path, str, str]]:
    if not isinstance(route, Mapping):
        return
    for key, kind in _LISTS.items():
        names = route.get(key)
        for number, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str):
                yield (*path, key, number), kind, name
    yield from _names_of_all(route.get("routes"), (*path, "routes"))
