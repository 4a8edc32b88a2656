"""All kinds of sinks. To add one: a file with ``Options``, a sink and ``KIND``, and a line in `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from monitor.errors import SinkError
from monitor.sink import Sink, SinkKind, SinkOptions

KINDS: Mapping[str, str] = {
    "alertmanager": "monitor.sinks.alertmanager",
    "apprise": "monitor.sinks.apprise",
    "console": "monitor.sinks.console",
    "discord": "monitor.sinks.discord",
    "email": "monitor.sinks.email",
    "file": "monitor.sinks.file",
    "mqtt": "monitor.sinks.mqtt",
    "pagerduty": "monitor.sinks.pagerduty",
    "slack": "monitor.sinks.slack",
    "telegram": "monitor.sinks.telegram",
    "webhook": "monitor.sinks.webhook",
}
"""Kind to module; modules are imported when they are first used."""


def sink_kind(name: str) -> SinkKind:
    """The registered kind.

    Raises:
        SinkError: When there is none of this name.
    """
    if name not in KINDS:
        raise SinkError(f"no sink type {name!r}; there are: {', '.join(sorted(KINDS))}")
    kind: SinkKind = import_module(KINDS[name]).KIND
    return kind


def sink_options(raw: Mapping[str, Any]) -> SinkOptions:
    """Validate one entry of ``sinks:``.

    Raises:
        SinkError: When the type is missing or unknown.
        ValidationError: Of pydantic, with every wrong key; inputs are not part of the text.
    """
    return sink_kind(str(raw.get("type", ""))).options.model_validate(dict(raw))


def build_sink(kind: str, options: Mapping[str, Any]) -> Sink:
    """Make a sink from its raw options (``type`` may be left out).

    Raises:
        SinkError: With every reason why it cannot be made; never with a secret.
    """
    registered = sink_kind(kind)
    try:
        validated = registered.options.model_validate({**options, "type": kind})
    except ValidationError as error:
        raise SinkError(f"sink {kind}: {describe(error)}") from None
    return registered.build(validated)


def describe(error: ValidationError) -> str:
    """Every problem of a validation as ``place: message``, without the input."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}".removeprefix(": ") for p in problems)
