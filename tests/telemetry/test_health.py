from monitor.telemetry.health import healthy, ready
from monitor.telemetry.views.program import ProcessView
from monitor.testing.fake_view import VENUES, FakeView


class LateView(FakeView):
    lag_s = 0.0
    draining = False

    def process(self) -> ProcessView:
        return ProcessView("1", 1, 2, draining=self.draining, loop_lag_s=self.lag_s)


def test_ready_with_one_live_feed_and_evaluated_rules() -> None:
    view = FakeView()
    view.down = {"okx", "bybit"}
    assert ready(view) == []


def test_not_ready_while_no_feed_is_live() -> None:
    view = FakeView()
    view.down = {venue for venue, _, _ in VENUES}
    assert ready(view) == ["no feed is live yet: binance_usdm, bybit, okx"]


def test_not_ready_while_draining_but_still_alive() -> None:
    view = LateView()
    view.draining = True
    assert ready(view) == ["draining"]
    assert healthy(view) == []


def test_a_loop_that_lags_by_seconds_is_not_healthy() -> None:
    view = LateView()
    assert healthy(view) == []
    view.lag_s = 7.25
    assert healthy(view) == ["timers are 7.2 s late"]
