"""All alerts of one rule: a state machine per row, stepped by evaluations. Pure.

Vectors select, scalars decide. Of a rule's rows only those whose inputs changed, or whose timer ran out, are looked at
one by one; thousands of quiet rows cost a comparison of two small arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor import format as fmt
from monitor.alert import AlertState, AlertView, SavedAlert, Transition
from monitor.alerts.fingerprint import fingerprint
from monitor.events import Labels
from monitor.expression import unit_shown
from monitor.reading import FALSE, TRUE, UNKNOWN, Evaluation, Explanation, Values
from monitor.rule import Rule

Render = Callable[[str, Mapping[str, Any]], str]
"""Renders a template text with values; see `monitor.language.template`."""

Explain = Callable[[str, int], Explanation | None]
"""What stands behind a row of a rule's latest evaluation; the arguments are the rule's id and the row."""

Latest = Callable[[str], Evaluation | None]
"""The readings of a rule (its id) as of the last evaluation of all; None where there are none."""

Claims = dict[str, tuple[str, Labels]]
"""Who has which fingerprint: rule and labels of the row."""

AWAITED = "held: no data since the restart"
"""The reason of a restored alert whose label set has not been evaluated yet."""

Listed = dict[str, frozenset[str]]
"""The symbols that are followed, by venue; a venue that has not said yet is not in it."""

NEVER = np.iinfo(np.int64).max
_NS = 1_000_000_000
_NO_CLEAR = 2

RETRY_NS = 1 * _NS
"""So often a row that the limit keeps out is looked at again."""

WORDS_NS = 1 * _NS
"""How old the texts of an alert may be where people look at it: rendering them at every look would cost too much."""

LOOK_NS = 60 * _NS
"""So often a row without a value is looked at, whether its feeds live."""

RETURN_NS = 300 * _NS
"""So long after a restart no alert is given up: feeds need their time to come back."""

Int64s = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """What all rules share.

    Attributes:
        min_coverage: Share of the data below which a rule without its own setting is unknown.
        flap_fires: Firings within ``flap_window_ns`` that make an alert flapping; 0 switches the brake off.
        flap_window_ns: See ``flap_fires``.
        flap_calm_ns: How long the condition of a flapping alert must stay false before it resolves.
        gap_ns: A restart shorter than this is no gap in a pending alert's ``for``.
        abandon_ns: An alert is given up that has had no value for so long although its feeds live, or whose label set has not been
            evaluated for so long since a restart.
        max_alerts: Active alerts of one rule without its own `limit`; more are counted and wait until one ends.
    """

    min_coverage: float = 0.8
    flap_fires: int = 5
    flap_window_ns: int = 3600 * _NS
    flap_calm_ns: int = 600 * _NS
    gap_ns: int = 5 * _NS
    abandon_ns: int = 86_400 * _NS
    max_alerts: int = 10_000


@dataclass(frozen=True, slots=True)
class Fires:
    """When a row fired of late; survives a restart, so that the brake for flapping does."""

    rule: str
    series: Labels
    at_ns: tuple[int, ...]

    @property
    def id(self) -> str:
        """Key in the store."""
        return f"{self.rule}/{fingerprint(self.series)}"


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


@dataclass(frozen=True, slots=True)
class _Sight:
    """One row of an evaluation after coverage has been weighed."""

    at_ns: int
    truth: int
    clear: int
    level: int
    value: float | None
    threshold: float | None
    coverage: float | None
    lower_bound: bool
    reason: str


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
        self.fired: set[Labels] = set()
        self.withheld: set[int] = set()
        """Rows that are true and have no alert, because there are as many as the limit allows."""
        self.limit = rule.limit or settings.max_alerts
        self._settings = settings
        self._render = render
        self._explain = explain
        self._min_coverage = settings.min_coverage if rule.min_coverage is None else rule.min_coverage
        self._active: dict[int, _Instance] = {}
        self._waiting: dict[Labels, SavedAlert] = {}
        self._waiting_since_ns = 0
        self._fires: dict[Labels, tuple[int, ...]] = {}
        self._last: Evaluation | None = None
        self._codes: Codes = np.zeros(0, np.int16)
        self._due: Int64s = np.zeros(0, np.int64)
        self._peak: Values = np.zeros(0)
        self._rising: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.next_due_ns = NEVER
        """When the first timer runs out, in event time; `elapse` does nothing before."""
        self._out: list[Transition] = []

    # -- one evaluation ------------------------------------------------------------------------------------------------

    def step(self, evaluation: Evaluation) -> list[Transition]:
        """Advance every row that has a reason to be looked at."""
        self._fit(evaluation)
        effective, clear = self._weigh(evaluation)
        codes = _encode(effective, clear, evaluation.level)
        changed = codes != self._codes
        if self.next_due_ns <= evaluation.at_ns:
            changed |= self._due <= evaluation.at_ns
        self._codes, self._last = codes, evaluation
        self._track_peaks(evaluation, effective)
        for row in np.flatnonzero(changed).tolist():
            self._visit(row, _sight(evaluation, row, int(effective[row]), clear))
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
        """Grow to the evaluation's rows; rows that were numbered anew (fewer than before) are matched by labels again."""
        rows, known = len(evaluation.labels), len(self._codes)
        if rows < known:
            for saved in self.dump():
                self._waiting[saved.view.series] = saved
            self._active.clear()
            self._codes, self._due, known = self._codes[:0], self._due[:0], 0
            self._peak, self._rising = self._peak[:0], self._rising[:0]
        if rows > known:
            fresh = np.full(rows - known, _encode_one(FALSE, _NO_CLEAR, -1), np.int16)
            self._codes = np.concatenate([self._codes, fresh])
            self._due = np.concatenate([self._due, np.full(rows - known, NEVER, np.int64)])
            self._peak = np.concatenate([self._peak, np.full(rows - known, np.nan)])
            self._rising = np.concatenate([self._rising, np.ones(rows - known, np.bool_)])
            if self._waiting:
                self._rejoin(evaluation, known)

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
            _waiting_view(saved.view),
            row,
            saved.keep_since_ns,
            saved.lower_since_ns,
            saved.unseen_ns,
            saved.unknown_since_ns,
            saved.missing_since_ns,
        )
        self._start_peak(row, saved.view.peak, rising=saved.rising)
        gap_ns = at_ns - saved.seen_ns
        if saved.seen_ns and not instance.unknown_since_ns and gap_ns > self._settings.gap_ns:
            instance.unseen_ns += gap_ns
        self._active[row] = instance
        self._fires.setdefault(saved.view.series, saved.fires_ns)
        self._codes[row] = -1  # no code: the row is visited whatever it says
        self.dirty.add(row)

    def _weigh(self, evaluation: Evaluation) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8] | None]:
        """Truth after coverage: what incomplete data cannot prove is unknown; then ``on_unknown``."""
        effective, clear = evaluation.truth, evaluation.clear
        thin = evaluation.coverage < self._min_coverage
        if thin.any():
            unproven = thin & ~((effective == TRUE) & evaluation.lower_bound)
            effective = np.where(unproven, np.int8(UNKNOWN), effective)
            if clear is not None:
                clear = np.where(thin, np.int8(UNKNOWN), clear)
        if self.rule.on_unknown == "fire":
            effective = np.where(effective == UNKNOWN, np.int8(TRUE), effective)
        return effective, clear

    def indifferent(self) -> tuple[Values, Values]:
        """Between which values (bounds excluded) each row's may move and be no worse than its alert's worst."""
        worst, rising = self._peak, self._rising
        low = np.where(np.isnan(worst) | rising, -np.inf, np.nextafter(worst, -np.inf))
        return low, np.where(np.isnan(worst) | ~rising, np.inf, np.nextafter(worst, np.inf))

    def _track_peaks(self, evaluation: Evaluation, truth: npt.NDArray[np.int8]) -> None:
        """Keep the worst value of every active row while its condition holds: what ends it is no peak, nor is NaN."""
        if self._active:
            worse = np.where(self._rising, evaluation.value > self._peak, evaluation.value < self._peak)
            np.copyto(self._peak, evaluation.value, where=worse & (truth == TRUE))

    # -- one row -------------------------------------------------------------------------------------------------------

    def _visit(self, row: int, sight: _Sight) -> None:
        instance = self._active.get(row)
        if instance is None:
            if sight.truth == TRUE:
                self._open(row, sight)
            elif row in self.withheld:
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
        self._due[row] = NEVER

    def _open(self, row: int, sight: _Sight) -> None:
        if len(self._active) >= self.limit:
            self.withheld.add(row)
            self._due[row] = sight.at_ns + RETRY_NS
            return
        if row in self.withheld:
            self._admit(row)
        instance = _Instance(self._birth(row, sight), row)
        if not self._claim(instance.view):
            self.collided += 1
            return
        rising = sight.threshold is None or sight.value is None or sight.value >= sight.threshold
        self._start_peak(row, sight.value, rising=rising)
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

    def _start_peak(self, row: int, value: float | None, *, rising: bool) -> None:
        self._rising[row] = rising
        self._peak[row] = value if value is not None else (-math.inf if rising else math.inf)

    def _account_unseen(self, instance: _Instance, sight: _Sight) -> None:
        if instance.unknown_since_ns:
            instance.unseen_ns += sight.at_ns - instance.unknown_since_ns
        instance.unknown_since_ns = sight.at_ns if sight.truth == UNKNOWN else 0
        missing = sight.truth == UNKNOWN and (sight.coverage or 0) >= self._min_coverage
        instance.missing_since_ns = (instance.missing_since_ns or sight.at_ns) if missing else 0

    def _over(self, instance: _Instance, sight: _Sight) -> str:
        """Why no value will come any more; empty while one may."""
        if _unlisted(instance.view.series, self._listed):
            return f"delisted: {_where(instance.view.series)} is no longer followed"
        since_ns = instance.missing_since_ns
        if since_ns and sight.at_ns >= since_ns + self._settings.abandon_ns:
            return f"abandoned: no value since {fmt.utc_time(since_ns)}, although its feeds live"
        self._due[instance.row] = sight.at_ns + LOOK_NS
        return ""

    def relist(self) -> None:
        """Look at what is unknown again: other symbols are followed."""
        for row, instance in self._active.items():
            if instance.unknown_since_ns and _unlisted(instance.view.series, self._listed):
                self._due[row] = self.next_due_ns = 0

    def _visit_pending(self, instance: _Instance, sight: _Sight) -> None:
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

    def _fire(self, instance: _Instance, sight: _Sight, previous: AlertState) -> None:
        starts_ns = max(instance.view.active_since_ns + self.rule.for_ns, 0)
        starts_ns = max(starts_ns, self._fire_due(instance)) if self.rule.for_ns else sight.at_ns
        self._due[instance.row] = NEVER
        self._note_fire(instance, sight.at_ns)
        instance.view = replace(instance.view, starts_at_ns=starts_ns)
        self._move(instance, sight, previous, AlertState.FIRING, _firing_reason(sight))

    def _note_fire(self, instance: _Instance, at_ns: int) -> None:
        settings = self._settings
        if not settings.flap_fires:
            return
        series = instance.view.series
        recent = tuple(t for t in self._fires.get(series, ()) if t > at_ns - settings.flap_window_ns)
        fires = (*recent, at_ns)[-settings.flap_fires :]
        self._fires[series] = fires
        self.fired.add(series)
        instance.view = replace(instance.view, flapping=len(fires) >= settings.flap_fires)

    def _visit_firing(self, instance: _Instance, sight: _Sight) -> None:
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

    def _hold(self, instance: _Instance, sight: _Sight) -> None:
        instance.keep_since_ns = 0
        if sight.truth == UNKNOWN and (over := self._over(instance, sight)):
            instance.view = replace(instance.view, ends_at_ns=sight.at_ns)
            self._close(instance, sight, AlertState.RESOLVED, over)
            return
        reason = f"held: {sight.reason}"
        if instance.view.state is AlertState.HELD:
            instance.view = self._seen(instance, sight, AlertState.HELD, reason)
        else:
            self._move(instance, sight, AlertState.FIRING, AlertState.HELD, reason)

    def _go_on(self, instance: _Instance, sight: _Sight) -> None:
        instance.keep_since_ns = 0
        self._due[instance.row] = NEVER
        reason = (
            _firing_reason(sight)
            if sight.truth == TRUE
            else "no longer beyond the threshold, but the clear condition does not hold yet"
        )
        if instance.view.state is AlertState.HELD:
            self._move(instance, sight, AlertState.HELD, AlertState.FIRING, f"data is back; {reason}")
        if not self._climb(instance, sight, reason):
            instance.view = self._seen(instance, sight, AlertState.FIRING, reason)

    def _climb(self, instance: _Instance, sight: _Sight, reason: str) -> bool:
        """Follow the ladder: up at once, down after ``keep_firing_for`` at the lower level. Returns whether it moved."""
        if not self.rule.levels:
            return False
        level, now = max(sight.level, 0), instance.view.level
        if level >= now:
            instance.lower_since_ns = 0
        elif not instance.lower_since_ns:
            instance.lower_since_ns = sight.at_ns
        wait_ns = instance.lower_since_ns + self.rule.keep_firing_for_ns
        if level == now or (level < now and sight.at_ns < wait_ns):
            if level < now:
                self._due[instance.row] = wait_ns
            return False
        instance.lower_since_ns = 0
        severity = self.rule.levels[level].severity
        step = 1 if level > now else -1
        text = f"{'escalated' if step > 0 else 'de-escalated'} from {instance.view.severity} to {severity}; {reason}"
        instance.view = replace(
            instance.view, level=level, severity=severity, labels=_with_severity(instance.view.identity, severity)
        )
        self._move(instance, sight, AlertState.FIRING, AlertState.FIRING, text, escalation=step)
        return True

    def _cool(self, instance: _Instance, sight: _Sight, why: str) -> None:
        """The condition is false: resolve, or wait for ``keep_firing_for`` first."""
        keep_ns = self.rule.keep_firing_for_ns
        if instance.view.flapping:
            keep_ns = max(keep_ns, self._settings.flap_calm_ns)
            why = f"flapping: {why}"
        instance.keep_since_ns = instance.keep_since_ns or sight.at_ns
        until_ns = instance.keep_since_ns + keep_ns
        if sight.at_ns >= until_ns:
            instance.view = replace(instance.view, ends_at_ns=until_ns)
            self._close(instance, sight, AlertState.RESOLVED, why)
            return
        self._due[instance.row] = until_ns
        reason = f"{why}; resolves when that has lasted {fmt.duration(keep_ns)}"
        if instance.view.state is AlertState.HELD:
            self._move(instance, sight, AlertState.HELD, AlertState.FIRING, f"data is back; {reason}")
        else:
            instance.view = self._seen(instance, sight, AlertState.FIRING, reason)

    def _close(self, instance: _Instance, sight: _Sight, state: AlertState, reason: str) -> None:
        previous = instance.view.state
        self._move(instance, sight, previous, state, reason)
        self._due[instance.row] = NEVER
        self._peak[instance.row] = math.nan
        del self._active[instance.row]
        self._claims.pop(instance.view.fingerprint, None)
        self.gone.add(instance.view.fingerprint)

    # -- views ---------------------------------------------------------------------------------------------------------

    def _birth(self, row: int, sight: _Sight) -> AlertView:
        assert self._last is not None
        series = self._last.labels[row]
        values = {**_values(sight), "labels": dict(series), "peak": sight.value, "duration": 0}
        own = {name: self._render(text, values) for name, text in self.rule.labels.items()}
        if self.rule.levels:
            own.pop("severity", None)
        merged = {**dict(series), **own, "alertname": self.rule.name}
        identity = tuple(sorted((name, value) for name, value in merged.items() if value))
        level = max(sight.level, 0) if self.rule.levels else -1
        severity = self.rule.levels[level].severity if self.rule.levels else merged.get("severity", "")
        return AlertView(
            rule=self.rule.id,
            fingerprint=fingerprint(identity),
            identity=identity,
            labels=_with_severity(identity, severity) if self.rule.levels else identity,
            series=series,
            annotations=(),
            state=AlertState.PENDING,
            value=sight.value,
            threshold=sight.threshold,
            coverage=sight.coverage,
            lower_bound=sight.lower_bound,
            active_since_ns=sight.at_ns,
            starts_at_ns=0,
            ends_at_ns=0,
            updated_ns=sight.at_ns,
            peak=sight.value,
            reason="the condition holds",
            severity=severity,
            level=level,
            unit=self._unit,
        )

    def _seen(self, instance: _Instance, sight: _Sight, state: AlertState, reason: str) -> AlertView:
        return replace(
            instance.view,
            state=state,
            value=sight.value,
            threshold=sight.threshold,
            coverage=sight.coverage,
            lower_bound=sight.lower_bound,
            updated_ns=sight.at_ns,
            peak=_number(self._peak[instance.row]),
            reason=reason,
        )

    def _move(
        self,
        instance: _Instance,
        sight: _Sight,
        previous: AlertState,
        state: AlertState,
        reason: str,
        *,
        escalation: int = 0,
    ) -> None:
        view = self._seen(instance, sight, state, reason)
        if state is not AlertState.INACTIVE:
            view = replace(view, explanation=_clean(self._explain(self.rule.id, instance.row)))
            view = replace(view, annotations=self._annotations(view))
        instance.view = view
        self._emit(instance, previous, sight.at_ns, reason, escalation)

    def _annotations(self, view: AlertView) -> Labels:
        values = {
            "value": view.value,
            "threshold": view.threshold,
            "coverage": view.coverage,
            "lower_bound": view.lower_bound,
            "labels": dict(view.labels),
            "state": str(view.state),
            "severity": view.severity,
            "reason": view.reason,
            "peak": view.peak,
            "duration": view.going_on_ns / _NS,
        }
        return tuple((name, self._render(text, values)) for name, text in sorted(self.rule.annotations.items()))

    def _emit(self, instance: _Instance, previous: AlertState, at_ns: int, reason: str, escalation: int = 0) -> None:
        self._out.append(Transition(instance.view, previous, instance.view.state, at_ns, reason, escalation))

    def views(self, latest: Latest | None = None, *, worded: bool = False) -> list[AlertView]:
        """All active alerts with their latest readings, which `latest` knows where they moved without a word.

        With `worded` their annotations are those of now, too: as told, they are those of the last change of state.
        """
        last = (latest(self.rule.id) if latest is not None and self._active else None) or self._last
        look = self._worded if worded else self._refreshed
        fresh = [look(instance, last) for instance in self._active.values()]
        return fresh + [_waiting_view(saved.view) for saved in self._waiting.values()]

    def _refreshed(self, instance: _Instance, last: Evaluation | None) -> AlertView:
        row = instance.row
        if last is None or last.at_ns <= instance.view.updated_ns:
            return instance.view
        if row >= len(last.labels) or last.labels[row] != instance.view.series:
            return instance.view  # after a reload rows are others until the next step
        reason = instance.view.reason
        if instance.view.state is AlertState.HELD:
            reason = f"held: {_unknown_reason(last, row)}"
        return replace(
            instance.view,
            value=_number(last.value[row]),
            threshold=_number(last.threshold[row]),
            coverage=_number(last.coverage[row]),
            lower_bound=bool(last.lower_bound[row]),
            updated_ns=last.at_ns,
            peak=_number(self._peak[row]),
            reason=reason,
        )

    def _worded(self, instance: _Instance, last: Evaluation | None) -> AlertView:
        view = self._refreshed(instance, last)
        if view.updated_ns >= instance.worded_ns + WORDS_NS:
            instance.words, instance.worded_ns = self._annotations(view), view.updated_ns
        return replace(view, annotations=instance.words)

    # -- persistence ---------------------------------------------------------------------------------------------------

    def restore(self, saved: SavedAlert) -> None:
        """Keep a saved alert until its label set is evaluated."""
        self._waiting[saved.view.series] = saved
        self._claim(saved.view)

    def abandon(self, now_ns: int) -> list[Transition]:
        """End the restored alerts whose label set does not come back, and say since when there was no data.

        With ``on_unknown: fire`` an alert waits for ever, with ``resolve`` only as long as any must.
        """
        delisted = [
            self._drop(saved) for saved in list(self._waiting.values()) if _unlisted(saved.view.series, self._listed)
        ]
        gone = [
            _abandoned(saved, now_ns, f"delisted: {_where(saved.view.series)} is no longer followed")
            for saved in delisted
        ]
        if not self._waiting or self.rule.on_unknown == "fire":
            self._waiting_since_ns = 0
            return gone
        self._waiting_since_ns = self._waiting_since_ns or now_ns
        if now_ns < self._waiting_since_ns + RETURN_NS:
            return gone
        patience_ns = 0 if self.rule.on_unknown == "resolve" else self._settings.abandon_ns
        lost = [self._drop(saved) for saved in list(self._waiting.values()) if now_ns >= saved.seen_ns + patience_ns]
        return gone + [_abandoned(s, now_ns, f"abandoned: no data since {fmt.utc_time(s.seen_ns)}") for s in lost]

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

    def fires(self, series: Iterable[Labels]) -> list[Fires]:
        """When these rows fired of late."""
        return [Fires(self.rule.id, labels, self._fires[labels]) for labels in series if labels in self._fires]

    def take_fired(self) -> list[Fires]:
        """The rows that fired since the last call."""
        fired, self.fired = self.fired, set()
        return self.fires(sorted(fired))

    def recall(self, fires: Fires) -> None:
        """Remember when a row fired, from a former run."""
        self._fires[fires.series] = fires.at_ns

    def dump_fires(self) -> list[Fires]:
        """Every row that is remembered to have fired."""
        return self.fires(self._fires)

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
            view=replace(instance.view, peak=_number(self._peak[instance.row])),
            keep_since_ns=instance.keep_since_ns,
            lower_since_ns=instance.lower_since_ns,
            unseen_ns=instance.unseen_ns,
            unknown_since_ns=instance.unknown_since_ns,
            missing_since_ns=instance.missing_since_ns,
            seen_ns=0 if self._last is None else self._last.at_ns,
            rising=bool(self._rising[instance.row]),
            fires_ns=self._fires.get(instance.view.series, ()),
        )


def _encode_one(truth: int, clear: int, level: int) -> int:
    return (truth + 1) + 4 * (clear + 1) + 16 * (level + 1)


def _encode(
    truth: npt.NDArray[np.int8], clear: npt.NDArray[np.int8] | None, level: npt.NDArray[np.int8] | None
) -> Codes:
    """One number per row that differs whenever an input of the state machine does; never negative."""
    codes = truth.astype(np.int16)
    codes += 1 + 4 * (_NO_CLEAR + 1) if clear is None else 1
    if clear is not None:
        codes += 4 * (clear.astype(np.int16) + 1)
    if level is not None:
        codes += 16 * (level.astype(np.int16) + 1)
    return codes


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _unknown_reason(evaluation: Evaluation, row: int) -> str:
    reason = evaluation.reasons.get(row)
    return reason or f"only {evaluation.coverage[row]:.0%} of the data is there"


def _sight(evaluation: Evaluation, row: int, truth: int, clear: npt.NDArray[np.int8] | None) -> _Sight:
    return _Sight(
        at_ns=evaluation.at_ns,
        truth=truth,
        clear=_NO_CLEAR if clear is None else int(clear[row]),
        level=-1 if evaluation.level is None else int(evaluation.level[row]),
        value=_number(evaluation.value[row]),
        threshold=_number(evaluation.threshold[row]),
        coverage=_number(evaluation.coverage[row]),
        lower_bound=bool(evaluation.lower_bound[row]),
        reason=_unknown_reason(evaluation, row),
    )


def _firing_reason(sight: _Sight) -> str:
    if sight.lower_bound and sight.coverage is not None and sight.coverage < 1:
        return (
            f"the condition holds on the {fmt.share(sight.coverage)} of the data that is there; more can only add to it"
        )
    return "the condition holds"


def _values(sight: _Sight) -> dict[str, Any]:
    return {
        "value": sight.value,
        "threshold": sight.threshold,
        "coverage": sight.coverage,
        "lower_bound": sight.lower_bound,
        "reason": sight.reason,
        "state": "pending",
        "severity": "",
    }


def _with_severity(identity: Labels, severity: str) -> Labels:
    return tuple(sorted((*identity, ("severity", severity))))


def _waiting_view(view: AlertView) -> AlertView:
    """A restored alert whose label set has not been evaluated yet is not known to hold."""
    if view.state is AlertState.FIRING:
        return replace(view, state=AlertState.HELD, reason=AWAITED)
    return view


def _unlisted(series: Labels, listed: Listed) -> bool:
    """Whether a row is that of one instrument, whose venue no longer lists it, or which is no longer followed."""
    labels = dict(series)
    symbols = listed.get(labels.get("venue", ""))
    return symbols is not None and "symbol" in labels and labels["symbol"] not in symbols


def _where(series: Labels) -> str:
    labels = dict(series)
    return f"{labels['venue']} {labels['symbol']}"


def _abandoned(saved: SavedAlert, now_ns: int, reason: str) -> Transition:
    was = saved.view.state
    state = AlertState.INACTIVE if was is AlertState.PENDING else AlertState.RESOLVED
    view = replace(saved.view, state=state, ends_at_ns=now_ns, updated_ns=now_ns, reason=reason)
    return Transition(view, was, state, now_ns, reason)


def _clean(explanation: Explanation | None) -> Explanation | None:
    """Drop what is not a finite number, so that every view can be said in JSON."""
    if explanation is None:
        return None
    return replace(
        explanation,
        contributors=tuple(c for c in explanation.contributors if math.isfinite(c.value) and math.isfinite(c.share)),
        parts=tuple((text, None if v is None else _number(v)) for text, v in explanation.parts),
        spark=tuple(v for v in explanation.spark if math.isfinite(v)),
    )


def plain(text: str, values: Mapping[str, Any]) -> str:  # noqa: ARG001 - the signature of Render
    """Leave a template as it is."""
    return text


def unexplained(rule: str, row: int) -> Explanation | None:  # noqa: ARG001 - the signature of Explain
    """Explain nothing."""
    return None
