"""How long servers ask to be left alone, as seconds and as dates, and nonsense."""

from __future__ import annotations

import pytest

from monitor.retry_after import LONGEST_S, retry_after_s

NOW_NS = 1_763_683_200 * 10**9  # 2025-11-21T00:00:00Z


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 0.25 ", 0.25),
        ("90000", LONGEST_S),
        ("999999999", LONGEST_S),
        ("Fri, 21 Nov 2025 00:01:30 GMT", 90.0),
        ("Fri, 21 Nov 2025 00:01:30", 90.0),
        ("Thu, 20 Nov 2025 23:00:00 GMT", 0.0),
        ("Sat, 21 Nov 2099 00:00:00 GMT", LONGEST_S),
    ],
)
def test_seconds_and_dates_up_to_an_hour(text: str, wait_s: float) -> None:
    assert retry_after_s(text, NOW_NS) == wait_s


@pytest.mark.parametrize("text", [None, "", "soon", "-1", "1e9", "inf", "nan", "\u00b2", "9" * 10, "1.2.3"])
def test_what_cannot_be_read_asks_for_nothing(text: str | None) -> None:
    assert retry_after_s(text, NOW_NS) is None
