"""The coverage that a reading depends on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monitor.engine.cover.coverage import STEP, Ledger, rounded
from monitor.engine.cover.slow_coverage import SlowNeed
from monitor.engine.nodes.base import FAR_NS, Coverage
from monitor.engine.rows.catalog import Index
from monitor.engine.rows.log import OLDEST_NS, Log
from monitor.events import Channel


class Need:
    """The coverage that a reading of one series depends on, per row when the rows carry a venue."""

    def __init__(
        self,
        ledger: Ledger,
        channel: Channel,
        accept: Callable[[str], bool],
        window_ns: int,
        *,
        delay_ns: int,
        by_venue: Index | None,
        slow: SlowNeed | None = None,
    ) -> None:
        self.ledger, self.channel, self.accept, self.slow = ledger, channel, accept, slow
        self.window_ns, self.delay_ns = window_ns, delay_ns
        self._by_venue = by_venue
        self._venues: list[str] = []
        self._version = self._rows = -1
        self._until_ns = self._asked_ns = 0
        self._value: Coverage = 1.0
        self.logs: tuple[Log, ...] = ()
        """The rows that the window is read from, of which some may have been dropped."""

    def share(self, now_ns: int) -> tuple[Coverage, bool]:
        """Coverage, and whether it changed since the last call."""
        self._asked_ns = now_ns
        rows = len(self._by_venue) if self._by_venue is not None else 0
        if now_ns < self._until_ns and self.ledger.version == self._version and rows == self._rows:
            return self._value, False
        self._version, self._rows = self.ledger.version, rows
        old = self._value
        self._value, until_ns = self._kept(*self._work_out(now_ns - self.delay_ns), now_ns - self.delay_ns)
        self._until_ns = until_ns + self.delay_ns
        return self._value, not np.array_equal(old, self._value)

    @property
    def asked_ns(self) -> int:
        """The instant for which the share was last asked."""
        return self._asked_ns

    @property
    def until_ns(self) -> int:
        """Until when the share that was last asked for holds, if the ledger and the rows stay as they are."""
        return self._until_ns

    def silent(self, now_ns: int) -> str:
        """Feeds that are not live now."""
        return self.ledger.silent(self.channel, self.accept, now_ns, self.slow)

    def _kept(self, share: Coverage, until_ns: int, end_ns: int) -> tuple[Coverage, int]:
        """Less coverage where rows of the window were dropped to bound the memory."""
        gone_ns = max((log.cut_ns for log in self.logs), default=OLDEST_NS) - (end_ns - self.window_ns)
        if gone_ns <= 0 or not self.window_ns:
            return share, until_ns
        left = max(0.0, rounded(1.0 - gone_ns / self.window_ns))
        return share * left, min(until_ns, end_ns + max(1, self.window_ns // STEP))

    def _work_out(self, end_ns: int) -> tuple[Coverage, int]:
        """Coverage, and until when it holds if the ledger stays as it is."""
        start_ns = end_ns - self.window_ns
        if self._by_venue is None:
            return self.ledger.share(self.channel, self.accept, start_ns, end_ns, self.slow)
        self._venues += [dict(labels).get("venue", "") for labels in self._by_venue.labels[len(self._venues) :]]
        shares = {
            venue: self.ledger.share(self.channel, venue.__eq__, start_ns, end_ns)
            for venue in dict.fromkeys(self._venues)
        }
        until_ns = min((until for _, until in shares.values()), default=FAR_NS)
        return np.array([shares[venue][0] for venue in self._venues], np.float64), until_ns
