"""Up at once, down after a while."""

from __future__ import annotations

import pytest

from monitor.alerts.ladder import Climb, climb, words
from tests.alerts.build import S, rule

LADDER = rule(levels=("info", "warning", "critical"), keep_firing_for_ns=10 * S)


@pytest.mark.parametrize(
    ("now", "seen", "lower_since_s", "at_s", "expected"),
    [
        (1, 1, 0, 100, Climb(None, 0)),
        (1, 1, 95, 100, Climb(None, 0)),
        (0, 2, 95, 100, Climb(2, 0)),
        (2, 1, 0, 100, Climb(None, 100 * S, 110 * S)),
        (2, 0, 95, 100, Climb(None, 95 * S, 105 * S)),
        (2, 0, 90, 100, Climb(0, 0)),
        (1, -1, 90, 100, Climb(0, 0)),
    ],
)
def test_a_climb(now: int, seen: int, lower_since_s: int, at_s: int, expected: Climb) -> None:
    assert climb(LADDER, now, seen, lower_since_s * S, at_s * S) == expected


def test_in_words() -> None:
    assert words(LADDER, "info", 2, "so", up=True) == "escalated from info to critical; so"
    assert words(LADDER, "critical", 1, "so", up=False) == "de-escalated from critical to warning; so"
