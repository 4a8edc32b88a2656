"""The same rule file and the same test file mean the same to a real promtool and to us.

Our runner says at which ticks an alert fires; promtool then has to agree with every one of them.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.alerts.ruletest_runner import run_test_file
from monitor.language import load_rules
from monitor.language.ruletest import read_test_file

LABELS = {"venue": "bybit", "symbol": "S", "base": "A", "quote": "USDT", "kind": "mark", "market": "perp"}
SERIES = "price{" + ", ".join(f'{name}="{value}"' for name, value in LABELS.items()) + "}"
RULES = """groups:
  - name: g
    rules:
      - {alert: Plain, expr: price > 10}
      - {alert: Later, expr: price > 10, for: 2m}
      - {alert: Kept, expr: price > 10, for: 1m, keep_firing_for: 3m}
      - {alert: Both, expr: price > 10 and price < 13, labels: {severity: page}}
"""
NAMES = ("Plain", "Later", "Kept", "Both")
TICKS = 25


def scenario(seed: int) -> str:
    """Values that wander around the threshold, with gaps shorter than the look-back."""
    rng = random.Random(seed)
    items = [str(rng.choice([5, 9, 11, 12, 15]))]
    while len(items) < TICKS:
        items += rng.choice([["11"], ["12x1"], ["9+1x3"], ["13-2x2"], ["_"], ["_x2"], ["5"], ["15x2"]])
        items.append(str(rng.choice([5, 11])))
    return " ".join(items)


def file_text(values: str, expectations: str) -> str:
    return f"""rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: '{SERIES}'
        values: '{values}'
    alert_rule_test:
{expectations}"""


def expectation(name: str, tick: int, *, firing: bool) -> str:
    labels = LABELS | ({"severity": "page"} if name == "Both" else {})
    alerts = (
        f"[{{exp_labels: {{{', '.join(f'{key}: {value}' for key, value in labels.items())}}}}}]" if firing else "[]"
    )
    return f"      - {{alertname: {name}, eval_time: {tick}m, exp_alerts: {alerts}}}\n"


def our_firing(values: str) -> set[tuple[str, int]]:
    """Which (alert, tick) fire by our engine: those at which silence is not what happens."""
    cases = [(name, tick) for name in NAMES for tick in range(TICKS)]
    text = file_text(values, "".join(expectation(name, tick, firing=False) for name, tick in cases))
    first = text[: text.index("alert_rule_test")].count("\n") + 2
    (result,) = run_test_file(read_test_file(text, "t.yaml"), load_rules([("rules.yaml", RULES)]))
    return {cases[failure.line - first] for failure in result.failures}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("seed", range(8))
def test_promtool_agrees_with_every_tick(seed: int, tmp_path: Path, binary: Callable[[str], Path]) -> None:
    values = scenario(seed)
    firing = our_firing(values)
    assert firing
    expectations = "".join(
        expectation(name, tick, firing=(name, tick) in firing) for name in NAMES for tick in range(TICKS)
    )
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "tests.yaml").write_text(file_text(values, expectations))
    done = subprocess.run(
        [str(binary("promtool")), "test", "rules", str(tmp_path / "tests.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, values + "\n" + done.stdout + done.stderr
