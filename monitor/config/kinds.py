"""Kinds of values in the configuration: durations, shares, sizes, addresses. Each says what it expects."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from monitor.clock import NS_PER_S
from monitor.literals import DURATION_PATTERN, LiteralProblem, parse_duration

_SIZE = re.compile(r"(\d+)([KMGT]?)(?:i?B)?")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>\d{1,5})")


def _seconds(value: object) -> object:
    """``30s``, ``1h30m`` or a plain number of seconds."""
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value) / NS_PER_S
    except LiteralProblem as error:
        raise ValueError(error.words) from None


def size_bytes(value: object) -> object:
    """``50G`` as bytes; the units are powers of 1024. What is no text is left as it is.

    Raises:
        ValueError: It is no size.
    """
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if not match:
            raise ValueError("expected a size such as 500M or 50G")
        return int(match[1]) * _UNITS[match[2]]
    return value


def _share(value: object) -> object:
    """``80%`` or 0.8."""
    if not isinstance(value, str) or not value.endswith("%"):
        return value
    try:
        return float(value[:-1]) / 100
    except ValueError:
        raise ValueError("expected a share such as 80% or 0.8") from None


def address(*schemes: str) -> AfterValidator:
    """A check for an address with one of these schemes and a host."""

    def check(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"expected an address that starts with {' or '.join(f'{s}://' for s in schemes)}")
        _ = parts.port  # raises ValueError on a bad port
        return value

    return AfterValidator(check)


def host_and_port(value: str) -> str:
    """Check ``127.0.0.1:9108`` or ``[::1]:9108``.

    Raises:
        ValueError: It is neither.
    """
    match = _LISTEN.fullmatch(value)
    if not match or int(match["port"]) > 65535:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:9108")
    return value


Seconds = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=float | Annotated[str, Field(pattern=f"^{DURATION_PATTERN}$")]),
    Field(gt=0),
]
"""More than 0."""
Share = Annotated[
    float,
    BeforeValidator(_share, json_schema_input_type=float | Annotated[str, Field(pattern="^[0-9.]+%$")]),
    Field(ge=0, le=1),
]
"""From 0 to 1."""
Size = Annotated[
    int,
    BeforeValidator(size_bytes, json_schema_input_type=int | Annotated[str, Field(pattern=f"^{_SIZE.pattern}$")]),
]
"""Bytes."""


def some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check that a list has an entry.

    Raises:
        ValueError: It is empty.
    """
    if not value:
        raise ValueError("at least one entry is needed")
    return value
