"""A sweep against what each value must give."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alert import AlertState
from monitor.backtest.ask import Ask, SweepTable, answer, sweep_text
from monitor.backtest.journal import Episode, Moment
from monitor.backtest.sweep import LEAD_NS, lead, parse_sweep, trials
from monitor.clock import NS_PER_S
from monitor.errors import ConfigError
from monitor.expression import Compare, Number
from monitor.series import Unit
from tests.backtest.scene import RULES, TinyHistory, at, cascade, loaded


def swept(folder: Path, rule: str, sweep: str, reference: str = "", rules: str = RULES) -> SweepTable:
    ask = Ask(rules=(rule,), sweep=parse_sweep(sweep), reference=reference)
    table = answer(loaded(folder, rules), TinyHistory(cascade()), ask).table
    assert table is not None
    return table


def test_each_value_fires_as_a_rule_of_its_own_would(tmp_path: Path) -> None:
    table = swept(tmp_path, "Coin", "limit=10k,50k,100k,150k")
    # 10k: BTC for 70 s and ETH for 60 s, together 70..140; 50k: BTC 70..140; 100k: BTC 80..130; 150k: never.
    assert [(row.text, row.fired, row.firing_ns // NS_PER_S) for row in table.rows] == [
        ("10k", 2, 70), ("50k", 1, 70), ("100k", 1, 50), ("150k", 0, 0),
    ]  # fmt: skip
    assert [row.longest_ns // NS_PER_S for row in table.rows] == [70, 70, 50, 0]
    assert table.rows[1].per_week == pytest.approx(7 * 24 * 3600 / 240)


def test_a_value_gives_what_the_rule_with_that_value_gives(tmp_path: Path) -> None:
    table = swept(tmp_path, "Coin", "limit=10k,100k")
    for row, limit in zip(table.rows, ("10k", "100k"), strict=True):
        alone = answer(loaded(tmp_path, RULES.replace("limit: 50k", f"limit: {limit}")), TinyHistory(cascade()), Ask())
        rule = next(rule for rule in alone.report.rules if rule.rule.name == "Coin")
        assert (row.fired, row.firing_ns) == (len(rule.fired), rule.firing_ns)


def test_the_lead_is_measured_against_a_reference(tmp_path: Path) -> None:
    table = swept(tmp_path, "Coin", "limit=10k,100k,150k", reference="MinuteOver100k")
    # The reference fires at 90 s: BTC over 10k at 70 s leads by 20 s, BTC over 100k at 80 s by 10 s.
    leads = [(row.lead.of, row.lead.caught, row.lead.median_ns, row.lead.alone) for row in table.rows]
    assert leads == [(1, 1, 20 * NS_PER_S, 0), (1, 1, 10 * NS_PER_S, 0), (1, 0, None, 0)]


def test_the_threshold_can_be_swept_without_a_parameter(tmp_path: Path) -> None:
    table = swept(tmp_path, "MinuteOver100k", "threshold=70k..200k:3")
    assert [row.text for row in table.rows] == ["70k", "135k", "200k"]
    assert [(row.fired, row.firing_ns // NS_PER_S) for row in table.rows] == [(1, 50), (1, 40), (0, 0)]


def test_a_clear_moves_in_proportion(tmp_path: Path) -> None:
    rules = RULES.replace("> 100k\n", "> 100k\n        clear: sum(liquidations[1m]) < 50k\n")
    one = loaded(tmp_path, rules)
    (trial,) = trials(one, one.rules.alerts[0], parse_sweep("threshold=200k,"[:-1]))
    assert isinstance(trial.clear, Compare)
    assert isinstance(trial.clear.right, Number)
    assert trial.clear.right.value == 100_000


def test_the_table_in_words(tmp_path: Path) -> None:
    lines = list(sweep_text(swept(tmp_path, "Coin", "limit=50k,150k", reference="MinuteOver100k")))
    assert lines[1].split() == [
        *["value", "fired", "per", "week", "time", "firing", "longest", "median", "lead", "caught", "without", "it"]
    ]
    assert lines[2].split() == ["50k", "1", "2.52k", "1m10s", "1m10s", "+20s", "1/1", "0"]
    assert lines[3].split() == ["150k", "0", "0", "0s", "0s", "-", "0/1", "0"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("threshold=200M..2B:4", (200e6, 431e6, 928e6, 2e9)),  # evenly on a logarithmic scale
        ("x=10..20:3", (10, 15, 20)),
        ("x = 1% .. 3%:3", (0.01, 0.02, 0.03)),
        ("x=-5%..-1%:3", (-0.05, -0.03, -0.01)),
        ("x=3,1,2,1", (1, 2, 3)),
        ("x=1h..3h:2", (3600e9, 3 * 3600e9)),
    ],
)
def test_the_values(text: str, values: tuple[float, ...]) -> None:
    assert parse_sweep(text).values == pytest.approx(values)


def test_ten_values_where_none_are_asked_for() -> None:
    sweep = parse_sweep("threshold=200M..2B")
    assert (len(sweep.values), sweep.values[0], sweep.values[-1], sweep.unit) == (10, 200e6, 2e9, Unit.ANY)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("threshold", 1, "expected NAME=VALUES"),
        ("threshold=1Q..2B", 11, "unknown suffix 'Q'"),
        ("threshold=2B..1B", 11, "must be less"),
        ("threshold=1B..2B:1", 18, "expected 2 to 200"),
        ("threshold=1%..2B", 1, "different units"),
        ("threshold=200M..20%", 1, "different units"),
    ],
)
def test_a_wrong_sweep_is_located(text: str, column: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sweep(text)
    (problem,) = caught.value.problems
    assert (problem.file, problem.column) == ("--sweep", column)
    assert words in problem.message


@pytest.mark.parametrize(
    ("rule", "sweep", "words"),
    [
        ("Coin", "limt=1M..2M", "did you mean 'limit'"),
        ("Coin", "limit=1%..2%", "limit: "),
        ("MinuteOver100k", "threshold=1%..2%", "not a ratio"),
        ("Two", "threshold=1M..2M", "compares with 2 numbers"),
        ("Steps", "threshold=1M..2M", "is a ladder"),
    ],
)
def test_a_sweep_that_makes_no_sense_for_its_rule(tmp_path: Path, rule: str, sweep: str, words: str) -> None:
    rules = (
        RULES
        + """
      - {alert: Two, expr: "sum(liquidations[1m]) > 1M and sum(liquidations[2m]) > 2M"}
      - alert: Steps
        ladder:
          - {severity: warning, expr: "sum(liquidations[1m]) > 1M"}
          - {severity: critical, expr: "sum(liquidations[1m]) > 2M"}
"""
    )
    with pytest.raises(ConfigError) as caught:
        swept(tmp_path, rule, sweep, rules=rules)
    assert words in str(caught.value)


def test_a_sweep_is_of_one_rule(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one rule"):
        answer(loaded(tmp_path), TinyHistory(cascade()), Ask(sweep=parse_sweep("limit=1M..2M")))


def episode(start_s: float, end_s: float | None, base: str = "BTC") -> Episode:
    moment = Moment(at(start_s), AlertState.FIRING, "", 1.0, 1.0, 1.0, "")
    end_ns = None if end_s is None else at(end_s)
    return Episode("r/A", "A", (("base", base),), (("base", base),), base, [moment], end_ns=end_ns)


HOUR_S = LEAD_NS / NS_PER_S


@pytest.mark.parametrize(
    ("trial", "caught", "median_s"),
    [
        ([episode(50, 60)], 1, 50),  # over, but not for long
        ([episode(100 - 2 * HOUR_S, 99 - HOUR_S)], 0, None),  # over for more than an hour
        ([episode(130, None)], 1, -30),  # later, while the reference still fires
        ([episode(201, None)], 0, None),  # after it was over
        ([episode(50, None, "ETH")], 0, None),  # another coin
        ([episode(90, 110), episode(50, 60)], 1, 50),  # the first counts
    ],
)
def test_what_counts_as_the_same_event(trial: list[Episode], caught: int, median_s: float | None) -> None:
    found = lead(trial, [episode(100, 200)])
    assert (found.caught, found.median_ns) == (caught, None if median_s is None else median_s * NS_PER_S)
    assert found.alone == (0 if caught else len(trial))
