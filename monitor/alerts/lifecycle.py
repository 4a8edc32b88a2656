"""The life of an alert: inactive, pending, firing, held, resolved. Pure; the time comes with each evaluation.

Where Prometheus has a behaviour this is the same: ``for`` fires when ``ts - active_since >= for`` (0: on the first
tick), a pending alert that turns false is dropped at once, and ``keep_firing_for`` resolves when
``ts - first_false >= keep_firing_for``. What Prometheus does not have: a third truth (unknown holds an alert), a
condition to clear, a ladder of severities, and a brake for flapping. `monitor.alerts.machine` has the states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from monitor.alert import AlertView, SavedAlert, Transition
from monitor.alerts.ends import ended
from monitor.alerts.flapping import Fires
from monitor.alerts.machine import NEVER, RuleMachine
from monitor.alerts.terms import Claims, Explain, Latest, LifecycleSettings, Listed, Render, plain, unexplained
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.reading import Evaluation, Values
from monitor.rule import Rule, RuleSet

Attend = Callable[[Callable[[str], tuple[Values, Values]], frozenset[str]], None]
"""Told between which values the rows of a rule may move unheard, and of which rules every other value is to be told."""

_LOOK_NS = 1 * NS_PER_S
"""How often restored alerts that wait for their data are looked at."""


class Lifecycle:
    """Turns evaluations into transitions, and knows all active alerts.

    ``explain`` is called for transitions that people read about (firing, held, resolved, escalation), once each.
    ``latest`` is asked for the readings of a rule whose timer runs out while nothing was said of it: its truth is then what
    it was, but its values may have moved. ``attend`` is told which rules have an alert, whose values have to be heard of
    when they are worse than all before; without it every value has to come.
    """

    def __init__(
        self,
        rules: RuleSet | Iterable[Rule],
        settings: LifecycleSettings | None = None,
        render: Render | None = None,
        explain: Explain | None = None,
        *,
        latest: Latest | None = None,
        attend: Attend | None = None,
    ) -> None:
        self._latest, self._attend = latest, attend
        self._busy: frozenset[str] = frozenset()
        self._seen_ns = 0
        self.settings = settings or LifecycleSettings()
        self._render = render or plain
        self._explain = explain or unexplained
        self._machines: dict[str, RuleMachine] = {}
        self._orphans: list[SavedAlert] = []
        self._dropped: set[str] = set()
        self._claims: Claims = {}
        self._listed: Listed = {}
        self._next_due_ns = 0
        self._awaits_since_ns: int | None = None
        for rule in _alert_rules(rules):
            self._machines[rule.id] = self._machine(rule)

    def step(self, evaluations: Iterable[Evaluation], now_ns: int, *, live: bool = True) -> list[Transition]:
        """Take in the latest evaluations and return what changed, in the order of the rules.

        Args:
            evaluations: Any subset of the rules; the reading of a rule that is absent has not changed, but its
                timers go on.
            now_ns: The engine's event time; transitions bear the evaluation's own ``at_ns``.
            live: False while history is loaded: nothing is looked at, so backfilled data never alerts.
        """
        transitions = self._resolve_orphans(now_ns) if self._orphans else []
        if self._awaits_since_ns is not None and now_ns >= self._awaits_since_ns + _LOOK_NS:
            self._awaits_since_ns = now_ns
            transitions += [gone for machine in self._machines.values() for gone in machine.abandon(now_ns)]
        if live:
            self._seen_ns = max(self._seen_ns, now_ns)
            transitions += self._advance({evaluation.rule: evaluation for evaluation in evaluations}, now_ns)
        return transitions

    def _advance(self, fresh: Mapping[str, Evaluation], now_ns: int) -> list[Transition]:
        """Step the rules that have a new reading, and let the timers of the others run."""
        if not fresh and now_ns < self._next_due_ns:
            return []  # most batches: nothing changed, and no timer ran out
        transitions = []
        for rule_id, machine in self._machines.items():
            evaluation = fresh.get(rule_id)
            transitions += machine.step(evaluation) if evaluation is not None else machine.elapse(now_ns, self._latest)
        self._next_due_ns = min((machine.next_due_ns for machine in self._machines.values()), default=NEVER)
        self._follow(anew=bool(transitions))
        return transitions

    @property
    def next_due_ns(self) -> int:
        """When a step has something to do though no reading changes; 0: at every step."""
        return 0 if self._orphans or self._awaits_since_ns is not None else self._next_due_ns

    def alerts(self, *, worded: bool = False) -> list[AlertView]:
        """Every alert that is pending, firing or held, as of the latest evaluations; `worded`: annotations, too."""
        machines = self._machines.values()
        return [view for machine in machines for view in machine.views(self._latest, worded=worded)]

    def indifferent(self, rule_id: str) -> tuple[Values, Values]:
        """Between which values (bounds excluded) each row of a rule may move without changing anything here."""
        return self._machines[rule_id].indifferent()

    def spoken_of(self) -> dict[str, list[Labels]]:
        """By rule, the label sets that have an alert, or wait for one."""
        return {rule_id: machine.spoken_of() for rule_id, machine in self._machines.items()}

    def renumbered(self) -> None:
        """The engine numbers rows anew from the next step on, and has to be told anew which rules have an alert."""
        self._busy = frozenset()
        self._next_due_ns = 0

    def _follow(self, *, anew: bool) -> None:
        """Say which rules have an alert now, whose values are to be heard of; also where only the rows are others."""
        busy = frozenset(rule_id for rule_id, machine in self._machines.items() if machine.busy)
        if self._attend is not None and (anew or busy != self._busy):
            self._busy = busy
            self._attend(self.indifferent, busy)

    @property
    def collided(self) -> int:
        """Alerts that were not opened because another active alert has the same labels."""
        return sum(machine.collided for machine in self._machines.values())

    def withheld(self, rule_id: str) -> int:
        """Label sets of a rule that are true and have no alert, because there are as many as its limit allows."""
        machine = self._machines.get(rule_id)
        return len(machine.withheld) if machine else 0

    def follow(self, venue: str, symbols: Iterable[str]) -> None:
        """These instruments of a venue are followed from now on; the others have come to their end.

        What is unknown of an instrument that has ended resolves on the next step, and says why.
        """
        self._listed[venue] = frozenset(symbols)
        for machine in self._machines.values():
            machine.relist()
        self._next_due_ns = 0

    def dump(self) -> list[SavedAlert]:
        """The whole state."""
        return [saved for machine in self._machines.values() for saved in machine.dump()]

    def changes(self) -> tuple[list[SavedAlert], list[str]]:
        """State that changed since the last call: alerts to write, and fingerprints to delete."""
        saved, gone = [], self._dropped
        self._dropped = set()
        for machine in self._machines.values():
            if machine.dirty or machine.gone:
                saved += machine.take_dirty()
                gone |= machine.take_gone()
        return saved, sorted(gone - {row.view.fingerprint for row in saved})

    @property
    def counting(self) -> bool:
        """Whether a ``for`` runs, and nothing restored is still to be seen: then how far we have seen is worth a note."""
        machines = self._machines.values()
        return any(machine.counting for machine in machines) and not any(machine.awaiting for machine in machines)

    def take_fired(self) -> list[Fires]:
        """What the brake for flapping must remember over a restart, as far as it changed since the last call."""
        return [
            fires
            for machine in self._machines.values()
            if machine.flapping.changed
            for fires in machine.flapping.take()
        ]

    def forget_fires(self, now_ns: int) -> list[str]:
        """Drop what is too old for the brake for flapping to count; keys of what the store may forget, too."""
        return [gone for machine in self._machines.values() for gone in machine.flapping.forget(now_ns)]

    def recall(self, fires: Iterable[Fires]) -> None:
        """Take over what the brake for flapping remembered; that of rules which are gone is forgotten."""
        for row in fires:
            machine = self._machines.get(row.rule)
            if machine is not None:
                machine.flapping.recall(row.series, row.at_ns)

    def load(self, saved: Iterable[SavedAlert], seen_ns: int = 0) -> None:
        """Take over a dumped state; each alert waits for its label set to be evaluated again.

        Until then a firing alert is held. An alert whose rule is gone resolves on the next step.

        Args:
            saved: From `dump` or `changes`.
            seen_ns: Event time of the last evaluation before the stop, if it is known to be later than that of the
                alert's last change; what lies between it and the next evaluation was seen by nobody.
        """
        for entry in saved:
            self._awaits_since_ns = 0
            row = replace(entry, seen_ns=max(entry.seen_ns, seen_ns))
            machine = self._machines.get(row.view.rule)
            if machine is None:
                self._orphans.append(row)
            else:
                machine.restore(row)

    def replace_rules(self, rules: RuleSet | Iterable[Rule]) -> None:
        """Swap the rules. A rule that keeps its id keeps its alerts; those of removed rules resolve on the next step.

        The engine may number rows anew afterwards: alerts find theirs again by labels.
        """
        old, self._machines, self._claims = self._machines, {}, {}
        self._next_due_ns = 0
        for rule in _alert_rules(rules):
            self._machines[rule.id] = self._machine(rule)
        for machine in old.values():
            self._dropped |= machine.take_gone()
            self.recall(machine.flapping.dump())
            self.load(machine.dump(), self._seen_ns)
        self._follow(anew=True)

    def _machine(self, rule: Rule) -> RuleMachine:
        return RuleMachine(rule, self.settings, self._render, self._explain, self._claims, listed=self._listed)

    def _resolve_orphans(self, now_ns: int) -> list[Transition]:
        orphans, self._orphans = self._orphans, []
        self._dropped |= {row.view.fingerprint for row in orphans}
        return [ended(row, now_ns, "the rule was removed") for row in orphans]


def _alert_rules(rules: RuleSet | Iterable[Rule]) -> Sequence[Rule]:
    return rules.alerts if isinstance(rules, RuleSet) else tuple(rules)


__all__ = ["Lifecycle", "LifecycleSettings"]
