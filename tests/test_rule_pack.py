"""The pack's rules say where their figures come from, how to calibrate them and what to look at next; each is held to its limit."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from monitor.backtest.sweep import parse_sweep, trials
from monitor.commands.completion import parser_of
from monitor.language.rules import load_rules
from monitor.language.ruletest import RuleTest, span_ns
from monitor.rule import Rule
from monitor.runtime import rule_tests
from monitor.runtime.load import Loaded, load
from monitor.signals import SIGNALS

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "rules").glob("*.yaml"))
RULES = {rule.name: rule for rule in load_rules([(path.name, path.read_text()) for path in FILES]).alerts}
ROWS = {name: {row.id for row in SIGNALS if name in row.rules} for name in RULES}
LEAST_WORDS = 6

NEVER_UNKNOWN = {
    "FeedDown": "it is about feeds that are down",
    "SeveralVenuesDown": "as FeedDown",
    "NoPrices": "as FeedDown",
    "LargeSingleLiquidation": "a minute without a liquidation ends it: on_unknown is resolve",
    "MarketCapSinceCrossing": "time passes without data, too",
}


RULE = re.compile(r"((?:^      #.*\n)+)^      - alert: (\w+)\n((?:^        .*\n)+)", re.MULTILINE)


def _blocks() -> Iterator[tuple[str, str, str]]:
    """Each alert rule's name, the comment right above it in one line, and its own text."""
    for comment, name, text in RULE.findall("".join(path.read_text() for path in FILES)):
        yield name, " ".join(line.strip(" #") for line in comment.splitlines()), text


BLOCKS = {name: (said, text) for name, said, text in _blocks()}
SAID = {name: said for name, (said, _) in BLOCKS.items()}


def _part(name: str, key: str) -> str:
    found = re.search(rf"\b{key}: (.*?)(?=\b(?:Source|Calibrate): |$)", SAID[name])
    assert found is not None, f"{name} has no {key}:"
    return found[1]


def _thresholds(text: str) -> set[str]:
    """Numbers that decide a rule, as written: what it compares with, its parameters, its `for`."""
    logic = "\n".join(line for line in text.splitlines() if not re.match(r"\s+(summary|next|labels):", line))
    overrides = re.findall(r"params: (\{[^}]*\})", logic)
    compared = re.findall(r"(?:[<>]=?|>=) -?(\d[\w.%]*)", logic)
    return {
        *compared,
        *(value for entry in overrides for value in re.findall(r": (\d[\w.%]*)", entry)),
        *re.findall(r"^ +for: (\w+)", logic, re.MULTILINE),
    }


def test_every_rule_of_the_pack_was_read() -> None:
    assert set(BLOCKS) == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_names_its_rows_and_a_calibration_of_its_own(name: str) -> None:
    source, calibrate = _part(name, "Source"), _part(name, "Calibrate")
    assert min(len(source.split()), len(calibrate.split())) >= LEAST_WORDS
    named = set(re.findall(r"\bS\d\d\b", source))
    assert ROWS[name] <= named or (not ROWS[name] and "ours" in source), f"its rows are {sorted(ROWS[name])}"
    assert named <= {row.id for row in SIGNALS}


@pytest.mark.parametrize("name", RULES)
def test_each_number_that_decides_is_explained(name: str) -> None:
    """A threshold that its comment does not mention is one whose source nobody knows."""
    said = re.sub(r"(\d) %", r"\1%", SAID[name])
    missing = {number for number in _thresholds(BLOCKS[name][1]) if not _mentioned(number, said)}
    assert not missing, f"{name} says nothing of {sorted(missing)}"


def _mentioned(number: str, said: str) -> bool:
    bare = number.removesuffix("%")
    return re.search(rf"(?<![\d.]){re.escape(bare)}(?![\d]|\.\d)", said) is not None or _spelt(number) in said


def _spelt(number: str) -> str:
    return {"1": "one", "2": "two", "3": "all three", "5": "five", "10": "ten"}.get(number, number)


def test_no_calibration_is_copied() -> None:
    repeated = [text for text, times in Counter(_part(name, "Calibrate") for name in RULES).items() if times > 1]
    assert repeated == []


@pytest.mark.parametrize("name", [name for name in RULES if "--sweep" in SAID[name]])
def test_a_sweep_in_a_comment_can_be_run(name: str) -> None:
    for rule, parameter in re.findall(r"--rule (\w+) --sweep (\w+)=", SAID[name]):
        assert rule == name
        assert parameter == "threshold" or f"{parameter}:" in "".join(re.findall(r"params: \{[^}]*\}", BLOCKS[name][1]))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_an_alert_says_how_much_in_which_unit_and_what_to_look_at_next(rule: Rule) -> None:
    assert set(rule.annotations) == {"summary", "next"}
    summary, following = rule.annotations["summary"], rule.annotations["next"]
    if "absent(" not in rule.text:  # of nothing there is no amount
        assert "{{ value |" in summary or "{{ threshold |" in summary
    assert not re.search(r"value \| usd \}\}(?! USD)", summary), "dollars without their unit"
    assert not re.search(r"value \| (num|price) \}\}[.,;]?$", summary), "a number without a word for what it counts"
    assert following[-1] in ".?!"
    assert len(following.split()) >= LEAST_WORDS
    assert set(re.findall(r"`monitor why (\w+)`", following)) <= set(RULES)


def test_every_next_step_is_its_own() -> None:
    assert len({rule.annotations["next"] for rule in RULES.values()}) == len(RULES)


@cache
def _tests() -> tuple[tuple[int, RuleTest], ...]:
    files = rule_tests.read_tests(rule_tests.test_files([ROOT / "rules" / "tests"]))
    return tuple((span_ns(file.head.evaluation_interval), test) for file, _ in files for test in file.tests)


def _held_to(name: str) -> set[str]:
    found: set[str] = set()
    for step_ns, test in _tests():
        mine = [one for one in test.case.alert_rule_test if one.alertname == name]
        fired = {span_ns(one.exp_fired_at) for one in mine if one.exp_fired_at}
        fired |= {span_ns(one.eval_time) for one in mine if one.exp_alerts and one.eval_time}
        silent = {span_ns(one.to or one.eval_time or "0s") for one in mine if one.exp_alerts == []}
        found |= {"fires, silent an evaluation before"} if any(at - step_ns in silent for at in fired) else set()
        late = any(at > min(fired) for at in silent) if fired else False
        found |= {"resolves"} if late or any(one.exp_resolved_at for one in mine) else set()
        found |= {"unknown"} if any(one.exp_state == "unknown" for one in mine) else set()
    return found


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_held_to_its_limit(name: str) -> None:
    """Silent at the evaluation before it fires, over when it is over, and unknown when its input dies."""
    wanted = {"fires, silent an evaluation before", "resolves", "unknown"}
    assert wanted - _held_to(name) <= ({"unknown"} if name in NEVER_UNKNOWN else set())


SHOWN = re.findall(r"`(monitor [^`]+)`", "".join(re.sub(r"\n +# ", " ", path.read_text()) for path in FILES))


def test_commands_are_shown_for_the_pack_to_be_calibrated() -> None:
    assert len(SHOWN) > len(FILES)


@pytest.mark.parametrize("text", sorted(set(SHOWN)))
def test_a_command_that_a_comment_shows_can_be_typed(text: str, loaded: Loaded) -> None:
    name, *words = shlex.split(text)[1:]
    options = parser_of(name).parse_args(words)
    rules = [*(getattr(options, "rule", None) or ())] if name == "backtest" else [options.rule] if name == "why" else []
    assert set(rules) <= set(RULES)
    if name == "backtest":
        sweep = parse_sweep(options.sweep)
        (rule,) = (rule for rule in loaded.rules.alerts if rule.name == rules[0])
        assert len(trials(loaded, rule, sweep)) == len(sweep.values)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load(ROOT / "config.yaml", {})
