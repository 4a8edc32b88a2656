"""What other rules change."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.backtest.ask import Answer, Ask, answer
from monitor.backtest.compare import Difference, difference_text
from monitor.clock import NS_PER_S
from monitor.errors import ConfigError
from tests.backtest.scene import RULES, TinyHistory, at, cascade, loaded


def compared(folder: Path, others: str, end_s: float = 240, names: tuple[str, ...] = ()) -> tuple[Answer, Difference]:
    (folder / "others.yaml").write_text(others)
    ask = Ask(others=(str(folder / "others.yaml"),), rules=names)
    found = answer(loaded(folder), TinyHistory(cascade(), end_s=end_s), ask)
    assert found.difference is not None
    return found, found.difference


def test_the_same_rules_change_nothing(tmp_path: Path) -> None:
    _, difference = compared(tmp_path, RULES)
    assert (difference.added, difference.removed, difference.moved, difference.same) == ([], [], [], 2)
    assert difference.sent == (6, 6)


def test_later_earlier_added_and_removed(tmp_path: Path) -> None:
    others = RULES.replace("limit: 50k", "limit: 100k").replace("alert: NeverTrue", "alert: Eth").replace(
        "sum(liquidations[1m]) > 1B", 'sum(liquidations{base="ETH"}[1m]) > 10k'
    ).replace("MinuteOver100k", "MinuteOver")  # fmt: skip
    found, difference = compared(tmp_path, others)
    assert [episode.name for episode in difference.added] == ["Eth", "MinuteOver"]
    assert [episode.name for episode in difference.removed] == ["MinuteOver100k"]
    (pair,) = difference.moved
    # BTC over 50k from 70 to 140 s, over 100k from 80 to 130 s.
    assert (pair.fires_later_ns, pair.ends_later_ns) == (10 * NS_PER_S, -10 * NS_PER_S)
    assert (difference.new_rules, difference.gone_rules) == (["Eth", "MinuteOver"], ["MinuteOver100k", "NeverTrue"])
    words = difference_text(difference)
    assert "2 added, 1 removed, 1 moved, 0 the same" in words
    assert "Coin (base=BTC): fires 10s later, resolves 10s earlier" in words
    assert found.plain()["compare"]["moved"][0]["fires_later_s"] == 10


def test_an_alert_that_no_longer_resolves(tmp_path: Path) -> None:
    others = RULES.replace("alert: Coin\n", "alert: Coin\n        keep_firing_for: 1h\n")
    _, difference = compared(tmp_path, others)
    (pair,) = difference.moved
    assert (pair.fires_later_ns, pair.ends_later_ns) == (0, None)
    assert "no longer resolves in this stretch" in difference_text(difference)


def test_open_in_both_is_the_same(tmp_path: Path) -> None:
    _, difference = compared(tmp_path, RULES, end_s=100)
    assert (difference.moved, difference.same) == ([], 2)


def test_one_rule_in_both(tmp_path: Path) -> None:
    found, difference = compared(tmp_path, RULES.replace("limit: 50k", "limit: 1M"), names=("Coin",))
    assert [rule.rule.name for rule in found.report.rules] == ["Coin"]
    assert [episode.fired_ns for episode in difference.removed] == [at(70)]


def test_a_pattern_without_files_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    ask = Ask(others=(str(tmp_path / "*.none"),))
    with pytest.raises(ConfigError, match="no rule file matches"):
        answer(loaded(tmp_path), TinyHistory(cascade()), ask)
    with pytest.raises(ConfigError, match=r"others.yaml:6:\d+"):
        compared(tmp_path, RULES.replace("liquidations[1m]", "liquidation[1m]", 1))
