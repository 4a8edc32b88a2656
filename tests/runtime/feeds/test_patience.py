from __future__ import annotations

from monitor.clock import NS_PER_S
from monitor.runtime.feeds.patience import Patience


def seconds(patience: Patience) -> float:
    return patience.limit_ns / NS_PER_S


def test_each_replacement_in_vain_doubles_the_limit_up_to_sixteenfold() -> None:
    patience = Patience(30.0)
    limits = []
    for _ in range(7):
        limits.append(seconds(patience))
        patience.replaced()
    assert limits == [30, 60, 120, 240, 480, 480, 480]


def test_a_snapshot_after_each_replacement_cures_nothing() -> None:
    patience = Patience(30.0)
    patience.replaced()
    patience.resumed(NS_PER_S // 10)
    patience.delivered(0.0)
    assert seconds(patience) == 60


def test_steady_data_restores_the_venues_limit() -> None:
    patience = Patience(30.0)
    patience.replaced()
    patience.delivered(59.0)
    assert seconds(patience) == 60
    patience.delivered(61.0)
    assert seconds(patience) == 30


def test_twice_a_silence_that_ended_by_itself_is_waited() -> None:
    patience = Patience(30.0)
    patience.resumed(10 * NS_PER_S)
    assert seconds(patience) == 30
    patience.resumed(50 * NS_PER_S)
    patience.resumed(1 * NS_PER_S)
    assert seconds(patience) == 100
    patience.resumed(3600 * NS_PER_S)
    assert seconds(patience) == 480
