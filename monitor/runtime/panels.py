"""The liquidation windows that the page and the dashboards show, kept by the engine whatever rules are loaded."""

from __future__ import annotations

from monitor.language import parse_expression
from monitor.rule import Recording

WINDOWS = ("1h", "4h", "24h")
LABELS = ("venue", "base")
GROUP = "panel"


def panel_text(function: str, window: str, label: str) -> str:
    """The expression of one window: ``function`` is sum or count."""
    return f"{function}(liquidations[{window}]) by ({label}, side)"


def panel_recordings() -> list[Recording]:
    """One recording per window, label and function."""
    found = []
    for window in WINDOWS:
        for label in LABELS:
            for function in ("sum", "count"):
                text = panel_text(function, window, label)
                name = f"panel:liquidations_{function}_{window}:{label}"
                found.append(Recording(name, GROUP, parse_expression(text), text))
    return found
