"""What can be set about the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.clock import NS_PER_S
from monitor.engine.rows.kernels import Choice
from monitor.events import Channel


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits of time and trust.

    Attributes:
        max_ahead_ns: A venue's time may be so far ahead of receipt, and
        max_behind_ns: so far behind it; beyond, our time is taken and the event counted as ``clock_rejected``.
        late_after_ns: An event older than the last evaluation by more is counted as late (and corrects the windows).
        lateness_ns: Older by more than this it is too late: counted and left out. Backfill is exempt.
        refill_in_background: Late history is worked into the samples by calls of `Engine.refill`, a little at a time;
            without it the next evaluation does it all.
        max_rows: Rows kept of one series at one resolution; beyond, the oldest are dropped and counted, and windows that
            reach behind them lose coverage.
        kernels: Which inner loops to run: ``auto`` takes compiled ones where numba is installed.
        stale_s: Staleness limit by (venue, channel), instead of the series' own.
    """

    max_ahead_ns: int = 5 * NS_PER_S
    max_behind_ns: int = 60 * NS_PER_S
    late_after_ns: int = 1 * NS_PER_S
    lateness_ns: int = 120 * NS_PER_S
    refill_in_background: bool = False
    max_rows: int = 5_000_000
    kernels: Choice = "numpy"
    stale_s: Mapping[tuple[str, Channel], float] = field(default_factory=dict)
