"""How often a venue's liquidation feed stood at its reporting cap: there it may have hidden more. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.clock import NS_PER_S
from monitor.events import Liquidation
from monitor.feed import Cap

MINUTE_S = 60
WINDOW_MIN = 60


@dataclass(slots=True)
class _Minute:
    """One minute of event time: the symbols that had a liquidation, and the symbol-seconds at the cap."""

    number: int
    symbols: set[str] = field(default_factory=set)
    capped: int = 0


class Saturation:
    """The share of symbol-seconds of the last hour at the cap, over the symbols that had a liquidation in it.

    A cap that is published per side is reached by either side. Memory is an hour of minutes. Rows that arrive after a
    later second of their symbol are not counted: the share is a lower bound, as what it judges is.

    Args:
        cap: What the venue publishes at most.
        since_ns: Unix time from which the feed is watched; a shorter past than an hour is judged as such.
    """

    def __init__(self, cap: Cap, since_ns: int) -> None:
        self._cap = cap
        self._since_ns = since_ns
        self._minutes: deque[_Minute] = deque(maxlen=WINDOW_MIN + 1)
        self._running: dict[tuple[str, str], tuple[int, int]] = {}
        self._capped_at: dict[str, int] = {}

    def note(self, events: Iterable[Liquidation]) -> None:
        """Take in liquidations as they were published; backfilled ones tell nothing about the cap."""
        for event in events:
            if not event.backfill:
                self._note(event.instrument.symbol, event.side if self._cap.per_side else "", event.ts_ns // NS_PER_S)

    def _note(self, symbol: str, side: str, second: int) -> None:
        minute = self._minute(second // MINUTE_S)
        if minute is None:
            return
        minute.symbols.add(symbol)
        last, count = self._running.get((symbol, side), (0, 0))
        if second < last:
            return
        count = count + 1 if second == last else 1
        self._running[symbol, side] = second, count
        if count >= self._cap.per_second and self._capped_at.get(symbol) != second:
            self._capped_at[symbol] = second
            minute.capped += 1

    def _minute(self, number: int) -> _Minute | None:
        """The record of a minute; None for one that is older than what is kept in order."""
        if not self._minutes or number > self._minutes[-1].number:
            self._minutes.append(_Minute(number))
        return next((minute for minute in reversed(self._minutes) if minute.number == number), None)

    def ratio(self, now_ns: int) -> float:
        """0 to 1; 0 when no symbol had a liquidation."""
        first = now_ns // NS_PER_S // MINUTE_S - WINDOW_MIN
        minutes = [minute for minute in self._minutes if minute.number > first]
        symbols = set[str]().union(*(minute.symbols for minute in minutes))
        seconds = min(WINDOW_MIN * MINUTE_S, max(1, (now_ns - self._since_ns) // NS_PER_S))
        return min(1.0, sum(minute.capped for minute in minutes) / (len(symbols) * seconds)) if symbols else 0.0
