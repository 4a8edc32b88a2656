"""What a sink is: one channel that carries notifications to people or machines.

A sink delivers one `Notification` at a time and says how it went; retries, order, deadlines, dead letters and fallback
are `monitor.runtime.alerting.delivery`'s business. To add one: a file in ``sinks/`` and a line in ``sinks/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from monitor.alert import SEVERITIES, AlertState, AlertView
from monitor.events import Labels

Status = Literal["firing", "resolved", "held", "escalated", "deescalated", "repeat", "digest", "heartbeat", "test"]


class Result(StrEnum):
    """How a delivery went."""

    OK = "ok"
    RETRY = "retry"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a sink.

    ``reason`` is short and free of secrets; it goes to logs, metrics and the delivery log. ``retry_after_s`` is the
    receiver's own wish.
    """

    result: Result
    reason: str = ""
    retry_after_s: float | None = None

    @classmethod
    def ok(cls, reason: str = "delivered") -> Outcome:
        """Accepted by the receiver."""
        return cls(Result.OK, reason)

    @classmethod
    def retry(cls, reason: str, after_s: float | None = None) -> Outcome:
        """Not accepted; may go through later."""
        return cls(Result.RETRY, reason, after_s)

    @classmethod
    def drop(cls, reason: str) -> Outcome:
        """Refused for good; the notification becomes a dead letter."""
        return cls(Result.DROP, reason)


@dataclass(frozen=True, slots=True)
class Notification:
    """What goes to one sink.

    Attributes:
        key: Idempotency key, derived from the content: a receiver drops a repeat by it.
        status: What it is about; a group of several alerts is ``firing`` while one of them is.
        alerts: The alerts, worst first.
        at_ns: When it was decided (event time).
        reason: Why it is sent.
        title: One line.
        text: Plain text that fits the channel.
        group_key: Identity of the group, as in Alertmanager.
        group_labels: Labels that all alerts of the group share by configuration.
        receiver: The name of the sink that it was routed to.
        total: Number of alerts it stands for (a digest may say more than ``text`` has room for).
    """

    key: str
    status: Status
    alerts: tuple[AlertView, ...]
    at_ns: int
    reason: str = ""
    title: str = ""
    text: str = ""
    group_key: str = ""
    group_labels: Labels = ()
    receiver: str = ""
    total: int = 0

    @property
    def resolved(self) -> bool:
        """Whether every alert in it is over."""
        return bool(self.alerts) and all(alert.state is AlertState.RESOLVED for alert in self.alerts)


@dataclass(frozen=True, slots=True)
class Command:
    """A wish that came in through a sink (an MQTT topic, a button): acknowledge or silence.

    ``actor`` says who, for the history. ``duration_s`` None means the configured default.
    """

    action: Literal["ack", "unack", "silence"]
    actor: str
    fingerprint: str = ""
    matchers: tuple[str, ...] = ()
    duration_s: float | None = None
    comment: str = ""


CommandHandler = Callable[[Command], Awaitable[str]]
"""Carries a command out and returns a line for its sender."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink may ask of the program while it runs.

    ``handle`` carries a command out; ``active`` lists the alerts that this sink was told of and that are not over.
    ``probe``: this is a single test beside a monitor that may be running, so announce no presence, take no commands, and
    do not use a name at the receiver that belongs to the other.
    """

    handle: CommandHandler
    active: Callable[[], Sequence[AlertView]]
    probe: bool = False


class Sink(Protocol):
    """One channel. `deliver` may raise: that counts as a retry, and the text of the error is not shown."""

    @property
    def options(self) -> SinkOptions:
        """The settings that it was built from."""
        ...

    async def deliver(self, notification: Notification) -> Outcome:
        """Hand one notification over."""
        ...

    async def run(self, context: SinkContext) -> None:
        """Whatever the sink does besides (hold a connection, take commands); may return at once."""
        ...

    async def close(self) -> None:
        """Let go of connections and files."""
        ...


class SinkBase:
    """The parts of a `Sink` that most sinks do not need."""

    async def run(self, context: SinkContext) -> None:
        """Nothing to do in the background."""

    async def close(self) -> None:
        """Nothing to let go of."""


Seconds = Annotated[float, Field(gt=0)]


class SinkOptions(BaseModel):
    """Settings that every sink understands; each sink adds its own. Unknown keys are errors.

    A secret ``x`` can be given as ``x_file``, the path of a file that holds it.

    Attributes:
        type: Name of the sink's kind.
        name: Name in routes, metrics and logs; the kind when not given.
        min_severity: Milder alerts do not go here.
        fallback: Another sink that gets what this one cannot deliver.
        deadline_s: One delivery may take so long.
        max_age_s: What could not be delivered for so long becomes a dead letter.
        per_minute: More notifications than this become one digest; None: no limit.
        burst: So many may go out at once before the limit counts.
        digest_every_s: Shortest time between two digests.
        max_chars: Longest text that the channel takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: str
    name: str = ""
    min_severity: str = ""
    fallback: str = ""
    deadline_s: Seconds = 10.0
    max_age_s: Seconds = 24 * 3600.0
    per_minute: Seconds | None = None
    burst: int = Field(default=10, ge=1)
    digest_every_s: Seconds = 30.0
    max_chars: int = Field(default=100_000, ge=200)

    @field_validator("min_severity")
    @classmethod
    def _is_ranked(cls, severity: str) -> str:
        if severity not in SEVERITIES:
            raise ValueError(f"{severity!r} is no severity; there are: {', '.join(SEVERITIES[1:])}")
        return severity

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for name, info in cls.model_fields.items():
            path = data.pop(f"{name}_file", None) if "SecretStr" in str(info.annotation) else None
            if path is not None:
                data[name] = _read_secret(name, str(path))
        return data

    @property
    def id(self) -> str:
        """The name, or the kind."""
        return self.name or self.type


def _read_secret(name: str, path: str) -> SecretStr:
    try:
        return SecretStr(Path(path).read_text(encoding="utf-8").strip())
    except OSError as error:
        raise ValueError(f"{name}_file: cannot read {path}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class SinkKind:
    """A registered kind of sink: its options, and how to build a sink from them."""

    options: type[SinkOptions]
    build: Callable[[Any], Sink]
