"""Rules and signals as they are now, and why."""

from __future__ import annotations

from monitor.alert import AlertState
from monitor.telemetry.views.rules import RuleView, SignalRow, WhyRow
from monitor.web.shapes.values import Json, millis


def rule_body(rule: RuleView, limit: int) -> Json:
    """One rule for the page; active rows first, at most `limit`, and how many there are in all."""
    rows = rule_rows(rule)
    order = (str(AlertState.FIRING), str(AlertState.HELD), str(AlertState.PENDING))
    rows.sort(key=lambda row: order.index(row["state"]) if row["state"] in order else len(order))
    return {
        "id": rule.id,
        "name": rule.name,
        "group": rule.group,
        "text": rule.text,
        "clear": rule.clear_text,
        "unit": rule.unit,
        "for_s": rule.for_s,
        "min_coverage": rule.min_coverage,
        "severity": rule.labels.get("severity", ""),
        "error": rule.error,
        "rows": rows[:limit],
        "row_count": len(rows),
    }


def rule_rows(rule: RuleView) -> list[Json]:
    """One entry per label set of a rule's last evaluation."""
    evaluation = rule.evaluation
    if evaluation is None:
        return []
    columns = zip(
        evaluation.labels,
        evaluation.truth.tolist(),
        evaluation.value.tolist(),
        evaluation.threshold.tolist(),
        evaluation.coverage.tolist(),
        evaluation.lower_bound.tolist(),
        rule.states,
        strict=False,  # a rule that was just loaded has a row before it has a state
    )
    return [
        {
            "labels": dict(labels),
            "state": str(state),
            "truth": truth,
            "value": value,
            "threshold": threshold,
            "coverage": coverage,
            "lower_bound": lower,
            "reason": evaluation.reasons.get(row, ""),
        }
        for row, (labels, truth, value, threshold, coverage, lower, state) in enumerate(columns)
    ]


def why_body(row: WhyRow) -> Json:
    """One row of an explanation."""
    explanation = row.explanation
    return {
        "labels": dict(row.labels),
        "state": str(row.state),
        "truth": row.truth,
        "value": row.value,
        "threshold": row.threshold,
        "coverage": row.coverage_ratio,
        "unit": row.unit,
        "reason": row.reason,
        "near_miss": row.near_miss,
        "contributors": [
            {"labels": dict(part.labels), "value": part.value, "share": part.share, "unit": row.contributor_unit}
            for part in explanation.contributors
        ],
        "parts": [
            {"text": text, "value": value, "unit": row.part_units.get(text, "")} for text, value in explanation.parts
        ],
        "signs": list(explanation.signs),
        "missing": list(explanation.missing),
        "notes": list(explanation.notes),
        "largest": explanation.largest,
        "spark": list(explanation.spark),
    }


def signal_body(row: SignalRow) -> Json:
    """One signal of the catalogue; ``absent`` says why it has no value."""
    return {
        "id": row.id,
        "title": row.title,
        "value": row.value,
        "unit": row.unit,
        "source": row.source,
        "as_of": millis(row.as_of_ns),
        "absent": row.absent,
        "coverage": row.coverage_ratio,
        "rule": row.rule,
        "firing": row.firing,
        "firing_rules": list(row.firing_rules),
    }
