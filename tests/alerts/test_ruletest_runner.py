"""Rule unit tests run through the live engine and life cycle: promtool's semantics, and what is beyond them."""

from __future__ import annotations

import pytest

from monitor.alerts.ruletest_runner import RuleCoverage, TestResult, run_test_file
from monitor.language import load_rules
from monitor.language.ruletest import read_test_file

RULES = """
groups:
  - name: g
    rules:
      - {alert: High, expr: 'price by (base) > 10', for: 2m, annotations: {summary: "{{ labels.base }} at {{ value }}"}}
      - {alert: Kept, expr: 'price by (base) > 10', keep_firing_for: 3m}
      - {alert: Big, expr: 'sum(liquidations[10m]) > 1M', labels: {severity: page}}
      - record: doubled
        expr: price by (base) * 2
      - {alert: Doubled, expr: doubled > 20}
      - alert: Steps
        params: {low: 10, high: 20}
        ladder: [{severity: mild, expr: price by (base) > $low}, {severity: bad, expr: price by (base) > $high}]
        overrides: [{labels: {base: B}, params: {low: 100, high: 200}}]
"""


def run(test: str, coverage: RuleCoverage | None = None) -> TestResult:
    body = "".join("    " + line + "\n" for line in test.strip("\n").split("\n"))
    file = read_test_file(f"rule_files: [r]\nevaluation_interval: 1m\ntests:\n  - name: t\n{body}", "t.yaml")
    (result,) = run_test_file(file, load_rules([("r", RULES)]), coverage)
    return result


def messages(test: str) -> list[str]:
    return [failure.message for failure in run(test).failures]


PRICES = """
input_series: [{series: 'price{base="A"}', values: "5 11x5 5x10"}, {series: 'price{base="B"}', values: "5x20"}]
"""


@pytest.mark.parametrize(
    "expectation",
    [
        "{alertname: High, eval_time: 2m, exp_alerts: []}",
        "{alertname: High, eval_time: 2m, exp_state: pending}",
        "{alertname: High, eval_time: 3m, exp_alerts: [{exp_labels: {base: A}}]}",
        '{alertname: High, eval_time: 3m, exp_alerts: [{exp_labels: {base: A}, exp_annotations: {summary: "A at 11"}}]}',
        "{alertname: High, eval_time: 3m, exp_labels: {base: B}, exp_state: none}",
        "{alertname: High, eval_time: 3m30s, exp_state: firing, exp_labels: {base: A}}",
        "{alertname: High, from: 3m, to: 6m, exp_alerts: [{exp_labels: {base: A}}]}",
        "{alertname: High, exp_fired_at: 3m, exp_resolved_at: 7m}",
        "{alertname: Kept, exp_fired_at: 1m, exp_resolved_at: 10m}",
        "{alertname: Kept, eval_time: 9m, exp_alerts: [{exp_labels: {base: A}}]}",
        "{alertname: Doubled, eval_time: 1m, exp_alerts: [{exp_labels: {base: A}}]}",
    ],
)
def test_what_holds_passes(expectation: str) -> None:
    assert messages(f"{PRICES}\nalert_rule_test: [{expectation}]") == []


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        (
            "{alertname: High, eval_time: 3m, exp_alerts: []}",
            'High at 3m: the firing alerts differ\n+ got      {base="A"}  (value 11.0, threshold 10.0, coverage 100%, firing)',
        ),
        (
            "{alertname: High, eval_time: 2m, exp_alerts: [{exp_labels: {base: A}}]}",
            'High at 2m: the firing alerts differ\n- expected {base="A"}',
        ),
        (
            "{alertname: High, eval_time: 3m, exp_alerts: [{exp_labels: {base: A}, exp_annotations: {summary: x}}]}",
            """High at 3m: the firing alerts differ
- expected {base="A"} summary: 'x'
+ got      {base="A"} summary: 'A at 11'""",
        ),
        (
            "{alertname: High, eval_time: 1m, exp_labels: {base: A}, exp_state: firing}",
            'High at 1m {base="A"}: expected firing, got pending  (value 11.0, threshold 10.0, coverage 100%, pending)',
        ),
        ("{alertname: High, exp_fired_at: 4m}", "High: expected to fire at 4m, got 3m"),
        (
            "{alertname: Nope, eval_time: 4m, exp_alerts: []}",
            "no rule 'Nope' in the rule files; known: Big, Doubled, High, Kept, Steps",
        ),
    ],
)
def test_what_does_not_hold_fails_with_a_difference(expectation: str, message: str) -> None:
    assert messages(f"{PRICES}\nalert_rule_test: [{expectation}]") == [message]


def test_annotations_say_the_value_of_the_instant_and_not_of_the_firing() -> None:
    """As promtool renders them: at each evaluation."""
    test = """
input_series: [{series: 'price{base="A"}', values: "5 11x4 14 5x10"}]
alert_rule_test:
  - {alertname: High, eval_time: 3m, exp_alerts: [{exp_labels: {base: A}, exp_annotations: {summary: "A at 11"}}]}
  - {alertname: High, eval_time: 6m, exp_alerts: [{exp_labels: {base: A}, exp_annotations: {summary: "A at 14"}}]}
"""
    assert messages(test) == []


def test_a_failure_stands_on_its_line() -> None:
    result = run(f"{PRICES}\nalert_rule_test:\n  - {{alertname: High, eval_time: 3m, exp_alerts: []}}")
    assert [failure.line for failure in result.failures] == [8]
    assert result.line == 4


def test_a_missing_sample_does_not_break_a_pending_alert() -> None:
    series = 'input_series: [{series: \'price{base="A"}\', values: "11 _ _ 11"}]'
    assert messages(f"{series}\nalert_rule_test: [{{alertname: High, exp_fired_at: 2m}}]") == []


def test_an_ended_series_holds_an_alert_and_never_resolves_it() -> None:
    series = 'input_series: [{series: \'price{base="A"}\', values: "11x3 stale"}]'
    checks = """
alert_rule_test:
  - {alertname: High, eval_time: 20m, exp_state: unknown}
  - {alertname: High, eval_time: 20m, exp_alerts: [{exp_labels: {base: A}}]}
"""
    assert messages(series + checks) == []


def test_events_outages_and_lower_bounds() -> None:
    test = """
events:
  - {at: 1m, usd: 400k, every: 1m, count: 2}
  - {at: 8m, venue: bybit, usd: 300k, side: short}
feed_down: [{venue: bybit, from: 5m, to: 6m}, {venue: binance_usdm, from: 3m, channels: [price]}]
alert_rule_test:
  - {alertname: Big, eval_time: 7m, exp_state: none}
  - {alertname: Big, exp_labels: {severity: page}, exp_fired_at: 8m, exp_resolved_at: 11m}
"""
    assert messages(test) == []


STEP = "{exp_labels: {base: A, severity: mild}}"


def test_coverage_names_rules_and_branches_without_a_test() -> None:
    coverage = RuleCoverage()
    run(f"{PRICES}\nalert_rule_test: [{{alertname: High, eval_time: 2m, exp_alerts: []}}]", coverage)
    run(f"{PRICES}\nalert_rule_test: [{{alertname: Kept, eval_time: 2m, exp_state: firing}}]", coverage)
    run(f"{PRICES}\nalert_rule_test: [{{alertname: Steps, eval_time: 2m, exp_alerts: [{STEP}]}}]", coverage)
    assert coverage.missing(load_rules([("r", RULES)]).alerts) == [
        ("High", "no test that it fires"),
        ("Kept", "no test that it stays silent"),
        ("Big", "no test"),
        ("Doubled", "no test"),
        ("Steps", "no test that it stays silent"),
        ("Steps", 'no test that it fires for {severity="bad"}'),
        ("Steps", 'no test that it fires for {base="B"}'),
    ]


def test_a_test_that_would_never_end_is_refused() -> None:
    (message,) = messages("alert_rule_test: [{alertname: High, eval_time: 365d, exp_alerts: []}]")
    assert "evaluations are too many" in message


def test_a_span_that_fails_again_and_again_is_shown_once() -> None:
    first, more = messages(PRICES + "alert_rule_test: [{alertname: Kept, from: 1m, to: 8m, exp_state: none}]")
    assert first.startswith("Kept at 1m: expected none, got firing")
    assert more == "the same 7 times more, until 8m"
