"""The synthetic sell-off of November 2025 as seeded market events: `Scenario`, its instruments and its slow series."""

from __future__ import annotations

from monitor.testing.scenario.listings import BASES, INSTRUMENTS, SPOT_INSTRUMENTS, instruments_of
from monitor.testing.scenario.market import Scenario, quantity_of, resolution_for
from monitor.testing.scenario.timeline import CASCADE_NS, END_NS, START_NS

__all__ = [
    "BASES",
    "CASCADE_NS",
    "END_NS",
    "INSTRUMENTS",
    "SPOT_INSTRUMENTS",
    "START_NS",
    "Scenario",
    "instruments_of",
    "quantity_of",
    "resolution_for",
]
