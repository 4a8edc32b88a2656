"""Label sets of which nothing is left leave the engine, and those that somebody would miss stay."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from monitor.engine import Engine
from monitor.engine import engine as engine_module
from monitor.events import Event, Price
from monitor.reading import FALSE, TRUE, UNKNOWN
from tests.engine.market import OKX_BTC, at, engine, external, liquidation, perp, price, table

DAY_S = 86_400.0
LATER = DAY_S + 7300
"""Every window of these rules is empty by then, and every value has been stale for hours."""


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    """Rows are forgotten and label sets leave as soon as they may."""
    with mock.patch.multiple(engine_module, TRIM_EVERY=1, LEAST_LEAVING=1, LEAVING_SHARE=0.0):
        yield


def run(machine: Engine, *events: Event, s: float) -> None:
    machine.ingest(events)
    machine.evaluate(at(s))


def after_a_day(text: str, *first: Event, spoken: dict[str, list[tuple[tuple[str, str], ...]]] | None = None) -> Engine:
    """Some events, and a day later one of OKX's bitcoin: who has left by then."""
    machine = engine(text)
    run(machine, *first, s=1)
    run(machine, liquidation(OKX_BTC, 5, LATER), price(OKX_BTC, 100, LATER), s=LATER)
    machine.compact(spoken or {})
    machine.evaluate(at(LATER + 1))
    return machine


def symbols(machine: Engine, series: str) -> set[str]:
    return {dict(labels)["symbol"] for labels in machine.store.catalog.series(series).labels}


OLD = perp("bybit", "OLD")


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("sum(liquidations[1h]) by (symbol) > 5", False),
        ("sum(liquidations[1h]) by (symbol) < 5", True),
        ("sum(sum(liquidations[1h]) by (symbol)) > 5", False),
        ("avg(sum(liquidations[1h]) by (symbol)) > 5", True),
        ("max(sum(liquidations[1h]) by (symbol)) > 5", True),
        ("count(sum(liquidations[1h]) by (symbol)) > 5", True),
        ("count(sum(liquidations[1h]) by (symbol) > 5) > 1", False),
        ("topk(2, sum(liquidations[1h]) by (symbol)) > 5", True),
        ("max(liquidations[1h]) by (symbol) > 5", False),
        ("absent(liquidations[1h]) by (symbol)", True),
        ("absent(liquidations[1h])", False),
        ("sum(liquidations[1h]) by (symbol) / count(liquidations[1h]) by (symbol) > 5", False),
        ("sum(liquidations[1h]) by (symbol) > 5 and sum(liquidations[4h]) by (symbol) > 6", False),
        ("sum(liquidations[1h]) by (symbol) > 5 or sum(liquidations[1h]) > 6", True),
        ("not sum(liquidations[1h]) by (symbol) > 5", True),
        ("k_of(2, sum(liquidations[1h]) by (symbol) > 5, sum(liquidations[4h]) by (symbol) > 6)", False),
        ("zscore(sum(liquidations[1h]) by (symbol)[3h:1m]) > 3", False),
        ("crosses_above(sum(liquidations[1h]) by (symbol), 5)", False),
        ("held(sum(liquidations[1h]) by (symbol) > 5000) > 5m", False),
        ("sum(liquidations[1h]) by (symbol) > 5000 then sum(liquidations[4h]) by (symbol) > 6 within 1h", False),
    ],
)
def test_a_total_leaves_once_its_windows_are_empty_unless_its_zero_would_be_missed(text: str, stays: bool) -> None:
    machine = after_a_day(text, liquidation(OLD, 9, 1))
    assert symbols(machine, "liquidations") == {"BTCUSDT"} | ({"OLDUSDT"} if stays else set())


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("price > 5", False),
        ("change(price[5m]) by (base, symbol) > 5%", False),
        ("drawdown(price[1h]) < -5%", False),
        ("avg(change(price[5m])) by (base) > 5%", False),
        ("topk(3, price) > 5", False),
        ("price by (base, symbol) > 5 and sum(liquidations[1h]) by (symbol) > 5", False),
        ("held(price by (base, symbol) < 5) > 5m", False),
        ("since(price by (base, symbol) > 5) > 5m", True),
        ("absent(price[1m]) by (symbol)", True),
    ],
)
def test_a_price_leaves_once_it_is_stale_unless_something_remembers_it(text: str, stays: bool) -> None:
    machine = engine(text)
    run(machine, price(OLD, 9, 1), s=1)
    run(machine, price(OKX_BTC, 3, LATER), s=LATER)
    machine.compact({})
    assert ("OLDUSDT" in symbols(machine, "price")) is stays


def test_a_first_stage_that_may_still_be_followed_keeps_its_row() -> None:
    machine = engine("price by (base, symbol) > 5 then price by (base, symbol) < 4 within 4h")
    run(machine, price(OLD, 9, 1), s=1)
    run(machine, s=3 * 3600)
    assert machine.compact({}) == 0
    run(machine, s=5 * 3600)
    assert machine.compact({}) == 1


def test_one_of_a_group_that_would_be_missed_stays_for_all() -> None:
    others = [liquidation(perp("bybit", f"X{number}"), 5, 1) for number in range(5)]
    machine = after_a_day("sum(liquidations[1h]) by (venue) < 5", *others)
    assert symbols(machine, "liquidations") == {"X0USDT", "BTCUSDT"}
    latest = machine.latest("g/r0")
    assert latest is not None
    assert table(latest)[("venue", "bybit"),] == (TRUE, 0.0)


def test_an_alert_keeps_the_row_that_it_speaks_of() -> None:
    text = "change(price[5m]) by (base) > 5%"
    kept = after_a_day(text, price(OLD, 9, 1), spoken={"g/r0": [(("base", "OLD"),)]})
    assert symbols(kept, "price") == {"OLDUSDT", "BTCUSDT"}
    latest = kept.latest("g/r0")
    assert latest is not None
    assert table(latest)[("base", "OLD"),][0] == UNKNOWN
    assert symbols(after_a_day(text, price(OLD, 9, 1), spoken={"g/r0": [(("base", "NEW"),)]}), "price") == {"BTCUSDT"}


def test_a_sample_that_a_window_still_reaches_keeps_its_row() -> None:
    text = "zscore(sum(liquidations[1m]) by (symbol)[3h:1m]) > 30"
    machine = engine(text)
    run(machine, liquidation(OLD, 9, 1), s=1)
    for minute in range(1, 100):
        run(machine, s=60.0 * minute)
    machine.compact({})
    assert symbols(machine, "liquidations") == {"OLDUSDT"}
    for minute in range(100, 260):
        run(machine, s=60.0 * minute)
    machine.compact({})
    assert symbols(machine, "liquidations") == set()


def test_a_price_of_another_kind_does_not_take_the_place_of_one_that_left() -> None:
    last = [Price(OLD, "last", 9.0, at(s), at(s)) for s in (1.0, LATER)]
    machine = engine("price > 5")
    run(machine, price(OLD, 9, 1), last[0], s=1)
    run(machine, last[1], s=LATER)
    assert machine.compact({}) == 0
    latest = machine.latest("g/r0")
    assert latest is not None
    assert latest.truth.tolist() == [UNKNOWN]


def test_an_outage_of_hours_is_no_reason_to_leave_for_what_compares_with_before() -> None:
    """A crossing and a drawdown go on from the members of before; a week later they are new to the crossing."""
    texts = ("crosses_below(price by (base), 80)", "drawdown(price[24h]) by (base) < -20%")
    coins = [perp(venue, "BTC") for venue in ("bybit", "okx", "gate")]
    whole, leaner = engine(*texts), engine(*texts)
    for machine in (whole, leaner):
        for second in range(0, 300, 20):
            run(machine, *(price(coin, 100 + 10 * number, second) for number, coin in enumerate(coins)), s=second)
        run(machine, s=3 * 3600)
    assert leaner.compact({}) == 0
    for machine in (whole, leaner):
        run(machine, *(price(coin, 70 + 2 * number, LATER / 4) for number, coin in enumerate(coins[:2])), s=LATER / 4)
    for rule in ("g/r0", "g/r1"):
        want, got = whole.latest(rule), leaner.latest(rule)
        assert want is not None
        assert got is not None
        assert table(got) == table(want)
        assert want.truth.tolist() == [TRUE]
    run(leaner, s=6 * DAY_S)
    assert leaner.compact({}) == 0
    run(leaner, s=8 * DAY_S)
    assert leaner.compact({}) == 3


def test_what_was_pushed_for_days_stays_as_long_as_it_stands() -> None:
    machine = engine('external{name="x"} > 5')
    run(machine, external("x", 9, 1), s=1)
    run(machine, s=4 * DAY_S)
    assert machine.compact({}) == 0
    latest = machine.latest("g/r0")
    assert latest is not None
    assert latest.truth.tolist() == [TRUE]
    run(machine, s=6 * DAY_S)
    assert machine.compact({}) == 1


def test_who_comes_back_counts_as_before() -> None:
    machine = after_a_day("sum(liquidations[1h]) by (symbol) > 8", liquidation(OLD, 9, 1))
    run(machine, liquidation(OLD, 9, LATER + 2), liquidation(OKX_BTC, 2, LATER + 2), s=LATER + 2)
    latest = machine.latest("g/r0")
    assert latest is not None
    assert table(latest) == {(("symbol", "BTCUSDT"),): (FALSE, 7.0), (("symbol", "OLDUSDT"),): (TRUE, 9.0)}


def test_what_is_dumped_after_some_left_goes_on_after_a_restart() -> None:
    text = "crosses_above(price by (base, symbol), 5)"
    later = 8 * DAY_S
    machine = engine(text)
    run(machine, price(OLD, 9, 1), s=1)
    run(machine, price(OKX_BTC, 3, later), s=later)
    assert machine.compact({}) == 1
    machine.evaluate(at(later + 1))
    again = engine(text)
    again.load(machine.dump())
    for one in (machine, again):
        run(one, price(OKX_BTC, 6, later + 2), s=later + 2)
        latest = one.latest("g/r0")
        assert latest is not None
        assert table(latest) == {(("base", "BTC"), ("symbol", "BTCUSDT")): (TRUE, 6.0)}


def test_few_that_could_leave_stay_until_it_is_worth_it() -> None:
    with mock.patch.multiple(engine_module, LEAST_LEAVING=3, LEAVING_SHARE=0.5):
        machine = engine("price > 5")
        run(machine, *(price(perp("bybit", f"X{number}"), 9, 1) for number in range(2)), s=1)
        run(machine, *(price(perp("okx", f"Y{number}"), 9, LATER) for number in range(4)), s=LATER)
        assert machine.compact({}) == 0, "two"
        run(machine, *(price(perp("okx", f"Y{number}"), 9, LATER + DAY_S) for number in range(2)), s=LATER + DAY_S)
        assert machine.compact({}) == 4, "half of them and more"
        assert (machine.forgotten, machine.store.catalog.size) == (4, 2)


def test_a_hundred_thousand_that_come_and_go_in_turn_leave_a_bounded_state() -> None:
    machine = engine("sum(liquidations[1m]) by (symbol) > 5", "price by (base, symbol) > 500", "held(price > 500) > 1m")
    sizes = []
    for turn in range(50):
        begin = turn * 8 * 3600.0
        coins = [perp("deribit", f"X{turn}-{number}") for number in range(1000)]
        run(
            machine,
            *(event for coin in coins for event in (liquidation(coin, 1, begin), price(coin, 9, begin))),
            s=begin,
        )
        run(machine, s=begin + 7200)
        machine.compact({})
        sizes.append((machine.store.catalog.size, machine.state_size()["total"]))
    assert machine.forgotten == 50 * 2000 - machine.store.catalog.size
    assert max(members for members, _ in sizes) <= 4000
    assert max(size for _, size in sizes) < 4_000_000, "bytes, as full chunks of rows have them"
