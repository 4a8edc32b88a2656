"""The brake of a sink for people: a rate, and beyond it one digest for all that waits. Pure, and kept over a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from monitor.alert import AlertView, MemoryRow
from monitor.alerts.memory import Memory, row, rows
from monitor.alerts.plans import NEVER, GroupId, SinkPolicy
from monitor.alerts.setback import come
from monitor.clock import NS_PER_S

FIRST_DIGEST_NS = 2 * NS_PER_S
"""How long alerts are collected before the first digest of a storm."""
_MINUTE_NS = 60 * NS_PER_S
STORM, WAITS = "storm", "waits"
KINDS = (STORM, WAITS)
"""The records of this module."""


@dataclass(frozen=True, slots=True)
class Waits:
    """An alert that waits for the digest of a sink, as it was when it began to, and the group that would have told it."""

    sink: str
    group: GroupId
    view: AlertView

    @property
    def id(self) -> str:
        """Key in the store."""
        return f"{self.sink}/{self.view.fingerprint}"


@dataclass(frozen=True, slots=True)
class Level:
    """How much time is saved up, of which each message costs some, and when digests went out and will."""

    credit_ns: int
    filled_ns: int = 0
    digest_ns: int = NEVER
    last_digest_ns: int = 0


@dataclass(slots=True)
class Storm:
    """The brake of one sink.

    Attributes:
        policy: Its rate and burst; ``per_minute`` is set.
        memory: Gets what changes.
        waiting: The alerts that the next digest tells, by fingerprint.
    """

    policy: SinkPolicy
    memory: Memory
    waiting: dict[str, Waits] = field(default_factory=dict)
    _level: Level = field(init=False)

    def __post_init__(self) -> None:
        self._level = Level(self._most_ns)

    @property
    def _cost_ns(self) -> int:
        """The time that a message costs: whole nanoseconds, so that it does not matter how often somebody asks."""
        assert self.policy.per_minute is not None
        return round(_MINUTE_NS / self.policy.per_minute)

    @property
    def _most_ns(self) -> int:
        return self.policy.burst * self._cost_ns

    @property
    def digest_ns(self) -> int:
        """When the next digest is due."""
        return self._level.digest_ns

    def may_send(self, now_ns: int) -> bool:
        """Pay for a message; False when there is not enough, or others wait already."""
        level = self._level
        credit_ns = min(self._most_ns, level.credit_ns + max(0, now_ns - level.filled_ns))
        free = credit_ns >= self._cost_ns and not self.waiting
        self._set(replace(level, credit_ns=credit_ns - free * self._cost_ns, filled_ns=now_ns))
        return free

    def collect(self, alerts: Iterable[AlertView], group: GroupId, now_ns: int) -> None:
        """Have alerts wait for the digest."""
        for alert in alerts:
            waits = Waits(self.policy.name, group, replace(alert, explanation=None))
            self.waiting[alert.fingerprint] = waits
            self.memory.keep(WAITS, waits.id, waits)
        soon_ns = max(now_ns + FIRST_DIGEST_NS, self._level.last_digest_ns + self.policy.digest_every_ns)
        self._set(replace(self._level, digest_ns=min(self._level.digest_ns, soon_ns)))

    def release(self, now_ns: int) -> None:
        """The digest goes out: nobody waits any more."""
        for waits in self.waiting.values():
            self.memory.forget(WAITS, waits.id)
        self.waiting = {}
        self._set(replace(self._level, digest_ns=NEVER, last_digest_ns=now_ns))

    def _set(self, level: Level) -> None:
        self._level = level
        self.memory.keep(STORM, self.policy.name, level)

    def dump(self) -> list[MemoryRow]:
        """All of it, for `restore`."""
        level = row(STORM, self.policy.name, self._level)
        return [level, *rows(WAITS, ((waits.id, waits) for waits in self.waiting.values()))]

    def restore(self, level: Level, now_ns: int) -> None:
        """Take over what a former run left, as far as the burst of today allows."""
        self._level = replace(
            level,
            credit_ns=min(level.credit_ns, self._most_ns),
            filled_ns=come(level.filled_ns, now_ns),
            last_digest_ns=come(level.last_digest_ns, now_ns),
        )


def read(records: Iterable[MemoryRow]) -> tuple[dict[str, Level], list[Waits]]:
    """What a former run left: levels by sink, and who waited."""
    levels = {r.id: msgspec.json.decode(r.payload, type=Level) for r in records if r.kind == STORM}
    waits = [msgspec.json.decode(r.payload, type=Waits) for r in records if r.kind == WAITS]
    return levels, waits
