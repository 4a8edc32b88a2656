"""Evaluations from literals: ``T``, ``F`` and ``?`` per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.events import Labels
from monitor.expression import Number
from monitor.reading import Evaluation
from monitor.rule import Level, Rule

S = 1_000_000_000
_TRUTH = {"T": 1, "F": 0, "?": -1}
ONE = Number(value=1.0)


def rule(name: str = "High", **settings: Any) -> Rule:
    if "levels" in settings:
        settings["levels"] = tuple(Level(severity, ONE) for severity in settings["levels"])
    return Rule(name=name, group="g", expr=ONE, text="x > 1", **settings)


def evaluation(
    at_s: float,
    truth: str,
    *,
    name: str = "High",
    value: float | Sequence[float] = 2.0,
    threshold: float = 1.0,
    coverage: float | Sequence[float] = 1.0,
    clear: str | None = None,
    level: Sequence[int] | None = None,
    lower_bound: bool = False,
    labels: Sequence[Labels] | None = None,
    reasons: dict[int, str] | None = None,
) -> Evaluation:
    rows = len(truth)
    return Evaluation(
        rule=f"g/{name}",
        at_ns=round(at_s * S),
        labels=labels or [(("base", f"C{row}"),) for row in range(rows)],
        truth=np.array([_TRUTH[sign] for sign in truth], np.int8),
        value=np.broadcast_to(np.asarray(value, np.float64), rows).copy(),
        threshold=np.full(rows, threshold),
        coverage=np.broadcast_to(np.asarray(coverage, np.float64), rows).copy(),
        lower_bound=np.full(rows, lower_bound),
        clear=None if clear is None else np.array([_TRUTH[sign] for sign in clear], np.int8),
        level=None if level is None else np.array(level, np.int8),
        reasons=reasons or {},
    )
