"""Rule files to rules: `load_rules` reads all files and reports every mistake in all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from monitor.alert import SEVERITIES, meant_severity, severity_rank
from monitor.errors import ConfigError, Problem
from monitor.events import Channel
from monitor.expression import (
    Arithmetic,
    Call,
    Expr,
    Folded,
    Negate,
    Number,
    Range,
    Selector,
    Shape,
    series_names,
)
from monitor.language.expressions import Expectation, parse_expression
from monitor.language.functions import FUNCTIONS
from monitor.language.parser import parse
from monitor.language.problems import ExpressionError, did_you_mean
from monitor.language.shape import (
    FileHead,
    GroupHead,
    Model,
    OverrideEntry,
    RuleEntry,
    Step,
    model_problems,
    read_duration,
    read_params,
)
from monitor.language.template import compile_template
from monitor.literals import parse_literal
from monitor.rule import Level, Override, Recording, Rule, RuleSet
from monitor.series import SERIES, Fold, SeriesSpec
from monitor.yamlsource import Document, Path, load_yaml

_RECORD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(:[A-Za-z0-9_]+)*", re.ASCII)
_KEYWORDS = frozenset({"and", "or", "unless", "not", "then", "within", "by", "without", "on", "ignoring", "offset"})
_FOLDS = {"sum": Fold.SUM, "count": Fold.SUM, "min": Fold.MIN, "max": Fold.MAX}
_LABEL_TEMPLATE_NAMES = frozenset({"labels"})

AnyModel = TypeVar("AnyModel", bound=Model)


def load_rules(files: Sequence[tuple[str, str]]) -> RuleSet:
    """Load rule files.

    Args:
        files: Name and text of each file; the name appears in errors.

    Returns:
        The alert rules in file order, and the recording rules, each before those that read it.

    Raises:
        ConfigError: With every mistake of all files.
    """
    loader = _Loader()
    for name, text in files:
        loader.read(name, text)
    return loader.finish()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One rule of a file, and where it stands."""

    document: Document
    path: Path
    group: GroupHead
    rule: RuleEntry

    @property
    def name(self) -> str:
        return self.rule.alert or self.rule.record or ""

    @property
    def line(self) -> int:
        return self.document.position(self.path)[0]

    def gives(self, key: str) -> bool:
        """Whether the file has this key, even with a value that was refused."""
        data = self.document.data
        for step in self.path:
            data = data[step]
        return key in data


@dataclass(slots=True)
class _Loader:
    problems: list[Problem] = field(default_factory=list)
    alerts: list[_Entry] = field(default_factory=list)
    recordings: dict[str, _Entry] = field(default_factory=dict)
    series: dict[str, SeriesSpec] = field(default_factory=dict)
    names: dict[str, _Entry] = field(default_factory=dict)

    # Outer shape

    def read(self, name: str, text: str) -> None:
        """Take in one file."""
        try:
            document = load_yaml(text, name)
        except ConfigError as error:
            self.problems += error.problems
            return
        if document.data is None:
            return
        head = self._validate(FileHead, document, ())
        seen: set[str] = set()
        for number in range(len(head.groups) if head else 0):
            path: Path = ("groups", number)
            group = self._validate(GroupHead, document, path)
            if group is None:
                continue
            if group.name in seen:
                self.problem(document, (*path, "name"), f"a second group {group.name!r} in this file")
            seen.add(group.name)
            self._check_severity(document, path, group)
            for place in range(len(group.rules)):
                self._read_rule(document, (*path, "rules", place), group)

    def _check_severity(self, document: Document, path: Path, group: GroupHead) -> None:
        """A misspelt one ranks with ``warning``: whoever hears of what is critical would not."""
        word = group.labels.get("severity", "")
        if meant := meant_severity(word):
            where = (*path, "labels", "severity")
            self.problem(document, where, f"unknown severity {word!r}", f"did you mean {meant!r}?")

    def _validate(self, model: type[AnyModel], document: Document, path: Path) -> AnyModel | None:
        data = document.data
        for step in path:
            data = data[step]
        try:
            return model.model_validate(data)
        except ValidationError as error:
            self.problems += model_problems(document, path, model, error)
            wrong = {one["loc"][0] for one in error.errors() if one["loc"]}
        try:
            # What else is wrong is worth knowing even when one key is.
            return model.model_validate({key: value for key, value in data.items() if key not in wrong})
        except (ValidationError, AttributeError):
            return None

    def _read_rule(self, document: Document, path: Path, group: GroupHead) -> None:
        rule = self._validate(RuleEntry, document, path)
        if rule is None:
            return
        if (rule.alert is None) == (rule.record is None):
            self.problem(document, path, "a rule has either alert: or record:")
            return
        entry = _Entry(document, path, group, rule)
        kind = "alert" if rule.alert else "record"
        if entry.name in self.names:
            first = self.names[entry.name]
            message = f"a second rule named {entry.name!r}"
            hint = f"the first is at {first.document.file}:{first.line}"
            self.problem(document, (*path, kind), message, hint)
            return
        self.names[entry.name] = entry
        if rule.alert:
            self.alerts.append(entry)
        elif self._good_record_name(entry):
            self.recordings[entry.name] = entry

    def _good_record_name(self, entry: _Entry) -> bool:
        name = entry.name
        taken = name in SERIES or name in FUNCTIONS or name in _KEYWORDS
        if not taken and _RECORD_NAME.fullmatch(name):
            return True
        message = f"{name!r} is taken" if taken else f"{name!r} cannot be the name of a series"
        hint = "like level:metric:operation, as in base:liquidations_usd:sum1h"
        self.problem(entry.document, (*entry.path, "record"), message, hint)
        return False

    def problem(self, document: Document, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Note a mistake at a place of a file."""
        self.problems.append(document.problem(path, message, hint=hint, key=key))

    # Rules

    def finish(self) -> RuleSet:
        """Compile everything that was read."""
        recordings = [one for entry in self._in_order() if (one := self._recording(entry)) is not None]
        alerts = [rule for entry in self.alerts if (rule := _AlertReader(self, entry).read()) is not None]
        if self.problems:
            raise ConfigError(self.problems)
        return RuleSet(tuple(alerts), tuple(recordings))

    def _in_order(self) -> Iterator[_Entry]:
        """Recordings, each after those that it reads."""
        needs = {name: self._reads(entry) for name, entry in self.recordings.items()}
        done: set[str] = set()
        while left := [name for name in needs if name not in done]:
            ready = [name for name in left if needs[name] <= done]
            if not ready:
                for name in left:
                    entry = self.recordings[name]
                    others = ", ".join(sorted(needs[name] - done))
                    message = f"recording rules read each other in a circle: {name} reads {others}"
                    self.problem(entry.document, (*entry.path, "expr"), message)
                return
            for name in ready:
                done.add(name)
                yield self.recordings[name]

    def _reads(self, entry: _Entry) -> set[str]:
        texts = [entry.rule.expr or "", *entry.rule.let.values()]
        found: set[str] = set()
        for text in texts:
            try:
                found |= series_names(parse(text, read_params(entry.rule.params)))
            except ExpressionError:
                continue  # reported when the rule is compiled
        return found & self.recordings.keys()

    def _recording(self, entry: _Entry) -> Recording | None:
        rule = entry.rule
        for name in ("for_", "clear", "ladder", "overrides", "annotations", "min_coverage"):
            if name in rule.model_fields_set:
                key = name.rstrip("_")
                self.problem(entry.document, (*entry.path, key), f"a recording rule has no {key}:", key=True)
        if rule.expr is None:
            if not entry.gives("expr"):
                self.problem(entry.document, entry.path, "the key 'expr' is missing")
            return None
        scope = _Scope(self, entry, rule.params)
        expr = scope.expression(rule.expr, "expr", "value")
        if expr is None:
            return None
        labels = {**entry.group.labels, **rule.labels}
        spec = _recorded_series(entry.name, expr, labels, {**SERIES, **self.series})
        self.series[entry.name] = spec
        text, file = rule.expr.strip(), entry.document.file
        return Recording(entry.name, entry.group.name, expr, text, labels, file, entry.line, spec.fold)


@dataclass(slots=True)
class _Scope:
    """What the expressions of one rule can name: the series, its parameters, and its ``let`` names."""

    loader: _Loader
    entry: _Entry
    params: Mapping[str, str]
    blame: Path | None = None
    """Where to report mistakes that only other parameters cause."""
    lets: dict[str, Expr] = field(default_factory=dict)
    broken: bool = False

    def __post_init__(self) -> None:
        for name, text in self.entry.rule.let.items():
            if self._let_name_ok(name):
                expr = self.expression(text, ("let", name), "any")
                if expr is not None:
                    self.lets[name] = expr

    def _let_name_ok(self, name: str) -> bool:
        taken = name in SERIES or name in FUNCTIONS or name in _KEYWORDS or name in self.loader.series
        if taken:
            path = (*self.entry.path, "let", name)
            self.loader.problem(self.entry.document, path, f"{name!r} is taken", key=True)
            self.broken = True
        return not taken

    def expression(self, text: str, where: str | Path, expect: Expectation) -> Expr | None:
        """Parse one expression; None after its problems were reported."""
        path = (*self.entry.path, *((where,) if isinstance(where, str) else where))
        try:
            return parse_expression(
                text, self.loader.series.values(), params=read_params(self.params), lets=self.lets, expect=expect
            )
        except ExpressionError as error:
            document = self.entry.document
            # A name that is defined, if wrongly, was reported where it is defined.
            defined = {f"unknown series {name!r}" for name in (*self.loader.names, *self.entry.rule.let)}
            for one in error.problems:
                if self.blame is not None:
                    problem = document.problem(self.blame, f"with these parameters: {one.message}", hint=one.hint)
                else:
                    problem = document.problem(path, one.message, hint=one.hint, offset=one.offset, width=one.width)
                if one.message not in defined:
                    self.loader.problems.append(problem)
            self.broken = True
            return None


@dataclass(frozen=True, slots=True)
class _Conditions:
    """The conditions of a rule under one set of parameters."""

    expr: Expr
    text: str
    clear: Expr | None
    levels: tuple[Level, ...]


class _AlertReader:
    """Compiles one alert rule."""

    def __init__(self, loader: _Loader, entry: _Entry) -> None:
        self.loader = loader
        self.entry = entry
        self.rule = entry.rule
        self.document = entry.document

    def read(self) -> Rule | None:
        rule, group = self.rule, self.entry.group
        labels = {**group.labels, **rule.labels}
        conditions = self._conditions(rule.params, None)
        self._check_ladder()
        self._check_severity()
        self._check_unused()
        known = [*labels, "alertname", "severity", *(conditions.expr.type.labels if conditions else ())]
        self._check_templates(known if conditions else None)
        if conditions is None:
            return None
        overrides = tuple(self._overrides(conditions))
        return Rule(
            name=self.entry.name,
            group=group.name,
            expr=conditions.expr,
            text=conditions.text,
            clear=conditions.clear,
            clear_text=(rule.clear or "").strip(),
            for_ns=read_duration(rule.for_),
            keep_firing_for_ns=read_duration(rule.keep_firing_for),
            min_coverage=None if rule.min_coverage is None else parse_literal(rule.min_coverage.strip())[0],
            on_unknown=rule.on_unknown,
            levels=conditions.levels,
            overrides=overrides,
            labels=labels,
            annotations=dict(rule.annotations),
            file=self.document.file,
            line=self.entry.line,
            limit=rule.limit or group.limit,
        )

    def _problem(self, where: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        path = (*self.entry.path, *where)
        self.loader.problems.append(self.document.problem(path, message, hint=hint, key=key))

    # Conditions

    def _conditions(self, params: Mapping[str, str], blame: Path | None) -> _Conditions | None:
        rule = self.rule
        if rule.expr is None and not (rule.ladder and all(step.expr for step in rule.ladder)):
            if not self.entry.gives("expr"):
                self._problem((), "the key 'expr' is missing")
            return None
        if rule.ladder:
            return self._ladder(params, blame)
        scope = _Scope(self.loader, self.entry, params, blame)
        expr = scope.expression(rule.expr or "", "expr", "condition")
        clear = self._clear(scope, rule.clear, ("clear",), expr)
        if expr is None or scope.broken:
            return None
        return _Conditions(expr, (rule.expr or "").strip(), clear, ())

    def _ladder(self, params: Mapping[str, str], blame: Path | None) -> _Conditions | None:
        found = [self._level(number, step, params, blame) for number, step in enumerate(self.rule.ladder)]
        levels = tuple(level for level in found if level is not None)
        if len(levels) < len(found):
            return None
        first = levels[0]
        for number, level in enumerate(levels[1:], 1):
            if level.expr.type.labels != first.expr.type.labels:
                have, want = _words(level.expr), _words(first.expr)
                self._problem(("ladder", number), f"this step has labels {have}, the first has {want}")
                return None
        text = self.rule.ladder[0].expr or self.rule.expr or ""
        return _Conditions(first.expr, text.strip(), first.clear, levels)

    def _level(self, number: int, step: Step, params: Mapping[str, str], blame: Path | None) -> Level | None:
        path: Path = ("ladder", number)
        if step.expr is None and step.params and blame is None:
            blame = (*self.entry.path, *path, "params")
        scope = _Scope(self.loader, self.entry, {**params, **step.params}, blame)
        where: Path = (*path, "expr") if step.expr is not None else ("expr",)
        expr = scope.expression(step.expr or self.rule.expr or "", where, "condition")
        clear_at: Path = (*path, "clear") if step.clear is not None else ("clear",)
        clear = self._clear(scope, step.clear or self.rule.clear, clear_at, expr)
        return None if expr is None or scope.broken else Level(step.severity, expr, clear)

    def _clear(self, scope: _Scope, text: str | None, where: Path, expr: Expr | None) -> Expr | None:
        if text is None:
            return None
        clear = scope.expression(text, where, "condition")
        if clear is not None and expr is not None and clear.type.labels != expr.type.labels:
            message = f"clear has labels {_words(clear)}, expr has {_words(expr)}"
            self._problem(where, message, "both need the same by (...)")
            scope.broken = True
        return clear

    def _overrides(self, base: _Conditions) -> Iterator[Override]:
        for number, entry in enumerate(self.rule.overrides):
            if not self._override_ok(number, entry, base):
                continue
            blame = (*self.entry.path, "overrides", number, "params")
            own = self._conditions({**self.rule.params, **entry.params}, blame)
            if own is not None:
                yield Override(tuple(sorted(entry.labels.items())), own.expr, own.clear, own.levels)

    def _override_ok(self, number: int, entry: OverrideEntry, base: _Conditions) -> bool:
        path: Path = ("overrides", number)
        before = len(self.loader.problems)
        for label in entry.labels:
            if label not in base.expr.type.labels:
                hint = did_you_mean(label, base.expr.type.labels)
                self._problem((*path, "labels", label), f"the rule has no label {label!r}", hint, key=True)
        for name in entry.params:
            where = (*path, "params", name)
            if name not in self.rule.params:
                hint = did_you_mean(name, self.rule.params)
                self._problem(where, f"the rule has no parameter {name!r}", hint, key=True)
            elif any(name in step.params for step in self.rule.ladder):
                hint = "give each step a parameter of its own"
                self._problem(where, f"the ladder sets {name!r} itself", hint, key=True)
        return len(self.loader.problems) == before

    # Other checks

    def _check_ladder(self) -> None:
        seen: set[str] = set()
        for number, step in enumerate(self.rule.ladder):
            if step.severity in seen:
                self._problem(("ladder", number, "severity"), f"a second step {step.severity!r}")
            seen.add(step.severity)
        if self.rule.ladder and "severity" in self.rule.labels:
            self._problem(("labels", "severity"), "the ladder sets the severity", key=True)

    def _check_severity(self) -> None:
        """A misspelt one ranks with ``warning``: whoever hears of what is critical would not."""
        places: dict[Path, str] = {("ladder", n, "severity"): step.severity for n, step in enumerate(self.rule.ladder)}
        if "severity" in self.rule.labels:
            places["labels", "severity"] = self.rule.labels["severity"]
        for where, word in places.items():
            if meant := meant_severity(word):
                self._problem(where, f"unknown severity {word!r}", f"did you mean {meant!r}?")
        ranks = [severity_rank(step.severity) for step in self.rule.ladder if step.severity in SEVERITIES]
        if ranks != sorted(ranks):
            self._problem(("ladder",), "the steps of a ladder stand mildest first", key=True)

    def _check_unused(self) -> None:
        rule = self.rule
        texts = [rule.expr or "", rule.clear or "", *rule.let.values()]
        texts += [text for step in rule.ladder for text in (step.expr, step.clear) if text]
        for name in rule.params:
            if not any(re.search(rf"\${name}\b", text) for text in texts):
                self._problem(("params", name), f"the parameter {name!r} is not used", f"write ${name}", key=True)
        for number, step in enumerate(rule.ladder):
            for name in step.params:
                if not any(re.search(rf"\${name}\b", text) for text in texts):
                    self._problem(("ladder", number, "params", name), f"${name} stands nowhere", key=True)
        for name, own in rule.let.items():
            others = [text for text in texts if text is not own]
            if not any(re.search(rf"(?<![$\w]){name}\b", text) for text in others):
                self._problem(("let", name), f"the name {name!r} is not used", key=True)

    def _check_templates(self, known: Sequence[str] | None) -> None:
        for section in ("labels", "annotations"):
            for name, text in getattr(self.rule, section).items():
                try:
                    template = compile_template(text, known)
                except ExpressionError as error:
                    for one in error.problems:
                        path = (*self.entry.path, section, name)
                        problem = self.document.problem(
                            path, one.message, hint=one.hint, offset=one.offset, width=one.width
                        )
                        self.loader.problems.append(problem)
                    continue
                changing = template.names - _LABEL_TEMPLATE_NAMES
                if section == "labels" and changing:
                    message = f"a label must not change with {min(changing)!r}: it is the alert's identity"
                    self._problem((section, name), message, "put it into annotations")


def _words(expr: Expr) -> str:
    return f"({', '.join(expr.type.labels)})"


def _recorded_series(name: str, expr: Expr, labels: Mapping[str, str], series: Mapping[str, SeriesSpec]) -> SeriesSpec:
    """The gauge that a recording rule makes: unit and labels are the expression's."""
    names = tuple(sorted({*expr.type.labels, *labels}))
    description = "Recorded by a rule."
    return SeriesSpec(name, "gauge", expr.type.unit, names, _fold(expr, series), Channel.REFERENCE, description)


def _fold(expr: Expr, series: Mapping[str, SeriesSpec]) -> Fold:
    """The natural fold of an expression: that of what it is made of, as far as it keeps its meaning."""
    match expr:
        case Selector(series=name):
            return series[name].fold
        case Folded(inner=inner) | Range(inner=inner) | Negate(inner=inner):
            return _fold(inner, series)
        case Call(name=name) if name in _FOLDS:
            return _FOLDS[name]
        case Call(name="delta" | "first" | "last", args=(inner,)):
            return _fold(inner, series)
        case Arithmetic(op="*" | "/", left=left, right=Number()) if left.type.shape is Shape.VECTOR:
            return _fold(left, series)
    return Fold.MEAN
