"""The highest price that a coin ever had: as configured, and higher where a higher one is seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitor.derived.treasuries import is_number
from monitor.events import Sample

MOST_ABOVE = 10.0
"""A price so many times the peak that is known is taken for a mistake of its venue, not for a peak."""


class Peaks:
    """Peaks by coin, in US dollars for one coin. A peak only rises; nothing is lower than what was configured.

    Args:
        known_usd: The configured ones; 0: to be learned from the first price on.
    """

    def __init__(self, known_usd: Mapping[str, float]) -> None:
        self._peaks = dict(known_usd)

    def take(self, prices_usd: Mapping[str, float]) -> None:
        """Learn from prices by coin."""
        for base, price in prices_usd.items():
            peak = self._peaks.get(base)
            if peak is not None and peak < price and (not peak or price <= MOST_ABOVE * peak):
                self._peaks[base] = price

    def samples(self, now_ns: int) -> list[Sample]:
        """What is known, as values of ``price_peak``."""
        return [
            Sample("price_peak", (("base", base),), peak, now_ns, now_ns, "derived")
            for base, peak in self._peaks.items()
            if peak
        ]

    def memory(self) -> dict[str, float]:
        """The peaks, as JSON."""
        return dict(self._peaks)

    def recall(self, kept: Mapping[str, Any]) -> None:
        """Know what a former run learned; of coins that are still asked for.

        Raises:
            TypeError, ValueError: It is no `memory`.
        """
        self.take({base: float(kept[base]) for base in self._peaks.keys() & kept.keys()})


def read_peaks(raw: object) -> dict[str, float]:
    """``peaks:`` of ``derived``: prices by coin, or a list of coins whose peaks are to be learned.

    Raises:
        ValueError: With what is wrong, in a sentence.
    """
    known = dict.fromkeys(raw, 0.0) if isinstance(raw, list) else raw
    if not isinstance(known, Mapping) or not all(isinstance(base, str) for base in known):
        raise ValueError("derived: peaks must map coins to prices, such as {BTC: 126200}, or list coins")
    odd = [base for base, price in known.items() if not is_number(price) or price < 0]
    if odd:
        raise ValueError(f"derived: peaks: {odd[0]}: a price in US dollars, not {known[odd[0]]!r}")
    return {base: float(price) for base, price in known.items()}
