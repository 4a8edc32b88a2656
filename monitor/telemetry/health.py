"""Is the program alive, and is it ready to be believed? Pure functions of the view."""

from __future__ import annotations

from monitor.telemetry.view import MonitorView

MAX_LOOP_LAG_S = 5.0


def healthy(view: MonitorView) -> list[str]:
    """Why the process should be restarted; empty when it need not be. A venue that is down is no reason."""
    late_s = view.process().loop_lag_s
    return [f"timers are {late_s:.1f} s late"] if late_s > MAX_LOOP_LAG_S else []


def ready(view: MonitorView) -> list[str]:
    """What is still missing before the numbers mean anything; empty when ready.

    Ready is: not draining, at least one feed live (when any is configured), every rule evaluated once.
    """
    process = view.process()
    waiting = ["draining"] if process.draining else []
    feeds = view.feeds()
    if feeds and not any(feed.up for feed in feeds):
        waiting.append("no feed is live yet: " + ", ".join(feed.venue for feed in feeds))
    rules = view.rules()
    waiting += [f"rule {rule.id} has not been evaluated yet" for rule in rules if not rule.last_evaluation_ns][:5]
    return waiting
