"""How far a market moved since its last liquidation."""

from __future__ import annotations

from monitor.events import Price
from monitor.runtime.feeds.moves import AT_ONCE, LEAST_INSTRUMENTS, MarketMove
from tests.toy_venue import instrument

COINS = [instrument(f"C{number}USDT") for number in range(LEAST_INSTRUMENTS)]


def prices(value: float, count: int = LEAST_INSTRUMENTS) -> list[Price]:
    return [Price(coin, "mark", value, 1, 1) for coin in COINS[:count]]


def look_at_all(move: MarketMove, value: float, count: int = LEAST_INSTRUMENTS) -> None:
    for _ in range(-(-count // AT_ONCE) + 1):
        move.note(prices(value, count))


def test_the_median_of_the_moves_counts_in_either_direction() -> None:
    move = MarketMove()
    look_at_all(move, 100.0)
    assert move.ratio() == 0
    look_at_all(move, 97.0)
    assert abs(move.ratio() - 0.03) < 1e-12
    look_at_all(move, 104.0)
    assert abs(move.ratio() - 0.04) < 1e-12


def test_a_few_wild_coins_are_no_market() -> None:
    move = MarketMove()
    look_at_all(move, 100.0)
    for _ in range(3):
        move.note(prices(200.0, 3))
    assert move.ratio() == 0


def test_too_few_instruments_are_no_market() -> None:
    move = MarketMove()
    look_at_all(move, 100.0, LEAST_INSTRUMENTS - 1)
    look_at_all(move, 50.0, LEAST_INSTRUMENTS - 1)
    assert move.ratio() == 0


def test_a_liquidation_begins_anew() -> None:
    move = MarketMove()
    look_at_all(move, 100.0)
    look_at_all(move, 90.0)
    move.reset()
    look_at_all(move, 89.0)
    assert move.ratio() == 0
