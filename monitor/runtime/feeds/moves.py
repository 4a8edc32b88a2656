"""How far the whole market moved since the last liquidation: a fall without one is a sign of a dead subscription. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from monitor.events import MarketEvent, Price
from monitor.instruments import Instrument

AT_ONCE = 8
LEAST_INSTRUMENTS = 20


class MarketMove:
    """First and newest price of each instrument since the last `reset`.

    Of a batch a few prices are looked at, others of the next one: enough over time, and next to nothing per event.
    """

    def __init__(self) -> None:
        self._prices: dict[Instrument, tuple[float, float]] = {}
        self._turn = 0

    def reset(self) -> None:
        """Begin anew: a liquidation arrived."""
        self._prices.clear()

    def note(self, events: Sequence[MarketEvent]) -> None:
        """Look at some of a batch."""
        step = -(-len(events) // AT_ONCE)
        self._turn += 1
        for event in events[self._turn % step :: step]:
            if type(event) is Price and event.kind == "mark":
                first, _ = self._prices.get(event.instrument, (event.value, 0.0))
                self._prices[event.instrument] = first, event.value

    def ratio(self) -> float:
        """The median move, whatever its direction; 0 while too few instruments have a price to be called a market."""
        if len(self._prices) < LEAST_INSTRUMENTS:
            return 0.0
        return median(abs(last / first - 1.0) for first, last in self._prices.values())
