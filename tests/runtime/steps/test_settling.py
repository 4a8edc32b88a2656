"""Late history waits until no more of it comes, but not for ever."""

from __future__ import annotations

from monitor.runtime.steps.settling import SETTLES_NS, WAITS_NS, Settling

T0 = 1_763_683_200_000_000_000


def test_it_is_over_when_no_more_has_come_for_a_while() -> None:
    settling = Settling()
    settling.came(T0, waiting=False)
    settling.came(T0 + SETTLES_NS // 2, waiting=True)
    assert not settling.over(T0 + SETTLES_NS)
    assert settling.over(T0 + SETTLES_NS // 2 + SETTLES_NS)


def test_the_first_waits_so_long_and_no_longer_and_what_comes_meanwhile_waits_anew() -> None:
    settling = Settling()
    for number in range(WAITS_NS // SETTLES_NS + 1):
        settling.came(T0 + number * SETTLES_NS, waiting=number > 0)
        assert settling.over(T0 + number * SETTLES_NS) == (number * SETTLES_NS >= WAITS_NS)
    settling.worked(T0 + WAITS_NS)
    assert not settling.over(T0 + WAITS_NS)
    assert settling.over(T0 + WAITS_NS + SETTLES_NS)
