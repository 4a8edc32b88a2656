"""What the life cycles of all rules share: settings, and the questions that they may ask of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.clock import NS_PER_S
from monitor.events import Labels
from monitor.reading import Evaluation, Explanation

Render = Callable[[str, Mapping[str, Any]], str]
"""Renders a template text with values; see `monitor.language.template`."""

Explain = Callable[[str, int], Explanation | None]
"""What stands behind a row of a rule's latest evaluation; the arguments are the rule's id and the row."""

Latest = Callable[[str], Evaluation | None]
"""The readings of a rule (its id) as of the last evaluation of all; None where there are none."""

Claims = dict[str, tuple[str, Labels]]
"""Who has which fingerprint: rule and labels of the row."""

Listed = dict[str, frozenset[str]]
"""The symbols that are followed, by venue; a venue that has not said yet is not in it."""


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """What all rules share.

    Attributes:
        min_coverage: Share of the data below which a rule without its own setting is unknown.
        flap_fires: Firings within ``flap_window_ns`` that make an alert flapping; 0 switches the brake off.
        flap_window_ns: See ``flap_fires``.
        flap_calm_ns: How long the condition of a flapping alert must stay false before it resolves.
        gap_ns: A restart shorter than this is no gap in a pending alert's ``for``.
        abandon_ns: An alert is given up that has had no value for so long although its feeds live, or whose label set has not been
            evaluated for so long since a restart.
        max_alerts: Active alerts of one rule without its own `limit`; more are counted and wait until one ends.
    """

    min_coverage: float = 0.8
    flap_fires: int = 5
    flap_window_ns: int = 3600 * NS_PER_S
    flap_calm_ns: int = 600 * NS_PER_S
    gap_ns: int = 5 * NS_PER_S
    abandon_ns: int = 86_400 * NS_PER_S
    max_alerts: int = 10_000


def plain(text: str, values: Mapping[str, Any]) -> str:  # noqa: ARG001 - the signature of Render
    """Leave a template as it is."""
    return text


def unexplained(rule: str, row: int) -> Explanation | None:  # noqa: ARG001 - the signature of Explain
    """Explain nothing."""
    return None
