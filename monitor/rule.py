"""A rule after loading: typed expressions and what to do with them. Pure data; `monitor.language` makes it from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from monitor.expression import Expr
from monitor.series import Fold

OnUnknown = Literal["hold", "fire", "resolve"]


@dataclass(frozen=True, slots=True)
class Level:
    """One step of a severity ladder."""

    severity: str
    expr: Expr
    clear: Expr | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """Other conditions for the label sets that carry ``labels`` (a table of thresholds by base)."""

    labels: tuple[tuple[str, str], ...]
    expr: Expr
    clear: Expr | None = None
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert rule.

    ``expr`` is the condition (for a ladder: its lowest level). ``min_coverage`` None means the configured default.
    ``labels`` and ``annotations`` are templates. ``text`` is the expression as written. ``limit`` is the most alerts at
    a time, 0 the configured default.
    """

    name: str
    group: str
    expr: Expr
    text: str
    clear: Expr | None = None
    clear_text: str = ""
    for_ns: int = 0
    keep_firing_for_ns: int = 0
    min_coverage: float | None = None
    on_unknown: OnUnknown = "hold"
    levels: tuple[Level, ...] = ()
    overrides: tuple[Override, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    limit: int = 0

    @property
    def id(self) -> str:
        """``group/name``: unique among all loaded rules."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule: ``name`` becomes a gauge series that later rules can read.

    ``fold`` is the series' natural fold: that of what the expression is made of.
    """

    name: str
    group: str
    expr: Expr
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    line: int = 0
    fold: Fold = Fold.MEAN

    @property
    def id(self) -> str:
        """``group/name``."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of all files, recordings before their readers."""

    alerts: tuple[Rule, ...] = ()
    recordings: tuple[Recording, ...] = ()
