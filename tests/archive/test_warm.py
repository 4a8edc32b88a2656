"""A monitor that starts with an archive knows what the archive knows, as history."""

from __future__ import annotations

from pathlib import Path

from monitor.archive.warm import remembered
from monitor.clock import NS_PER_S
from monitor.events import Channel, Depth, FeedGap, FeedState, Price
from monitor.reading import TRUE
from tests.archive.market import INSTRUMENTS, Arrivals
from tests.archive.test_round_trip import write
from tests.engine.market import at, engine, only

BTC = INSTRUMENTS[0]
DAY_NS = 86_400 * NS_PER_S
RULE = 'sma(price{kind="last"}[10d:1d]) > 104'


def midnight(day: int) -> int:
    return at(0) // DAY_NS * DAY_NS + day * DAY_NS


def test_a_long_window_is_warm_at_once(tmp_path: Path) -> None:
    history: Arrivals = [(midnight(0) - NS_PER_S, [FeedState("bybit", Channel.PRICE, True, midnight(0) - NS_PER_S)])]
    for day in range(11):
        history.append((midnight(day), [Price(BTC, "last", 100.0 + day, midnight(day), midnight(day))]))
    write(tmp_path, history)
    now_ns = midnight(10) + 5 * NS_PER_S
    cold, warm = engine(RULE), engine(RULE)
    warm.ingest(list(remembered(tmp_path, now_ns)))
    live = Price(BTC, "last", 111.0, now_ns, now_ns)
    for machine in (cold, warm):
        machine.ingest([live])
    assert int(only(cold.evaluate(now_ns)).truth[0]) != TRUE
    reading = only(warm.evaluate(now_ns))
    assert int(reading.truth[0]) == TRUE
    assert reading.coverage[0] > 0.99


def test_it_is_history_and_says_what_was_covered(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            (at(0), [FeedState("bybit", Channel.PRICE, True, at(0)), FeedState("okx", Channel.PRICE, True, at(0))]),
            (at(1), [Price(BTC, "mark", 1.0, at(1), at(1)), Depth(BTC, 1.0, 1.0, 0.1, at(1), at(1))]),
            (at(2), [FeedGap("bybit", Channel.PRICE, at(1), at(2), "lost")]),
            (at(3), [FeedState("bybit", Channel.PRICE, False, at(3))]),
            (at(9), [Price(BTC, "mark", 2.0, at(9), at(9))]),
        ],
    )
    assert list(remembered(tmp_path, at(8)))[1:] == [
        FeedGap("bybit", Channel.PRICE, at(0), at(3), "history", filled=True),
        FeedGap("okx", Channel.PRICE, at(0), at(8), "history", filled=True),
        FeedGap("bybit", Channel.PRICE, at(1), at(2), "lost"),
    ]
    (first, *_) = remembered(tmp_path, at(8))
    assert isinstance(first, Price)
    assert first.backfill
