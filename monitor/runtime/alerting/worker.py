"""The worker of one sink: its line of notifications, one delivered at a time, with retries, a breaker and a fallback."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from monitor.clock import NS_PER_S, Clock
from monitor.runtime.alerting.change import Change, Delivered, OutboxRow, Outgoing
from monitor.runtime.alerting.store import Store
from monitor.sink import Notification, Outcome, Result, Sink


class Log(Protocol):
    """The part of a structlog logger that is used here."""

    def info(self, event: str, /, **fields: object) -> object:
        """Normal."""
        ...

    def warning(self, event: str, /, **fields: object) -> object:
        """Needs a look."""
        ...


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How stubborn to be.

    Attributes:
        retry_first_s: Wait after the first failure; doubles each time.
        retry_max_s: Longest wait that we choose ourselves.
        retry_after_max_s: Longest wait that a receiver may ask for.
        breaker_after: Failures in a row after which the whole sink rests, and its fallback takes over. It does at once
            when a receiver asks for a longer wait than ``retry_max_s``.
        in_memory: Rows per sink kept in memory; the rest waits in the store.
        gather_s: A change of which nobody is told waits so long for others, to be written with them.
    """

    retry_first_s: float = 0.5
    retry_max_s: float = 60.0
    retry_after_max_s: float = 3600.0
    breaker_after: int = 5
    in_memory: int = 1000
    gather_s: float = 0.25


@dataclass(slots=True)
class SinkStats:
    """Counts of one sink since the start; read by metrics."""

    outcomes: Counter[str] = field(default_factory=Counter)
    depth: int = 0
    breaker_open: bool = False
    last_error: str = ""


Submit = Callable[[Change], None]


@dataclass(slots=True)
class _Waiting:
    row: OutboxRow
    not_before_ns: int = 0


class Worker:
    """Delivers the rows of one sink, one at a time.

    Args:
        name: The sink's.
        sink: Delivers.
        store: Holds the rows that do not fit in memory.
        submit: Takes what came of a delivery, to be written down.
        clock: Wall time for the log, monotonic time for waits.
        log: Gets ``delivery.*`` events.
        settings: How stubborn to be.
        observe: Called with sink and seconds from decision to acceptance.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        store: Store,
        submit: Submit,
        clock: Clock,
        log: Log,
        settings: DeliverySettings,
        observe: Callable[[str, float], None] | None,
    ) -> None:
        self.name = name
        self.empty = asyncio.Event()
        self.empty.set()
        self.more_in_store = False
        self.stats = SinkStats()
        self._sink = sink
        self._store = store
        self._submit = submit
        self._clock = clock
        self._log = log
        self._settings = settings
        self._observe = observe
        self._rows: dict[int, _Waiting] = {}
        self._last_id = 0
        self._newest_id = 0
        self._wake = asyncio.Event()
        self._failures = 0
        self._rest_until_ns = 0
        self._handed_over: set[int] = set()

    def accept(self, rows: Sequence[OutboxRow]) -> None:
        """Take rows that have just been written; those that do not fit in memory are read back later."""
        self.stats.depth += len(rows)
        self.empty.clear()
        self._newest_id = max(self._newest_id, *(row.id for row in rows))
        if not self.more_in_store:
            fresh = [row for row in rows if row.id > self._last_id]
            self._take(fresh[: max(0, self._settings.in_memory - len(self._rows))])
            self.more_in_store = self._last_id < self._newest_id
        if self.stats.breaker_open:
            self._hand_over(rows)
        self._wake.set()

    def accept_unwritten(self, row: OutboxRow) -> bool:
        """Take a row that could not be written yet; not while older ones wait in the store, which it would overtake."""
        if self.more_in_store:
            return False
        self.stats.depth += 1
        self.empty.clear()
        self._rows[row.id] = _Waiting(row)
        self._wake.set()
        return True

    def written(self, former_id: int, row_id: int) -> None:
        """A row that was taken unwritten has its place in the store now; rows are told of in their order."""
        self._last_id, self._newest_id = max(self._last_id, row_id), max(self._newest_id, row_id)
        waiting = self._rows.pop(former_id, None)
        if waiting is not None:
            waiting.row = replace(waiting.row, id=row_id)
            self._rows[row_id] = waiting
            if former_id in self._handed_over:
                self._handed_over.add(row_id)
        self._handed_over.discard(former_id)

    def take_back(self, rows: Sequence[OutboxRow]) -> None:
        """Take dead letters that are to be sent again, whatever their place in line was."""
        self.stats.depth += len(rows)
        self.empty.clear()
        self._rows.update((row.id, _Waiting(row)) for row in rows)
        self._wake.set()

    def _take(self, rows: Sequence[OutboxRow]) -> None:
        for row in rows:
            self._rows[row.id] = _Waiting(row)
            self._last_id = row.id

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._refill()
            waiting, until_ns = self._pick()
            if waiting is not None:
                await self._deliver(waiting)
            else:
                if self.more_in_store:
                    look_ns = self._clock.mono_ns() + NS_PER_S
                    until_ns = look_ns if until_ns is None else min(until_ns, look_ns)
                elif not self._rows:
                    self.empty.set()
                await self._sleep(until_ns)

    async def _refill(self) -> None:
        """Read on from the store once memory has half emptied."""
        if not self.more_in_store or len(self._rows) > self._settings.in_memory // 2:
            return
        limit = self._settings.in_memory // 2
        try:
            rows = await self._store.waiting(self.name, self._last_id, limit)
        except sqlite3.Error as error:
            self._log.warning("delivery.read_failed", sink=self.name, error=str(error))
            return
        self._take(rows)
        self.more_in_store = len(rows) == limit or self._last_id < self._newest_id

    def _pick(self) -> tuple[_Waiting | None, int | None]:
        """The first row that may go: due, and no earlier row about one of its alerts still waits.

        Also when to look again if there is none; None means: when something arrives.
        """
        now_ns = self._clock.mono_ns()
        if now_ns < self._rest_until_ns:
            return None, self._rest_until_ns
        blocked: set[str] = set()
        soonest: int | None = None
        for waiting in self._rows.values():
            fingerprints = waiting.row.fingerprints
            if waiting.not_before_ns <= now_ns and blocked.isdisjoint(fingerprints):
                return waiting, None
            blocked |= fingerprints
            if waiting.not_before_ns > now_ns:
                soonest = waiting.not_before_ns if soonest is None else min(soonest, waiting.not_before_ns)
        return None, soonest

    async def _sleep(self, until_ns: int | None) -> None:
        """Until something arrives, or a row is due."""
        if until_ns is None:
            await self._wake.wait()
        else:
            await wait_for(self._wake, self._clock, until_ns, f"delivery/{self.name}")
        self._wake.clear()

    async def _deliver(self, waiting: _Waiting) -> None:
        outcome = await self._attempt(waiting.row.notification)
        waiting.row = replace(waiting.row, attempts=waiting.row.attempts + 1, reason=outcome.reason)
        if outcome.result is Result.OK:
            self._succeed(waiting.row)
        elif outcome.result is Result.DROP or self._too_old(waiting.row):
            self._bury(waiting.row, outcome)
        else:
            self._retry_later(waiting, outcome)

    async def _attempt(self, notification: Notification) -> Outcome:
        """One try within the sink's deadline. Errors are named by type only: their texts may hold a secret."""
        try:
            async with asyncio.timeout(self._sink.options.deadline_s):
                return await self._sink.deliver(notification)
        except TimeoutError:
            return Outcome.retry("timeout")
        except Exception as error:  # noqa: BLE001 - a plugin: whatever it raises is a failed attempt
            return Outcome.retry(type(error).__name__)

    def _succeed(self, row: OutboxRow) -> None:
        latency_ns = max(0, self._clock.wall_ns() - row.created_ns)
        self._failures, self._rest_until_ns, self.stats.breaker_open = 0, 0, False
        if self._observe is not None:
            self._observe(self.name, latency_ns / NS_PER_S)
        self._finish(row, "ok", latency_ns)

    def _too_old(self, row: OutboxRow) -> bool:
        age_ns = self._clock.wall_ns() - row.created_ns
        return age_ns > self._sink.options.max_age_s * NS_PER_S

    def _bury(self, row: OutboxRow, outcome: Outcome) -> None:
        """Give up on a row: it stays in the store as a dead letter, and the fallback gets a copy."""
        self.stats.last_error = outcome.reason
        self._log.warning("delivery.dead_letter", sink=self.name, row=row.id, reason=outcome.reason)
        self._hand_over([row])
        self._finish(row, "dead", 0)

    def _finish(self, row: OutboxRow, outcome: str, latency_ns: int) -> None:
        self._rows.pop(row.id, None)
        self._handed_over.discard(row.id)
        self.stats.depth -= 1
        self.stats.outcomes[outcome] += 1
        self._record(row, outcome, latency_ns)

    def _record(self, row: OutboxRow, outcome: str, latency_ns: int = 0) -> None:
        now_ns = self._clock.wall_ns()
        fingerprints = tuple(alert.fingerprint for alert in row.notification.alerts)
        done = Delivered(
            at_ns=now_ns,
            sink=self.name,
            key=row.notification.key,
            fingerprints=fingerprints,
            outcome=outcome,
            reason=row.reason,
            attempts=row.attempts,
            latency_ns=latency_ns,
            row_id=row.id,
        )
        self._submit(Change(delivered=[done], now_ns=now_ns))

    def _retry_later(self, waiting: _Waiting, outcome: Outcome) -> None:
        settings, stats, now_ns = self._settings, self.stats, self._clock.mono_ns()
        self._failures += 1
        stats.outcomes["retry"] += 1
        stats.last_error = outcome.reason
        asked_s = min(outcome.retry_after_s or 0.0, settings.retry_after_max_s)
        wait_s = asked_s or self._backoff_s(waiting.row.attempts)
        waiting.not_before_ns = now_ns + int(wait_s * NS_PER_S)
        if asked_s or self._failures >= settings.breaker_after:
            self._rest_until_ns = waiting.not_before_ns
        if self._failures >= settings.breaker_after or asked_s > settings.retry_max_s:
            self._open_breaker(outcome.reason)
        self._log.info(
            "delivery.retry", sink=self.name, row=waiting.row.id, reason=outcome.reason, wait_s=round(wait_s, 3)
        )
        if waiting.row.attempts == 1:
            self._record(waiting.row, "retry")

    def _backoff_s(self, attempts: int) -> float:
        """Exponential, between half and the whole, so that many workers do not come back at once."""
        settings = self._settings
        ceiling = min(settings.retry_max_s, settings.retry_first_s * 2.0 ** min(attempts - 1, 20))
        return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    def _open_breaker(self, reason: str) -> None:
        if not self.stats.breaker_open:
            self.stats.breaker_open = True
            self._log.warning("delivery.sink_down", sink=self.name, reason=reason, waiting=len(self._rows))
        self._hand_over([waiting.row for waiting in self._rows.values()])

    def _hand_over(self, rows: Sequence[OutboxRow]) -> None:
        """Copy rows to the fallback sink; the same key makes a second copy impossible."""
        fallback = self._sink.options.fallback
        new = [row for row in rows if row.id not in self._handed_over]
        if not fallback or fallback == self.name or not new:
            return
        self._handed_over |= {row.id for row in new}
        self._submit(Change(outgoing=[Outgoing(fallback, replace(row.notification, receiver=fallback)) for row in new]))


async def wait_for(event: asyncio.Event, clock: Clock, until_ns: int, name: str) -> None:
    """For an event, but not longer than until `until_ns` of monotonic time."""
    arrived = asyncio.create_task(event.wait(), name=f"{name}/wake")
    timer = asyncio.create_task(clock.sleep_until(until_ns), name=f"{name}/timer")
    try:
        await asyncio.wait({arrived, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        arrived.cancel()
        timer.cancel()
