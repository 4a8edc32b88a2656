"""What rules need of the past, read from their expressions."""

from __future__ import annotations

import pytest

from monitor.engine.past.needs import needs
from monitor.engine.rows.panes import DAY_NS, HOUR_NS, MINUTE_NS
from tests.engine.market import rules

BTC = (("base", "BTC"), ("quote", "USDT"), ("symbol", "BTCUSDT"), ("venue", "bybit"))
DOGE = (("base", "DOGE"), ("quote", "USDT"), ("symbol", "DOGEUSDT"), ("venue", "okx"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("realized_vol(price[7d]) by (base) > 50", {("price", 7 * DAY_NS, HOUR_NS)}),
        ("crosses_below(price by (base), sma(price[200d:1d]) by (base))", {("price", 200 * DAY_NS, DAY_NS)}),
        ("drawdown(price[365d]) by (base) < -20%", {("price", 365 * DAY_NS, DAY_NS)}),
        ("change(open_interest[30d]) by (base) < -35%", {("open_interest", 30 * DAY_NS, HOUR_NS)}),
        ("change(price[24h]) by (base) < -5%", {("price", DAY_NS, MINUTE_NS)}),
        ('corr(price{base="BTC"}[24h:5m], price{base="ETH"}[24h:5m]) by () > 0.9', {("price", DAY_NS, 5 * MINUTE_NS)}),
        ("max(change(price[24h]) by (base)[7d:1h]) > 1", {("price", 8 * DAY_NS, HOUR_NS)}),
        ("mean(funding_8h[7d]) by (base) < 0", {("funding", 7 * DAY_NS, HOUR_NS), ("open_interest", 7 * DAY_NS, HOUR_NS)}),
        ("change(price[1h]) by (base) < -5%", set()),
        ("sum(liquidations[24h]) > 1B", set()),
        ("drawdown(market_cap[90d]) by () < -20%", set()),
        ("price by (base) < 82k", set()),
    ],
)  # fmt: skip
def test_series_reach_and_distance(text: str, wanted: set[tuple[str, int, int]]) -> None:
    assert {(need.channel.value, need.reach_ns, need.step_ns) for need in needs(rules(text))} == wanted


def test_only_instruments_that_the_rule_selects_are_needed() -> None:
    (need,) = needs(rules('drawdown(price{base=~"BTC|ETH"}[365d]) by (base) < -20%'))
    assert need.accept(BTC)
    assert not need.accept(DOGE)


def test_the_kind_of_a_price_does_not_leave_an_instrument_out() -> None:
    (need,) = needs(rules('drawdown(price{kind="mark", venue="okx"}[365d]) by (base) < -20%'))
    assert need.accept(DOGE)
    assert not need.accept(BTC)
