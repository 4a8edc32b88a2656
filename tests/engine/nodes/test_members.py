"""Until when nobody goes stale: known well ahead, however long everybody has been fresh."""

from __future__ import annotations

import numpy as np

from monitor.engine.nodes.members import Members
from monitor.engine.rows.catalog import Index
from monitor.engine.rows.gauges import LastValues
from monitor.engine.rows.log import Log
from monitor.window import Ints

S = 1_000_000_000
STALE_S = 60.0


class Market:
    """Markets that are priced in turn, one each second."""

    def __init__(self, count: int) -> None:
        self.index = Index()
        for number in range(count):
            self.index.add((("symbol", f"S{number}"),))
        self.log = Log(np.float64, unique=True)
        self.last = LastValues(self.log, self.index)
        self.members = Members(self.last, self.index, lambda _: STALE_S * S)

    def price(self, second: int, member: int) -> None:
        ts: Ints = np.array([second * S])
        self.log.insert(ts, np.array([member], np.int32), np.array([100.0 + second]))

    def at(self, second: int) -> float:
        """Seconds from an instant on until somebody may be stale."""
        self.last.seek(second * S)
        self.members.update(second * S)
        return self.members.fresh_until_ns() / S - second


def test_where_everybody_speaks_often_there_is_always_some_time_ahead() -> None:
    market, ahead = Market(5), list[float]()
    for second in range(300):
        market.price(second, second % 5)
        ahead.append(market.at(second))

    assert min(ahead[5:]) >= STALE_S / 8 - 1
    assert max(ahead[5:]) <= STALE_S


def test_nobody_is_said_to_be_fresh_for_longer_than_he_is() -> None:
    """One of two falls silent; the other one goes on."""
    market = Market(2)
    market.price(0, 1)
    for second in range(58):
        market.price(second, 0)
        assert market.at(second) <= STALE_S - second

    market.price(61, 0)
    market.at(61)
    assert np.isnan(market.members.present).tolist() == [False, True]
