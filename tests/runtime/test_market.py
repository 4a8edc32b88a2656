"""The board of last values and totals."""

from __future__ import annotations

from monitor.events import Depth, Funding, Liquidation, OpenInterest, Price, PriceKind
from monitor.instruments import Instrument
from monitor.runtime.market import MarketBoard
from monitor.telemetry.folded import FoldedTable
from monitor.telemetry.specs import PRICE

NOW_NS = 1_763_700_000_000_000_000
PEPE = Instrument(
    venue="bybit", symbol="1000PEPEUSDT", base="PEPE", quote="USDT", settle="USDT", kind="perp", base_units=1000
)
BITCOIN = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
IN_BITCOIN = Instrument(venue="bybit", symbol="ETHBTC", base="ETH", quote="BTC", settle="BTC", kind="spot")


def liquidation(usd: int, *, backfill: bool = False) -> Liquidation:
    return Liquidation(PEPE, "long", usd * 1_000_000, 0.005, NOW_NS, NOW_NS, "", backfill)


def test_prices_are_per_coin_and_only_in_dollars() -> None:
    board = MarketBoard()
    board.update([Price(PEPE, "mark", 0.005, NOW_NS, NOW_NS), Price(IN_BITCOIN, "last", 0.03, NOW_NS, NOW_NS)])
    prices = board.view().price_usd
    assert list(prices.keys) == [("bybit", "1000PEPEUSDT", "PEPE", "mark")]
    assert prices.values.tolist() == [0.005 / 1000]


def test_backfilled_liquidations_do_not_count() -> None:
    board = MarketBoard()
    board.declare([PEPE])
    board.update([liquidation(7), liquidation(5), liquidation(1000, backfill=True)])
    view = board.view()
    assert list(view.liquidations_usd_micros.keys) == [("bybit", "PEPE", "long"), ("bybit", "PEPE", "short")]
    assert view.liquidations_usd_micros.values.tolist() == [12_000_000, 0]
    assert view.liquidations_count.values.tolist() == [2, 0]


def test_funding_is_also_told_per_eight_hours_and_the_last_value_stays() -> None:
    board = MarketBoard()
    board.update([Funding(PEPE, 0.0002, 4.0, NOW_NS, NOW_NS), Funding(PEPE, -0.0001, 4.0, NOW_NS, NOW_NS)])
    board.update([OpenInterest(PEPE, 5e6, NOW_NS, NOW_NS)])
    view = board.view()
    assert view.funding_ratio.values.tolist() == [-0.0001]
    assert view.funding_8h_ratio.values.tolist() == [-0.0002]
    assert view.open_interest_usd.values.tolist() == [5e6]


def test_the_newest_book_stands_by_side_with_its_spread() -> None:
    board = MarketBoard()
    board.update([Depth(PEPE, 9e6, 9e6, 0.1, NOW_NS, NOW_NS), Depth(PEPE, 2e6, 3e6, 0.0004, NOW_NS, NOW_NS)])
    view = board.view()
    assert [key[-1] for key in view.depth_usd.keys] == ["bid", "ask"]
    assert view.depth_usd.values.tolist() == [2e6, 3e6]
    assert view.spread_ratio.values.tolist() == [0.0004]


def test_rows_never_move_so_that_an_exported_price_keeps_its_name() -> None:
    """A coin whose first price came late moved the rows of other kinds: their prices were exported under other names."""
    board, exported = MarketBoard(), FoldedTable(PRICE, None, (1, 2), add_rest=False)
    kinds: tuple[PriceKind, ...] = ("index", "mark")
    board.update([Price(PEPE, kind, 0.005, NOW_NS, NOW_NS) for kind in kinds])
    exported.read(board.view().price_usd)
    before = list(board.view().price_usd.keys)
    board.update([Price(BITCOIN, kind, 82_000.0, NOW_NS, NOW_NS) for kind in kinds])
    table = board.view().price_usd
    assert list(table.keys)[: len(before)] == before
    lines = "\n".join(exported.read(table).lines).splitlines()
    assert {line.rpartition(" ")[2] for line in lines if 'base="BTC"' in line} == {"82000"}
    assert (
        len([line for line in lines if 'base="PEPE"' in line and float(line.rpartition(" ")[2]) == 0.005 / 1000]) == 2
    )
