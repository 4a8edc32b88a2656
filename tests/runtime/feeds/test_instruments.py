from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from monitor.errors import StateError
from monitor.events import Channel
from monitor.feed import FeedOptions, Request
from monitor.instruments import Registry
from monitor.runtime.feeds.instruments import InstrumentLoader, choose, symbol_problems
from monitor.runtime.feeds.instruments_cache import InstrumentsCache
from monitor.runtime.files import write_atomically
from monitor.testing.manual_clock import ManualClock
from monitor.transports.http import Reply
from tests.toy_venue import BTC, ETH, ToyFeed, instrument

SOL, HALTED = instrument("SOLUSDT"), instrument("OLDUSDT", status="halted")
REGISTRY = Registry([BTC, ETH, SOL, HALTED])


def feed(**options: object) -> ToyFeed:
    return ToyFeed(FeedOptions(channels=frozenset({Channel.PRICE}), **options))  # type: ignore[arg-type]


def test_star_is_everything_that_trades() -> None:
    assert choose(feed(), REGISTRY, {}) == [BTC, ETH, SOL]


def test_list_is_just_those() -> None:
    assert choose(feed(symbols=("SOLUSDT", "NOPE")), REGISTRY, {}) == [SOL]


def test_top_is_by_size_then_name_and_unknown_sizes_come_last() -> None:
    sizes = {"ETHUSDT": 5.0, "SOLUSDT": 9.0}
    assert choose(feed(top=2), REGISTRY, sizes) == [SOL, ETH]
    assert choose(feed(top=3), REGISTRY, sizes) == [SOL, ETH, BTC]
    assert choose(feed(top=1), REGISTRY, {}) == [BTC]


def test_problems_name_the_nearest_symbol_and_why_a_known_one_is_not_followed() -> None:
    assert symbol_problems(feed(symbols=("BTCUSD", "OLDUSDT", "ETHUSDT", "&&&")), REGISTRY) == [
        "BTCUSD: unknown (did you mean BTCUSDT?)",
        "OLDUSDT: not followed (halted, crypto)",
        "&&&: unknown",
    ]
    assert symbol_problems(feed(), REGISTRY) == []


def test_cache_gives_back_what_was_stored(tmp_path: Path) -> None:
    cache = InstrumentsCache(tmp_path)
    assert cache.load("toy") is None
    odd = instrument("币安USDT", contract_value=Decimal("0.0001"), funding_interval_h=4.0, expiry_ns=5)
    cache.store("toy", [odd], 77)
    cached = cache.load("toy")
    assert cached is not None
    assert cached.written_ns == 77
    (found,) = cached.instruments
    assert (found.symbol, found.contract_value, found.funding_interval_h, found.expiry_ns) == (
        "币安USDT",
        Decimal("0.0001"),
        4.0,
        5,
    )


@pytest.mark.parametrize("text", ["", "{", '{"version":2,"venue":"toy","written_ns":1,"instruments":[]}'])
def test_unreadable_cache_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    cache = InstrumentsCache(tmp_path)
    cache.path("toy").parent.mkdir()
    cache.path("toy").write_text(text)
    with pytest.raises(StateError, match="toy"):
        cache.load("toy")


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_atomically(path, b"old")

    def full(_fd: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class Listing:
    """An HTTP client of which each answer lists the next symbols."""

    def __init__(self, *lists: list[str]) -> None:
        self._lists = iter(lists)

    async def fetch(self, request: Request, *, timeout_s: float) -> Reply:
        assert timeout_s > 0
        return Reply(json.dumps({"symbols": next(self._lists)}).encode(), 1)


async def test_a_symbol_that_is_missing_twice_has_come_to_its_end_and_may_come_back() -> None:
    both, one = ["BTCUSDT", "ETHUSDT"], ["BTCUSDT"]
    registry, toy = Registry(), feed()
    http = Listing(both, one, both, one, one, one, both)
    loader = InstrumentLoader(registry, http, ManualClock(1), None)  # type: ignore[arg-type]
    followed = []
    for _ in range(7):
        await loader.refresh(toy)
        followed.append([item.symbol for item in choose(toy, registry, {})])
    assert followed == [both, both, both, both, one, one, both], "one list that is cut short ends nothing"
