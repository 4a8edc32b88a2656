"""A slow series is covered where its own source was live or its history says what stood, and nowhere else."""

from __future__ import annotations

import pytest

from monitor.engine import Engine
from monitor.events import Channel, Event, FeedState, Price, Sample
from monitor.instruments import Instrument
from monitor.language import load_rules
from monitor.reading import FALSE, UNKNOWN

S, HOUR_NS, DAY_NS = 1_000_000_000, 3600 * 1_000_000_000, 86_400 * 1_000_000_000
T0 = 1_763_700_000 * S
TOTAL, AAVE = (("name", "total"), ("scope", "total")), (("name", "aave"), ("scope", "protocol"))
BTC = Instrument(venue="bybit", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", kind="perp")
SOURCES = {Channel.REFERENCE: ["defillama", "coingecko"]}


def rules(expr: str) -> str:
    return f"groups: [{{name: g, rules: [{{alert: A, expr: '{expr}'}}]}}]"


def up(source: str, at_ns: int = T0, *, live: bool = True) -> FeedState:
    return FeedState(source, Channel.REFERENCE, live, at_ns)


def tvl(labels: tuple[tuple[str, str], ...], ts_ns: int, *, past: bool = False) -> Sample:
    return Sample("tvl", labels, 100e9, ts_ns, ts_ns, "defillama", backfill=past)


def coverage(expr: str, *events: Event, at_ns: int = T0 + 60 * S) -> float:
    engine = Engine(load_rules([("r.yaml", rules(expr))]), expected=SOURCES)
    engine.ingest(list(events))
    (evaluation,) = engine.evaluate(at_ns)
    return float(evaluation.coverage[0])


WEEK = 'drawdown(tvl{scope="total"}[7d]) by () < -12%'
CHART = [tvl(TOTAL, T0 - day * DAY_NS, past=True) for day in range(10, 0, -1)]


def test_a_chart_of_days_covers_a_week_that_the_program_did_not_see() -> None:
    live: list[Event] = [up("defillama"), tvl(TOTAL, T0 + S)]
    assert coverage(WEEK, *live) < 0.01
    assert coverage(WEEK, *CHART, *live) == 1.0
    assert coverage(WEEK, *live, *CHART) == 1.0  # whatever comes first


def test_a_hole_in_the_chart_stays_a_hole() -> None:
    holed = [point for point in CHART if not T0 - 5 * DAY_NS <= point.ts_ns <= T0 - 3 * DAY_NS]
    # The value of day 6 stands for a day and a half; then two and a half days are not known.
    assert coverage(WEEK, *holed, up("defillama"), tvl(TOTAL, T0 + S)) == pytest.approx(1 - 2.5 / 7, abs=0.002)


def test_the_past_of_the_total_says_nothing_of_a_protocol() -> None:
    expr = 'drawdown(tvl{scope="protocol"}[7d]) by (name) < -12%'
    assert coverage(expr, *CHART, up("defillama"), tvl(TOTAL, T0 + S), tvl(AAVE, T0 + S)) < 0.01


def test_only_the_source_that_gives_a_series_counts() -> None:
    now = 'tvl{scope="total"} by () < 1B'
    assert coverage(now, up("defillama"), tvl(TOTAL, T0 + S)) == 1.0  # coingecko never was live
    down: list[Event] = [up("defillama"), tvl(TOTAL, T0 + S), up("defillama", T0 + 30 * S, live=False), up("coingecko")]
    assert coverage(now, *down) == 0.0


def test_before_a_series_came_every_source_counts() -> None:
    assert coverage(WEEK, up("coingecko"), at_ns=T0 + 7 * DAY_NS) == 0.5


def test_what_is_pushed_in_has_no_health_to_fall_short_of() -> None:
    pushed = Sample("external", (("name", "spx"), ("source", "desk")), 6500.0, T0, T0, "inlet")
    assert coverage('sum(external{name="spx"}[24h]) by () > 1B', pushed, up("coingecko", live=False)) == 1.0


def test_a_value_that_stands_past_the_start_of_live_data_is_not_counted_twice() -> None:
    late: list[Event] = [
        tvl(TOTAL, T0 - HOUR_NS, past=True),
        up("defillama", T0 + HOUR_NS),
    ]  # stands until a day and more after
    assert coverage('drawdown(tvl{scope="total"}[2h]) by () < -1%', *late, at_ns=T0 + 2 * HOUR_NS) == 1.0


def test_skew_is_as_healthy_as_the_source_that_works_it_out() -> None:
    skew = Sample(
        "skew_25d", (("base", "BTC"), ("tenor", "30d"), ("venue", "deribit")), 8.5, T0 + S, T0 + S, "deribit_options"
    )
    expr = "skew_25d by (base) > 5"
    assert coverage(expr, up("deribit_options"), skew) == 1.0
    assert coverage(expr, up("deribit_options"), skew, up("deribit_options", T0 + 30 * S, live=False)) == 0.0


def test_it_survives_a_restart_and_a_service_taken_out_is_forgotten() -> None:
    loaded = load_rules([("r.yaml", rules(WEEK))])
    first = Engine(loaded, expected=SOURCES)
    first.ingest([*CHART, up("defillama"), tvl(TOTAL, T0 + S)])
    first.evaluate(T0 + HOUR_NS)
    second = Engine(loaded, expected=SOURCES)
    second.load(first.dump())
    back_ns = T0 + 15 * HOUR_NS
    second.ingest([up("defillama", back_ns), tvl(TOTAL, back_ns)])
    (evaluation,) = second.evaluate(back_ns)
    assert evaluation.coverage[0] == pytest.approx(1 - 14 / (7 * 24), abs=0.002)
    assert evaluation.truth.tolist() == [FALSE]
    second.replace_rules(loaded, {Channel.REFERENCE: ["coingecko"]})
    assert not second.store.ledger.slow.spans


@pytest.mark.parametrize(
    ("window", "apart_ns"), [("7d", HOUR_NS), ("20d", HOUR_NS), ("90d", DAY_NS)], ids=["week", "weeks", "months"]
)
def test_a_change_is_known_between_two_points_of_history(window: str, apart_ns: int) -> None:
    """History is fetched hour by hour beyond a day, day by day from two months on."""
    engine = Engine(load_rules([("r.yaml", rules(f"change(price[{window}]) by (base) < -1"))]))
    days = int(window[:-1]) + 2
    engine.ingest(_prices(T0 - days * DAY_NS, T0, apart_ns))
    for at_ns in range(T0 + apart_ns // 7, T0 + apart_ns, apart_ns // 5):
        engine.ingest([_price(at_ns, past=False)])
        (evaluation,) = engine.evaluate(at_ns)
        assert evaluation.truth.tolist() == [FALSE] != [UNKNOWN]


def _prices(from_ns: int, to_ns: int, step_ns: int) -> list[Event]:
    return [_price(ts_ns, past=True) for ts_ns in range(from_ns // DAY_NS * DAY_NS, to_ns, step_ns)]


def _price(ts_ns: int, *, past: bool) -> Event:
    return Price(BTC, "mark", 90_000.0, ts_ns, ts_ns, backfill=past)
