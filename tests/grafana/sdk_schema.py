"""A closed JSON Schema of dashboards, derived from the installed Foundation SDK.

The SDK's repository publishes JSON Schemas made from the same definitions as its Python classes, but its packages do not
carry them, and tests fetch nothing. So the schema is read off the classes: type hints say what a field holds, and the
generated `from_json` and `to_json` say its name in JSON. Every object is closed: a field that the SDK does not know is a fault.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import types
import typing
import warnings
from typing import Any

with warnings.catch_warnings():
    # the SDK prefers dashboards of version 2, which only Grafana 12 and later read
    warnings.filterwarnings("ignore", message="Prefer using dashboardv2", category=DeprecationWarning)
    from grafana_foundation_sdk.models import dashboard

_FIELD = re.compile(r'if "([^"]+)" in data:.*?args\["([^"]+)"\]', re.DOTALL)
_CONSTANT = re.compile(r'"([^"]+)"(?:\] =|:) self\.(\w+)')
"""A field that is always written, and never read because it has one value."""
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    object: {},
    typing.Any: {},
    type(None): {"type": "null"},
}
PLUGINS = {"timeseries", "stat", "statetimeline", "table", "heatmap"}
"""Modules of the SDK whose panels we use; Grafana writes state-timeline with a dash."""


class Deriver:
    """Collects the definitions that a schema refers to."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def of(self, hint: Any) -> dict[str, Any]:
        """The schema of a type."""
        if hint in _PLAIN:
            return dict(_PLAIN[hint])
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        return {"enum": list(arguments)} if origin is typing.Literal else self._named(hint)

    def _named(self, hint: Any) -> dict[str, Any]:
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return {"enum": [member.value for member in hint]}
        return self._refer(hint)

    def _refer(self, model: Any) -> dict[str, Any]:
        name = f"{model.__module__.rpartition('.')[2]}.{model.__qualname__}"
        if name not in self.definitions:
            self.definitions[name] = {}  # a model may hold itself
            self.definitions[name] = self._object(model)
        return {"$ref": f"#/$defs/{name}"}

    def _object(self, model: Any) -> dict[str, Any]:
        if not hasattr(model, "from_json"):
            return {"type": "object"}  # an open place, such as the options of any plugin
        hints = {name: hint for base in reversed(model.__mro__) for name, hint in _hints(base).items()}
        fields = dict(_CONSTANT.findall(inspect.getsource(model.to_json)))
        fields |= dict(_FIELD.findall(inspect.getsource(model.from_json)))
        return {
            "type": "object",
            "properties": {name: self.of(hints[attribute]) for name, attribute in fields.items()},
            "additionalProperties": False,
        }


def _hints(model: Any) -> dict[str, Any]:
    if "__annotations__" not in vars(model):
        return {}
    return typing.get_type_hints(model)


def dashboard_schema() -> dict[str, Any]:
    """The schema of a dashboard, panels of the kinds that we use down to their options."""
    deriver = Deriver()
    root = deriver.of(dashboard.Dashboard)
    panel = deriver.definitions["dashboard.Panel"]
    target = deriver.of(importlib.import_module("grafana_foundation_sdk.models.prometheus").Dataquery)
    panel["properties"]["targets"] = {"type": "array", "items": target}
    panel["allOf"] = [_panel_rule(deriver, kind) for kind in sorted(PLUGINS)]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": deriver.definitions}


def _panel_rule(deriver: Deriver, kind: str) -> dict[str, Any]:
    module = importlib.import_module(f"grafana_foundation_sdk.models.{kind}")
    inner: dict[str, Any] = {"options": deriver.of(module.Options)}
    if hasattr(module, "FieldConfig"):
        custom = {"properties": {"custom": deriver.of(module.FieldConfig)}}
        inner["fieldConfig"] = {"properties": {"defaults": custom}}
    name = "state-timeline" if kind == "statetimeline" else kind
    return {"if": {"properties": {"type": {"const": name}}}, "then": {"properties": inner}}
