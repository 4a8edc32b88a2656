"""Who is present in a gauge, with what value and what weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from monitor.engine.nodes.base import FAR_NS, Alarm, padded
from monitor.engine.rows.catalog import Index
from monitor.engine.rows.gauges import NAN, LastValues
from monitor.engine.rows.projection import Projection
from monitor.events import Labels
from monitor.window import Floats, Ints

SOON = 8
"""Such a part of a staleness limit is soon."""


@dataclass(slots=True)
class Members:
    """Last values of a series' members with their staleness limits: who is present at an instant, and with what."""

    last: LastValues
    index: Index
    stale_of: Callable[[Labels], float]
    delay_ns: int = 0
    series: str = ""
    present: Floats = field(default_factory=lambda: np.empty(0))
    next_stale_ns: float = float(FAR_NS)
    least_stale_ns: float = float(FAR_NS)
    version: int = 0
    _stale: Floats = field(default_factory=lambda: np.empty(0))
    _seen: tuple[int, int, int] = (-1, -1, -1)
    _all_fresh: bool = False
    _at_ns: int = 0
    _judged_ns: int = 0
    _now_ns: int = 0

    def update(self, now_ns: int) -> int:
        """Work out who is present at `now_ns` less the delay; the version rises when that changed."""
        at_ns, last, self._now_ns = now_ns - self.delay_ns, self.last, now_ns
        seen = (last.version, last.lates, len(last.values))
        if seen == self._seen and at_ns <= self.next_stale_ns:
            return self.version
        fresh_until_ns = min(self.next_stale_ns, self._at_ns + self.least_stale_ns)
        only_newer = self._all_fresh and seen[1:] == self._seen[1:] and at_ns <= fresh_until_ns
        only_newer = only_newer and (fresh_until_ns - at_ns >= self._soon_ns or at_ns - self._judged_ns < self._soon_ns)
        self._seen = seen
        if only_newer:  # nobody was stale, and nobody is, for a while yet
            self.present, self.next_stale_ns = last.values.copy(), fresh_until_ns
        else:
            self._judge(at_ns)
        self._at_ns = at_ns
        self.version += 1
        return self.version

    def fresh_until_ns(self) -> float:
        """Until when nobody goes stale, whatever comes in."""
        return min(self.next_stale_ns, self._at_ns + self.least_stale_ns) + self.delay_ns

    def still(self) -> Alarm:
        """Until when everybody's value stays what it is, and nobody goes stale."""
        new = (self.index, len(self.index))
        return Alarm(self.fresh_until_ns(), ((self.last, self.last.version), new))

    def positive(self) -> bool:
        """Whether every present value is above zero."""
        return bool(np.fmin.reduce(self.present, initial=np.inf) > 0)

    @property
    def _soon_ns(self) -> float:
        """Less than this until somebody might be stale is worth a closer look, once in so long."""
        return self.least_stale_ns / SOON

    def _judge(self, at_ns: int) -> None:
        self._extend()
        self._judged_ns = at_ns
        expires = self.last.ts + self._stale
        self.present = np.where(expires >= at_ns, self.last.values, NAN)
        known = ~np.isnan(self.last.values)
        alive = expires[(expires >= at_ns) & known]
        self.next_stale_ns = float(alive.min()) if len(alive) else float(FAR_NS)
        self._all_fresh = len(alive) == int(known.sum())

    def ends(self) -> Floats:
        """When each value goes missing, or did."""
        self._extend()
        return np.where(np.isnan(self.last.values), self.last.ts, self.last.ts + self._stale) + self.delay_ns

    @property
    def now_ns(self) -> int:
        """The instant of the last update, without the delay."""
        return self._now_ns

    @property
    def stale_ns(self) -> Floats:
        """Staleness limit per member."""
        self._extend()
        return self._stale

    def _extend(self) -> None:
        new = self.index.labels[len(self._stale) : len(self.last.values)]
        if new:
            self._stale = np.concatenate((self._stale, [self.stale_of(labels) for labels in new]))
            self.least_stale_ns = float(self._stale.min())


class Weights:
    """Open interest per member of another series, met by venue and symbol."""

    def __init__(self, weights: Members, members: Index) -> None:
        self._weights, self._members = weights, members
        self._of: dict[tuple[str, str], int] = {}
        self._markets: list[tuple[str, str]] = []
        self._known = 0
        self._map: Ints = np.empty(0, np.int64)

    def update(self, now_ns: int) -> int:
        """Bring the weights up to date."""
        return self._weights.update(now_ns)

    def still(self) -> Alarm:
        """Until when every weight stays what it is."""
        return self._weights.still()

    def aligned(self) -> Floats:
        """The present weight per member, NaN where there is none."""
        return self._by_member(self._weights.present)

    def ends(self) -> Floats:
        """When each member's weight goes missing, or did."""
        return self._by_member(self._weights.ends())

    def _by_member(self, values: Floats) -> Floats:
        labels = self._weights.index.labels
        if self._known < len(labels) or len(self._map) < len(self._members):
            for member in range(self._known, len(labels)):
                self._of[_market(labels[member])] = member
            self._known = len(labels)
            self._markets += map(_market, self._members.labels[len(self._markets) :])
            self._map = np.array([self._of.get(market, -1) for market in self._markets], np.int64)
        found: Floats = np.append(padded(values, len(labels)), NAN)[self._map]
        return found


def _market(labels: Labels) -> tuple[str, str]:
    table = dict(labels)
    return table.get("venue", ""), table.get("symbol", "")


class PairWeights:
    """Weights of one series for the members of another, met on the labels that both series carry."""

    def __init__(self, weights: Members, accepted: Projection, members: Index, shared: tuple[str, ...]) -> None:
        self._weights, self._accepted, self._members = weights, accepted, members
        self._shared = frozenset(shared)
        self._keys: list[Labels] = []
        self._weight_keys: list[Labels] = []
        self._sizes = (-1, -1)
        self._map: Ints = np.empty(0, np.int64)

    @property
    def next_stale_ns(self) -> float:
        """When the next weight goes stale."""
        return self._weights.next_stale_ns

    def update(self, now_ns: int) -> int:
        """Bring the weights up to date."""
        self._accepted.update()
        return self._weights.update(now_ns)

    def still(self) -> Alarm:
        """Until when every weight stays what it is."""
        return self._weights.still()

    def aligned(self) -> Floats:
        """A weight per member of the other series, NaN where there is none."""
        return self._by_member(self._weights.present)

    def ends(self) -> Floats:
        """When each member's weight goes missing, or did."""
        return self._by_member(self._weights.ends())

    def _by_member(self, values: Floats) -> Floats:
        labels = self._weights.index.labels
        sizes = (len(labels), len(self._members))
        if sizes != self._sizes:
            self._sizes = sizes
            self._keys += map(self._key, self._members.labels[len(self._keys) :])
            self._weight_keys += map(self._key, labels[len(self._weight_keys) :])
            chosen = np.flatnonzero(self._accepted.group >= 0).tolist()
            member_of = {self._weight_keys[member]: member for member in chosen}
            self._map = np.array([member_of.get(key, -1) for key in self._keys], np.int64)
        found: Floats = np.append(padded(values, len(labels)), NAN)[self._map]
        return found

    def _key(self, labels: Labels) -> Labels:
        return tuple(pair for pair in labels if pair[0] in self._shared)
