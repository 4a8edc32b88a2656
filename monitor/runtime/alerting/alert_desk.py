"""Everything about alerts in the running program: life cycle, routing, silences, acknowledgements, and what is kept.

The decisions are the pure parts' (`monitor.alerts`); this desk puts each step's transitions, notifications and memory
into one change, which the outbox writes in one transaction.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from monitor.alert import AlertState, AlertView, MemoryRow, SavedAlert, Transition
from monitor.alerts import routing
from monitor.alerts.flapping import Fires
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.alerts.matchers import parse_matcher
from monitor.alerts.plans import Planned, RouteStep, SinkPolicy
from monitor.alerts.routes import RoutingConfig
from monitor.alerts.routing import Router
from monitor.alerts.setback import come, come_alert
from monitor.alerts.silences import Silence
from monitor.clock import NS_PER_S, Clock
from monitor.engine import Engine
from monitor.expression import Matcher
from monitor.language.template import compile_template
from monitor.reading import Evaluation, Explanation
from monitor.runtime.alerting.change import Change, Delivered, Outgoing
from monitor.runtime.alerting.rank_keeper import ROW
from monitor.runtime.alerting.store import Store
from monitor.runtime.load import Loaded
from monitor.runtime.steps.journal import Journal
from monitor.sink import Command, SinkOptions
from monitor.tape.course import Act
from monitor.telemetry.views import alerting as shown

RECENT = 200
MEMORY_KINDS = (*routing.MEMORY_KINDS, "fires", "seen")
SEEN_EVERY_NS = 2 * NS_PER_S
"""How often it is written how far we have seen, while a ``for`` runs: less than what counts as a gap."""
FORGET_EVERY_NS = 600 * NS_PER_S
"""How often the brake for flapping forgets what it need not remember."""
DEFAULT_QUIET_NS = 3600 * NS_PER_S
LONGEST_QUIET_S = 366 * 86_400.0


class Outbox(Protocol):
    """Takes what each step decided: `monitor.runtime.alerting.delivery.Delivery`, or a backtest's journal."""

    def submit(self, change: Change) -> None:
        """Keep it, and see to what it sends."""
        ...


class AlertDesk:
    """Steps life cycle and router, and hands what they decide to the outbox.

    Args:
        loaded: Rules and settings.
        routing: The validated ``routes:``.
        sinks: Settings of every sink.
        engine: Explains readings, and keeps event time.
        store: Where state is read from at the start; None: there is nothing to restore.
        delivery: Takes changes.
        clock: Stamps what people do (silences, acknowledgements).
        notes: What to bear in mind about a rule's readings, by the rule's identity; and about one row of it, by the
            identity, `ROW` and the row's number.
        journal: Gets what a replay must know besides the engine's steps.
        page: Where people find the live page; None: where the configuration says.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        routing: RoutingConfig,
        sinks: Sequence[SinkOptions],
        engine: Engine,
        store: Store | None,
        delivery: Outbox,
        clock: Clock,
        notes: Callable[[str], tuple[str, ...]] = lambda _: (),
        journal: Journal | None = None,
        page: str | None = None,
    ) -> None:
        self._journal = journal or Journal()
        self._notes = self._journal.noting(notes)
        self._policies = [SinkPolicy.of(options) for options in sinks]
        self._engine = engine
        self._store = store
        self._delivery = delivery
        self._clock = clock
        settings = lifecycle_settings(loaded)
        self.lifecycle = Lifecycle(
            loaded.rules, settings, _render, self.explain, latest=engine.latest, attend=engine.attend
        )
        self.router = Router(routing, self._policies)
        self._page = loaded.source.config.page_address if page is None else page
        self._seen_ns = self._forgot_ns = 0
        self._resolved: deque[AlertView] = deque(maxlen=RECENT)

    async def restore(self) -> None:
        """Take over what the last run left."""
        if self._store is None:
            return
        rows = [row for kind in MEMORY_KINDS for row in await self._store.memory(kind)]
        self.remember(await self._store.alerts(), rows, self._clock.wall_ns())

    def remember(self, alerts: Sequence[SavedAlert], rows: Sequence[MemoryRow], now_ns: int) -> None:
        """Take over alerts and what was told of them; call once, before the first step."""
        self._journal.alerts(alerts, rows, now_ns)
        self.lifecycle.recall(msgspec.json.decode(row.payload, type=Fires) for row in rows if row.kind == "fires")
        seen_ns = max((int(row.payload) for row in rows if row.kind == "seen"), default=0)
        self.lifecycle.load([come_alert(saved, now_ns) for saved in alerts], come(seen_ns, now_ns))
        self.router.load(rows, self.lifecycle.alerts(), now_ns)

    def replace(self, loaded: Loaded, routing: RoutingConfig, now_ns: int) -> None:
        """Take over other rules and routes; alerts, silences and what was told stay."""
        self.lifecycle.replace_rules(loaded.rules)
        router = Router(routing, self._policies)
        router.load(self.router.dump(), self.lifecycle.alerts(), now_ns)
        self.router = router

    def step(self, evaluations: Iterable[Evaluation], now_ns: int) -> None:
        """Turn evaluations into transitions, notifications and rows of the store."""
        transitions = self.lifecycle.step(evaluations, now_ns)
        self._resolved.extend(item.alert for item in transitions if item.state is AlertState.RESOLVED)
        planned = self.router.route(transitions, now_ns) if transitions else self._due(now_ns)
        self._submit(transitions, planned)

    def next_due_ns(self) -> int:
        """When a step has something to do by time alone."""
        return min(self.lifecycle.next_due_ns, self.router.next_due_ns())

    def tick(self, now_ns: int) -> None:
        """Whatever is due by time alone."""
        self._note_seen(self._engine.now_ns)
        self._forget_fires(self._engine.now_ns)
        self._submit((), self._due(max(self._engine.now_ns, now_ns)))

    def _due(self, now_ns: int) -> list[Planned]:
        return self.router.due(now_ns) if self.router.next_due_ns() <= now_ns else []

    def _note_seen(self, now_ns: int) -> None:
        if now_ns >= self._seen_ns + SEEN_EVERY_NS and self.lifecycle.counting:
            self._seen_ns = now_ns
            self._delivery.submit(Change(memory=[MemoryRow("seen", "engine", str(now_ns).encode())]))

    def _forget_fires(self, now_ns: int) -> None:
        if now_ns >= self._forgot_ns + FORGET_EVERY_NS:
            self._forgot_ns = now_ns
            gone = self.lifecycle.forget_fires(now_ns)
            if gone:
                self._delivery.submit(Change(forgotten=[("fires", key) for key in gone]))

    def _submit(self, transitions: Sequence[Transition], planned: Sequence[Planned]) -> None:
        saved, gone = self.lifecycle.changes()
        memory, forgotten = self.router.changes()
        memory += [MemoryRow("fires", row.id, msgspec.json.encode(row)) for row in self.lifecycle.take_fired()]
        change = Change(
            transitions=list(transitions),
            saved=saved,
            gone=gone,
            outgoing=[Outgoing(plan.sink, plan.notification) for plan in planned if plan.notification is not None],
            memory=memory,
            forgotten=forgotten,
            delivered=[_not_sent(plan) for plan in planned if plan.notification is None],
            now_ns=self._clock.wall_ns(),
        )
        if change:
            self._delivery.submit(change)

    # -- what people see -----------------------------------------------------------------------------------------------

    def alerts(self) -> list[AlertView]:
        """Active alerts in the words of now, and those resolved lately."""
        return [*self.lifecycle.alerts(worded=True), *self._resolved]

    def explain(self, rule: str, row: int) -> Explanation:
        """What stands behind one row of a rule's newest evaluation."""
        notes = (*self._notes(f"{rule}{ROW}{row}"), *self._notes(rule))
        links = (("page", f"{self._page}/#why={quote(rule)}"),) if self._page else ()
        explained = self._engine.explain(rule, row)
        return replace(explained, notes=(*explained.notes, *notes), links=links)

    def active_for(self, sink: str) -> list[AlertView]:
        """The alerts that a sink was told of and that are not over."""
        return self.router.active_for(sink)

    def silenced_by(self, alert: AlertView) -> list[str]:
        """Identities of the silences that mute an alert now."""
        return self.router.silenced_by(alert, self._clock.wall_ns())

    def silences(self) -> list[shown.Silence]:
        """Silences that are active or to come."""
        return [_shown(silence) for silence in self.router.silences(self._clock.wall_ns())]

    def acknowledgements(self) -> list[shown.Acknowledgement]:
        """Acknowledgements of active alerts that have not expired."""
        now_ns = self._clock.wall_ns()
        return [
            shown.Acknowledgement(ack.fingerprint, ack.by, ack.at_ns, ack.comment, ack.until_ns)
            for ack in self.router.acknowledgements()
            if now_ns < ack.until_ns
        ]

    def explain_route(self, labels: Mapping[str, str]) -> list[RouteStep]:
        """Where an alert with these labels would go."""
        return self.router.explain_route(labels, self._clock.wall_ns())

    # -- what people do ------------------------------------------------------------------------------------------------

    def silence(self, wish: shown.Silence) -> str:
        """Store a silence and return its identity.

        Raises:
            ValueError: It is empty or ends before it begins.
        """
        matchers = tuple(
            Matcher(matcher.name, _operator(is_regex=matcher.is_regex, is_equal=matcher.is_equal), matcher.value)
            for matcher in wish.matchers
        )
        return self._silence(matchers, wish.starts_ns, wish.ends_ns, wish.created_by, wish.comment)

    def _silence(self, matchers: Sequence[Matcher], starts_ns: int, ends_ns: int, created_by: str, comment: str) -> str:
        now_ns, matchers = self._clock.wall_ns(), tuple(matchers)
        text = f"{matchers}{starts_ns}{ends_ns}{created_by}{comment}{now_ns}"
        silence_id = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.router.silence(Silence(silence_id, matchers, starts_ns, ends_ns, created_by, comment), now_ns)
        given = {"matchers": matchers, "starts_ns": starts_ns, "ends_ns": ends_ns, "created_by": created_by}
        self._did(Act("silence", {**given, "comment": comment}), now_ns)
        return silence_id

    def expire_silence(self, silence_id: str) -> bool:
        """End a silence; what it kept quiet is announced now."""
        now_ns = self._clock.wall_ns()
        done = self.router.expire_silence(silence_id, now_ns)
        self._did(Act("expire_silence", {"silence_id": silence_id}), now_ns)
        return done

    def acknowledge(self, fingerprint: str, by: str, comment: str, duration_ns: int = DEFAULT_QUIET_NS) -> bool:
        """Note that someone takes care of an alert for a while."""
        now_ns = self._clock.wall_ns()
        done = self.router.acknowledge(fingerprint, by, now_ns, duration_ns, comment)
        given = {"fingerprint": fingerprint, "by": by, "comment": comment, "duration_ns": duration_ns}
        self._did(Act("acknowledge", given), now_ns)
        return done

    def withdraw(self, fingerprint: str) -> bool:
        """Take an acknowledgement back."""
        now_ns = self._clock.wall_ns()
        done = self.router.withdraw(fingerprint, now_ns)
        self._did(Act("withdraw", {"fingerprint": fingerprint}), now_ns)
        return done

    def _did(self, act: Act, now_ns: int) -> None:
        self._journal.act(act, now_ns)
        self._submit((), self._due(now_ns))

    def follow(self, venue: str, symbols: Sequence[str]) -> None:
        """These instruments of a venue are followed from now on; alerts on others, that have no value any more, end."""
        self._journal.act(Act("follow", {"venue": venue, "symbols": tuple(symbols)}), self._clock.wall_ns())
        self.lifecycle.follow(venue, symbols)

    def perform(self, act: Act) -> None:
        """Do again what the journal says was done; the clock must stand at its time.

        Raises:
            TypeError: The arguments are not those of the method.
            ValueError: They mean nothing.
        """
        if act.what == "silence":
            matchers = [Matcher(**matcher) for matcher in act.given.get("matchers", ())]
            self._silence(**{**act.given, "matchers": matchers})
        else:
            getattr(self, act.what)(**act.given)

    async def handle_command(self, command: Command) -> str:
        """Carry out what came in through a sink (a topic, a button)."""
        if command.duration_s is not None and not 0 < command.duration_s <= LONGEST_QUIET_S:
            return "a duration is more than nothing and at most a year"
        duration_ns = DEFAULT_QUIET_NS if command.duration_s is None else int(command.duration_s * NS_PER_S)
        if command.action == "ack":
            done = self.acknowledge(command.fingerprint, command.actor, command.comment, duration_ns)
            return "acknowledged" if done else "no such alert is active"
        if command.action == "unack":
            return "withdrawn" if self.withdraw(command.fingerprint) else "it was not acknowledged"
        now_ns = self._clock.wall_ns()
        try:
            matchers = tuple(parse_matcher(text) for text in command.matchers)
            return self._silence(matchers, now_ns, now_ns + duration_ns, command.actor, command.comment)
        except ValueError as error:
            return str(error)


def lifecycle_settings(loaded: Loaded) -> LifecycleSettings:
    """The life cycle's settings out of the configuration."""
    engine, alerts = loaded.source.config.engine, loaded.source.config.alerts
    return LifecycleSettings(
        min_coverage=engine.min_coverage,
        max_alerts=engine.max_keys_per_rule,
        flap_fires=alerts.flap_fires,
        flap_window_ns=int(alerts.flap_window * NS_PER_S),
        flap_calm_ns=int(alerts.flap_calm * NS_PER_S),
        abandon_ns=int(alerts.abandon_after * NS_PER_S),
    )


def _not_sent(plan: Planned) -> Delivered:
    """Why nothing was sent, for the delivery log."""
    return Delivered(plan.at_ns, plan.sink, "", plan.fingerprints, plan.outcome, plan.reason, 0)


def _operator(*, is_regex: bool, is_equal: bool) -> Any:
    return ("=~" if is_equal else "!~") if is_regex else ("=" if is_equal else "!=")


def _shown(silence: Silence) -> shown.Silence:
    matchers = tuple(
        shown.LabelMatcher(matcher.label, matcher.value, "~" in matcher.op, not matcher.op.startswith("!"))
        for matcher in silence.matchers
    )
    return shown.Silence(matchers, silence.starts_ns, silence.ends_ns, silence.created_by, silence.comment, silence.id)


def _render(text: str, values: Mapping[str, Any]) -> str:
    return compile_template(text).render(values)
