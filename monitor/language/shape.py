"""The outer shape of a rule file, as models: what keys there are and what they hold. Prometheus' shape, and more.

The models give the JSON Schema for editors; what stands inside expressions and templates is checked by the loader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from monitor.errors import Problem
from monitor.expression import Number
from monitor.language.problems import did_you_mean
from monitor.literals import LiteralProblem, parse_duration, parse_literal
from monitor.series import Unit
from monitor.yamlsource import Document, Path

_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _number_as_text(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value!r}" if is_number else value


def _check_duration(text: str) -> str:
    if text != "0":
        parse_duration(text)
    return text


def _check_amount(text: str) -> str:
    parse_literal(text.strip().removeprefix("-").strip())
    return text


def _check_share(text: str) -> str:
    value, unit = parse_literal(text.strip())
    if unit not in (Unit.ANY, Unit.RATIO) or not 0 <= value <= 1:
        raise LiteralProblem(f"{text!r} is not a share from 0 to 1", "write 80% or 0.8")
    return text


def _check_label_name(text: str) -> str:
    if not _LABEL_NAME.fullmatch(text) or text.startswith("__") or text == "alertname":
        raise LiteralProblem(f"{text!r} cannot be a label name")
    return text


_DURATION_PATTERN = r"^(0|(\d+(\.\d+)?(ms|[wdhms]))+)$"
_AMOUNT_PATTERN = r"^\s*-?\s*(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?([kMBT%]|bps?|ms|[wdhms]|\d)*\s*$"

Duration = Annotated[
    str,
    BeforeValidator(_number_as_text),
    AfterValidator(_check_duration),
    Field(json_schema_extra={"pattern": _DURATION_PATTERN, "type": ["string", "integer"], "examples": ["10m", "8h"]}),
]
Amount = Annotated[
    str,
    BeforeValidator(_number_as_text),
    AfterValidator(_check_amount),
    Field(json_schema_extra={"pattern": _AMOUNT_PATTERN, "type": ["string", "number"], "examples": ["1B", "-5%"]}),
]
Share = Annotated[
    str,
    BeforeValidator(_number_as_text),
    AfterValidator(_check_share),
    Field(json_schema_extra={"type": ["string", "number"], "examples": ["80%", 0.8]}),
]
Expression = Annotated[
    str,
    BeforeValidator(_number_as_text),
    Field(json_schema_extra={"type": ["string", "number"]}),
]
LabelName = Annotated[str, AfterValidator(_check_label_name)]
Texts = dict[LabelName, str]
Amounts = dict[LabelName, Amount]


class Model(BaseModel):
    """Base: frozen, no unknown keys, no conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)


class Step(Model):
    """One step of a severity ladder, mildest first: its own condition, or the rule's with other parameters."""

    severity: str = Field(description="Value of the severity label at this step.", min_length=1)
    expr: str | None = Field(None, description="Condition of this step; default: the rule's expr.")
    clear: str | None = Field(None, description="Condition that ends this step; default: the rule's clear.")
    params: Amounts = Field(default_factory=dict, description="Parameters of this step.")


class OverrideEntry(Model):
    """Other parameters for some label sets."""

    labels: Texts = Field(description="Label sets that carry all of these.", min_length=1)
    params: Amounts = Field(description="Parameters that differ for them.", min_length=1)


class RuleEntry(Model):
    """An alert rule or a recording rule."""

    alert: str | None = Field(None, description="Name of the alert, unique among all rules.", min_length=1)
    record: str | None = Field(None, description="Name of a series that later rules can read.", min_length=1)
    expr: str | None = Field(None, description="A condition; for record a number. See docs/rules.md.")
    clear: str | None = Field(None, description="Condition that ends the alert; default: expr no longer holds.")
    for_: Duration = Field("0", alias="for", description="How long expr must hold before the alert fires.")
    keep_firing_for: Duration = Field("0", description="How long it keeps firing after expr stopped to hold.")
    min_coverage: Share | None = Field(None, description="Share of the feeds' data that must be there to be sure.")
    on_unknown: Literal["hold", "fire", "resolve"] = Field("hold", description="What to do while expr is unknown.")
    limit: int = Field(0, ge=0, description="Most alerts at a time; 0: the configured default.")
    params: Amounts = Field(default_factory=dict, description="Numbers that expressions name as $name.")
    let: dict[LabelName, Expression] = Field(default_factory=dict, description="Names for parts of the expressions.")
    ladder: list[Step] = Field(default_factory=list, description="Severities with their conditions, mildest first.")
    overrides: list[OverrideEntry] = Field(default_factory=list, description="Other parameters for some label sets.")
    labels: Texts = Field(default_factory=dict, description="Labels of the alert; templates.")
    annotations: Texts = Field(default_factory=dict, description="Texts of the alert; templates.")


class GroupHead(Model):
    """A group of rules, before its rules are looked at."""

    name: str = Field(description="Name of the group.", min_length=1)
    limit: int = Field(0, ge=0, description="Default of limit for the group's rules.")
    labels: Texts = Field(default_factory=dict, description="Labels of every rule of the group.")
    rules: list[Any] = Field(default_factory=list)


class FileHead(Model):
    """A rule file, before its groups are looked at."""

    groups: list[Any]


class Group(GroupHead):
    """A named group of rules."""

    rules: list[RuleEntry] = Field(default_factory=list)


class RuleFile(Model):
    """A file of alert and recording rules."""

    groups: list[Group]


def read_params(params: Mapping[str, str]) -> dict[str, Number]:
    """Parameters as literals."""
    found = {}
    for name, text in params.items():
        bare = text.strip()
        value, unit = parse_literal(bare.removeprefix("-").strip())
        found[name] = Number(-value if bare.startswith("-") else value, unit)
    return found


def read_duration(text: str) -> int:
    """Nanoseconds of a checked duration; ``0`` needs no unit."""
    return 0 if text == "0" else parse_duration(text)


def model_problems(document: Document, prefix: Path, model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Located problems of a value that does not fit its model."""
    found: dict[tuple[int, int, str], Problem] = {}
    for details in error.errors():
        location = tuple(part for part in details["loc"] if part != "[key]")
        path: Path = (*prefix, *location)
        kind = details["type"]
        raised = details.get("ctx", {}).get("error")
        hint = getattr(raised, "hint", "")
        message = _MESSAGES.get(kind, details["msg"].removeprefix("Value error, "))
        if kind == "extra_forbidden":
            message, hint = _unknown(str(location[-1]), model, location)
        elif kind == "missing":
            message, path = f"the key {location[-1]!r} is missing", path[:-1]
        at_key = kind in ("extra_forbidden", "missing") or "[key]" in details["loc"]
        problem = document.problem(path, message, hint=hint, key=at_key)
        found.setdefault((problem.line, problem.column, message), problem)
    return list(found.values())


def _unknown(key: str, model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[str, str]:
    """What to say of a key that is not ours: Prometheus' own keys deserve a reason."""
    keys = _keys(model, location)
    if key in _REFUSED and "rules" in keys:
        return _REFUSED[key]
    return f"unknown key {key!r}", did_you_mean(key, keys)


_REFUSED = {
    "interval": (
        "a group has no interval here: rules are judged as soon as something that they read changes",
        "leave it out; for: says how long a condition must hold before it fires",
    ),
    "query_offset": ("a group has no query_offset here", "write it where it is meant: sum(x[1h] offset 1m)"),
    "partial_response_strategy": ("a group has no partial_response_strategy here", "see min_coverage and on_unknown"),
}

_MESSAGES = {
    "string_type": "expected text; put it in quotes",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that could stand at the last part of a location."""
    for part in location[:-1]:
        field = next((one for name, one in model.model_fields.items() if part in (name, one.alias)), None)
        if field is not None:
            inner = _models_of(field.annotation)
            model = inner[0] if inner else model
    return [one.alias or name for name, one in model.model_fields.items()]


def _models_of(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_of(part)]
