"""Everything about alerts in the running program: life cycle, routing, silences, acknowledgements, and what is kept."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monitor.alert import AlertState, AlertView, Transition
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.clock import Clock
from monitor.engine import Engine
from monitor.language.template import compile_template
from monitor.reading import Evaluation
from monitor.runtime.delivery import Delivery
from monitor.runtime.load import Loaded
from monitor.runtime.store import Change, Outgoing, Store
from monitor.sink import Command, Notification, SinkOptions
from monitor.telemetry.view import Acknowledgement, Silence

RECENT = 200
TOLD = frozenset({AlertState.FIRING, AlertState.HELD, AlertState.RESOLVED})


class AlertDesk:
    """Steps the life cycle, decides who is told, and hands both to the outbox in one change."""

    def __init__(
        self,
        loaded: Loaded,
        sinks: Sequence[SinkOptions],
        engine: Engine,
        store: Store,
        delivery: Delivery,
        clock: Clock,
    ) -> None:
        self._sinks = sinks
        self._engine = engine
        self._store = store
        self._delivery = delivery
        self._clock = clock
        settings = LifecycleSettings(min_coverage=loaded.source.config.engine.min_coverage)
        self.lifecycle = Lifecycle(loaded.rules, settings, _render, engine.explain)
        self._resolved: deque[AlertView] = deque(maxlen=RECENT)

    async def restore(self) -> None:
        """Take over what the last run left."""
        self.lifecycle.load(await self._store.alerts())

    def replace(self, loaded: Loaded) -> None:
        """Take over other rules."""
        self.lifecycle.replace_rules(loaded.rules)

    def step(self, evaluations: Iterable[Evaluation], now_ns: int) -> None:
        """Turn evaluations into transitions, notifications and rows of the store."""
        transitions = self.lifecycle.step(evaluations, now_ns)
        saved, gone = self.lifecycle.changes()
        if not (transitions or saved or gone):
            return
        self._resolved.extend(item.alert for item in transitions if item.state is AlertState.RESOLVED)
        outgoing = [
            Outgoing(sink.id, _notification(item, now_ns, sink.id))
            for item in transitions
            if item.state in TOLD
            for sink in self._sinks
        ]
        self._delivery.submit(Change(transitions=transitions, saved=saved, gone=gone, outgoing=outgoing, now_ns=now_ns))

    def tick(self) -> None:
        """Whatever is due by time alone."""

    def alerts(self) -> list[AlertView]:
        """Active alerts, and those resolved lately."""
        return [*self.lifecycle.alerts(), *self._resolved]

    async def handle_command(self, command: Command) -> str:
        """Carry out what came in through a sink."""
        return f"{command.action} is not available"

    def silences(self) -> Sequence[Silence]:
        return ()

    def acknowledgements(self) -> Sequence[Acknowledgement]:
        return ()


def _render(text: str, values: Mapping[str, Any]) -> str:
    return compile_template(text).render(values)


def _notification(item: Transition, now_ns: int, receiver: str) -> Notification:
    alert = item.alert
    key = hashlib.sha256(f"{alert.fingerprint}/{item.state}/{alert.starts_at_ns}/{item.at_ns}".encode()).hexdigest()
    status = item.state.value
    return Notification(
        key[:32], status, (alert,), now_ns, item.reason, alert.name, alert.reason, receiver=receiver, total=1
    )  # type: ignore[arg-type]
