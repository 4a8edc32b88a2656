"""Samples of a group whose members did not change are linked without comparing members, and to the same values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.engine import Engine
from monitor.engine.nodes.base import Node
from monitor.engine.nodes.gauges import GaugeNode
from tests.engine.market import at, interest, perp, price, rules

RULES = (
    "drawdown(price[30d]) by (base) < 1",
    "realized_vol(price[7d]) by (base) > -1",
    "change(open_interest[30d]) by (base) < 10",
)
MARKETS = [perp(venue, base) for venue in ("bybit", "okx", "gate") for base in ("BTC", "ETH")]
HOUR_S = 3600


def linked(seed: int, hours: int) -> list[np.ndarray]:
    """Values and links of every sample of a market whose feeds come and go."""
    rng = np.random.default_rng(seed)
    engine = Engine(rules(*RULES))
    there = rng.random(len(MARKETS)) < 0.7
    for hour in range(hours):
        if rng.random() < 0.3:
            there = rng.random(len(MARKETS)) < 0.7
        for instrument, speaks, value in zip(MARKETS, there, rng.uniform(90, 110, len(MARKETS)), strict=True):
            if speaks:
                engine.ingest(
                    [price(instrument, value, hour * HOUR_S - 5), interest(instrument, value, hour * HOUR_S - 5)]
                )
        engine.evaluate(at(hour * HOUR_S))
    return [column for history in engine.store.histories.values() for column in (history.values, history.links)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 30))
def test_a_link_that_is_not_worked_out_is_the_one_that_would_have_been(seed: int) -> None:
    asked = list[bool]()

    def counted(node: GaugeNode, then: tuple[np.ndarray, np.ndarray | None]) -> bool:
        asked.append(steady(node, then))
        return asked[-1]

    steady = GaugeNode.steady
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GaugeNode, "steady", counted)
        quick = linked(seed, 24)
        patch.setattr(GaugeNode, "steady", Node.steady)
        whole = linked(seed, 24)

    assert any(asked)
    assert not all(asked)
    assert len(quick) == len(whole) > 0
    for one, other in zip(quick, whole, strict=True):
        np.testing.assert_array_equal(one, other)
