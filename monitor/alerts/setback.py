"""What a former run wrote down with times that have not come yet: the clock was set back since. They count as now. Pure.

Else a group that told something "in an hour" would be mute until then, and a ``for`` would not end before.
"""

from __future__ import annotations

from dataclasses import replace

from monitor.alert import SavedAlert
from monitor.clock import NS_PER_S

LEAD_NS = 60 * NS_PER_S
"""The market's time may lead ours by seconds; what lies further ahead was written by another clock."""


def come(at_ns: int, now_ns: int) -> int:
    """A moment of the past, or now where it has not come yet."""
    return now_ns if at_ns > now_ns + LEAD_NS else at_ns


def come_alert(saved: SavedAlert, now_ns: int) -> SavedAlert:
    """A saved alert whose timers have begun. ``starts_at_ns`` stays: receivers know the alert by it."""
    if saved.view.updated_ns <= now_ns + LEAD_NS:
        return saved
    view = replace(
        saved.view,
        active_since_ns=come(saved.view.active_since_ns, now_ns),
        updated_ns=come(saved.view.updated_ns, now_ns),
    )
    return replace(
        saved,
        view=view,
        keep_since_ns=come(saved.keep_since_ns, now_ns),
        lower_since_ns=come(saved.lower_since_ns, now_ns),
        unknown_since_ns=come(saved.unknown_since_ns, now_ns),
        missing_since_ns=come(saved.missing_since_ns, now_ns),
        seen_ns=come(saved.seen_ns, now_ns),
        fires_ns=tuple(come(at_ns, now_ns) for at_ns in saved.fires_ns),
    )
