"""Which columns a panel has room for."""

from __future__ import annotations

from monitor.terminal.fit import Column, fit

COLUMNS = (Column("State"), Column("Alert", 0, 6), Column("Value", 1), Column("Note", 2, 5))
ROWS = [("firing", "LiquidationsOver", "1.04B", "much was liquidated"), ("held", "Short", "-3.2%", "")]


def test_with_room_every_column_has_what_it_wants() -> None:
    assert fit(COLUMNS, ROWS, 100) == ((0, 6), (1, 16), (2, 5), (3, 19))


def test_long_words_are_cut_before_a_column_goes() -> None:
    assert fit(COLUMNS, ROWS, 40) == ((0, 6), (1, 16), (2, 5), (3, 5))
    assert fit(COLUMNS, ROWS, 30) == ((0, 6), (1, 6), (2, 5), (3, 5))


def test_what_matters_least_goes_first_and_what_must_stay_stays() -> None:
    assert fit(COLUMNS, ROWS, 29) == ((0, 6), (1, 12), (2, 5))
    assert fit(COLUMNS, ROWS, 3) == ((0, 6), (1, 6))


def test_wide_characters_take_two_places() -> None:
    assert fit((Column("A"),), [("\u5e01\u5b89",)], 20) == ((0, 4),)


def test_a_table_without_rows_has_its_heads() -> None:
    assert fit(COLUMNS, [], 100) == ((0, 5), (1, 5), (2, 5), (3, 4))
