"""How noisy would another threshold be? One rule with many values of one number, all in the same pass over the data.

The number is a parameter of the rule (``params:``), or under the name ``threshold`` the one literal that its condition
compares with; a literal in ``clear:`` then moves in proportion. The engine shares what the variants have in common,
so that a sweep costs little more than one rule.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from monitor.backtest.history import Stretch
from monitor.backtest.journal import Episode
from monitor.backtest.report import WEEK_NS, rounded, seconds, union_ns
from monitor.clock import NS_PER_S
from monitor.errors import ConfigError, Problem
from monitor.events import Labels
from monitor.expression import Call, Compare, Expr, Logic, Negate, Not, Number, unit_shown
from monitor.language import load_rules
from monitor.language.problems import did_you_mean
from monitor.literals import LiteralProblem, literal_text, parse_literal
from monitor.rule import Rule
from monitor.runtime.load import Loaded
from monitor.series import Unit
from monitor.yamlsource import load_yaml

OPTION = "--sweep"
GROUP = "sweep"
THRESHOLD = "threshold"
DEFAULT_STEPS, MOST_STEPS = 10, 200
LEAD_NS = 3600 * NS_PER_S
"""A firing that was over for longer than this did not announce a later one."""
_SPEC = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<values>.+?)\s*")
_SPAN = re.compile(r"(?P<low>-?[^\s:]+?)\s*\.\.\s*(?P<high>-?[^\s:]+?)\s*(?::\s*(?P<steps>\d+))?")
_GEOMETRIC_FROM = 4.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """What to try: the values of one number, least first, as written."""

    name: str
    values: tuple[float, ...]
    unit: Unit

    @property
    def texts(self) -> list[str]:
        """The values as literals."""
        return [literal_text(value, self.unit) for value in self.values]


def parse_sweep(text: str) -> Sweep:
    """``threshold=200M..2B``, with ``:7`` for seven values, or a list as in ``limit=10M,20M,50M``.

    Values between two of one sign that lie far apart are spaced evenly on a logarithmic scale, else evenly.

    Raises:
        ConfigError: It is none of these.
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise _wrong(text, 0, "expected NAME=VALUES", f"like {THRESHOLD}=200M..2B or {THRESHOLD}=500M,1B,2B")
    at = match.start("values")
    span = _SPAN.fullmatch(match["values"])
    if span is None:
        words = match["values"].split(",")
        found = [_literal(text, at + match["values"].find(word.strip()), word.strip()) for word in words]
        return Sweep(match["name"], tuple(sorted({value for value, _ in found})), _one_unit(text, found))
    low, high = (_literal(text, at + span.start(end), span[end]) for end in ("low", "high"))
    steps = int(span["steps"] or DEFAULT_STEPS)
    if not 2 <= steps <= MOST_STEPS:
        raise _wrong(text, at + span.start("steps"), f"expected 2 to {MOST_STEPS} values")
    unit = _one_unit(text, [low, high])
    if low[0] >= high[0]:
        raise _wrong(text, at, "the first value must be less than the second")
    return Sweep(match["name"], tuple(dict.fromkeys(_spaced(low[0], high[0], steps))), unit)


def _spaced(low: float, high: float, steps: int) -> Iterator[float]:
    """Values from `low` to `high`, the ones between rounded to three digits."""
    geometric = low > 0 and high / low >= _GEOMETRIC_FROM
    for step in range(steps):
        share = step / (steps - 1)
        value = low * (high / low) ** share if geometric else low + (high - low) * share
        yield low if step == 0 else high if step == steps - 1 else float(f"{value:.3g}")


def _literal(text: str, at: int, word: str) -> tuple[float, Unit]:
    try:
        value, unit = parse_literal(word.removeprefix("-"))
    except LiteralProblem as error:
        raise _wrong(text, at, str(error), error.hint, len(word)) from None
    return (-value if word.startswith("-") else value), unit


def _one_unit(text: str, found: Sequence[tuple[float, Unit]]) -> Unit:
    units = {unit for _, unit in found}
    if len(units) > 1:
        raise _wrong(text, 0, "the values have different units")
    return units.pop()


def _wrong(text: str, at: int, message: str, hint: str = "", width: int = 1) -> ConfigError:
    return ConfigError([Problem(OPTION, 1, at + 1, message, hint, text, max(width, 1))])


# -- the rules to try --------------------------------------------------------------------------------------------------


def trials(loaded: Loaded, rule: Rule, sweep: Sweep) -> list[Rule]:
    """The rule once per value, each under a name of its own, without routes.

    Raises:
        ConfigError: The rule has no such number, or a value makes no sense for it.
    """
    params = _params(loaded, rule)
    if sweep.name in params:
        return _by_param(loaded, rule, sweep)
    if sweep.name != THRESHOLD:
        known = [THRESHOLD, *params]
        hint = did_you_mean(sweep.name, known) or f"there are: {', '.join(known)}"
        raise _wrong(sweep.name, 0, f"{rule.name} has no parameter {sweep.name!r}", hint, len(sweep.name))
    literal = _only_literal(rule)
    if sweep.unit is not Unit.ANY and sweep.unit.value != unit_shown(rule.expr):
        hint = f"the rule compares {unit_shown(rule.expr)} with {literal_text(literal.value, literal.unit)}"
        raise _wrong(sweep.texts[0], 0, f"the rule's threshold is not a {sweep.unit.value}", hint)
    return [_with_threshold(rule, literal, value, text) for value, text in zip(sweep.values, sweep.texts, strict=True)]


def _with_threshold(rule: Rule, literal: Number, value: float, text: str) -> Rule:
    clear = rule.clear
    if clear is not None and literal.value:
        factor = value / literal.value
        for number in _literals(clear):
            clear = _replaced(clear, number, number.value * factor)
    expr = _replaced(rule.expr, literal, value)
    return replace(rule, name=_trial_name(rule, text), group=GROUP, expr=expr, clear=clear, overrides=())


def _trial_name(rule: Rule, text: str) -> str:
    return f"{rule.name} at {text}"


def _only_literal(rule: Rule) -> Number:
    found = [] if rule.levels else list(_literals(rule.expr))
    if len(found) == 1:
        return found[0]
    what = "is a ladder" if rule.levels else f"compares with {len(found)} numbers"
    hint = f"name the one to change under params: and give --sweep NAME=...; the rule is at {rule.file}:{rule.line}"
    raise _wrong(rule.text, 0, f"{rule.name} {what}, so there is no single threshold", hint, len(rule.text))


def _literals(expr: Expr) -> Iterator[Number]:
    """The numbers that a condition compares with, `Number` nodes in place."""
    match expr:
        case Compare(left=left, right=right):
            yield from filter(None, (_number(left), _number(right)))
        case Call(name="crosses_above" | "crosses_below", args=(_, level)):
            yield from filter(None, (_number(level),))
        case Logic(left=left, right=right):
            yield from _literals(left)
            yield from _literals(right)
        case Not(inner=inner):
            yield from _literals(inner)
        case _:
            pass  # numbers elsewhere are not compared with


def _number(expr: Expr) -> Number | None:
    """A literal, signed or not."""
    if isinstance(expr, Negate) and isinstance(expr.inner, Number):
        return replace(expr.inner, value=-expr.inner.value, span=expr.span)
    return expr if isinstance(expr, Number) else None


def _replaced(expr: Expr, old: Number, value: float) -> Expr:
    """The condition with another number where `old` stands."""
    match expr:
        case Compare(left=left, right=right):
            return replace(expr, left=_side(left, old, value), right=_side(right, old, value))
        case Call(name="crosses_above" | "crosses_below", args=(first, level)):
            return replace(expr, args=(first, _side(level, old, value)))
        case Logic(left=left, right=right):
            return replace(expr, left=_replaced(left, old, value), right=_replaced(right, old, value))
        case Not(inner=inner):
            return replace(expr, inner=_replaced(inner, old, value))
        case _:
            return expr


def _side(side: Expr, old: Number, value: float) -> Expr:
    number = _number(side)
    return replace(number, value=value) if number is not None and number.span == old.span else side


def _params(loaded: Loaded, rule: Rule) -> dict[str, Any]:
    return dict(_entry(loaded, rule)[1].get("params") or {})


def _entry(loaded: Loaded, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rule as its file has it, with its group's."""
    for name, text in loaded.source.rule_files():
        if name == rule.file:
            for group in load_yaml(text, name).data["groups"]:
                for entry in group["rules"]:
                    if entry.get("alert") == rule.name:
                        return group, entry
    raise _wrong(rule.name, 0, f"{rule.name} is not in a rule file")


def _by_param(loaded: Loaded, rule: Rule, sweep: Sweep) -> list[Rule]:
    """Variants through the loader itself: whatever a value would break there is said."""
    group, entry = _entry(loaded, rule)
    rules = [
        {**entry, "alert": _trial_name(rule, text), "params": {**entry["params"], sweep.name: text}}
        for text in sweep.texts
    ]
    text = json.dumps({"groups": [{**group, "name": GROUP, "rules": rules}]})  # JSON is YAML
    try:
        found = load_rules([*loaded.source.rule_files(), (OPTION, text)])
    except ConfigError as error:
        messages = dict.fromkeys((problem.message, problem.hint) for problem in error.problems)
        raise ConfigError(
            [Problem(OPTION, 1, 1, f"{sweep.name}: {message}", hint) for message, hint in messages]
        ) from None
    return [one for one in found.alerts if one.file == OPTION]


# -- what came of it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lead:
    """How early a trial was against a reference: of ``of`` firings of the reference it caught ``caught``.

    ``median_ns`` is positive where the trial came first; None where it caught none. ``alone`` counts firings of the trial
    that go with none of the reference's.
    """

    of: int
    caught: int
    median_ns: int | None
    alone: int


@dataclass(frozen=True, slots=True)
class Row:
    """One value's outcome."""

    value: float
    text: str
    fired: int
    per_week: float
    firing_ns: int
    longest_ns: int
    lead: Lead


def rows(
    sweep: Sweep, rules: Sequence[Rule], episodes: Sequence[Episode], reference: Sequence[Episode], stretch: Stretch
) -> list[Row]:
    """One row per value."""
    by_rule: dict[str, list[Episode]] = {}
    for episode in episodes:
        if episode.fired_ns is not None:
            by_rule.setdefault(episode.rule, []).append(episode)
    found = []
    for value, text, rule in zip(sweep.values, sweep.texts, rules, strict=True):
        fired = by_rule.get(rule.id, [])
        spans = sorted((e.fired_ns or 0, e.end_ns or stretch.end_ns) for e in fired)
        found.append(
            Row(
                value,
                text,
                len(fired),
                len(fired) * WEEK_NS / stretch.length_ns,
                union_ns(spans),
                max((end - start for start, end in spans), default=0),
                lead(fired, reference),
            )
        )
    return found


def lead(fired: Sequence[Episode], reference: Sequence[Episode]) -> Lead:
    """How `fired` stands to the reference's firings."""
    wanted = [episode for episode in reference if episode.fired_ns is not None]
    leads, met = [], set[int]()
    for one in wanted:
        near = [other for other in fired if _goes_with(other, one)]
        met |= {id(other) for other in near}
        if near:
            leads.append((one.fired_ns or 0) - min(other.fired_ns or 0 for other in near))
    median = round(statistics.median(leads)) if leads else None
    return Lead(len(wanted), len(leads), median, sum(id(other) not in met for other in fired))


def _goes_with(trial: Episode, reference: Episode) -> bool:
    """Whether they are about the same thing: labels that both have agree, and they overlap or nearly do."""
    own, theirs = _labels(trial.labels), _labels(reference.labels)
    if any(own[name] != theirs[name] for name in own.keys() & theirs.keys()):
        return False
    starts_before_end = reference.end_ns is None or (trial.fired_ns or 0) <= reference.end_ns
    ended_ns = trial.end_ns
    return starts_before_end and (ended_ns is None or ended_ns + LEAD_NS >= (reference.fired_ns or 0))


def _labels(labels: Labels) -> Mapping[str, str]:
    return {name: value for name, value in labels if name != "severity"}


def plain_rows(sweep: Sweep, rule: Rule, reference: Rule, found: Sequence[Row]) -> dict[str, Any]:
    """The table as what JSON can say."""
    return {
        "rule": rule.name,
        "name": sweep.name,
        "reference": reference.name,
        "values": [
            {
                "value": row.value,
                "text": row.text,
                "fired": row.fired,
                "fired_per_week": rounded(row.per_week),
                "firing_s": seconds(row.firing_ns),
                "longest_s": seconds(row.longest_ns),
                "reference_fired": row.lead.of,
                "reference_caught": row.lead.caught,
                "median_lead_s": None if row.lead.median_ns is None else seconds(row.lead.median_ns),
                "without_reference": row.lead.alone,
            }
            for row in found
        ],
    }
