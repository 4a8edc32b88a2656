"""Whether Gate's ``total_size`` counts one side of open interest or both: found by what the venue tells twice. Pure.

The documentation is silent. ``position_size`` of the contract list counts one side; others measured ``total_size`` of the
tickers, and the open interest of ``contract_stats``, at twice that. Each contract's first ticker after its listing votes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from monitor.feed import Found
from monitor.learned import Learned

Sides = Literal["one", "both"]
_NEAR = 0.25
"""What may have been opened or closed between listing and ticker, as a share."""


class InterestSides(Learned):
    """``found`` is the last verdict with its evidence, numbered by ``version``.

    Args:
        setting: ``one`` or ``both`` where the user knows.
    """

    NEEDED = 3
    """Contracts that have to agree before it is said; amounts go by the majority from the first one on."""
    learns: ClassVar[Mapping[str, Any]] = {
        "version": int,
        "found": Found | None,
        "_listed": dict[str, float],
        "_votes": dict[str, int],
    }

    def __init__(self, setting: Literal["auto", "one", "both"]) -> None:
        self._setting = setting
        self.version = 0
        self.found: Found | None = None
        self._listed: dict[str, float] = {}
        self._votes = {"one": 0, "both": 0}

    @property
    def sides(self) -> Sides:
        """What the setting says, else most contracts; ``one`` without any."""
        if self._setting != "auto":
            return self._setting
        return "both" if self._votes["both"] > self._votes["one"] else "one"

    @property
    def undecided(self) -> bool:
        """Whether there are listings to compare with, and no ticker yet."""
        return self._setting == "auto" and bool(self._listed) and not any(self._votes.values())

    def listed(self, contract: str, size: float | None) -> None:
        """Note one side, as the contract list has it."""
        if self._setting == "auto" and size:
            self._listed[contract] = size

    def one_side(self, contract: str, total: float) -> float:
        """A ticker's total as one side."""
        size = self._listed.pop(contract, None) if self._listed else None
        if size is not None:
            self._vote(total / size)
        return total / 2 if self.sides == "both" else total

    def _vote(self, ratio: float) -> None:
        for sides, expected in (("one", 1.0), ("both", 2.0)):
            if abs(ratio / expected - 1) < _NEAR:
                self._votes[sides] += 1
        told = self.found.value if self.found is not None else ""
        if self._votes[self.sides] >= self.NEEDED and self.sides != told:
            one, both = self._votes["one"], self._votes["both"]
            words = f"total_size counts {self.sides}: {both} contracts tell twice their position_size, {one} once"
            self.version += 1
            self.found = Found("open_interest_sides", self.sides, words)
