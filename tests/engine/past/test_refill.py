"""History that arrives after the samples that it belongs into: every function over time is as warm as if it had come first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest

from monitor.clock import NS_PER_S
from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, FeedGap, MarketEvent, OpenInterest, Price
from monitor.instruments import Instrument
from monitor.reading import FALSE, TRUE, UNKNOWN
from tests.engine.market import BYBIT_BTC, OKX_BTC, T0_NS, feed, liquidation, only, rules, table

HOUR, DAY = 3600, 86_400
BASE = (("base", "BTC"),)


def at(seconds: float) -> int:
    return T0_NS // (DAY * NS_PER_S) * (DAY * NS_PER_S) + round(seconds * NS_PER_S)


def past(instrument: Instrument, value: float, s: float) -> Price:
    return Price(instrument, "mark", value, at(s), at(0), backfill=True)


def live(instrument: Instrument, value: float, s: float) -> Price:
    return Price(instrument, "mark", value, at(s), at(s))


def closes(instrument: Instrument, step_s: int, values: Sequence[float], end_s: int = 0) -> list[MarketEvent]:
    """Closed candles, the last at `end_s`."""
    first = end_s - step_s * (len(values) - 1)
    return [past(instrument, value, first + number * step_s) for number, value in enumerate(values)]


def wave(count: int) -> list[float]:
    return [100.0 + 10.0 * math.sin(number / 3.0) + number % 7 for number in range(count)]


FUNCTIONS = [
    ("realized_vol(price[7d]) by (base) > 0", HOUR, 200),
    ("sma(price[200d:1d]) by (base) > 0", DAY, 230),
    ("drawdown(price[365d]) by (base) < 1", DAY, 380),
    ("zscore(price[7d:1h]) by (base) > -100", HOUR, 200),
    ("quantile(0.9, price[7d:1h]) by (base) > 0", HOUR, 200),
    ("stddev(price[7d:1h]) by (base) > 0", HOUR, 200),
    ("max(price[7d:1h]) by (base) > 0", HOUR, 200),
    ('corr(price{base="BTC"}[7d:1h], price{base="BTC"}[7d:1h]) by () > 0', HOUR, 200),
    ("zscore((price * 2)[7d:1h]) > -100", HOUR, 200),
    ("max(change(price[24h]) by (base)[7d:1h]) > -100", HOUR, 230),
    ("change(price[30d]) by (base) > -100", HOUR, 31 * 24),
    ("mean(price[30d]) > 0", HOUR, 31 * 24),
]


@pytest.mark.parametrize(("text", "step_s", "count"), FUNCTIONS)
def test_history_that_comes_late_warms_as_if_it_had_come_first(text: str, step_s: int, count: int) -> None:
    history = closes(BYBIT_BTC, step_s, wave(count))
    early, late = Engine(rules(text)), Engine(rules(text))
    early.ingest(history)
    for number, engine in enumerate((early, late)):
        for second in range(10, 400, 10):
            engine.ingest([live(BYBIT_BTC, 95.0 + second / 100, second)])
            engine.evaluate(at(second))
            if number and second == 300:
                engine.ingest(history[1::2])
                engine.ingest(history[0::2])
        engine.evaluate(at(400))
    ((want,), (got,)) = (table(engine.latest("g/r0")).values() for engine in (early, late))  # type: ignore[arg-type]
    assert not math.isnan(want[1])
    assert got[1] == pytest.approx(want[1], rel=1e-12)
    assert got[0] == want[0] == TRUE


def test_before_the_history_the_reading_is_unknown() -> None:
    engine = Engine(rules("realized_vol(price[7d]) by (base) > 0"))
    engine.ingest([live(BYBIT_BTC, 100.0, 1)])
    assert only(engine.evaluate(at(1))).truth.tolist() == [UNKNOWN]


def test_a_filled_sample_never_replaces_a_live_one() -> None:
    engine = Engine(rules("max(price[7d:1h]) by (base) > 0"))
    for hour in range(3):
        engine.ingest([live(BYBIT_BTC, 100.0 + hour, hour * HOUR - 1)])
        engine.evaluate(at(hour * HOUR))
    engine.ingest([live(BYBIT_BTC, 90.0, 2 * HOUR + 1)])
    engine.ingest(closes(BYBIT_BTC, HOUR, [7_777.0, 7_777.0, 7_777.0], 2 * HOUR))
    engine.evaluate(at(2 * HOUR + 1))
    assert table(engine.latest("g/r0"))[BASE][1] == 102.0  # type: ignore[arg-type]


def test_a_hole_in_the_history_stays_a_hole() -> None:
    engine = Engine(rules("count(price[7d:1h]) by (base) > 0"))
    engine.ingest([live(BYBIT_BTC, 100.0, 1)])
    engine.evaluate(at(1))
    engine.ingest(closes(BYBIT_BTC, HOUR, wave(20), -30 * HOUR) + closes(BYBIT_BTC, HOUR, wave(10)))
    engine.evaluate(at(2))
    history = next(iter(engine.store.histories.values()))
    hours = {(at_ns - at(0)) // (HOUR * NS_PER_S) for at_ns in history.times.tolist()}
    assert hours == set(range(-49, -29)) | set(range(-9, 1))


def test_a_hole_of_an_outage_is_filled_and_joined_to_both_sides() -> None:
    text = "drawdown(open_interest[7d]) by (base) < 1"
    engine = Engine(rules(text))

    def interest(instrument: Instrument, usd: float, hour: float, *, backfill: bool = False) -> OpenInterest:
        return OpenInterest(instrument, usd, at(hour * HOUR), at(hour * HOUR), backfill=backfill)

    for hour in range(3):
        engine.ingest([interest(BYBIT_BTC, 100.0, hour), interest(OKX_BTC, 50.0, hour)])
        engine.evaluate(at(hour * HOUR))
    engine.ingest([interest(BYBIT_BTC, 80.0, 6), interest(OKX_BTC, 50.0, 6)])
    engine.evaluate(at(6 * HOUR))
    assert table(engine.latest("g/r0"))[BASE][1] == pytest.approx(130 / 150 - 1)  # type: ignore[arg-type]
    engine.ingest([interest(BYBIT_BTC, usd, hour, backfill=True) for hour, usd in ((3, 150.0), (4, 200.0), (5, 90.0))])
    engine.evaluate(at(6 * HOUR + 1))
    # of one venue only: its own fall from 200 to 80 is what is known of the hole, and the other's absence is no move
    assert table(engine.latest("g/r0"))[BASE][1] == pytest.approx(80 / 200 - 1)  # type: ignore[arg-type]


def test_history_of_fewer_venues_than_now_is_no_rise() -> None:
    engine = Engine(rules("drawdown(open_interest[30d]) by () < 1"))
    engine.ingest([OpenInterest(BYBIT_BTC, 60.0, at(1), at(1)), OpenInterest(OKX_BTC, 500.0, at(1), at(1))])
    engine.evaluate(at(1))
    past = [OpenInterest(BYBIT_BTC, 100.0, at(-hour * HOUR), at(1), backfill=True) for hour in range(24, 700)]
    engine.ingest(past)
    engine.evaluate(at(2))
    assert table(engine.latest("g/r0"))[()][1] == pytest.approx(-0.4)  # type: ignore[arg-type]


def test_venues_that_answer_one_after_the_other_before_the_first_live_sample_make_no_jump() -> None:
    engine = Engine(rules("drawdown(open_interest[30d]) by () < 1"))

    def past(instrument: Instrument, usd: float) -> list[MarketEvent]:
        return [OpenInterest(instrument, usd, at(-hour * HOUR), at(1), backfill=True) for hour in range(1, 700)]

    engine.ingest([OpenInterest(BYBIT_BTC, 60.0, at(1), at(1)), OpenInterest(OKX_BTC, 300.0, at(1), at(1))])
    engine.evaluate(at(1))
    for second, events in ((2, past(BYBIT_BTC, 100.0)), (3, past(OKX_BTC, 500.0))):
        engine.ingest(events)
        engine.evaluate(at(second))
    for hour in (1, 2):
        engine.ingest(
            [
                OpenInterest(item, usd, at(hour * HOUR), at(hour * HOUR))
                for item, usd in ((BYBIT_BTC, 60.0), (OKX_BTC, 300.0))
            ]
        )
        engine.evaluate(at(hour * HOUR))
    assert table(engine.latest("g/r0"))[()][1] == pytest.approx(-0.4)  # type: ignore[arg-type]


def test_history_makes_no_crossing() -> None:
    engine = Engine(rules("crosses_below(price by (base), sma(price[200d:1d]) by (base))"))
    engine.ingest([live(BYBIT_BTC, 110.0, -DAY)])
    engine.evaluate(at(-DAY))
    engine.ingest([live(BYBIT_BTC, 111.0, 1)])
    engine.evaluate(at(1))
    truths = []
    engine.ingest(closes(BYBIT_BTC, DAY, [200.0] * 220, -DAY))
    for second, value in ((2, 111.0), (3, 112.0), (4, 300.0), (5, 112.0), (6, 112.0)):
        engine.ingest([live(BYBIT_BTC, value, second)])
        engine.evaluate(at(second))
        truths += engine.latest("g/r0").truth.tolist()  # type: ignore[union-attr]
    assert truths == [FALSE, FALSE, FALSE, TRUE, FALSE]


@pytest.mark.parametrize(
    "text",
    [
        "change(price[24h]) by (base) < -10%",
        "drawdown(price[1h]) by (base) < -10%",
        "drawdown(price[7d]) by (base) < -10%",
    ],
)
def test_a_rule_that_sleeps_is_woken_by_history(text: str) -> None:
    engine = Engine(rules(text))
    for second in range(10, 40, 10):
        engine.ingest([live(BYBIT_BTC, 80.0, second)])
        engine.evaluate(at(second), changed_only=True)
    engine.ingest(
        closes(BYBIT_BTC, 60, [81.0, 100.0, 81.0], 90 - DAY) + closes(BYBIT_BTC, 60, [90.0, 100.0, 95.0], -60)
    )
    engine.ingest(closes(BYBIT_BTC, HOUR, [100.0] * 24))
    found = engine.evaluate(at(40), changed_only=True)
    assert [evaluation.truth.tolist() for evaluation in found] == [[TRUE]]


def test_a_late_event_wakes_a_rule_that_sleeps() -> None:
    engine = Engine(rules("sum(liquidations[1h]) > 1M"))
    start = (at(0) - T0_NS) // NS_PER_S
    engine.ingest([liquidation(BYBIT_BTC, 1_000.0, start)])
    for second in range(10, 40, 10):
        engine.evaluate(at(second), changed_only=True)
    lost = msgspec.structs.replace(liquidation(BYBIT_BTC, 2_000_000.0, start - 600), backfill=True)
    engine.ingest([lost])
    found = engine.evaluate(at(40), changed_only=True)
    assert [evaluation.truth.tolist() for evaluation in found] == [[TRUE]]


def test_history_is_no_onset_of_a_sequence() -> None:
    engine = Engine(rules("price by (base) > 1 then change(price[24h]) by (base) < -10% within 1h"))
    engine.ingest([live(BYBIT_BTC, 80.0, 1)])
    engine.evaluate(at(1))
    engine.ingest(closes(BYBIT_BTC, 60, [100.0] * 30, 1200 - DAY))
    engine.evaluate(at(2))
    assert engine.latest("g/r0").truth.tolist() == [FALSE]  # type: ignore[union-attr]


def test_the_work_is_done_a_little_at_a_time_when_asked() -> None:
    text = "sma(price[200d:1d]) by (base) > 0"
    engine = Engine(rules(text), settings=EngineSettings(refill_in_background=True))
    engine.ingest([live(BYBIT_BTC, 100.0, 1)])
    engine.evaluate(at(1))
    engine.ingest(closes(BYBIT_BTC, DAY, wave(230)))
    engine.evaluate(at(2))
    assert len(next(iter(engine.store.histories.values()))) == 0
    turns = 1
    while engine.refill(20):
        turns += 1
    assert turns == 11
    engine.evaluate(at(3))
    assert not math.isnan(table(engine.latest("g/r0"))[BASE][1])  # type: ignore[arg-type]


def test_new_rules_find_the_history_that_was_fetched_for_others() -> None:
    engine = Engine(rules("sma(price[200d:1d]) by (base) > 0"))
    engine.ingest([live(BYBIT_BTC, 100.0, 1)])
    engine.evaluate(at(1))
    engine.ingest(closes(BYBIT_BTC, DAY, [50.0] * 230))
    engine.evaluate(at(2))
    engine.replace_rules(rules("sma(price[100d:1d]) by (base) > 0", "sma(price[200d:1d]) by (base) > 0"))
    engine.evaluate(at(3))
    engine.evaluate(at(4))
    assert table(engine.latest("g/r0"))[BASE][1] == 50.0  # type: ignore[arg-type]


def test_a_late_liquidation_corrects_the_samples_since() -> None:
    text = "max(sum(liquidations[5m])[1h:5m]) > 0"
    engine = Engine(rules(text))
    start = (at(0) - T0_NS) // NS_PER_S
    for minute in range(0, 40, 5):
        engine.ingest([liquidation(BYBIT_BTC, 10.0, start + minute * 60 - 1)])
        engine.evaluate(at(minute * 60))
    event = liquidation(OKX_BTC, 500.0, start + 33 * 60)
    engine.ingest([msgspec.structs.replace(event, backfill=True)])
    engine.evaluate(at(36 * 60))
    assert table(engine.latest("g/r0"))[()][1] == 510.0  # type: ignore[arg-type]
    assert engine.past.samples == 1


def test_samples_of_totals_do_not_begin_before_the_first_event() -> None:
    text = "mean(sum(liquidations[5m])[7d:5m]) > -1"
    engine = Engine(rules(text, "sma(price[200d:1d]) by (base) > 0"))
    engine.ingest(closes(BYBIT_BTC, DAY, wave(230)))
    start = (at(0) - T0_NS) // NS_PER_S
    engine.ingest([liquidation(BYBIT_BTC, 10.0, start - 1)])
    engine.evaluate(at(0))
    assert table(engine.latest("g/r0"))[()][1] == 10.0  # type: ignore[arg-type]


def test_a_week_does_not_wait_for_a_year() -> None:
    engine = Engine(
        rules("drawdown(price[365d]) by (base) < 1", "realized_vol(price{base=~'BTC'}[7d]) by (base) > 0"),
        settings=EngineSettings(refill_in_background=True),
    )
    engine.ingest([live(BYBIT_BTC, 95.0, 10)])
    engine.evaluate(at(10))
    engine.ingest(closes(BYBIT_BTC, HOUR, wave(8760)))
    steps = 0
    while math.isnan(table(engine.latest("g/r1"))[BASE][1]):  # type: ignore[arg-type]
        engine.refill(64)
        engine.evaluate(at(11))
        steps += 1
        assert not engine.past.passes, "the year is done, and the week is not"
    assert 0 < steps <= 168 // 64 + 2


def test_what_was_fetched_covers_nothing_before_it_is_among_the_samples() -> None:
    """A drawdown of a year read 0 % at full coverage while the year was being worked in: an all clear that nobody had seen."""
    engine = Engine(
        rules("drawdown(price[365d]) by (base) < -30%"),
        settings=EngineSettings(refill_in_background=True),
        expected={Channel.PRICE: ["bybit"]},
    )

    def reading() -> tuple[int, float, float]:
        found = engine.latest("g/r0")
        assert found is not None
        return int(found.truth[0]), float(found.value[0]), float(found.coverage[0])

    engine.ingest([feed("bybit", Channel.PRICE, 1), live(BYBIT_BTC, 50.0, 10)])
    engine.evaluate(at(10))
    engine.ingest(closes(BYBIT_BTC, DAY, [100.0] * 366))
    engine.ingest([FeedGap("bybit", Channel.PRICE, at(-366 * DAY), at(10), "history", filled=True)])
    engine.evaluate(at(11))
    assert reading() == (FALSE, 0.0, 0.0)
    while engine.refill(10):
        engine.evaluate(at(12))
        assert reading()[2] == 0.0 or not engine.past.due
    engine.evaluate(at(13))
    assert reading() == (TRUE, -0.5, 0.999), "the feed was live some hours later than this clock begins"
