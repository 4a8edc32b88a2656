"""The words of a notification: a title of one line, and a text that fits its channel, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from monitor import format as fmt
from monitor.alert import AlertState, AlertView, severity_rank

_STATE_ORDER = {AlertState.FIRING: 0, AlertState.HELD: 1, AlertState.RESOLVED: 2}
_MAX_LINE = 300


def worst_first(alerts: Sequence[AlertView]) -> tuple[AlertView, ...]:
    """Firing before held before resolved, then by severity, then the oldest, then by labels."""
    return tuple(
        sorted(
            alerts,
            key=lambda a: (_STATE_ORDER.get(a.state, 3), -severity_rank(a.severity), a.starts_at_ns, a.labels),
        )
    )


def title(alerts: Sequence[AlertView], status: str) -> str:
    """``FIRING LiquidationsOver1B (base=BTC)``, or counts when there are several alerts."""
    if len(alerts) == 1:
        return f"{status.upper()} {name(alerts[0])}"
    return f"{status.upper()} {counts(alerts)}"


def counts(alerts: Sequence[AlertView]) -> str:
    """``120 firing (3 critical, 117 warning), 2 held, 14 resolved``."""
    by_state = Counter(alert.state for alert in alerts)
    parts = []
    for state in sorted(by_state, key=lambda s: _STATE_ORDER.get(s, 3)):
        severities = Counter(alert.severity for alert in alerts if alert.state is state and alert.severity)
        ranked = sorted(severities.items(), key=lambda item: -severity_rank(item[0]))
        detail = f" ({', '.join(f'{count} {severity}' for severity, count in ranked)})" if ranked else ""
        parts.append(f"{by_state[state]} {state}{detail}")
    return ", ".join(parts) or "no alerts"


def name(alert: AlertView) -> str:
    """Name and labels of an alert, without its severity."""
    labels = ", ".join(f"{key}={value}" for key, value in alert.labels if key not in {"alertname", "severity"})
    return f"{alert.name} ({labels})" if labels else alert.name


def line(alert: AlertView) -> str:
    """One alert in one line: ``[critical] Name (base=BTC): 1.04B against 1B; summary``."""
    severity = f"[{alert.severity}] " if alert.severity else ""
    against = "" if alert.threshold is None else f" against {fmt.num(alert.threshold)}"
    bound = ">= " if alert.lower_bound and (alert.coverage or 0) < 1 else ""
    summary = dict(alert.annotations).get("summary", "")
    text = f"{severity}{name(alert)}: {bound}{fmt.num(alert.value)}{against}" + (f"; {summary}" if summary else "")
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 1] + "…"


def paragraph(alert: AlertView) -> str:
    """Everything about one alert in plain text."""
    lines = [line(alert)]
    lines += [f"{key}: {text}" for key, text in alert.annotations if text and key != "summary"]
    facts = [f"coverage {fmt.pct(alert.coverage)}", f"peak {fmt.num(alert.peak)}"]
    if alert.duration_ns:
        facts.append(f"lasted {fmt.duration(alert.duration_ns)}")
    lines.append(", ".join(facts) + (f". {alert.reason}" if alert.reason else ""))
    if alert.explanation is not None:
        lines += [
            f"  {fmt.pct(part.share)} {' '.join(value for _, value in part.labels)} {fmt.num(part.value)}"
            for part in alert.explanation.contributors[:5]
        ]
        lines += [f"largest: {alert.explanation.largest}"] if alert.explanation.largest else []
        lines += alert.explanation.notes
    return "\n".join(lines)


def body(alerts: Sequence[AlertView], max_chars: int) -> str:
    """As much as fits: full paragraphs if they do, else one line each, and how many were left out."""
    full = "\n\n".join(map(paragraph, alerts))
    return full if len(full) <= max_chars else listing(alerts, max_chars)


def listing(alerts: Sequence[AlertView], max_chars: int) -> str:
    """Counts, then one line per alert as far as they fit, then ``... and 87 more``. Never longer than `max_chars`."""
    head = counts(alerts)
    lines, used = [head], len(head)
    for number, alert in enumerate(alerts):
        entry = f"{alert.state.upper()} {line(alert)}"
        more = f"... and {len(alerts) - number} more"
        reserve = len(more) + 1 if number < len(alerts) - 1 else 0
        if used + 1 + len(entry) + reserve > max_chars:
            lines.append(more)
            break
        lines.append(entry)
        used += 1 + len(entry)
    return "\n".join(lines)[:max_chars]
