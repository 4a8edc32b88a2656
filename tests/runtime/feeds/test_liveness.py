from __future__ import annotations

from monitor.clock import NS_PER_S
from monitor.events import Channel, FeedGap, FeedState
from monitor.runtime.feeds.liveness import Liveness
from monitor.runtime.feeds.stats import FeedStats

CH = Channel.PRICE


def start() -> tuple[Liveness, list[FeedState | FeedGap], FeedStats]:
    out: list[FeedState | FeedGap] = []
    stats = FeedStats("toy")
    return Liveness(stats, [("toy", CH)], out.extend, 0), out, stats


def state(up: bool, at_ns: int, reason: str = "") -> FeedState:
    return FeedState("toy", CH, up=up, ts_ns=at_ns, reason=reason)


def test_channel_starts_down_and_the_first_up_is_no_gap() -> None:
    liveness, out, _ = start()
    liveness.expect("a", [CH])
    liveness.up("a", CH, 5)
    liveness.up("a", CH, 6)
    assert out == [state(False, 0, "starting"), state(True, 5)]


def test_what_comes_over_a_stream_of_another_venue_shares_its_fate() -> None:
    out: list[FeedState | FeedGap] = []
    liveness = Liveness(FeedStats("toy"), [("toy", CH), ("rider", CH), ("toy", Channel.TRADES)], out.extend, 0)
    liveness.expect("a", [CH])
    assert [(event.venue, event.channel) for event in out] == [("rider", CH), ("toy", CH), ("toy", Channel.TRADES)]
    del out[:]
    liveness.up("a", CH, 5)
    liveness.down("a", CH, 7, "drop")
    liveness.up("a", CH, 20)
    for venue in ("toy", "rider"):
        assert [event for event in out if event.venue == venue] == [
            FeedState(venue, CH, up=True, ts_ns=5, reason=""),
            FeedState(venue, CH, up=False, ts_ns=7, reason="drop"),
            FeedGap(venue, CH, 7, 20, "drop"),
            FeedState(venue, CH, up=True, ts_ns=20, reason=""),
        ]


def test_loss_counts_from_the_last_sign_of_life_to_the_recovery() -> None:
    liveness, out, stats = start()
    liveness.expect("a", [CH])
    liveness.up("a", CH, 5)
    liveness.down("a", CH, 7, "idle")
    liveness.down("a", CH, 8, "drop")
    liveness.up("a", CH, 20)
    assert out[2:] == [state(False, 7, "idle"), FeedGap("toy", CH, 7, 20, "idle"), state(True, 20)]
    assert stats.up


def test_channel_is_live_only_while_every_carrier_is() -> None:
    liveness, out, _ = start()
    liveness.expect("a", [CH])
    liveness.expect("b", [CH])
    liveness.up("a", CH, 1)
    assert len(out) == 1
    liveness.up("b", CH, 2)
    liveness.down("a", CH, 3, "drop")
    liveness.down("b", CH, 4, "drop")
    liveness.up("a", CH, 5)
    liveness.up("b", CH, 6)
    assert out[1:] == [
        state(True, 2),
        state(False, 3, "drop"),
        FeedGap("toy", CH, 3, 5, "drop"),
        FeedGap("toy", CH, 4, 6, "drop"),
        state(True, 6),
    ]


def test_joining_carrier_does_not_take_a_live_channel_down() -> None:
    liveness, out, _ = start()
    liveness.expect("a", [CH])
    liveness.up("a", CH, 1)
    liveness.expect("b", [CH], joining=True)
    liveness.down("b", CH, 2, "refused")
    assert out[-1] == state(True, 1)
    liveness.up("b", CH, 3)
    liveness.down("b", CH, 4, "drop")
    assert out[-1] == state(False, 4, "drop")


def test_forgotten_carrier_holds_nothing_back() -> None:
    liveness, out, _ = start()
    liveness.expect("a", [CH])
    liveness.expect("b", [CH])
    liveness.up("a", CH, 1)
    liveness.forget("b", 2)
    assert out[-1] == state(True, 2)


def test_coverage_is_the_share_of_the_window_that_was_live() -> None:
    liveness, _, stats = start()
    liveness.expect("a", [CH])
    liveness.up("a", CH, 10 * NS_PER_S)
    liveness.down("a", CH, 40 * NS_PER_S, "drop")
    liveness.up("a", CH, 50 * NS_PER_S)
    now_ns = 110 * NS_PER_S
    assert stats.coverage_ratio(now_ns, 100.0) == 0.9
    assert stats.coverage_ratio(now_ns, 60.0) == 1.0
    assert stats.coverage_ratio(now_ns, 220.0) == 90 / 220
