"""Kinds of values on the command line."""

from __future__ import annotations

import argparse

import pytest

from monitor.clock import NS_PER_S
from monitor.commands.arguments import duration_ns, duration_s, size_bytes, time_ns

START_NS = 1_763_700_000 * NS_PER_S


def test_sizes_durations_and_times() -> None:
    assert (size_bytes("50G"), size_bytes("2MiB")) == (50 << 30, 2 << 20)
    assert (duration_s("30d"), duration_ns("1h30m")) == (2_592_000.0, 5400 * NS_PER_S)
    assert time_ns("1763700000") == time_ns("2025-11-21T04:40") == time_ns("2025-11-21T05:40+01:00") == START_NS


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (size_bytes, "many", "expected a size such as 500M or 50G"),
        (size_bytes, "0", "a size cannot be 0"),
        (duration_s, "1y", "'1y' is not a duration; write 30s, 5m, 1h30m, 7d"),
        (duration_ns, "0s", "expected more than zero"),
        (duration_ns, "999999d", "longer than a century"),
        (time_ns, "99999999999", "'99999999999' is not a time"),
        (time_ns, "1969-12-31", "the year 1969 is not between 1970 and 2199"),
        (time_ns, "noon", "'noon' is not a time; write unix seconds or ISO 8601"),
    ],
)
def test_what_is_none_is_refused_with_what_would_be(parse: object, text: str, words: str) -> None:
    assert callable(parse)
    with pytest.raises(argparse.ArgumentTypeError, match=words):
        parse(text)
