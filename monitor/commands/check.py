"""``check``: validate configuration, rules and rule tests without starting anything; all mistakes at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from monitor.clock import NS_PER_S
from monitor.commands.arguments import Parser
from monitor.errors import ConfigError, Problem
from monitor.language.ruletest import RuleTestFile
from monitor.rule import Recording, Rule, RuleSet
from monitor.runtime.load import Loaded, load, rule_patterns
from monitor.runtime.rule_tests import read_tests, tests_beside

EPILOG = """examples:
  python -m monitor check --config config.yaml
  python -m monitor check --config config.yaml --explain LiquidationsOver1BillionPerHour
  python -m monitor check --format github        annotations for a pull request
exit code: 0 when all is well, 2 when there is a problem
"""


def run(argv: Sequence[str]) -> int:
    """Print every problem, or what was found."""
    parser = Parser("monitor check", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="configuration (default config.yaml)"
    )
    parser.add_argument(
        "--format", choices=("text", "json", "github"), default="text", help="for people, programs or pull requests"
    )
    parser.add_argument("--explain", metavar="RULE", help="print the plan of one rule")
    options = parser.parse_args(argv)
    loaded, tests, problems = _read_all(options.config)
    if loaded is None or problems:
        _report(problems, options.format)
        return 2
    if options.explain:
        return _explain(loaded, options.explain)
    found = {"feeds": len(loaded.feeds), "rules": len(loaded.rules.alerts), "tests": tests}
    if options.format == "json":
        print(json.dumps({"problems": [], **found}))
    elif options.format == "text":
        print(f"{options.config}: {', '.join(f'{n} {name}' for name, n in found.items())}, no problem found")
    return 0


def _read_all(config: Path) -> tuple[Loaded | None, int, list[Problem]]:
    """Configuration, rules and the tests beside them: what was loaded, how many tests, and every mistake of all three."""
    loaded, tests, problems = None, list[tuple[RuleTestFile, RuleSet]](), list[Problem]()
    try:
        loaded = load(config, os.environ)
    except ConfigError as error:
        problems += error.problems
    try:
        tests = read_tests(tests_beside(config.resolve().parent, rule_patterns(config)))
    except ConfigError as error:
        problems += error.problems
    return loaded, sum(len(file.tests) for file, _ in tests), list(dict.fromkeys(problems))


def _report(problems: Sequence[Problem], form: str) -> None:
    if form == "json":
        keys = ("file", "line", "column", "message", "hint")
        print(
            json.dumps({"problems": [{key: getattr(problem, key) for key in keys} for problem in problems]}, indent=2)
        )
    elif form == "github":
        for problem in problems:
            print(annotation(problem))
    else:
        sys.stderr.write("\n".join(problem.render() for problem in problems) + f"\n{count_of(problems)} found\n")


def count_of(problems: Sequence[Problem]) -> str:
    """``1 problem``, ``2 problems``."""
    return f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"


def annotation(problem: Problem) -> str:
    """A problem as GitHub's workflow command ``error``, escaped as its toolkit does (``packages/core/src/command.ts``)."""
    place = {"file": problem.file} | ({"line": problem.line, "col": problem.column} if problem.line else {})
    properties = ",".join(
        f"{key}={_escaped(str(value)).replace(':', '%3A').replace(',', '%2C')}" for key, value in place.items()
    )
    words = "\n".join(filter(None, (problem.message, problem.hint)))
    return f"::error {properties}::{_escaped(words)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _explain(loaded: Loaded, name: str) -> int:
    from monitor.language.explain import explain_rule

    found = [rule for rule in loaded.rules.alerts if name in (rule.name, rule.id)]
    if not found:
        names = [rule.name for rule in loaded.rules.alerts]
        close = get_close_matches(name, names, n=3)
        sys.stderr.write(f"no rule {name!r}; " + (f"did you mean {', '.join(close)}?\n" if close else "there are: "))
        sys.stderr.write("" if close else f"{', '.join(names)}\n")
        return 2
    print("\n\n".join(explain_rule(rule, _keeps(loaded, rule)) for rule in found))
    return 0


def _keeps(loaded: Loaded, rule: Rule) -> list[str]:
    """What the engine keeps for this rule alone, and for the recordings that it reads."""
    from monitor.engine import Engine, EngineSettings
    from monitor.expression import series_names

    options = loaded.source.config.engine
    settings = EngineSettings(
        lateness_ns=int(options.allowed_lateness * NS_PER_S), max_rows=options.max_rows_per_series
    )
    read, needed = set(series_names(rule.expr)), list[Recording]()
    for recording in reversed(loaded.rules.recordings):
        if recording.name in read:
            needed.insert(0, recording)
            read |= series_names(recording.expr)
    return Engine(RuleSet((rule,), tuple(needed)), settings=settings).retention()
