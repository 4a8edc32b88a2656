"""``test``: run rule unit tests (promtool's format and more) and say which rules have none."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET  # only writes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.alerts.ruletest_runner import RuleCoverage, TestResult, run_test_file
from monitor.commands.arguments import Parser
from monitor.language.ruletest import RuleTestFile
from monitor.rule import Rule
from monitor.runtime.rule_tests import read_tests, test_files

EPILOG = """examples:
  python -m monitor test rules/tests/
  python -m monitor test rules/tests/funding.yaml --run 'flips'
  python -m monitor test rules/tests/funding.yaml --junit report.xml
exit code: 0 when every test passes, 1 when one fails, 2 when a file is wrong
"""


@dataclass(frozen=True, slots=True)
class FileResult:
    """Results of one test file."""

    file: str
    results: tuple[TestResult, ...]


def run(argv: Sequence[str]) -> int:
    """Run the tests and print what failed."""
    parser = Parser("monitor test", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path("rules/tests")],
        metavar="PATH",
        help="files or folders (default rules/tests)",
    )
    parser.add_argument("--run", default="", metavar="REGEX", help="only tests whose name matches")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write a JUnit report")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(argv)
    try:
        chosen = re.compile(options.run)
    except re.error as error:
        parser.error(f"--run: not a regular expression: {error}")
    coverage, seen, results = RuleCoverage(), dict[str, Rule](), list[FileResult]()
    for file, rules in read_tests(test_files(options.paths)):
        seen |= {rule.name: rule for rule in rules.alerts}
        tests = tuple(test for test in file.tests if chosen.search(test.name))
        picked = RuleTestFile(file.file, file.head, tests)
        results.append(FileResult(file.file, tuple(run_test_file(picked, rules, coverage))))
    untested = [] if options.run else coverage.missing(seen.values())
    print(_json(results, untested) if options.json else _text(results, untested))
    if options.junit:
        options.junit.write_bytes(_junit(results))
    return 1 if any(result.failures for file in results for result in file.results) else 0


def _text(results: Sequence[FileResult], untested: Sequence[tuple[str, str]]) -> str:
    lines, failed, total = list[str](), 0, 0
    for file in results:
        bad = [result for result in file.results if result.failures]
        total, failed = total + len(file.results), failed + len(bad)
        lines.append(f"{'FAILED' if bad else 'ok    '} {file.file}  ({len(file.results)} tests)")
        for result in bad:
            lines.append(f"  {result.name}")
            for failure in result.failures:
                first, *rest = failure.message.split("\n")
                lines += [f"    {file.file}:{failure.line}: {first}", *(f"      {line}" for line in rest)]
    lines += [f"untested: {name}: {what}" for name, what in untested]
    lines.append(f"{total} tests, {failed} failed")
    return "\n".join(lines)


def _json(results: Sequence[FileResult], untested: Sequence[tuple[str, str]]) -> str:
    tests = [
        {
            "file": file.file,
            "name": result.name,
            "line": result.line,
            "failures": [{"line": failure.line, "message": failure.message} for failure in result.failures],
        }
        for file in results
        for result in file.results
    ]
    return json.dumps({"tests": tests, "untested": [{"rule": name, "why": why} for name, why in untested]}, indent=2)


def _junit(results: Sequence[FileResult]) -> bytes:
    root = ET.Element("testsuites")
    for file in results:
        failures = sum(bool(result.failures) for result in file.results)
        suite = ET.SubElement(
            root, "testsuite", name=file.file, tests=str(len(file.results)), failures=str(failures), errors="0"
        )
        for result in file.results:
            case = ET.SubElement(
                suite, "testcase", name=result.name, classname=file.file, file=file.file, line=str(result.line)
            )
            for failure in result.failures:
                first = failure.message.split("\n", 1)[0]
                ET.SubElement(case, "failure", message=first).text = f"{file.file}:{failure.line}\n{failure.message}"
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
