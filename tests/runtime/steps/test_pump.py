from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.events import Channel, FeedGap, FeedState, Liquidation, Price, Sample, Trade
from monitor.runtime.steps.pump import FEW, Pump, StreamEvent, newest_gauges
from monitor.testing.manual_clock import ManualClock
from tests.integration.harness import liquidation, price, trade


class Reader:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


def collecting(**limits: Any) -> tuple[Pump, list[list[StreamEvent]]]:
    batches: list[list[StreamEvent]] = []
    return Pump(lambda events, _: batches.append(events), ManualClock(), **limits), batches


async def test_all_that_waits_is_one_batch_and_nothing_waits_for_more() -> None:
    pump, batches = collecting()
    pump.append([price(1.0)])
    pump.append([price(2.0), trade()])
    assert batches == [], "the flush is the next turn of the loop, not inside the reader"
    await asyncio.sleep(0)
    assert [len(batch) for batch in batches] == [3]
    pump.append([price(3.0)])
    await asyncio.sleep(0)
    assert [len(batch) for batch in batches] == [3, 1]
    assert len(pump) == 0


async def test_a_small_batch_that_took_long_is_followed_by_a_pause_and_a_large_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now_s, sizes = [loop.time()], list[int]()
    monkeypatch.setattr(loop, "time", lambda: now_s[0])

    def flush(events: list[StreamEvent], _: int) -> None:
        sizes.append(len(events))
        now_s[0] += 0.0015

    async def turns() -> list[int]:
        for _ in range(4):
            await asyncio.sleep(0)
        return sizes

    pump = Pump(flush, ManualClock(), rests=True)
    pump.append([price(1.0)])
    assert await turns() == [1], "the first one never waits"
    pump.append([price(2.0)])
    now_s[0] += 0.0014
    assert await turns() == [1]
    pump.append([price(3.0)])
    now_s[0] += 0.0002
    assert await turns() == [1, 2], "what came meanwhile comes along"
    now_s[0] += 1
    pump.append([price(float(number)) for number in range(FEW + 1)])
    assert await turns() == [1, 2, FEW + 1]
    pump.append([price(4.0)])
    assert await turns() == [1, 2, FEW + 1, 1], "nobody rests behind a backlog"


async def test_flush_gets_the_time() -> None:
    clock = ManualClock(start_ns=5)
    times: list[int] = []
    pump = Pump(lambda _, at_ns: times.append(at_ns), clock)
    pump.append([trade()])
    await asyncio.sleep(0)
    assert times == [5]


async def test_large_backlog_is_taken_in_parts_in_order() -> None:
    pump, batches = collecting(max_batch=10)
    events = [liquidation(str(number)) for number in range(25)]
    pump.append(events)
    for _ in range(4):
        await asyncio.sleep(0)
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [event for batch in batches for event in batch] == events


async def test_full_buffer_stops_reading_first_and_loses_nothing() -> None:
    pump, batches = collecting(max_batch=4, high_water=8, capacity=100)
    reader = Reader()
    pump.attach(reader)
    pump.append([price(float(number)) for number in range(8)])
    assert reader.calls == ["pause"]
    late = Reader()
    pump.attach(late)
    assert late.calls == ["pause"], "a connection opened meanwhile must not read either"
    for _ in range(4):
        await asyncio.sleep(0)
    assert reader.calls == ["pause", "resume"]
    assert late.calls == ["pause", "resume"]
    assert sum(map(len, batches)) == 8
    assert not pump.dropped
    assert pump.pauses == 1


async def test_beyond_capacity_gauges_keep_the_newest_and_amounts_are_never_dropped() -> None:
    pump, batches = collecting(high_water=10, capacity=20)
    for number in range(30):
        pump.append([price(float(number)), liquidation(str(number)), trade(number)])
    await asyncio.sleep(0)
    events = [event for batch in batches for event in batch]
    prices = [event.value for event in events if isinstance(event, Price)]
    assert [event.key for event in events if isinstance(event, Liquidation)] == [str(number) for number in range(30)]
    assert [event.usd_micros for event in events if isinstance(event, Trade)] == [n * 1_000_000 for n in range(30)]
    assert len(prices) < 30
    assert prices[-1] == 29.0
    assert pump.dropped["superseded"] == 30 - len(prices)


def test_newest_gauges_keeps_order_and_every_amount() -> None:
    state = FeedState("toy", Channel.PRICE, up=True, ts_ns=1)
    gap = FeedGap("toy", Channel.PRICE, 1, 2, "drop")
    old, new = price(1.0), price(2.0)
    other = Sample("tvl", (("name", "x"),), 1.0, 1, 1)
    hit = liquidation("a")
    assert newest_gauges([old, state, hit, other, new, gap, hit]) == [state, hit, other, new, gap, hit]


async def test_engine_error_is_counted_logged_and_survived() -> None:
    taken: list[StreamEvent] = []

    def flush(events: list[StreamEvent], _now_ns: int) -> None:
        if len(events) == 2:
            raise RuntimeError("engine")
        taken.extend(events)

    pump = Pump(flush, ManualClock())
    with capture_logs() as lines:
        pump.append([trade(), trade()])
        await asyncio.sleep(0)
    assert lines[0]["event"] == "pump.flush_failed"
    assert pump.dropped["engine_error"] == 2
    pump.append([trade()])
    await asyncio.sleep(0)
    assert len(taken) == 1


async def test_drain_hands_over_everything_at_once() -> None:
    pump, batches = collecting(max_batch=2)
    pump.append([trade(), trade(), trade()])
    pump.drain()
    assert [len(batch) for batch in batches] == [2, 1]
    await asyncio.sleep(0)
    assert len(batches) == 2, "an empty turn is no batch"


async def test_whoever_records_is_told_when_gauges_were_left_out() -> None:
    clock, told = ManualClock(start_ns=7), list[int]()
    pump = Pump(lambda *_: None, clock, high_water=2, capacity=3, on_relieved=told.append)
    pump.append([price(1.0), price(2.0), price(3.0)])
    assert not told
    pump.append([price(4.0)])
    assert told == [7]
    assert len(pump) == 1
