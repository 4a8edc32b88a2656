"""The ledger of live spans: shares of windows, and until when they hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import NS_PER_S
from monitor.engine.cover.coverage import Ledger
from monitor.engine.nodes.need import Need
from monitor.events import Channel, FeedGap, FeedState

CHANNEL = Channel.LIQUIDATIONS
STATES = st.lists(st.tuples(st.integers(0, 400), st.sampled_from("ab"), st.booleans()), max_size=12)


def ledger(states: list[tuple[int, str, bool]]) -> Ledger:
    """A ledger of two venues that went up and down."""
    found = Ledger({CHANNEL: ["a", "b"]})
    for ts_ns, venue, up in sorted(states):
        found.record(FeedState(venue, CHANNEL, up=up, ts_ns=ts_ns, reason="test"))
    return found


def anyone(_venue: str) -> bool:
    return True


@settings(deadline=None)
@given(STATES, st.integers(0, 300), st.lists(st.integers(0, 700), min_size=1, max_size=60))
def test_a_share_is_the_same_however_often_it_is_asked_for(
    states: list[tuple[int, str, bool]], window_ns: int, instants: list[int]
) -> None:
    """What is remembered equals what is worked out anew, at every instant after any other."""
    book = ledger(states)
    need = Need(book, CHANNEL, anyone, window_ns, delay_ns=0, by_venue=None)
    for now_ns in sorted(instants):
        assert need.share(now_ns)[0] == book.share(CHANNEL, anyone, now_ns - window_ns, now_ns)[0]


def test_full_coverage_ends_when_the_feed_died_at_the_very_instant_of_the_last_evaluation() -> None:
    """Seen at its own time a death has taken nothing away yet; later it must."""
    book = Ledger({CHANNEL: ["a"]})
    book.record(FeedState("a", CHANNEL, up=True, ts_ns=0, reason="test"))
    window, instant = (Need(book, CHANNEL, anyone, length, delay_ns=0, by_venue=None) for length in (100, 0))
    book.record(FeedState("a", CHANNEL, up=False, ts_ns=1000, reason="test"))
    assert (window.share(1000)[0], instant.share(1000)[0]) == (1.0, 1.0)
    assert (window.share(1050)[0], instant.share(1050)[0]) == (0.5, 0.0)


def test_a_settled_share_is_not_worked_out_again() -> None:
    """A share that nothing moves holds until the ledger changes."""
    book = ledger([(0, "a", True)])
    assert book.share(CHANNEL, anyone, 100, 200) == (0.5, 1 << 62)


def test_a_feed_that_is_not_configured_any_more_takes_nothing_away() -> None:
    book = ledger([(0, "a", True), (0, "b", True)])
    book.record(FeedState("b", CHANNEL, up=False, ts_ns=100, reason="stopped"))
    assert book.share(CHANNEL, anyone, 100, 200)[0] == 0.5
    book.expect({CHANNEL: ["a"]})
    book.record(FeedState("b", CHANNEL, up=False, ts_ns=150, reason="its last words come late"))
    assert book.share(CHANNEL, anyone, 100, 200)[0] == 1.0
    assert book.silent(CHANNEL, anyone, 200) == ""


def test_a_feed_that_was_added_is_missed_until_it_is_live_also_when_it_had_left() -> None:
    book = ledger([(0, "a", True), (0, "b", True)])
    book.expect({CHANNEL: ["a"]})
    book.expect({CHANNEL: ["a", "b"]})
    assert book.share(CHANNEL, anyone, 100, 200)[0] == 0.5
    book.record(FeedState("b", CHANNEL, up=True, ts_ns=200))
    assert book.share(CHANNEL, anyone, 200, 300)[0] == 1.0


def test_what_was_never_live_is_not_said_to_be_silent_since_it_was_announced_to_be_down() -> None:
    book = Ledger({CHANNEL: ["a"]})
    book.record(FeedState("a", CHANNEL, up=False, ts_ns=100, reason="start"))
    assert book.silent(CHANNEL, anyone, 100) == "a liquidations never live"
    assert book.silent(CHANNEL, anyone, 5 * NS_PER_S) == "a liquidations never live"


def test_a_feed_is_silent_since_it_was_last_live_whenever_that_was_found_out() -> None:
    book = Ledger({CHANNEL: ["a"]})
    book.record(FeedState("a", CHANNEL, up=True, ts_ns=0))
    book.record(FeedGap("a", CHANNEL, 40 * NS_PER_S, 100 * NS_PER_S, "found when it was over"))
    assert book.silent(CHANNEL, anyone, 99 * NS_PER_S) == "a liquidations silent 59s"
    book.record(FeedState("a", CHANNEL, up=False, ts_ns=90 * NS_PER_S, reason="told late"))
    assert book.silent(CHANNEL, anyone, 95 * NS_PER_S) == "a liquidations silent 55s"


def test_whoever_is_covered_at_this_instant_is_not_said_to_be_silent() -> None:
    book = Ledger({CHANNEL: ["a"]})
    book.record(FeedState("a", CHANNEL, up=True, ts_ns=0))
    for told_ns in (1000, 2000):
        book.record(FeedState("a", CHANNEL, up=False, ts_ns=told_ns, reason="test"))
    assert book.share(CHANNEL, anyone, 1000, 1000)[0] == 1.0
    assert book.silent(CHANNEL, anyone, 1000) == ""
