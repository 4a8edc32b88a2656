"""When to try again, and how often a venue may be called: pure, time is an argument."""

from __future__ import annotations

from collections import deque
from random import Random

from monitor.clock import NS_PER_S


class Backoff:
    """Exponential back-off with full jitter: a wait drawn evenly between nothing and a ceiling that doubles.

    Connecting does not reset it; only the owner's word that data was stable does. A server that accepts and drops is
    therefore left alone more and more.
    """

    def __init__(self, base_s: float, cap_s: float, rng: Random) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._rng = rng
        self.failures = 0

    def failed(self) -> None:
        """One more attempt failed, or a connection was lost before it was stable."""
        self.failures += 1

    def wait_s(self) -> float:
        """Seconds to wait before the next attempt; nothing while there was no failure."""
        if not self.failures:
            return 0.0
        ceiling_s = min(self._cap_s, self._base_s * 2.0 ** min(self.failures - 1, 30))
        return self._rng.uniform(0.0, ceiling_s)

    def reset(self) -> None:
        """Data has been stable."""
        self.failures = 0


class ConnectBudget:
    """At most `connects` connection attempts in any `window_s`, shared by all connections of one feed."""

    def __init__(self, connects: int, window_s: float) -> None:
        self._connects = max(1, connects)
        self._window_ns = int(window_s * NS_PER_S)
        self._taken: deque[int] = deque()

    def take(self, now_ns: int) -> int:
        """Book the next attempt and return the time from which it may be made (`now_ns`, or later)."""
        while self._taken and self._taken[0] <= now_ns - self._window_ns:
            self._taken.popleft()
        at_ns = now_ns
        if len(self._taken) >= self._connects:
            at_ns = max(now_ns, self._taken[-self._connects] + self._window_ns)
        self._taken.append(at_ns)
        return at_ns
