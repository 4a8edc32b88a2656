"""How long a connection may go without data before it is replaced: longer where it is quiet by nature. Pure."""

from __future__ import annotations

from monitor.clock import NS_PER_S

MOST_DOUBLINGS = 4


class Patience:
    """The idle limit of one logical connection, over all its links.

    A silent connection that answers pings may be dead, or carry what is seldom traded. Each replacement in vain doubles
    the limit, up to sixteenfold, until a link has delivered for longer than the limit. A silence that ended by itself was
    natural: from then on twice as much is waited.

    Args:
        idle_s: The venue's usual limit, seconds.
    """

    def __init__(self, idle_s: float) -> None:
        self._usual_ns = int(idle_s * NS_PER_S)
        self._natural_ns = 0
        self._doublings = 0

    @property
    def limit_ns(self) -> int:
        """Nanoseconds without data after which the connection is replaced."""
        limit_ns = max(self._usual_ns, 2 * self._natural_ns) << self._doublings
        return min(limit_ns, self._usual_ns << MOST_DOUBLINGS)

    def resumed(self, silence_ns: int) -> None:
        """Data came after so long a silence, on the same link."""
        self._natural_ns = max(self._natural_ns, silence_ns)

    def replaced(self) -> None:
        """A link was replaced because the limit was reached."""
        self._doublings = min(MOST_DOUBLINGS, self._doublings + 1)

    def delivered(self, seconds: float) -> None:
        """The present link has delivered for so long: whatever was silent before is cured, or was natural."""
        if self._doublings and seconds * NS_PER_S > self.limit_ns:
            self._doublings = 0
