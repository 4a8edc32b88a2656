from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from monitor.alerts.calendar import TimeInterval


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2025-11-21T09:00", "2025-11-21T17:00"),
        ({"times": [{"start_time": "22:00", "end_time": "24:00"}]}, "2025-11-21T23:59", "2025-11-21T00:00"),
        ({"weekdays": ["monday:friday"]}, "2025-11-21T12:00", "2025-11-22T12:00"),
        ({"weekdays": "sunday"}, "2025-11-23T12:00", "2025-11-22T12:00"),
        ({"days_of_month": ["-1"]}, "2024-02-29T12:00", "2024-02-28T12:00"),
        ({"days_of_month": ["1:5", "-3:-1"]}, "2025-11-28T12:00", "2025-11-27T12:00"),
        ({"months": ["november:december"]}, "2025-11-21T12:00", "2025-10-31T23:00"),
        ({"years": ["2025"]}, "2025-12-31T23:59", "2026-01-01T00:00"),
    ],
)
def test_fields(interval: dict[str, Any], inside: str, outside: str) -> None:
    span = TimeInterval.model_validate(interval)
    assert span.contains(at(inside))
    assert not span.contains(at(outside))


def test_the_zone_follows_summer_time() -> None:
    morning = TimeInterval.model_validate(
        {"times": [{"start_time": "08:00", "end_time": "09:00"}], "location": "America/New_York"}
    )
    assert morning.contains(at("2025-07-01T12:30"))
    assert not morning.contains(at("2025-12-01T12:30"))
    assert morning.contains(at("2025-12-01T08:30", "America/New_York"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": [{"start_time": "9:00", "end_time": "10:00"}]},
        {"times": [{"start_time": "09:00", "end_time": "24:30"}]},
        {"weekdays": ["friday:monday"]},
        {"days_of_month": ["0"]},
        {"months": ["13"]},
        {"when": "always"},
    ],
)
def test_mistakes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        TimeInterval.model_validate(wrong)
