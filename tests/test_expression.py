"""The unit in which a rule's value is written."""

from __future__ import annotations

import pytest

from monitor.expression import unit_shown
from monitor.language import parse_expression


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("sum(liquidations[1h]) > 1B", "USD"),
        ("change(price[1h]) by (base) < -5%", "ratio"),
        ("crosses_below(weighted_avg(funding_8h, open_interest) by (base), 0)", "ratio"),
        ("held(funding < 0) > 8h", "duration"),
        ("k_of(1, sum(liquidations[1h]) > 1B, change(price[1h]) < -5%)", "count"),
        ('sum(external{name="moved_btc"}[24h]) by () * price{base="BTC"} by () > 500M', "USD"),
        ('price{base="BTC"} by () * sum(external{name="moved_btc"}[24h]) by () > 500M', "USD"),
        ("2 * price by (base) > 160k", "price"),
        ('absent(price{venue="bybit"}[1m]) and last(feed_up) by () == 1', "count"),
    ],
)
def test_a_value_is_written_in_the_unit_of_what_decides(text: str, unit: str) -> None:
    assert unit_shown(parse_expression(text)) == unit
