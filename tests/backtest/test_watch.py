"""Liveness, worked out by hand."""

from __future__ import annotations

import pytest

from monitor.backtest.history import Stretch
from monitor.backtest.watch import Line, Liveness
from monitor.events import Channel, Event, FeedGap, FeedState

KEY = ("okx", Channel.PRICE)


def state(at_ns: int, *, up: bool) -> FeedState:
    return FeedState("okx", Channel.PRICE, up=up, ts_ns=at_ns)


def gap(start_ns: int, end_ns: int, *, filled: bool = False) -> FeedGap:
    return FeedGap("okx", Channel.PRICE, start_ns, end_ns, "test", filled=filled)


@pytest.mark.parametrize(
    ("events", "spans", "share"),
    [
        ([], [], 0.0),
        ([state(-5, up=True)], [(0, 100)], 1.0),
        ([state(10, up=True), state(20, up=True), state(60, up=False), state(70, up=False)], [(10, 60)], 0.5),
        ([state(0, up=True), gap(20, 30)], [(0, 20), (30, 100)], 0.9),
        ([state(0, up=True), gap(20, 40), gap(30, 50)], [(0, 20), (50, 100)], 0.7),  # what both lost counts once
        ([state(0, up=True), gap(20, 30), gap(15, 35, filled=True)], [(0, 100)], 1.0),
        ([state(0, up=True), gap(20, 40), gap(20, 30, filled=True)], [(0, 30), (40, 100)], 0.9),
        ([state(0, up=True), gap(-500, 10, filled=True)], [(0, 100)], 1.0),  # fetched history is no loss
        ([state(50, up=True), gap(20, 60)], [(60, 100)], 0.4),  # a gap while it was down costs nothing more
        ([state(0, up=True), state(120, up=False)], [(0, 100)], 1.0),
        ([state(110, up=True)], [], 0.0),
    ],
)
def test_live_spans_and_their_share(events: list[Event], spans: list[tuple[int, int]], share: float) -> None:
    live, stretch = Liveness(), Stretch(0, 100)
    live.hear(events)
    live.finish(stretch, [KEY])
    assert live.spans[KEY] == spans
    assert live.share(KEY, stretch) == pytest.approx(share)


def test_a_second_reading_of_an_instant_replaces_the_first() -> None:
    line = Line()
    for value in (1.0, 2.0):
        line.add(7, value, 0.0)
    assert (line.times_ns, line.values) == ([7], [2.0])
