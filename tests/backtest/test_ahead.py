from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from monitor.backtest.ahead import PIECES, ahead


class Maker:
    """Counts up, and notes on which thread and how far."""

    def __init__(self, stop: int, fails_at: int = -1) -> None:
        self.stop, self.fails_at = stop, fails_at
        self.made = 0
        self.threads: set[str] = set()

    def items(self) -> Iterator[int]:
        for number in range(self.stop):
            self.threads.add(threading.current_thread().name)
            if number == self.fails_at:
                raise LookupError(number)
            self.made += 1
            yield number


def test_the_items_come_in_their_order_and_are_made_on_another_thread() -> None:
    maker = Maker(50)

    assert list(ahead(maker.items())) == list(range(50))
    assert threading.current_thread().name not in maker.threads


def test_nothing_comes_of_nothing() -> None:
    assert list(ahead(Maker(0).items())) == []


def test_an_error_is_raised_in_its_place_and_ends_it() -> None:
    items = ahead(Maker(5, fails_at=3).items())

    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(LookupError, match="3"):
        next(items)
    assert list(items) == []


def test_while_an_item_is_used_only_a_few_are_made_and_none_after_the_end() -> None:
    maker = Maker(50)
    items = ahead(maker.items())

    next(items)
    next(items)
    items.close()  # type: ignore[attr-defined]

    assert maker.made <= 2 + PIECES
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
