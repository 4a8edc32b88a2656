"""An instrument that came to its end, or a value that stays away although its feeds live: never held for ever, never silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitor.alert import AlertState, Transition
from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from monitor.engine import Engine
from monitor.events import Channel, FeedState, Labels, Price
from monitor.instruments import Instrument
from monitor.language import load_rules
from tests.alerts.build import S, evaluation, rule

DAY = 86_400
OLD: Labels = (("symbol", "OLDUSDT"), ("venue", "bybit"))
NEW: Labels = (("symbol", "NEWUSDT"), ("venue", "bybit"))


def step(lifecycle: Lifecycle, at_s: float, truth: str, *, coverage: float = 1.0, on: Labels = OLD) -> list[Transition]:
    return lifecycle.step([evaluation(at_s, truth, labels=[on], coverage=coverage)], round(at_s * S))


def minutes(lifecycle: Lifecycle, begin_s: int, end_s: int) -> Iterator[tuple[int, Transition]]:
    """What follows from time alone."""
    for at_s in range(begin_s, end_s, 60):
        yield from ((at_s, moved) for moved in lifecycle.step([], at_s * S))


def test_an_alert_on_a_delisted_instrument_ends_once_it_has_no_value_and_says_why() -> None:
    lifecycle = Lifecycle([rule()])
    step(lifecycle, 1000, "T")
    lifecycle.follow("bybit", ["NEWUSDT"])
    assert step(lifecycle, 1010, "T") == [], "its last value still stands"
    (over,) = step(lifecycle, 1060, "?")
    assert (over.previous, over.state) == (AlertState.FIRING, AlertState.RESOLVED)
    assert over.reason == "delisted: bybit OLDUSDT is no longer followed"
    assert over.alert.ends_at_ns == 1060 * S
    assert lifecycle.changes() == ([], [over.alert.fingerprint])


def test_one_that_was_held_already_ends_as_soon_as_the_venue_says_so() -> None:
    lifecycle = Lifecycle([rule(), rule("Low")])
    step(lifecycle, 1000, "T")
    assert [t.state for t in step(lifecycle, 1060, "?", coverage=0.1)] == [AlertState.HELD]
    lifecycle.follow("okx", [])
    assert lifecycle.step([], 1070 * S) == []
    lifecycle.follow("bybit", ["NEWUSDT"])
    (over,) = lifecycle.step([], 1080 * S)
    assert (over.previous, over.state, over.at_ns) == (AlertState.HELD, AlertState.RESOLVED, 1080 * S)


def test_what_is_still_followed_is_held_and_so_is_a_sum_over_many() -> None:
    base: Labels = (("base", "BTC"),)
    for on in (NEW, base):
        alert = Lifecycle([rule()])
        alert.follow("bybit", ["NEWUSDT"])
        step(alert, 1000, "T", on=on)
        assert [t.state for t in step(alert, 1010, "?", on=on)] == [AlertState.HELD]


def test_one_that_comes_back_is_an_alert_like_any_other() -> None:
    lifecycle = Lifecycle([rule()])
    lifecycle.follow("bybit", ["NEWUSDT"])
    lifecycle.follow("bybit", ["NEWUSDT", "OLDUSDT"])
    step(lifecycle, 1000, "T")
    assert [t.state for t in step(lifecycle, 1010, "?")] == [AlertState.HELD]


def test_a_restored_alert_ends_when_its_instrument_is_not_followed_any_more() -> None:
    lifecycle = Lifecycle([rule()])
    step(lifecycle, 1000, "T")
    again = Lifecycle([rule()])
    again.load(lifecycle.dump())
    again.follow("bybit", ["NEWUSDT"])
    (over,) = again.step([], 2000 * S)
    assert (over.state, over.reason) == (AlertState.RESOLVED, "delisted: bybit OLDUSDT is no longer followed")


def test_a_pending_alert_of_a_delisted_instrument_is_dropped() -> None:
    lifecycle = Lifecycle([rule(for_ns=3600 * S)])
    step(lifecycle, 1000, "T")
    lifecycle.follow("bybit", [])
    (over,) = step(lifecycle, 1010, "?")
    assert (over.previous, over.state) == (AlertState.PENDING, AlertState.INACTIVE)


def test_a_value_that_stays_away_for_a_day_though_its_feeds_live_is_given_up_and_said() -> None:
    lifecycle = Lifecycle([rule()])
    step(lifecycle, 1000, "T")
    assert [t.state for t in step(lifecycle, 1060, "?")] == [AlertState.HELD]
    ((at_s, over),) = minutes(lifecycle, 1120, 1060 + DAY + 300)
    assert (at_s, over.state) == (1060 + DAY, AlertState.RESOLVED)
    assert over.reason == "abandoned: no value since 1970-01-01 00:17:40Z, although its feeds live"


@pytest.mark.parametrize("restart", [False, True])
def test_while_its_feeds_are_silent_an_alert_stays_held_for_ever(restart: bool) -> None:
    lifecycle = Lifecycle([rule()])
    step(lifecycle, 1000, "T")
    step(lifecycle, 1060, "?", coverage=0.2)
    if restart:
        kept, lifecycle = lifecycle.dump(), Lifecycle([rule()])
        lifecycle.load(kept)
        step(lifecycle, 1070, "?", coverage=0.2)
    assert list(minutes(lifecycle, 1120, 3 * DAY)) == []
    assert [alert.state for alert in lifecycle.alerts()] == [AlertState.HELD]


def test_the_day_counts_on_over_a_restart() -> None:
    lifecycle = Lifecycle([rule()], LifecycleSettings(abandon_ns=3600 * S))
    step(lifecycle, 1000, "T")
    step(lifecycle, 1060, "?")
    again = Lifecycle([rule()], LifecycleSettings(abandon_ns=3600 * S))
    again.load(lifecycle.dump())
    step(again, 2000, "?")
    ((at_s, over),) = minutes(again, 2060, 8000)
    assert 1060 + 3600 <= at_s <= 1060 + 3600 + 60
    assert "no value since 1970-01-01 00:17:40Z" in over.reason


def test_with_a_real_engine_the_feed_lives_and_the_delisted_price_goes_stale() -> None:
    rules = load_rules([("r.yaml", "groups: [{name: g, rules: [{alert: High, expr: price > 5}]}]")])
    engine = Engine(rules, expected={Channel.PRICE: ["bybit"]})
    lifecycle = Lifecycle(rules)
    begin_s = 1_763_700_000
    coins = [
        Instrument(venue="bybit", symbol=f"{base}USDT", base=base, quote="USDT", settle="USDT", kind="perp")
        for base in ("OLD", "NEW")
    ]
    engine.ingest([FeedState("bybit", Channel.PRICE, up=True, ts_ns=(begin_s - 10) * S)])
    moved: list[Transition] = []
    for at_s in range(begin_s, begin_s + 1200, 10):
        there = coins if at_s < begin_s + 60 else coins[1:]
        engine.ingest([Price(coin, "mark", 9.0, at_s * S, at_s * S) for coin in there])
        moved += lifecycle.step(engine.evaluate(at_s * S), at_s * S)
        if at_s == begin_s + 900:
            assert [t.state for t in moved] == [AlertState.FIRING, AlertState.FIRING, AlertState.HELD]
            lifecycle.follow("bybit", ["NEWUSDT"])
    assert [str(t.state) for t in moved[3:]] == ["resolved"]
    assert moved[3].reason == "delisted: bybit OLDUSDT is no longer followed"
