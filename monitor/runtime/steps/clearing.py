"""Label sets that nothing is heard of any more leave the engine now and then, so that months of listings stay bounded."""

from __future__ import annotations

from monitor.alerts.lifecycle import Lifecycle
from monitor.clock import NS_PER_S
from monitor.engine import Engine

EVERY_NS = 600 * NS_PER_S


class Clearing:
    """Asks the engine on a grid of time, by the steps' own: a replay asks at the same steps.

    Args:
        engine: Lets them leave.
        lifecycle: Knows of which there is an alert; it follows rows that are numbered anew.
    """

    def __init__(self, engine: Engine, lifecycle: Lifecycle) -> None:
        self._engine, self._lifecycle = engine, lifecycle
        self._due_ns = 0

    def pass_time(self, now_ns: int) -> None:
        """To be called before an evaluation."""
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + EVERY_NS
        if self._engine.compact(self._lifecycle.spoken_of()):
            self._lifecycle.renumbered()
