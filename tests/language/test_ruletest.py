"""Rule test files: the notation of values, and what is refused."""

from __future__ import annotations

import math

import pytest

from monitor.errors import ConfigError
from monitor.language import ExpressionError
from monitor.language.ruletest import read_series, read_test_file, read_values
from monitor.literals import parse_time


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
    assert parse_time("0") == 0
    assert parse_time("1763712000.5") == 1_763_712_000_500_000_000
    assert parse_time("2025-11-21T08:00:00Z") == parse_time("2025-11-21T09:00:00+01:00") == 1_763_712_000 * 10**9


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
        (12, 24, "from: needs to:"),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{from: 1m, to: 5m, exp_labels: {base: BTC}, exp_alerts: []}", "exp_labels: belong to an alert"),
        ("{eval_time: 5m, exp_labels: {base: BTC}, exp_alerts: []}", "exp_labels: belong to an alert"),
        ("{eval_time: 5m, exp_fired_at: 2m}", "nothing is looked for at this time"),
        ("{from: 1m, to: 5m, exp_resolved_at: 2m}", "nothing is looked for at this time"),
        ("{exp_fired_at: 2m, exp_state: none}", "give eval_time:, or from: and to:"),
        ("{exp_fired_at: 2m, to: 3m}", "to: needs from:"),
        ("{eval_time: 1m, to: 3m, exp_state: none}", "to: needs from:"),
        ("{eval_time: 1m, from: 1m, to: 3m, exp_state: none}", "give either eval_time: or from:"),
        ("{from: 5m, to: 1m, exp_state: none}", "no evaluation falls between from: and to:"),
        ("{from: 61s, to: 119s, exp_alerts: []}", "no evaluation falls between from: and to:"),
    ],
)
def test_keys_that_would_say_nothing_are_mistakes(entry: str, message: str) -> None:
    text = f"rule_files: [a]\ntests:\n  - alert_rule_test:\n      - {entry.replace('{', '{alertname: A, ', 1)}\n"
    with pytest.raises(ConfigError) as caught:
        read_test_file(text, "t.yaml")
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.line == 4
    assert problem.column > 8


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("{name: x}", "this test expects nothing"),
        ("{events: [{at: 1m, usd: 5, every: 1m}], EXPECT}", "every: says nothing of one event"),
        ("{feed_down: [{venue: okx, from: 5m, to: 5m}], EXPECT}", "to: is not after from:"),
        ("{feed_down: [{venue: okxx, from: 5m}], EXPECT}", "unknown venue 'okxx'"),
        ("{events: [{at: 1m, usd: 5, venue: bibit}], EXPECT}", "unknown venue 'bibit'"),
    ],
)
def test_inputs_that_would_do_nothing_are_mistakes(case: str, message: str) -> None:
    expected = "alert_rule_test: [{alertname: A, eval_time: 1m, exp_alerts: []}]"
    with pytest.raises(ConfigError) as caught:
        read_test_file(f"rule_files: [a]\ntests:\n  - {case.replace('EXPECT', expected)}\n", "t.yaml")
    assert [problem.message for problem in caught.value.problems] == [message]


def test_unknown_keys_are_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        read_test_file("rule_files: [a]\ntest: []\ntests: [{nam: x}]", "t.yaml")
    assert [(problem.message, problem.hint) for problem in caught.value.problems] == [
        ("unknown key 'test'", "did you mean 'tests'?"),
        ("unknown key 'nam'", "did you mean 'name'?"),
    ]
