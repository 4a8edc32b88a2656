"""The words of a notification: a title of one line, and a text that fits its channel, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from monitor import format as fmt
from monitor.alert import AlertState, AlertView, severity_rank
from monitor.reading import Explanation

_STATE_ORDER = {AlertState.FIRING: 0, AlertState.HELD: 1, AlertState.RESOLVED: 2}
_MAX_LINE = 300
_FRAME = 8
"""Characters that a channel puts about a title: marks and line breaks."""


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
    """One alert in one line: ``[critical] Name (base=BTC): 1.04B against 1B USD; summary``."""
    severity = f"[{alert.severity}] " if alert.severity else ""
    summary = dict(alert.annotations).get("summary", "")
    text = f"{severity}{name(alert)}: {reading(alert)}" + (f"; {summary}" if summary else "")
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 1] + "…"


def reading(alert: AlertView) -> str:
    """Value against threshold in their unit; ``≥`` when the value is a lower bound."""
    partial = alert.lower_bound and alert.coverage is not None and alert.coverage < 1
    return fmt.against(alert.value, alert.threshold, alert.unit, lower_bound=partial)


def paragraph(alert: AlertView) -> str:
    """Everything about one alert in plain text."""
    lines = [line(alert)]
    lines += [f"{key}: {text}" for key, text in alert.annotations if text and key != "summary"]
    lines.append(facts(alert) + (f". {alert.reason}" if alert.reason else ""))
    return "\n".join([*lines, *(evidence(alert.explanation) if alert.explanation is not None else ())])


def facts(alert: AlertView) -> str:
    """Coverage, peak and duration in words; of an alert that is over, the value at recovery too."""
    found = [
        f"coverage {fmt.share(alert.coverage)}",
        f"peak {fmt.amount_apart(alert.peak, alert.threshold, alert.unit)}",
    ]
    if alert.state is AlertState.RESOLVED:
        found.insert(0, f"at recovery {fmt.amount(alert.value, alert.unit)}")
    if alert.duration_ns:
        found.append(f"lasted {fmt.duration(alert.duration_ns)}")
    return ", ".join(found)


def evidence(explanation: Explanation) -> Iterator[str]:
    """What stands behind a reading, a line each: the signs that are counted, else contributors; largest event, sparkline, what is missing, notes, links."""
    yield from (f"  {sign}" for sign in explanation.signs)
    for part in () if explanation.signs else explanation.contributors[:5]:
        share = f"{fmt.pct(part.share)} " if part.share else ""
        yield f"  {share}{' '.join(value for _, value in part.labels)} {fmt.amount(part.value, explanation.unit)}"
    if explanation.largest:
        yield f"largest: {explanation.largest}"
    if len(explanation.spark) > 1:
        yield f"window: {fmt.sparkline(explanation.spark)}"
    if explanation.missing:
        yield f"missing: {', '.join(explanation.missing)}"
    yield from explanation.notes
    yield from (f"{name}: {address}" for name, address in explanation.links)


def room(title: str, max_chars: int) -> int:
    """How long a text may be below its title, so that the channel cuts nothing off; a title that long is cut itself."""
    return max(max_chars - len(title) - _FRAME, max_chars // 2)


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
