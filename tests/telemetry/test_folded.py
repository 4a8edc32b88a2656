"""Rows off the watch list fold into one, or are left out; what is missing stays missing."""

import numpy as np

from monitor.telemetry.exposition import Family
from monitor.telemetry.folded import FoldedTable
from monitor.telemetry.specs import LIQUIDATIONS_USD, OPEN_INTEREST, PRICE
from monitor.telemetry.views.market import Table


def lines_of(family: Family) -> list[str]:
    return "\n".join(family.lines).splitlines()


def test_a_target_whose_rows_are_all_missing_is_missing() -> None:
    folded = FoldedTable(OPEN_INTEREST, frozenset({"BTC"}), (1, 2), add_rest=True)
    keys = [("okx", "BTC-P", "BTC"), ("okx", "A-P", "A"), ("okx", "B-P", "B")]
    assert len(lines_of(folded.read(Table(keys, np.array([1.0, np.nan, np.nan]))))) == 1
    lines = lines_of(folded.read(Table(keys, np.array([1.0, np.nan, 5.0]))))
    assert lines[-1] == 'market_open_interest_usd{venue="okx",symbol="other",base="other"} 5'


def test_rows_may_be_appended_and_a_new_generation_starts_over() -> None:
    folded = FoldedTable(PRICE, None, (1, 2), add_rest=False)
    keys = [("okx", "A", "A", "mark")]
    folded.read(Table(keys, np.array([1.0])))
    keys = [*keys, ("okx", "B", "B", "mark")]
    assert len(lines_of(folded.read(Table(keys, np.array([1.0, 2.0]))))) == 2
    other = folded.read(Table([("bybit", "C", "C", "mark")], np.array([3.0]), generation=1))
    assert lines_of(other) == ['market_price_usd{venue="bybit",symbol="C",base="C",kind="mark"} 3']


def test_liquidation_rows_of_one_target_add_up() -> None:
    folded = FoldedTable(LIQUIDATIONS_USD, frozenset(), (1,), add_rest=True, scale=1e-6)
    keys = [("okx", "A", "long"), ("okx", "B", "long"), ("okx", "A", "short")]
    lines = lines_of(folded.read(Table(keys, np.array([1_000_000, 2_500_000, 7], dtype=np.int64))))
    assert lines[0] == 'market_liquidations_usd_total{venue="okx",base="other",side="long"} 3.5'
