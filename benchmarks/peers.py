"""Stream libraries on the engine benchmark's events, each with less to do than we have: sums only, no counts, no rules.

Optional: ``pip install bytewax river``. `rates` leaves out what is not installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

Data = dict[str, np.ndarray]
S = 1_000_000_000


def bytewax_rate(data: Data, size: int) -> tuple[str, float]:
    """One sliding minute, every second, summed per venue; its exact sliding windows open a window per step and key."""
    import bytewax.operators as op
    import bytewax.operators.windowing as win
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    venues, usd = data["venue"][:size].tolist(), data["usd"][:size].tolist()
    times = [datetime.fromtimestamp(ts / S, UTC) for ts in data["ts"][:size].tolist()]
    flow, out = Dataflow("sums"), list[object]()
    rows = op.input("rows", flow, TestingSource(list(zip(map(str, venues), zip(times, usd, strict=True), strict=True))))
    clock = win.EventClock(lambda row: row[0], timedelta(0))
    windower = win.SlidingWindower(timedelta(minutes=1), timedelta(seconds=1), times[0])
    sums = win.fold_window("fold", rows, clock, windower, int, lambda total, row: total + row[1], int.__add__)
    op.output("out", sums.down, TestingSink(out))
    began = time.perf_counter()
    run_main(flow)
    assert out
    return "bytewax: one minute's sum per venue, hop 1 s, no rules", size / (time.perf_counter() - began)


def river_rate(data: Data, size: int) -> tuple[str, float]:
    """Sums of three windows in total, per venue, and per symbol and side; a window without a new event never empties."""
    from river import stats, utils

    windows = [timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1)]
    columns = [data[name][:size].tolist() for name in ("ts", "venue", "symbol", "side", "usd")]
    state: dict[object, list[utils.TimeRolling]] = {}
    began = time.perf_counter()
    for ts, venue, symbol, side, usd in zip(*columns, strict=True):
        at = datetime.fromtimestamp(ts / S, UTC).replace(tzinfo=None)  # it starts from a naive time of its own
        for key in (None, venue, (symbol, side)):
            if key not in state:
                state[key] = [utils.TimeRolling(stats.Sum, period=window) for window in windows]
            for rolling in state[key]:
                rolling.update(usd, t=at)
    return "river: nine sums, no rules", size / (time.perf_counter() - began)


PEERS: dict[str, tuple[Callable[[Data, int], tuple[str, float]], int]] = {
    "bytewax": (bytewax_rate, 20_000),
    "river": (river_rate, 5_000),
}


def rates(data: Data, *, quick: bool) -> list[tuple[str, float]]:
    """What each installed peer does, and its events per second on a prefix of the events."""
    found = []
    for measure, size in PEERS.values():
        try:
            found.append(measure(data, size // 4 if quick else size))
        except ImportError as error:
            print(f"not measured: {error.name} is not installed")
    return found
