"""A copy of the engine's state is its own, while the engine goes on."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.engine.rows.log import CHUNK
from tests.engine.market import BYBIT_BTC, T0_NS, at, engine, liquidation, price


@pytest.mark.parametrize("size", [10, 3 * CHUNK], ids=["one chunk", "several chunks"])
def test_what_was_gathered_shares_no_memory_with_the_engine(size: int) -> None:
    machine = engine("sum(liquidations[1h]) > 1", "drawdown(price[30d]) < -1%", "held(price > 1) > 1h")
    machine.ingest([liquidation(BYBIT_BTC, 1, 1), price(BYBIT_BTC, 1, 1)])
    members = np.zeros(size, np.int32)
    machine.ingest_columns("liquidations", members, T0_NS + 2 * 10**9 + np.arange(size), np.ones(size, np.int64))
    machine.evaluate(at(60))
    copied = machine.gather()
    kept = {name: column.copy() for name, column in copied.columns.items()}
    assert kept["0.t.ts"].size == size + 1
    for log in machine.store.logs.values():
        for column in log.rows(log.first, log.end):
            assert not any(np.shares_memory(column, mine) for mine in copied.columns.values())
    machine.ingest([liquidation(BYBIT_BTC, 2, 1.5), price(BYBIT_BTC, 7, 61)])
    machine.evaluate(at(4000))
    for name, column in copied.columns.items():
        np.testing.assert_array_equal(column, kept[name], name)
