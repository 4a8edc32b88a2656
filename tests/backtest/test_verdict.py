"""``--fail-if``."""

from __future__ import annotations

import pytest

from monitor.backtest.ask import Ask, answer
from monitor.backtest.report import Report
from monitor.backtest.verdict import OF_ALL, OF_RULE, parse_verdict
from monitor.errors import ConfigError
from tests.backtest.scene import TinyHistory, cascade, loaded


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return answer(loaded(tmp_path_factory.mktemp("verdict")), TinyHistory(cascade()), Ask()).report


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("fired == 2", True),
        ("fired > 2", False),
        ("fired >= 2 and sent != 6", False),
        ("fired < 2 or sent == 6", True),
        ("not fired < 2", True),
        ("not (fired == 2 and missing == 0)", False),
        ("fired == 1 or fired == 2 and sent == 0", False),  # and binds closer
        ("Coin.fired == 1", True),
        ("NeverTrue.fired == 0", True),
        ("MinuteOver100k.firing > 39s and MinuteOver100k.firing < 41s", True),
        ("Coin.firing >= 1m10s", True),
        ("NeverTrue.known >= 99%", True),
        ("fired_per_week > 5k", True),  # two in four minutes
        ("held==0", True),
    ],
)
def test_what_holds(report: Report, text: str, holds: bool) -> None:
    assert parse_verdict(text)(report) is holds


@pytest.mark.parametrize("name", OF_ALL)
def test_every_figure_is_a_number(report: Report, name: str) -> None:
    assert parse_verdict(f"{name} >= 0")(report)


@pytest.mark.parametrize("name", OF_RULE)
def test_every_figure_of_a_rule_is_a_number(report: Report, name: str) -> None:
    assert parse_verdict(f"Coin.{name} >= 0")(report)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "expected a figure"),
        ("fird > 1", 1, "did you mean 'fired'"),
        ("fired > ", 9, "expected a number"),
        ("fired ~ 1", 7, "expected a comparison"),
        ("fired > 1 sent", 11, "unexpected 'sent'"),
        ("(fired > 1", 11, "parenthesis"),
        ("Coyn.fired > 1", 1, "no rule 'Coyn'"),
        ("Coin.fried > 1", 1, "did you mean 'fired'"),
        ("fired > 1Q", 9, "expected a number"),
        ("3 > fired", 1, "expected a figure"),
    ],
)
def test_mistakes_are_located(text: str, column: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_verdict(text, {"Coin": None})
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == ("--fail-if", 1, column)
    assert words in problem.render()
