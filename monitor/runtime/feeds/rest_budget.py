"""How much of a venue's REST allowance is used: weight in a sliding window. Pure, time is an argument."""

from __future__ import annotations

from collections import deque

from monitor.clock import NS_PER_S


class RestBudget:
    """At most `weight` units in any `window_s`, over everything that one feed asks.

    Polls keep a pace of their own within the venue's limits and are only noted; history takes what they leave.
    """

    def __init__(self, weight: int, window_s: float) -> None:
        self._limit = max(1, weight)
        self._window_ns = int(window_s * NS_PER_S)
        self._spent: deque[tuple[int, int]] = deque()
        self._sum = 0

    def note(self, weight: int, now_ns: int) -> None:
        """Count a request that is made whatever the budget says."""
        self._forget(now_ns)
        self._spent.append((now_ns, weight))
        self._sum += weight

    def take(self, weight: int, now_ns: int) -> int:
        """Book a request if there is room and return 0; else the nanoseconds after which to look again."""
        self._forget(now_ns)
        if self._sum and self._sum + min(weight, self._limit) > self._limit:
            return max(1, self._spent[0][0] + self._window_ns - now_ns)
        self.note(weight, now_ns)
        return 0

    @property
    def used_ratio(self) -> float:
        """Share of the allowance that was used in the window, as of the last booking."""
        return self._sum / self._limit

    def _forget(self, now_ns: int) -> None:
        while self._spent and self._spent[0][0] <= now_ns - self._window_ns:
            self._sum -= self._spent.popleft()[1]
