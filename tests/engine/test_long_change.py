"""A change over weeks compares with what stood in the pane then, however sparse the history was."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.events import OpenInterest
from monitor.instruments import Instrument
from monitor.language import load_rules

S, HOUR_NS, DAY_NS = 1_000_000_000, 3600 * 1_000_000_000, 86_400 * 1_000_000_000
T0 = 1_763_700_000 * S
BTC = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
RULE = "groups: [{name: g, rules: [{alert: A, expr: 'change(open_interest[30d]) by (base) < -35%'}]}]"


@pytest.mark.parametrize("offset_s", [0, 900, 1800, 3500])
def test_hourly_history_is_enough_for_thirty_days(offset_s: int) -> None:
    engine = Engine(load_rules([("r.yaml", RULE)]))
    start_ns = T0 - 31 * DAY_NS
    history = [
        OpenInterest(BTC, 100e9, start_ns + hour * HOUR_NS, start_ns + hour * HOUR_NS, backfill=True)
        for hour in range(31 * 24)
    ]
    engine.ingest(history)
    now_ns = T0 + offset_s * S
    engine.ingest([OpenInterest(BTC, 60e9, now_ns, now_ns)])
    (evaluation,) = engine.evaluate(now_ns)
    assert evaluation.truth.tolist() == [1]
    assert evaluation.value.tolist() == pytest.approx([-0.4])


def test_an_hour_without_any_value_then_is_still_unknown() -> None:
    engine = Engine(load_rules([("r.yaml", RULE)]))
    engine.ingest([OpenInterest(BTC, 100e9, T0 - 32 * DAY_NS, T0 - 32 * DAY_NS, backfill=True)])
    engine.ingest([OpenInterest(BTC, 60e9, T0, T0)])
    (evaluation,) = engine.evaluate(T0)
    assert evaluation.truth.tolist() == [-1]
