"""Numbers that Prometheus can compute, too: a real promtool expects what our engine says, digit for digit.

Windows begin between two samples: whether one at their very start counts differs among the versions of Prometheus.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.engine import Engine, EngineSettings
from monitor.events import Channel, OpenInterest
from monitor.language import load_rules, parse_expression
from monitor.rule import RuleSet
from tests.engine.market import at, perp

INSTRUMENTS = [perp(venue, base) for venue in ("bybit", "okx") for base in ("A", "B")]
PAIRS = {
    "open_interest": "open_interest",
    "sum(open_interest) by (base)": "sum by (base) (open_interest)",
    "avg(open_interest) by (venue)": "avg by (venue) (open_interest)",
    "max(open_interest) by (base)": "max by (base) (open_interest)",
    "min(open_interest)": "min(open_interest)",
    "count(open_interest) by (base)": "count by (base) (open_interest)",
    "quantile(0.25, open_interest) by (base)": "quantile by (base) (0.25, open_interest)",
    "sum(open_interest) by (base) / on (base) sum(open_interest offset 3m) by (base)": (
        "sum by (base) (open_interest) / sum by (base) (open_interest offset 3m)"
    ),
    "open_interest / on (base) group_left sum(open_interest) by (base)": (
        "open_interest / on (base) group_left sum by (base) (open_interest)"
    ),
    "-open_interest * 3 + 7": "-open_interest * 3 + 7",
    "open_interest % 7 ^ 2": "open_interest % 7 ^ 2",
    "topk(2, open_interest)": "topk(2, open_interest)",
    "count(open_interest[270s])": "count_over_time(open_interest[270s])",
    "sum(open_interest[270s])": "sum_over_time(open_interest[270s])",
    "last(open_interest[210s])": "last_over_time(open_interest[210s])",
    "quantile(0.75, open_interest[330s])": "quantile_over_time(0.75, open_interest[330s])",
    "max(open_interest[270s:1m])": "max_over_time(open_interest[270s:1m])",
    "mean((sum(open_interest) by (base))[210s:1m])": "avg_over_time(sum by (base) (open_interest)[210s:1m])",
}
TICKS = 16


def labels_of(index: int) -> dict[str, str]:
    i = INSTRUMENTS[index]
    return {"venue": i.venue, "symbol": i.symbol, "base": i.base, "quote": i.quote}


def selector(labels: dict[str, str], name: str = "") -> str:
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"


def ours(values: list[list[int]]) -> list[dict[str, object]]:
    """Promtool's test cases, with what our engine says at every minute after the longest window."""
    text = {"groups": [{"name": "g", "rules": [{"alert": f"A{n}", "expr": f"({e}) > 0"} for n, e in enumerate(PAIRS)]}]}
    rules: RuleSet = load_rules([("r.yaml", json.dumps(text))])
    machine = Engine(
        rules, settings=EngineSettings(stale_s={(v, Channel.OPEN_INTEREST): 300 for v in ("bybit", "okx")})
    )
    cases: list[dict[str, object]] = []
    for tick in range(TICKS):
        s = 60.0 * tick
        machine.ingest([OpenInterest(i, float(values[n][tick]), at(s), at(s)) for n, i in enumerate(INSTRUMENTS)])
        machine.evaluate(at(s))
        if tick < 8:
            continue
        for text_of, theirs in PAIRS.items():
            found = machine.query(parse_expression(text_of), at(s))
            named = theirs.startswith(("open_interest", "topk", "last_over_time")) and not set("%/") & set(theirs)
            samples = [
                {"labels": selector(dict(labels), "open_interest" if named else ""), "value": value}
                for labels, value, _ in found
                if value is not None
            ]
            cases.append({"expr": theirs, "eval_time": f"{tick}m", "exp_samples": samples})
    return cases


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("seed", range(3))
def test_promtool_expects_our_numbers(seed: int, tmp_path: Path, binary: Callable[[str], Path]) -> None:
    rng = random.Random(seed)
    values = [rng.sample(range(1, 10_000), TICKS) for _ in INSTRUMENTS]  # no two equal: top k has no ties
    series = [
        {"series": selector(labels_of(n), "open_interest"), "values": " ".join(map(str, row))}
        for n, row in enumerate(values)
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": ours(values)}
    path = tmp_path / "tests.yaml"
    path.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(
        [str(binary("promtool")), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
