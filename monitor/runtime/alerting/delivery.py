"""From decision to receiver: every notification is written down first, then delivered by a worker of its sink.

Guarantees: at least once; in order per alert; a sink that is down delays neither the engine nor another sink. A receiver
that drops repeats by key sees each notification once. What could not be delivered becomes a dead letter, never silence.
When the disk refuses, notifications are delivered all the same, and written down once it takes them again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from monitor.alert import AlertView
from monitor.clock import NS_PER_S, Clock
from monitor.runtime.alerting.change import Change, Delivered, OutboxRow, Outgoing
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.worker import DeliverySettings, Log, SinkStats, Worker, wait_for
from monitor.sink import Command, CommandHandler, Sink, SinkContext

Key = tuple[str, str]
"""Sink and idempotency key."""


class Delivery:
    """The outbox and its workers.

    Args:
        sinks: By name.
        store: Where notifications wait.
        clock: Wall time for the log, monotonic time for waits.
        log: Gets ``delivery.*`` events; no secret, no payload.
        settings: How stubborn to be.
        observe: Called with sink and seconds from decision to acceptance, for a histogram.
    """

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        store: Store,
        clock: Clock,
        log: Log,
        *,
        settings: DeliverySettings | None = None,
        observe: Callable[[str, float], None] | None = None,
    ) -> None:
        self.write_failures = 0
        self._sinks = dict(sinks)
        self._store = store
        self._clock = clock
        self._log = log
        self._change = Change()
        self._unwritten: dict[Key, int] = {}
        self._settled: dict[Key, Delivered] = {}
        """Of the unwritten ones, those that were delivered or given up."""
        self._numbers = itertools.count(-1, -1)
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._gather_ns = int((settings or DeliverySettings()).gather_s * NS_PER_S)
        self._idle = asyncio.Event()
        self._idle.set()
        self._workers = {
            name: Worker(
                name,
                sink,
                store=store,
                submit=self.submit,
                clock=clock,
                log=log,
                settings=settings or DeliverySettings(),
                observe=observe,
            )
            for name, sink in sinks.items()
        }
        self.stats: dict[str, SinkStats] = {name: worker.stats for name, worker in self._workers.items()}
        self.handle_command: CommandHandler = _refuse_command
        self.active: Callable[[str], Sequence[AlertView]] = _none_active

    def submit(self, change: Change | Iterable[Outgoing]) -> None:
        """Queue a change for the store, and its notifications for their sinks; returns at once.

        Everything submitted before the writer wakes is one transaction; it wakes at once if anybody is told anything.
        """
        if not isinstance(change, Change):
            change = Change(outgoing=list(change))
        change.now_ns = change.now_ns or self._clock.wall_ns()
        change.delivered = [done for done in change.delivered if not self._settles(done)]
        self._change.add(change)
        self._idle.clear()
        self._changed.set()
        if change.urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Write and deliver until cancelled."""
        depths = await self._store.depths()
        for name, worker in self._workers.items():
            self.stats[name].depth = depths.get(name, 0)
            worker.more_in_store = bool(depths.get(name))
        orphaned = {sink: count for sink, count in depths.items() if sink not in self._workers}
        if orphaned:
            self._log.warning("delivery.sink_gone", waiting=orphaned)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_forever(), name="delivery/writer")
            for name, worker in self._workers.items():
                group.create_task(worker.run(), name=f"delivery/{name}")
                group.create_task(self._run_sink(name), name=f"sink/{name}")

    async def drain(self, timeout_s: float) -> bool:
        """Wait until all is written and delivered; returns whether that happened within `timeout_s`."""
        self._urgent.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
                for worker in self._workers.values():
                    await worker.empty.wait()
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def resend(self, ids: Sequence[int]) -> int:
        """Put dead letters back in line; returns how many there were."""
        rows = await self._store.revive(ids)
        for row in rows:
            if row.sink in self._workers:
                self._workers[row.sink].take_back([row])
        return len(rows)

    async def close(self) -> None:
        """Close every sink."""
        for sink in self._sinks.values():
            await sink.close()

    # -- the writer ----------------------------------------------------------------------------------------------------

    async def _write_forever(self) -> None:
        while True:
            await self._changed.wait()
            if not self._urgent.is_set():
                await wait_for(self._urgent, self._clock, self._clock.mono_ns() + self._gather_ns, "delivery/gather")
            self._changed.clear()
            self._urgent.clear()
            change, self._change = self._change, Change()
            if change:
                await self._write(change)
            if not self._change:
                self._idle.set()

    async def _write(self, change: Change) -> None:
        """Commit, and hand the rows to their workers; a full disk is retried and never loses what it could not hold."""
        rows = await self._commit(change)
        by_sink: dict[str, list[OutboxRow]] = {}
        for row in self._not_yet_taken(rows):
            by_sink.setdefault(row.sink, []).append(row)
        for sink, some in by_sink.items():
            if sink in self._workers:
                self._workers[sink].accept(some)
            else:
                self._log.warning("delivery.no_such_sink", sink=sink, rows=len(some))

    async def _commit(self, change: Change) -> list[OutboxRow]:
        while True:
            try:
                return await self._store.commit(change)
            except Exception as error:  # noqa: BLE001 - any database error: keep the change, say so, try again
                self.write_failures += 1
                self._log.warning("delivery.write_failed", error=str(error), failures=self.write_failures)
                self._deliver_unwritten(change)
                await self._clock.sleep_until(self._clock.mono_ns() + NS_PER_S)
                later, self._change = self._change, Change()
                change.add(later)

    # -- while the disk refuses ----------------------------------------------------------------------------------------

    def _deliver_unwritten(self, change: Change) -> None:
        """Tell people now; should the process die before the disk takes it, they may be told the same key again."""
        for outgoing in change.outgoing:
            worker, key = self._workers.get(outgoing.sink), (outgoing.sink, outgoing.notification.key)
            if worker is None or key in self._unwritten:
                continue
            row = OutboxRow(next(self._numbers), outgoing.sink, outgoing.notification, change.now_ns)
            if worker.accept_unwritten(row):
                self._unwritten[key] = row.id

    def _settles(self, done: Delivered) -> bool:
        """Whether it is the end of an unwritten row, which is noted once the row is in the store."""
        if done.row_id >= 0 or done.outcome == "retry" or (done.sink, done.key) not in self._unwritten:
            return False
        self._settled[done.sink, done.key] = done
        return True

    def _not_yet_taken(self, rows: Iterable[OutboxRow]) -> Iterator[OutboxRow]:
        """The rows that no worker has yet; of the others, note that they have a place in the store now."""
        for row in rows:
            key = (row.sink, row.notification.key)
            former_id, done = self._unwritten.pop(key, 0), self._settled.pop(key, None)
            if not former_id:
                yield row
                continue
            self._workers[row.sink].written(former_id, row.id)
            if done is not None:
                self.submit(Change(delivered=[replace(done, row_id=row.id)]))
        self._unwritten.clear()
        self._settled.clear()

    async def _run_sink(self, name: str) -> None:
        """The sink's own background work; its failure is counted and tried again, and touches nobody else."""
        context = SinkContext(self._command, lambda: self.active(name))
        while True:
            try:
                await self._sinks[name].run(context)
            except Exception as error:  # noqa: BLE001 - a plugin: whatever it raises must not stop the others
                self.stats[name].last_error = type(error).__name__
                self._log.warning("delivery.sink_background_failed", sink=name, error=type(error).__name__)
                await self._clock.sleep_until(self._clock.mono_ns() + 5 * NS_PER_S)
            else:
                return

    async def _command(self, command: Command) -> str:
        return await self.handle_command(command)


def _none_active(sink: str) -> Sequence[AlertView]:  # noqa: ARG001 - replaced by the wiring
    return ()


async def _refuse_command(command: Command) -> str:
    return f"{command.action}: commands are not taken here"
