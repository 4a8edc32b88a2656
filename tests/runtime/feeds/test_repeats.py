from __future__ import annotations

from monitor.events import Liquidation
from monitor.runtime.feeds.repeats import Repeats
from tests.toy_venue import BTC, ETH


def row(key: str = "", instrument: object = BTC, ts_ns: int = 1) -> Liquidation:
    return Liquidation(instrument, "long", 5, 1.0, ts_ns, 1, key)  # type: ignore[arg-type]


def test_key_of_the_venue_counts_once_wherever_it_comes_from() -> None:
    repeats = Repeats()
    assert repeats.is_new(row("k"), 1)
    assert not repeats.is_new(row("k"), 1)
    assert not repeats.is_new(row("k"), 2)
    assert repeats.is_new(row("k", ETH), 2), "keys belong to a symbol"


def test_equal_rows_without_a_key_count_on_one_connection_and_not_on_the_next() -> None:
    repeats = Repeats()
    assert repeats.is_new(row(), 1)
    assert repeats.is_new(row(), 1)
    assert not repeats.is_new(row(), 2)
    assert repeats.is_new(row(ts_ns=2), 2)
    assert not repeats.is_new(row(ts_ns=2), 1)


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    repeats = Repeats(keep=2)
    assert all(repeats.is_new(row(key), 1) for key in "abcde")
    assert not repeats.is_new(row("e"), 1)
    assert not repeats.is_new(row("d"), 1), "the last two at least"
    assert repeats.is_new(row("a"), 1)
