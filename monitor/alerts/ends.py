"""Alerts that can get no value any more, and those of a former run that nobody has seen yet. Pure."""

from __future__ import annotations

from dataclasses import replace

from monitor.alert import AlertState, AlertView, SavedAlert, Transition
from monitor.alerts.terms import Listed
from monitor.events import Labels

AWAITED = "held: no data since the restart"
"""The reason of a restored alert whose label set has not been evaluated yet."""


def awaited(view: AlertView) -> AlertView:
    """A restored alert whose label set has not been evaluated yet is not known to hold."""
    if view.state is AlertState.FIRING:
        return replace(view, state=AlertState.HELD, reason=AWAITED)
    return view


def end_of(view: AlertView, at_ns: int) -> int:
    """When an alert that ends at `at_ns` ended: not before its start, which a clock set back since may lie behind."""
    return max(at_ns, view.starts_at_ns)


def is_unlisted(series: Labels, listed: Listed) -> bool:
    """Whether a row is that of one instrument, whose venue no longer lists it, or which is no longer followed."""
    labels = dict(series)
    symbols = listed.get(labels.get("venue", ""))
    return symbols is not None and "symbol" in labels and labels["symbol"] not in symbols


def delisted(series: Labels) -> str:
    """Why an alert on an instrument that `is_unlisted` ends."""
    labels = dict(series)
    return f"delisted: {labels['venue']} {labels['symbol']} is no longer followed"


def ended(saved: SavedAlert, now_ns: int, reason: str) -> Transition:
    """The end of a saved alert that was never seen again; one that was pending never began."""
    was = saved.view.state
    state = AlertState.INACTIVE if was is AlertState.PENDING else AlertState.RESOLVED
    view = replace(saved.view, state=state, ends_at_ns=end_of(saved.view, now_ns), updated_ns=now_ns, reason=reason)
    return Transition(view, was, state, now_ns, reason)
