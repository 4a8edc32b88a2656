"""One synchronous step per batch: board, engine, evaluation, and the time of each."""

from __future__ import annotations

from monitor.clock import SystemClock
from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, Price
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.reading import TRUE, Evaluation
from monitor.runtime.engine_room import EngineRoom
from monitor.runtime.market import MarketBoard
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
