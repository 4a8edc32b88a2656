"""Rules over the language: recordings, what an alert rule says, ladders and overrides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monitor.events import Labels
from monitor.rule import Override, Rule, RuleSet
from tests.property.naive.market import Row
from tests.property.naive.moment import Memory, Moment, World
from tests.property.naive.tables import NAN, TRUE, UNKNOWN, Condition, known, meet


@dataclass
class Verdict:
    """What a rule says of one label set."""

    truth: int
    value: float
    threshold: float
    clear: int | None
    level: int | None


class Naive(World):
    """Everything that has arrived so far, and all rules."""

    def __init__(self) -> None:
        super().__init__()
        self.main = Memory()
        self._levels: dict[Any, set[Labels]] = {}
        self._said: dict[tuple[str, Labels], float] = {}

    def begin(self, now_ns: int) -> Moment:
        """An evaluation; samples are taken from the first one on."""
        self.began_ns = self.began_ns or now_ns
        return self.at(now_ns, self.main)

    def record(self, rules: RuleSet, now_ns: int) -> None:
        """Write down what the recording rules say now, where it is not what they said last."""
        moment = self.begin(now_ns)
        for recording in rules.recordings:
            table = moment.evaluate(recording.expr)
            values = table.values
            if isinstance(table, Condition):
                values = {k: NAN if t == UNKNOWN else float(t) for k, t in table.truth.items()}
            for labels, value in values.items():
                full = tuple(sorted({**dict(labels), **recording.labels}.items()))
                said = self._said.get((recording.name, full))
                if said is not None and (said == value or not (known(said) or known(value))):
                    continue
                self._said[recording.name, full] = value
                self.recorded.add(recording.name)
                self.market.rows.append(Row(recording.name, full, now_ns, value, len(self.market.rows)))

    def judge(self, rule: Rule, now_ns: int) -> dict[Labels, Verdict]:
        """What an alert rule says, by label set."""
        moment = self.begin(now_ns)
        base = moment.condition(rule.expr)
        clear = moment.condition(rule.clear) if rule.clear else None
        level = self._level(rule, rule, base, moment)
        out = {}
        for labels, truth in base.truth.items():
            said = clear.at(meet(labels, clear)) if clear else None
            limit = self._limit(rule, labels, base.thresholds[labels], moment)
            out[labels] = Verdict(truth, base.values[labels], limit, said, level.get(labels))
        for override in rule.overrides:
            self._override(rule, override, base, out, moment)
        return out

    def _override(
        self, rule: Rule, override: Override, base: Condition, out: dict[Labels, Verdict], moment: Moment
    ) -> None:
        main = moment.condition(override.expr)
        clear = moment.condition(override.clear) if override.clear else None
        level = self._level(rule, override, base, moment)
        for labels, verdict in out.items():
            if not set(override.labels) <= set(labels):
                continue
            at = meet(labels, main)
            verdict.truth = main.at(at)
            verdict.value = main.values.get(at, NAN) if at is not None else NAN
            limit = main.thresholds.get(at, NAN) if at is not None else NAN
            verdict.threshold = self._limit(override, labels, limit, moment)
            if clear:
                verdict.clear = clear.at(meet(labels, clear))
            if override.levels:
                verdict.level = level.get(labels)

    @staticmethod
    def _limit(source: Rule | Override, labels: Labels, first: float, moment: Moment) -> float:
        """That of the highest step whose condition is true now, else the first's."""
        for step in source.levels[1:]:
            condition = moment.condition(step.expr)
            at = meet(labels, condition)
            if condition.at(at) == TRUE:
                first = condition.thresholds.get(at, NAN) if at is not None else NAN
        return first

    def _level(self, rule: Rule, source: Rule | Override, base: Condition, moment: Moment) -> dict[Labels, int]:
        """Highest step that holds; one with a ``clear`` holds until that is true."""
        if not source.levels:
            return {}
        out = dict.fromkeys(base.truth, -1)
        for number, step in enumerate(source.levels):
            truth = moment.condition(step.expr)
            clear = moment.condition(step.clear) if step.clear else None
            labels_of = () if isinstance(source, Rule) else source.labels
            held = self._levels.setdefault((rule.id, labels_of, number), set())
            for labels in out:
                holds = truth.at(meet(labels, truth)) == TRUE
                stays = clear is not None and labels in held and clear.at(meet(labels, clear)) != TRUE
                (held.add if holds or stays else held.discard)(labels)
                if labels in held:
                    out[labels] = number
        return out
