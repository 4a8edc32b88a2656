"""The same gauge series through a real promtool and through ours must fire at the same times."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.alerts.lifecycle import Lifecycle, LifecycleSettings
from tests.alerts.build import S, evaluation, rule

STEP_S = 60
ALERT = "High"


def series(seed: int, length: int = 40) -> list[int]:
    """Runs of 0 and 2, of random length: what a `for` cares about."""
    rng = random.Random(seed)
    values: list[int] = []
    while len(values) < length:
        values += [rng.choice((0, 2))] * rng.randint(1, 6)
    return values[:length]


def ours(values: list[int], for_s: int, keep_s: int) -> list[bool]:
    settings = LifecycleSettings(flap_fires=0)  # Prometheus has no brake for flapping
    lifecycle = Lifecycle([rule(ALERT, for_ns=for_s * S, keep_firing_for_ns=keep_s * S)], settings)
    firing = []
    for number, value in enumerate(values):
        e = evaluation(number * STEP_S, "T" if value > 1 else "F", value=float(value), labels=[(("job", "x"),)])
        lifecycle.step([e], e.at_ns)
        firing.append(any(view.state == "firing" for view in lifecycle.alerts()))
    return firing


def case(values: list[int], name: str, firing: list[bool]) -> str:
    checks = "".join(
        f"""
      - eval_time: {number}m
        alertname: {name}
        exp_alerts: [{"{exp_labels: {job: x}}" if fires else ""}]"""
        for number, fires in enumerate(firing)
    )
    return f"""
  - interval: 1m
    input_series:
      - series: 'x{{job="x"}}'
        values: '{" ".join(map(str, values))}'
    alert_rule_test:{checks}"""


def run_promtool(program: Path, folder: Path, cases: list[str], rules: dict[str, tuple[int, int]]) -> str:
    lines = [
        f"      - {{alert: {name}, expr: 'x > 1', for: {for_s}s, keep_firing_for: {keep_s}s}}"
        for name, (for_s, keep_s) in rules.items()
    ]
    (folder / "rules.yml").write_text("groups:\n  - name: g\n    rules:\n" + "\n".join(lines) + "\n")
    (folder / "test.yml").write_text("rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:" + "".join(cases) + "\n")
    done = subprocess.run([program, "test", "rules", folder / "test.yml"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


RULES = {
    "Now": (0, 0),
    "For": (180, 0),
    "Keep": (0, 240),
    "Both": (120, 180),
    "Uneven": (150, 90),
}


@pytest.mark.needs("promtool")
def test_firing_times_equal_those_of_promtool(binary: Callable[[str], Path], tmp_path: Path) -> None:
    cases = [
        case(values, name, ours(values, for_s, keep_s))
        for seed in range(12)
        for values in [series(seed)]
        for name, (for_s, keep_s) in RULES.items()
    ]
    assert run_promtool(binary("promtool"), tmp_path, cases, RULES) == ""


@pytest.mark.needs("promtool")
def test_promtool_would_notice_a_difference(binary: Callable[[str], Path], tmp_path: Path) -> None:
    values = series(1)
    wrong = ours(values, 180, 0)
    wrong[wrong.index(True)] = False
    assert "FAILED" in run_promtool(binary("promtool"), tmp_path, [case(values, "For", wrong)], RULES)
