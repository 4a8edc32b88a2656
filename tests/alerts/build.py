"""Evaluations from literals, ``T``, ``F`` and ``?`` per row, and alerts from a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.alert import AlertState, AlertView
from monitor.alerts.fingerprint import fingerprint
from monitor.events import Labels
from monitor.expression import Number
from monitor.reading import Evaluation
from monitor.rule import Level, Rule

S = 1_000_000_000
H = 3600 * S
T0 = 1_763_683_200 * S  # 2025-11-21T00:00:00Z, a Friday
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


def alert(
    name: str = "High",
    state: AlertState = AlertState.FIRING,
    *,
    starts_s: float = 0,
    at_s: float = 0,
    ladder: bool = False,
    **labels: str,
) -> AlertView:
    full = tuple(sorted({"alertname": name, **labels}.items()))
    identity = tuple(pair for pair in full if not (ladder and pair[0] == "severity"))
    return AlertView(
        rule=f"g/{name}",
        fingerprint=fingerprint(identity),
        identity=identity,
        labels=full,
        series=(),
        annotations=(("summary", f"{name} is up"),),
        state=state,
        value=2.0,
        threshold=1.0,
        coverage=1.0,
        lower_bound=False,
        active_since_ns=T0 + round(starts_s * S),
        starts_at_ns=T0 + round(starts_s * S),
        ends_at_ns=T0 + round(at_s * S) if state is AlertState.RESOLVED else 0,
        updated_ns=T0 + round(at_s * S),
        peak=3.0,
        reason="the condition holds",
        severity=labels.get("severity", ""),
    )
