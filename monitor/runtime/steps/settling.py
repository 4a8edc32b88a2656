"""When history that came late is worked into the samples, live and in a backtest. Pure: time is an argument."""

from __future__ import annotations

from monitor.clock import NS_PER_S

SETTLES_NS = NS_PER_S
"""When no more of it has come for so long,"""
WAITS_NS = 30 * NS_PER_S
"""or when the first of it has waited so long: some venues answer for minutes, and the others' signals need not wait for them."""


class Settling:
    """Remembers when history came, and says when enough of it is there."""

    def __init__(self) -> None:
        self._settled_ns = self._by_ns = 0

    def came(self, now_ns: int, *, waiting: bool) -> None:
        """Some came; `waiting` says whether other history was waiting already."""
        if not waiting:
            self._by_ns = now_ns + WAITS_NS
        self._settled_ns = now_ns + SETTLES_NS

    def over(self, now_ns: int) -> bool:
        """Whether what has come may be worked in."""
        return now_ns >= min(self._settled_ns, self._by_ns)

    def worked(self, now_ns: int) -> None:
        """All that was there is worked in; what came meanwhile waits anew."""
        self._by_ns = now_ns + WAITS_NS
