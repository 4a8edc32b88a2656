"""Liquidations that arrive twice: from two connections that overlap, or again after a reconnect. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from monitor.events import Liquidation


class Repeats:
    """Remembers the identities of recent liquidations of one feed: the last `keep` at least, twice as many at most.

    A row with a key of the venue's is accepted once. A row without one is accepted again from the *same* connection
    (two equal liquidations in one millisecond do happen) but not from another one.
    """

    def __init__(self, keep: int = 65_536) -> None:
        self._keep = keep
        self._seen: dict[Hashable, int] = {}
        self._before: dict[Hashable, int] = {}

    def is_new(self, event: Liquidation, link: int) -> bool:
        """Whether this row has not been seen; `link` numbers the connection that brought it."""
        identity = _identity(event)
        first = self._seen.get(identity)
        if first is None:
            first = self._before.get(identity)
        if first is not None:
            return not event.key and first == link
        self._seen[identity] = link
        if len(self._seen) >= self._keep:
            # whole generations: taking the oldest out of one dictionary searches its emptied front anew each time
            self._before, self._seen = self._seen, {}
        return True


def _identity(event: Liquidation) -> Hashable:
    symbol = event.instrument.symbol
    if event.key:
        return symbol, event.key
    return symbol, event.side, event.ts_ns, event.usd_micros, event.price
