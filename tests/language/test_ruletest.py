"""Rule test files: the notation of values, and what is refused."""

from __future__ import annotations

import math

import pytest

from monitor.errors import ConfigError
from monitor.language import ExpressionError
from monitor.language.ruletest import read_series, read_test_file, read_time, read_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 2 -3.5", [1, 2, -3.5]),
        ("0+10x3", [0, 10, 20, 30]),
        ("10-2x2", [10, 8, 6]),
        ("5x2", [5, 5, 5]),
        ("_ _x2 1", [None, None, None, 1]),
        ("1e3+0.5x1", [1000, 1000.5]),
        ("40Bx1 -2bp 35%", [40e9, 40e9, -0.0002, 0.35]),
        ("", []),
        ("-1+1x2", [-1, 0, 1]),
        ("7x0", [7]),
    ],
)
def test_values_are_promtools(text: str, expected: list[float | None]) -> None:
    assert list(read_values(text)) == expected


def test_stale_is_nan() -> None:
    found = list(read_values("1 stale"))
    assert found[0] == 1
    assert found[1] is not None
    assert math.isnan(found[1])


@pytest.mark.parametrize("text", ["1+x3", "x3", "1x", "a", "1x9999999", "1+1x99999 1x99999"])
def test_bad_values_are_located(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        list(read_values(text))
    assert caught.value.problems[0].width >= 1


def test_series_of_inputs() -> None:
    assert read_series("price") == ("price", ())
    assert read_series('price{venue="bybit", base="B\\"C", }') == ("price", (("base", 'B"C'), ("venue", "bybit")))
    for text, offset in [("liquidations", 0), ('price{bse="x"}', 6), ("price{base=x}", 6), ("prce", 0), ("a b", 0)]:
        with pytest.raises(ExpressionError) as caught:
            read_series(text)
        assert caught.value.problems[0].offset == offset


def test_times() -> None:
    assert read_time("0") == 0
    assert read_time("1763712000.5") == 1_763_712_000_500_000_000
    assert read_time("2025-11-21T08:00:00Z") == read_time("2025-11-21T09:00:00+01:00") == 1_763_712_000 * 10**9


def test_all_mistakes_of_a_file_are_located() -> None:
    text = """rule_files: [a.yaml]
tests:
  - input_series:
      - {series: 'price{bse="BTC"}', values: 1 2}
      - {series: 'price', values: "1 2 zwei"}
    events:
      - {at: 1m, side: buy, usd: 5}
      - {at: 1m, usd: 5, count: 3}
    alert_rule_test:
      - {alertname: A, eval_time: 5m}
      - {alertname: A, exp_alerts: []}
      - {alertname: A, from: 1m, exp_state: none}
"""
    with pytest.raises(ConfigError) as caught:
        read_test_file(text, "t.yaml")
    assert [(problem.line, problem.column, problem.message) for problem in caught.value.problems] == [
        (4, 25, "price has no label 'bse'"),
        (5, 40, "not a value"),
        (7, 24, "liquidations have no side 'buy'"),
        (8, 26, "repeated events need every:"),
        (10, 9, "nothing is expected here"),
        (11, 9, "give eval_time:, or from: and to:"),
        (12, 9, "from: needs to:"),
    ]


def test_unknown_keys_are_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        read_test_file("rule_files: [a]\ntest: []\ntests: [{nam: x}]", "t.yaml")
    assert [(problem.message, problem.hint) for problem in caught.value.problems] == [
        ("unknown key 'test'", "did you mean 'tests'?"),
        ("unknown key 'nam'", "did you mean 'name'?"),
    ]
