"""An explanation's numbers in their own units: a share of the whole is made of dollars, a change of prices."""

from __future__ import annotations

import pytest

from monitor.engine.explain import units_behind
from monitor.language import parse_expression


@pytest.mark.parametrize(
    ("text", "contributors", "parts"),
    [
        ("sum(liquidations[1h]) > 1B", "USD", {"sum(liquidations[1h])": "USD"}),
        ("change(price[1h]) by (base) < -3%", "price", {"change(price[1h]) by (base)": "ratio"}),
        (
            'sum(liquidations{side="long"}[4h]) / sum(liquidations[4h]) > 90%',
            "USD",
            {"sum(liquidations[4h])": "USD", 'sum(liquidations{side="long"}[4h]) / sum(liquidations[4h])': "ratio"},
        ),
        ("funding_8h < 0", "ratio", {"funding_8h": "ratio"}),
    ],
)
def test_each_number_has_its_own_unit(text: str, contributors: str, parts: dict[str, str]) -> None:
    unit, by_text = units_behind(parse_expression(text))
    assert unit == contributors
    assert parts.items() <= by_text.items()
