"""Rule files to rules."""

from __future__ import annotations

import pytest

from monitor.errors import ConfigError
from monitor.language import load_rules, to_text
from monitor.rule import RuleSet
from monitor.series import Unit


def load(*rules: str) -> RuleSet:
    indented = "".join("      " + line + "\n" for rule in rules for line in rule.strip("\n").split("\n"))
    return load_rules([("rules.yaml", f"groups:\n  - name: g\n    labels: {{team: risk}}\n    rules:\n{indented}")])


def problems(*rules: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*rules)
    return [problem.message for problem in caught.value.problems]


def test_everything_of_a_rule_is_read() -> None:
    (rule,) = load(
        """
- alert: A
  expr: |
    sum(liquidations[1h]) by (base)
      > 1B
  clear: sum(liquidations[1h]) by (base) < 600M
  for: 90s
  keep_firing_for: 10m
  min_coverage: 80%
  on_unknown: fire
  limit: 7
  labels: {severity: critical, coin: "{{ labels.base }}"}
  annotations: {summary: "{{ value | usd }}"}
"""
    ).alerts
    assert (rule.id, rule.file, rule.line, rule.limit) == ("g/A", "rules.yaml", 5, 7)
    assert rule.text == "sum(liquidations[1h]) by (base)\n  > 1B"
    assert to_text(rule.expr) == "sum(liquidations[1h]) by (base) > 1B"
    assert rule.clear is not None
    assert to_text(rule.clear) == "sum(liquidations[1h]) by (base) < 600M"
    assert (rule.for_ns, rule.keep_firing_for_ns) == (90 * 10**9, 600 * 10**9)
    assert (rule.min_coverage, rule.on_unknown) == (0.8, "fire")
    assert rule.labels == {"team": "risk", "severity": "critical", "coin": "{{ labels.base }}"}
    assert rule.annotations == {"summary": "{{ value | usd }}"}


def test_parameters_stand_for_numbers_and_windows() -> None:
    (rule,) = load(
        "- {alert: A, params: {limit: -5%, w: 2h, n: 1e9}, expr: 'change(price[$w]) by (base) < $limit and price by (base) < $n'}"
    ).alerts
    assert to_text(rule.expr) == "change(price[2h]) by (base) < -5% and price by (base) < 1B"


def test_let_names_stand_for_expressions_and_share_nodes() -> None:
    (rule,) = load(
        """
- alert: A
  let:
    longs: sum(liquidations{side="long"}[4h])
    share: longs / sum(liquidations[4h])
    big: longs > 100M
  expr: share > 90% and big
"""
    ).alerts
    assert to_text(rule.expr) == (
        'sum(liquidations{side="long"}[4h]) / sum(liquidations[4h]) > 90% and sum(liquidations{side="long"}[4h]) > 100M'
    )


def test_a_ladder_is_one_rule_with_levels() -> None:
    (rule,) = load(
        """
- alert: A
  expr: drawdown(price[365d]) by (base) < -$fall
  params: {fall: 10%}
  ladder:
    - {severity: warning, params: {fall: 20%}}
    - {severity: critical, params: {fall: 30%}, clear: "drawdown(price[365d]) by (base) > -25%"}
"""
    ).alerts
    assert [(level.severity, to_text(level.expr)) for level in rule.levels] == [
        ("warning", "drawdown(price[365d]) by (base) < -20%"),
        ("critical", "drawdown(price[365d]) by (base) < -30%"),
    ]
    assert rule.expr == rule.levels[0].expr
    assert rule.levels[0].clear is None
    assert rule.levels[1].clear is not None


def test_overrides_compile_the_same_expression_with_other_parameters() -> None:
    (rule,) = load(
        """
- alert: A
  params: {x: 20M, y: 10M}
  expr: sum(liquidations[1h]) by (base) > $x
  clear: sum(liquidations[1h]) by (base) < $y
  overrides: [{labels: {base: BTC}, params: {x: 250M}}]
"""
    ).alerts
    (override,) = rule.overrides
    assert override.labels == (("base", "BTC"),)
    assert to_text(override.expr) == "sum(liquidations[1h]) by (base) > 250M"
    assert override.clear == rule.clear


def test_recordings_come_before_their_readers_with_unit_and_labels() -> None:
    loaded = load(
        "- {alert: A, expr: 'three > 5%'}",
        "- {record: three, expr: 'change(two[1h])'}",
        "- {record: two, expr: 'one * 2', labels: {book: main}}",
        "- {record: one, expr: sum(open_interest) by (base)}",
    )
    assert [recording.name for recording in loaded.recordings] == ["one", "two", "three"]
    assert loaded.recordings[1].expr.type.unit is Unit.USD
    assert loaded.recordings[2].expr.type.unit is Unit.RATIO
    assert loaded.recordings[2].expr.type.labels == ("base", "book", "team")
    assert loaded.recordings[1].labels == {"team": "risk", "book": "main"}


def test_the_users_own_examples_load() -> None:
    loaded = load(
        "- {alert: L, expr: 'sum(liquidations[1h]) > 1B', clear: 'sum(liquidations[1h]) < 600M'}",
        "- {alert: F, expr: 'crosses_below(weighted_avg(funding_8h, open_interest) by (base), 0)'}",
        "- {alert: N, expr: 'weighted_avg(funding_8h, open_interest) by (base) < 0', for: 8h}",
    )
    assert [rule.name for rule in loaded.alerts] == ["L", "F", "N"]


def test_readers_of_a_wrong_definition_are_not_blamed() -> None:
    found = problems("- {alert: A, expr: 'r > 1 and x > 1', let: {x: nope}}", "- {record: r, expr: 'prce'}")
    assert found == ["unknown series 'nope'", "unknown series 'prce'"]


def test_no_files_and_empty_files_are_no_rules() -> None:
    assert load_rules([]) == RuleSet()
    assert load_rules([("a.yaml", ""), ("b.yaml", "groups: []")]) == RuleSet()


def test_mistakes_of_all_files_come_at_once_in_file_order() -> None:
    with pytest.raises(ConfigError) as caught:
        load_rules([("b.yaml", "groups: {}"), ("a.yaml", "groups: [{name: g, rules: [{alert: A}]}]"), ("c.yaml", "[")])
    assert [(problem.file, problem.message) for problem in caught.value.problems][:2] == [
        ("a.yaml", "the key 'expr' is missing"),
        ("b.yaml", "expected a list"),
    ]
    assert caught.value.problems[2].file == "c.yaml"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("- {alert: A, record: B, expr: price}", "a rule has either alert: or record:"),
        ("- {expr: price > 1}", "a rule has either alert: or record:"),
        ("- {alert: A, expr: price}", "expected a condition, found a price"),
        ("- {record: r, expr: price > 1}", "expected a number, found a condition"),
        ("- {record: r, expr: price, for: 5m}", "a recording rule has no for:"),
        ("- {record: sum, expr: price}", "'sum' is taken"),
        ("- {record: a-b, expr: price}", "'a-b' cannot be the name of a series"),
        ("- {alert: A, expr: price > 1, for: -5m}", "'-5m' is not a duration"),
        ("- {alert: A, expr: price > $x}", "unknown parameter $x"),
        ("- {alert: A, expr: price > 1, params: {x: 5 apples}}", "'5 apples' is not a number"),
        ("- {alert: A, expr: 'price[$w] > 1', params: {w: 5}}", "$w is not a duration"),
        ("- {alert: A, expr: price > 1, let: {x: price}}", "the name 'x' is not used"),
        ("- {alert: A, expr: price > 1, let: {price: funding}}", "'price' is taken"),
        ("- {alert: A, expr: x > 1, let: {x: nope}}", "unknown series 'nope'"),
        ("- {alert: A, expr: '1 > 0'}", "no series stands in this expression"),
        ("- {alert: A, expr: price > 1, labels: {__x: a}}", "'__x' cannot be a label name"),
        ("- {alert: A, expr: price > 1, labels: {x: '{{ value }}'}}", "a label must not change with 'value': it is the alert's identity"),
        ("- {alert: A, expr: price > 1, annotations: {x: '{{ labels.nope }}'}}", "no label 'nope'"),
        ("- {alert: A, expr: price > 1, min_coverage: true}", "expected text; put it in quotes"),
        ("- {alert: A, expr: price > 1, min_coverage: 120%}", "'120%' is not a share from 0 to 1"),
        ("- {alert: A, expr: price > 1, overrides: [{labels: {base: B}, params: {x: 1}}]}", "the rule has no parameter 'x'"),
        ("- {alert: A, ladder: [{severity: a, expr: price > 1}, {severity: a, expr: price > 2}]}", "a second step 'a'"),
        ("- {alert: A, labels: {severity: x}, ladder: [{severity: a, expr: price > 1}]}", "the ladder sets the severity"),
        ("- {alert: A, ladder: [{severity: a, expr: price > 1}, {severity: b, expr: price by (base) > 1}]}",
         "this step has labels (base), the first has (base, kind, market, quote, symbol, venue)"),
        ("- {alert: A, ladder: [{severity: a}]}", "the key 'expr' is missing"),
        ("- {alert: A, expr: price > $x, params: {x: 1}, ladder: [{severity: a, params: {x: 2}}], overrides: [{labels: {base: B}, params: {x: 1}}]}",
         "the ladder sets 'x' itself"),
        ("- {alert: A, expr: price > 1, limit: -1}", "Input should be greater than or equal to 0"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_message(rule: str, message: str) -> None:
    assert problems(rule) == [message]


def test_a_misspelt_severity_of_a_group_is_a_mistake_at_its_place() -> None:
    text = "groups:\n  - name: desk\n    labels: {severity: critcal}\n    rules: [{alert: A, expr: price > 1}]\n"
    with pytest.raises(ConfigError) as caught:
        load_rules([("rules.yaml", text)])
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.message) == (3, 24, "unknown severity 'critcal'")
    assert problem.hint == "did you mean 'critical'?"


def test_a_mistake_points_into_the_scalar_whatever_its_style() -> None:
    bodies = [
        "expr: price > 1Q",
        "expr: 'price > 1Q'",
        'expr: "price > 1Q"',
        "expr: |\n    price\n      > 1Q",
        "expr: >-\n    price >\n    1Q",
    ]
    for body in bodies:
        with pytest.raises(ConfigError) as caught:
            load(f"- alert: A\n  {body}\n")
        (problem,) = caught.value.problems
        assert problem.source[problem.column - 1 :].startswith("1Q")
        assert problem.width == 2
