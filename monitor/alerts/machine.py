"""All alerts of one rule: a state machine per row, stepped by evaluations. Pure.

Vectors select, scalars decide. Of a rule's rows only those whose inputs changed, or whose timer ran out, are looked at
one by one; thousands of quiet rows cost a comparison of two small arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from monitor import format as fmt
from monitor.alert import AlertState, AlertView, SavedAlert, Transition
from monitor.alerts import ladder, portrait
from monitor.alerts.ends import awaited, delisted, end_of, ended, is_unlisted
from monitor.alerts.flapping import Flapping
from monitor.alerts.peaks import Peaks
from monitor.alerts.sight import NO_CLEAR, Codes, Sight, encode, encode_one, number, unknown_reason, weigh
from monitor.alerts.terms import Claims, Explain, Latest, LifecycleSettings, Listed, Render
from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.expression import unit_shown
from monitor.reading import FALSE, TRUE, UNKNOWN, Evaluation, Values
from monitor.rule import Rule

NEVER = np.iinfo(np.int64).max

RETRY_NS = 1 * NS_PER_S
"""How often a row that the limit keeps out is looked at again."""

WORDS_NS = 1 * NS_PER_S
"""How old the texts of an alert may be where people look at it: rendering them at every look would cost too much."""

LOOK_NS = 60 * NS_PER_S
"""How often a row without a value is checked for feeds that still live."""

RETURN_NS = 300 * NS_PER_S
"""How long after a restart no alert is given up: feeds need their time to come back."""

Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Instance:
    """The mutable state of one active row."""

    view: AlertView
    row: int
    keep_since_ns: int = 0
    lower_since_ns: int = 0
    unseen_ns: int = 0
    unknown_since_ns: int = 0
    missing_since_ns: int = 0
    """Since when there is no value although its feeds live; 0: there is one, or they do not."""
    words: Labels = ()
    """Annotations as they read at ``worded_ns``."""
    worded_ns: int = -WORDS_NS


class RuleMachine:
    """All alerts of one rule."""

    def __init__(
        self,
        rule: Rule,
        settings: LifecycleSettings,
        render: Render,
        explain: Explain,
        claims: Claims,
        *,
        listed: Listed | None = None,
    ) -> None:
        self.rule = rule
        self._listed: Listed = {} if listed is None else listed
        self._unit = unit_shown(rule.expr)
        self.collided = 0
        self._claims = claims
        self.dirty: set[int] = set()
        self.gone: set[str] = set()
        self.flapping = Flapping(rule.id, settings)
        self.withheld: set[int] = set()
        """Rows that are true and have no alert, because there are as many as the limit allows."""
        self._barred: set[int] = set()
        """Rows that are true and have no alert, because another active alert has the same labels."""
        self.limit = rule.limit or settings.max_alerts
        self._settings = settings
        self._render = render
        self._explain = explain
        self._min_coverage = settings.min_coverage if rule.min_coverage is None else rule.min_coverage
        self._active: dict[int, _Instance] = {}
        self._waiting: dict[Labels, SavedAlert] = {}
        self._waiting_since_ns = 0
        self._last: Evaluation | None = None
        self._labels: tuple[Labels, ...] = ()
        self._codes: Codes = np.zeros(0, np.int16)
        self._due: Int64s = np.zeros(0, np.int64)
        self._peaks = Peaks()
        self.next_due_ns = NEVER
        """When the first timer runs out, in event time; `elapse` does nothing before."""
        self._out: list[Transition] = []

    # -- one evaluation ------------------------------------------------------------------------------------------------

    def step(self, evaluation: Evaluation) -> list[Transition]:
        """Advance every row that has a reason to be looked at."""
        self._fit(evaluation)
        effective, clear = weigh(evaluation, self.rule, self._min_coverage)
        codes = encode(effective, clear, evaluation.level)
        changed = codes != self._codes
        if self.next_due_ns <= evaluation.at_ns:
            changed |= self._due <= evaluation.at_ns
        self._codes, self._last = codes, evaluation
        if self._active:
            self._peaks.track(evaluation, effective)
        for row in np.flatnonzero(changed).tolist():
            self._visit(row, Sight.of(evaluation, row, int(effective[row]), clear))
        if changed.any():
            self.next_due_ns = int(self._due.min(initial=NEVER))
        out, self._out = self._out, []
        return out

    def elapse(self, now_ns: int, latest: Latest | None = None) -> list[Transition]:
        """Let the timers run on an unchanged truth; the values are those of now where `latest` knows them."""
        if self._last is None or now_ns < self.next_due_ns:
            return []
        seen = latest(self.rule.id) if latest is not None else None
        return self.step(replace(seen or self._last, at_ns=now_ns))

    def _fit(self, evaluation: Evaluation) -> None:
        """Take up the evaluation's rows: new ones stand at the end, unless all were numbered anew."""
        before, self._labels = self._labels, tuple(evaluation.labels)
        if self._labels is before:
            return
        known = len(before)
        if self._labels[:known] != before:
            self._renumber(before)
            known = 0
        rows, size = len(evaluation.labels), len(self._codes)
        if rows > size:
            fresh = np.full(rows - size, encode_one(FALSE, NO_CLEAR, -1), np.int16)
            self._codes = np.concatenate([self._codes, fresh])
            self._due = np.concatenate([self._due, np.full(rows - size, NEVER, np.int64)])
            self._peaks.fit(rows)
        if self._waiting:
            self._rejoin(evaluation, known)

    def _renumber(self, before: tuple[Labels, ...]) -> None:
        """Give everything its new row; an alert whose label set is gone waits for it to come back."""
        place = {labels: row for row, labels in enumerate(self._labels)}
        rows = [place.get(labels, -1) for labels in before]
        for instance in list(self._active.values()):
            if rows[instance.row] < 0:
                self._waiting[instance.view.series] = self._saved(instance)
                del self._active[instance.row]
        for instance in self._active.values():
            instance.row = rows[instance.row]
        self._active = {instance.row: instance for instance in self._active.values()}
        old = np.array([row for row, to in enumerate(rows) if to >= 0], np.int64)
        new = np.array([to for to in rows if to >= 0], np.int64)
        codes, due = self._codes[old], self._due[old]
        self._codes = np.full(len(self._labels), encode_one(FALSE, NO_CLEAR, -1), np.int16)
        self._due = np.full(len(self._labels), NEVER, np.int64)
        self._codes[new], self._due[new] = codes, due
        self._peaks.move(old, new, len(self._labels))
        self.withheld, self._barred, self.dirty = (
            {rows[row] for row in some if rows[row] >= 0} for some in (self.withheld, self._barred, self.dirty)
        )

    def _rejoin(self, evaluation: Evaluation, first: int) -> None:
        for row in range(first, len(evaluation.labels)):
            saved = self._waiting.pop(evaluation.labels[row], None)
            if saved is not None:
                self._adopt(row, saved, evaluation.at_ns)

    def _adopt(self, row: int, saved: SavedAlert, at_ns: int) -> None:
        """Take up an alert after a restart.

        Nobody looked since it was saved: for a pending timer that time is unseen, and a firing alert was held meanwhile.
        """
        instance = _Instance(
            awaited(saved.view),
            row,
            saved.keep_since_ns,
            saved.lower_since_ns,
            saved.unseen_ns,
            saved.unknown_since_ns,
            saved.missing_since_ns,
        )
        self._peaks.begin(row, saved.view.peak, rising=saved.rising)
        gap_ns = at_ns - saved.seen_ns
        if saved.seen_ns and not instance.unknown_since_ns and gap_ns > self._settings.gap_ns:
            instance.unseen_ns += gap_ns
        self._active[row] = instance
        self.flapping.recall(saved.view.series, saved.fires_ns)
        self._codes[row] = -1  # no code: the row is visited whatever it says
        self.dirty.add(row)

    def indifferent(self) -> tuple[Values, Values]:
        """Between which values (bounds excluded) each row's may move and be no worse than its alert's worst."""
        return self._peaks.indifferent()

    # -- one row -------------------------------------------------------------------------------------------------------

    def _visit(self, row: int, sight: Sight) -> None:
        instance = self._active.get(row)
        if instance is None:
            if sight.truth == TRUE:
                self._open(row, sight)
            else:
                self._admit(row)
            return
        self._account_unseen(instance, sight)
        if instance.view.state is AlertState.PENDING:
            self._visit_pending(instance, sight)
        else:
            self._visit_firing(instance, sight)
        self.dirty.add(row)

    def _admit(self, row: int) -> None:
        """Let a row wait no longer: it opens now, or is not true any more."""
        self.withheld.discard(row)
        self._barred.discard(row)
        self._due[row] = NEVER

    def _keep_out(self, row: int, among: set[int], at_ns: int) -> None:
        """Have a row wait for another alert to end."""
        among.add(row)
        self._due[row] = at_ns + RETRY_NS

    def _open(self, row: int, sight: Sight) -> None:
        if len(self._active) >= self.limit:
            self._keep_out(row, self.withheld, sight.at_ns)
            return
        assert self._last is not None
        born = portrait.birth(self.rule, self._last.labels[row], sight, self._unit, self._render)
        if not self._claim(born):
            self.collided += row not in self._barred
            self._keep_out(row, self._barred, sight.at_ns)
            return
        self._admit(row)
        instance = _Instance(born, row)
        rising = sight.threshold is None or sight.value is None or sight.value >= sight.threshold
        self._peaks.begin(row, sight.value, rising=rising)
        self._active[row] = instance
        self.dirty.add(row)
        if self.rule.for_ns <= 0:
            self._fire(instance, sight, AlertState.INACTIVE)
        else:
            self._due[row] = sight.at_ns + self.rule.for_ns
            self._emit(instance, AlertState.INACTIVE, sight.at_ns, instance.view.reason)

    def _claim(self, view: AlertView) -> bool:
        """Take the fingerprint for this row; False when another rule or row has an active alert of the same labels."""
        mine = (self.rule.id, view.series)
        return self._claims.setdefault(view.fingerprint, mine) == mine

    def _account_unseen(self, instance: _Instance, sight: Sight) -> None:
        if instance.unknown_since_ns:
            instance.unseen_ns += sight.at_ns - instance.unknown_since_ns
        instance.unknown_since_ns = sight.at_ns if sight.truth == UNKNOWN else 0
        missing = sight.truth == UNKNOWN and (sight.coverage or 0) >= self._min_coverage
        instance.missing_since_ns = (instance.missing_since_ns or sight.at_ns) if missing else 0

    def _over(self, instance: _Instance, sight: Sight) -> str:
        """Why no value will come any more; empty while one may."""
        if is_unlisted(instance.view.series, self._listed):
            return delisted(instance.view.series)
        since_ns = instance.missing_since_ns
        if since_ns and sight.at_ns >= since_ns + self._settings.abandon_ns:
            return f"abandoned: no value since {fmt.utc_time(since_ns)}, although its feeds live"
        self._due[instance.row] = sight.at_ns + LOOK_NS
        return ""

    def relist(self) -> None:
        """Look at what is unknown again: other symbols are followed."""
        for row, instance in self._active.items():
            if instance.unknown_since_ns and is_unlisted(instance.view.series, self._listed):
                self._due[row] = self.next_due_ns = 0

    def _visit_pending(self, instance: _Instance, sight: Sight) -> None:
        if sight.truth == FALSE:
            self._close(instance, sight, AlertState.INACTIVE, "the condition no longer holds")
        elif sight.truth == UNKNOWN:
            if self.rule.on_unknown == "resolve":
                self._close(instance, sight, AlertState.INACTIVE, f"unknown: {sight.reason}")
                return
            if over := self._over(instance, sight):
                self._close(instance, sight, AlertState.INACTIVE, over)
                return
            instance.view = self._seen(instance, sight, AlertState.PENDING, f"waiting for data: {sight.reason}")
        elif (due_ns := self._fire_due(instance)) <= sight.at_ns:
            self._fire(instance, sight, AlertState.PENDING)
        else:
            self._due[instance.row] = due_ns
            instance.view = self._seen(instance, sight, AlertState.PENDING, "the condition holds")

    def _fire_due(self, instance: _Instance) -> int:
        """When a pending alert may fire: after ``for``, of which enough must have been seen.

        The span since the condition began to hold is itself a window, and needs the rule's coverage like any other.
        """
        since_ns, wanted = instance.view.active_since_ns, self._min_coverage
        if wanted >= 1:
            return since_ns + self.rule.for_ns + instance.unseen_ns
        return since_ns + max(self.rule.for_ns, round(instance.unseen_ns / (1 - wanted)))

    def _fire(self, instance: _Instance, sight: Sight, previous: AlertState) -> None:
        starts_ns = max(instance.view.active_since_ns + self.rule.for_ns, 0)
        starts_ns = max(starts_ns, self._fire_due(instance)) if self.rule.for_ns else sight.at_ns
        self._due[instance.row] = NEVER
        flapping = self.flapping.note(instance.view.series, sight.at_ns)
        instance.view = replace(instance.view, flapping=flapping, starts_at_ns=starts_ns)
        self._move(instance, sight, previous, AlertState.FIRING, sight.why_true)

    def _visit_firing(self, instance: _Instance, sight: Sight) -> None:
        truth, clear = sight.truth, sight.clear
        if truth == UNKNOWN and self.rule.on_unknown == "resolve":
            self._cool(instance, sight, f"unknown: {sight.reason}")
        elif truth == UNKNOWN or (truth == FALSE and clear == UNKNOWN):
            self._hold(instance, sight)
        elif truth == TRUE or clear == FALSE:
            self._go_on(instance, sight)
        else:
            self._cool(
                instance, sight, "the clear condition holds" if clear == TRUE else "the condition no longer holds"
            )

    def _hold(self, instance: _Instance, sight: Sight) -> None:
        instance.keep_since_ns = 0
        if sight.truth == UNKNOWN and (over := self._over(instance, sight)):
            instance.view = replace(instance.view, ends_at_ns=end_of(instance.view, sight.at_ns))
            self._close(instance, sight, AlertState.RESOLVED, over)
            return
        reason = f"held: {sight.reason}"
        if instance.view.state is AlertState.HELD:
            instance.view = self._seen(instance, sight, AlertState.HELD, reason)
        else:
            self._move(instance, sight, AlertState.FIRING, AlertState.HELD, reason)

    def _go_on(self, instance: _Instance, sight: Sight) -> None:
        instance.keep_since_ns = 0
        self._due[instance.row] = NEVER
        reason = (
            sight.why_true
            if sight.truth == TRUE
            else "no longer beyond the threshold, but the clear condition does not hold yet"
        )
        if instance.view.state is AlertState.HELD:
            self._move(instance, sight, AlertState.HELD, AlertState.FIRING, f"data is back; {reason}")
        if not self._climb(instance, sight, reason):
            instance.view = self._seen(instance, sight, AlertState.FIRING, reason)

    def _climb(self, instance: _Instance, sight: Sight, reason: str) -> bool:
        """Follow the ladder: up at once, down after ``keep_firing_for`` at the lower level. Returns whether it moved."""
        if not self.rule.levels:
            return False
        now = instance.view.level
        step = ladder.climb(self.rule, now, sight.level, instance.lower_since_ns, sight.at_ns)
        instance.lower_since_ns = step.lower_since_ns
        if step.due_ns is not None:
            self._due[instance.row] = step.due_ns
        if step.level is None:
            return False
        severity = self.rule.levels[step.level].severity
        text = ladder.words(self.rule, instance.view.severity, step.level, reason, up=step.level > now)
        labels = portrait.with_severity(instance.view.identity, severity)
        instance.view = replace(instance.view, level=step.level, severity=severity, labels=labels)
        escalation = 1 if step.level > now else -1
        self._move(instance, sight, AlertState.FIRING, AlertState.FIRING, text, escalation=escalation)
        return True

    def _cool(self, instance: _Instance, sight: Sight, why: str) -> None:
        """The condition is false: resolve, or wait for ``keep_firing_for`` first."""
        keep_ns = self.rule.keep_firing_for_ns
        if instance.view.flapping:
            keep_ns = max(keep_ns, self._settings.flap_calm_ns)
            why = f"flapping: {why}"
        instance.keep_since_ns = instance.keep_since_ns or sight.at_ns
        until_ns = instance.keep_since_ns + keep_ns
        if sight.at_ns >= until_ns:
            instance.view = replace(instance.view, ends_at_ns=end_of(instance.view, until_ns))
            self._close(instance, sight, AlertState.RESOLVED, why)
            return
        self._due[instance.row] = until_ns
        reason = f"{why}; resolves when that has lasted {fmt.duration(keep_ns)}"
        if instance.view.state is AlertState.HELD:
            self._move(instance, sight, AlertState.HELD, AlertState.FIRING, f"data is back; {reason}")
        else:
            instance.view = self._seen(instance, sight, AlertState.FIRING, reason)

    def _close(self, instance: _Instance, sight: Sight, state: AlertState, reason: str) -> None:
        previous = instance.view.state
        self._move(instance, sight, previous, state, reason)
        self._due[instance.row] = NEVER
        self._peaks.end(instance.row)
        del self._active[instance.row]
        self._claims.pop(instance.view.fingerprint, None)
        self.gone.add(instance.view.fingerprint)

    # -- views ---------------------------------------------------------------------------------------------------------

    def _seen(self, instance: _Instance, sight: Sight, state: AlertState, reason: str) -> AlertView:
        return portrait.seen(instance.view, sight, state, self._peaks[instance.row], reason)

    def _move(
        self,
        instance: _Instance,
        sight: Sight,
        previous: AlertState,
        state: AlertState,
        reason: str,
        *,
        escalation: int = 0,
    ) -> None:
        view = self._seen(instance, sight, state, reason)
        if state is not AlertState.INACTIVE:
            view = replace(view, explanation=portrait.sayable(self._explain(self.rule.id, instance.row)))
            view = replace(view, annotations=portrait.texts(self.rule, view, self._render))
        instance.view = view
        self._emit(instance, previous, sight.at_ns, reason, escalation)

    def _emit(self, instance: _Instance, previous: AlertState, at_ns: int, reason: str, escalation: int = 0) -> None:
        self._out.append(Transition(instance.view, previous, instance.view.state, at_ns, reason, escalation))

    def views(self, latest: Latest | None = None, *, worded: bool = False) -> list[AlertView]:
        """All active alerts with their latest readings, which `latest` knows where they moved without a word.

        With `worded` their annotations are those of now, too: as told, they are those of the last change of state.
        """
        last = (latest(self.rule.id) if latest is not None and self._active else None) or self._last
        look = self._worded if worded else self._refreshed
        fresh = [look(instance, last) for instance in self._active.values()]
        return fresh + [awaited(saved.view) for saved in self._waiting.values()]

    def _refreshed(self, instance: _Instance, last: Evaluation | None) -> AlertView:
        row = instance.row
        if last is None or last.at_ns <= instance.view.updated_ns:
            return instance.view
        if row >= len(last.labels) or last.labels[row] != instance.view.series:
            return instance.view  # numbered anew: rows are others until the next step
        reason = instance.view.reason
        if instance.view.state is AlertState.HELD:
            reason = f"held: {unknown_reason(last, row)}"
        return replace(
            instance.view,
            value=number(last.value[row]),
            threshold=number(last.threshold[row]),
            coverage=number(last.coverage[row]),
            lower_bound=bool(last.lower_bound[row]),
            updated_ns=last.at_ns,
            peak=number(self._peaks[row]),
            reason=reason,
        )

    def _worded(self, instance: _Instance, last: Evaluation | None) -> AlertView:
        view = self._refreshed(instance, last)
        if view.updated_ns >= instance.worded_ns + WORDS_NS:
            instance.words, instance.worded_ns = portrait.texts(self.rule, view, self._render), view.updated_ns
        return replace(view, annotations=instance.words)

    # -- persistence ---------------------------------------------------------------------------------------------------

    def spoken_of(self) -> list[Labels]:
        """The label sets that have an alert, or wait for one."""
        waiting = [self._labels[row] for row in (*self.withheld, *self._barred)]
        return [*waiting, *(instance.view.series for instance in self._active.values()), *self._waiting]

    def restore(self, saved: SavedAlert) -> None:
        """Keep a saved alert until its label set is evaluated."""
        self._waiting[saved.view.series] = saved
        self._claim(saved.view)

    def abandon(self, now_ns: int) -> list[Transition]:
        """End the restored alerts whose label set does not come back, and say since when there was no data.

        With ``on_unknown: fire`` an alert waits for ever, with ``resolve`` only as long as any must.
        """
        unlisted = [saved for saved in self._waiting.values() if is_unlisted(saved.view.series, self._listed)]
        gone = [ended(self._drop(saved), now_ns, delisted(saved.view.series)) for saved in unlisted]
        if not self._waiting or self.rule.on_unknown == "fire":
            self._waiting_since_ns = 0
            return gone
        self._waiting_since_ns = self._waiting_since_ns or now_ns
        if now_ns < self._waiting_since_ns + RETURN_NS:
            return gone
        patience_ns = 0 if self.rule.on_unknown == "resolve" else self._settings.abandon_ns
        lost = [self._drop(saved) for saved in list(self._waiting.values()) if now_ns >= saved.seen_ns + patience_ns]
        return gone + [ended(s, now_ns, f"abandoned: no data since {fmt.utc_time(s.seen_ns)}") for s in lost]

    def _drop(self, saved: SavedAlert) -> SavedAlert:
        """Wait for this restored alert no longer."""
        del self._waiting[saved.view.series]
        self._claims.pop(saved.view.fingerprint, None)
        self.gone.add(saved.view.fingerprint)
        return saved

    @property
    def counting(self) -> bool:
        """Whether a ``for`` runs."""
        return any(instance.view.state is AlertState.PENDING for instance in self._active.values())

    @property
    def busy(self) -> bool:
        """Whether it has an alert that follows readings."""
        return bool(self._active)

    @property
    def awaiting(self) -> bool:
        """Whether a restored alert has not been seen yet."""
        return bool(self._waiting)

    def dump(self) -> list[SavedAlert]:
        """The state of every active alert."""
        return [self._saved(instance) for instance in self._active.values()] + list(self._waiting.values())

    def take_dirty(self) -> list[SavedAlert]:
        """The state of the alerts that were visited since the last call."""
        dirty, self.dirty = self.dirty, set()
        return [self._saved(self._active[row]) for row in sorted(dirty) if row in self._active]

    def take_gone(self) -> set[str]:
        """Fingerprints of the alerts that ended since the last call."""
        gone, self.gone = self.gone, set()
        return gone

    def _saved(self, instance: _Instance) -> SavedAlert:
        return SavedAlert(
            view=replace(instance.view, peak=number(self._peaks[instance.row])),
            keep_since_ns=instance.keep_since_ns,
            lower_since_ns=instance.lower_since_ns,
            unseen_ns=instance.unseen_ns,
            unknown_since_ns=instance.unknown_since_ns,
            missing_since_ns=instance.missing_since_ns,
            seen_ns=0 if self._last is None else self._last.at_ns,
            rising=self._peaks.is_rising(instance.row),
            fires_ns=self.flapping.of(instance.view.series),
        )
