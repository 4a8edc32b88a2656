from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import NS_PER_S
from monitor.runtime.feeds.backoff import Backoff, ConnectBudget


class Ceiling(Random):
    def uniform(self, a: float, b: float) -> float:
        assert a == 0.0, "full jitter starts at nothing"
        return b


def test_no_failure_means_no_wait() -> None:
    assert Backoff(0.5, 60.0, Random(1)).wait_s() == 0.0


def test_ceiling_doubles_up_to_the_cap_and_only_reset_lowers_it() -> None:
    backoff = Backoff(0.5, 3.0, Ceiling())
    waits = []
    for _ in range(5):
        backoff.failed()
        waits.append(backoff.wait_s())
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.wait_s() == 0.0
    backoff.failed()
    assert backoff.wait_s() == 0.5


@given(st.integers(1, 10_000), st.integers(0, 2**32))
def test_jitter_is_full_and_bounded(failures: int, seed: int) -> None:
    backoff = Backoff(0.5, 60.0, Random(seed))
    for _ in range(min(failures, 40)):
        backoff.failed()
    assert 0.0 <= backoff.wait_s() <= 60.0


@given(st.integers(1, 5), st.lists(st.integers(0, 3 * NS_PER_S), max_size=60))
def test_budget_is_never_exceeded_in_any_window(connects: int, steps: list[int]) -> None:
    budget, now_ns, taken = ConnectBudget(connects, 2.0), 0, []
    for step in steps:
        now_ns += step
        at_ns = budget.take(now_ns)
        assert at_ns >= now_ns
        taken.append(at_ns)
    for first, later in zip(taken, taken[connects:], strict=False):
        assert later - first >= 2 * NS_PER_S
