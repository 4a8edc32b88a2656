import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.telemetry.latency import BOUNDS_NS, LatencyHistogram

DURATIONS = st.lists(st.integers(min_value=-5, max_value=20 * 10**9), max_size=200)


@given(DURATIONS)
def test_a_batch_counts_like_its_members(durations: list[int]) -> None:
    one_by_one, at_once = LatencyHistogram(), LatencyHistogram()
    for duration in durations:
        one_by_one.observe(duration)
    at_once.observe_many(np.array(durations, dtype=np.int64))
    assert one_by_one.counts == at_once.counts
    assert one_by_one.sum_ns == at_once.sum_ns


def test_bounds_rise_and_are_inclusive() -> None:
    assert list(BOUNDS_NS) == sorted(set(BOUNDS_NS))
    assert (BOUNDS_NS[0], BOUNDS_NS[-1]) == (10_000, 10_000_000_000)
    histogram = LatencyHistogram()
    histogram.observe(BOUNDS_NS[3])
    histogram.observe(BOUNDS_NS[3] + 1)
    assert histogram.counts[3:5] == [1, 1]


def test_a_negative_duration_counts_as_zero_and_a_long_one_has_no_bound() -> None:
    histogram = LatencyHistogram()
    histogram.observe(-7)
    histogram.observe(99 * 10**9)
    assert (histogram.counts[0], histogram.counts[-1], histogram.sum_ns) == (1, 1, 99 * 10**9)


def test_repeating_a_duration_is_observing_it_often() -> None:
    often, once = LatencyHistogram(), LatencyHistogram()
    once.observe_times(42_000, 5)
    for _ in range(5):
        often.observe(42_000)
    assert (once.counts, once.sum_ns) == (often.counts, often.sum_ns)


@given(st.lists(st.integers(min_value=10_001, max_value=9 * 10**9), min_size=1), st.floats(0.01, 0.99))
def test_a_quantile_is_within_a_bucket_of_the_truth(durations: list[int], q: float) -> None:
    histogram = LatencyHistogram()
    histogram.observe_many(durations)
    exact = sorted(durations)[max(0, math.ceil(q * len(durations)) - 1)] / 1e9
    assert exact / 1.67 <= histogram.quantile_s(q) <= exact * 1.67


def test_no_observation_has_no_quantile() -> None:
    assert math.isnan(LatencyHistogram().quantile_s(0.5))


def test_the_overflow_bucket_reads_as_the_last_bound() -> None:
    histogram = LatencyHistogram()
    histogram.observe(60 * 10**9)
    assert histogram.quantile_s(0.5) == pytest.approx(10.0)


def test_two_histograms_add_up() -> None:
    one, two = LatencyHistogram(), LatencyHistogram()
    one.observe_times(20_000, 3)
    two.observe(2_000_000)
    one.add(two)
    assert (one.count, one.sum_ns, two.count) == (4, 2_060_000, 1)
    assert one.quantile_s(0.5) <= 20e-6
    assert one.quantile_s(1.0) > 1e-3
