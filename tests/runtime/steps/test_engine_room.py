"""One synchronous step per batch: board, engine, evaluation, and the time of each."""

from __future__ import annotations

from monitor.clock import SystemClock
from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, Price
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.reading import TRUE, Evaluation
from monitor.runtime.market import MarketBoard
from monitor.runtime.steps.backlog import Pace
from monitor.runtime.steps.engine_room import EngineRoom
from monitor.telemetry.latency import LatencyHistogram
from monitor.telemetry.view import STAGES

BTC = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
RULES = """
groups:
  - name: desk
    rules:
      - {alert: BitcoinLow, expr: 'price{base="BTC"} by (base) < 90k'}
"""


def test_a_batch_reaches_board_and_rules_in_one_step_and_lag_is_told_in_real_time() -> None:
    clock = SystemClock()
    engine = Engine(load_rules([("r.yaml", RULES)]), expected={Channel.PRICE: ["bybit"]}, settings=EngineSettings())
    seen: list[Evaluation] = []
    board = MarketBoard()
    latencies = {stage: LatencyHistogram() for stage in STAGES}
    room = EngineRoom(
        engine,
        board,
        on_evaluated=lambda evaluations, _: seen.extend(evaluations),
        on_report=lambda _: None,
        latencies=latencies,
        time_scale=60.0,
    )
    now_ns = clock.wall_ns()
    room.flush([Price(BTC, "mark", 80_000.0, now_ns - 60_000_000, now_ns - 60_000_000)], now_ns)
    assert [(item.rule, item.truth.tolist()) for item in seen] == [("desk/BitcoinLow", [TRUE])]
    assert board.view().price_usd.values.tolist() == [80_000.0]
    assert room.last_receive_lag_ns == 1_000_000
    assert room.turns == 1
    assert room.last_turn_s > 0
    room.tick(now_ns)
    assert room.turns == 2


def test_between_two_steps_of_the_grid_the_newest_event_is_the_instant() -> None:
    """Two monitors read the same events some milliseconds apart, and must say the same times."""
    step_ns, event_ns = 250_000_000, 1_763_683_200_100_000_000
    starts = []
    for late_ns in (1_000_000, 90_000_000):
        seen: list[Evaluation] = []

        def note(evaluations: list[Evaluation], _: int, seen: list[Evaluation] = seen) -> None:
            seen.extend(evaluations)

        room = EngineRoom(
            Engine(load_rules([("r.yaml", RULES)])),
            MarketBoard(),
            on_evaluated=note,
            on_report=lambda _: None,
            latencies={stage: LatencyHistogram() for stage in STAGES},
            pace=Pace(step_ns),
        )
        now_ns = event_ns + late_ns
        room.flush([Price(BTC, "mark", 80_000.0, event_ns, now_ns)], now_ns)
        room.tick(event_ns + 149_000_000)
        assert room.engine.now_ns == event_ns
        room.tick(event_ns + 151_000_000)
        assert room.engine.now_ns == event_ns + 150_000_000, "a whole step of our own time"
        starts.append(next(item.at_ns for item in seen if item.truth.tolist() == [TRUE]))
    assert starts == [event_ns, event_ns]
