"""Rule tests on disk: found, read, and joined with the rule files that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monitor.config import read_text
from monitor.errors import ConfigError, Problem
from monitor.language import load_rules
from monitor.language.ruletest import RuleTestFile, read_test_file
from monitor.rule import RuleSet

UNREADABLE = "cannot be read"
TESTS = "tests"
"""Beside the rule files, the folder of their tests."""


def test_files(paths: Sequence[Path]) -> list[Path]:
    """Every test file that is named, or lies in a folder that is named.

    Raises:
        ConfigError: There is none.
    """
    found = []
    for path in paths:
        found += sorted(path.glob("**/*.yaml")) if path.is_dir() else [path]
    if not found:
        raise ConfigError([Problem(", ".join(map(str, paths)), 0, 0, "no test files here")])
    return found


def tests_beside(base: Path, patterns: Sequence[str]) -> list[Path]:
    """The test files of a configuration's rules: those in ``tests`` beside them."""
    folders = {(base / pattern).parent / TESTS for pattern in patterns}
    return sorted(path for folder in folders if folder.is_dir() for path in folder.glob("**/*.yaml"))


def read_tests(paths: Sequence[Path]) -> list[tuple[RuleTestFile, RuleSet]]:
    """Read all files first, so that all mistakes come out at once.

    Raises:
        ConfigError: With every mistake of every test file, and of the rules that it names.
    """
    problems: list[Problem] = []
    loaded = []
    for path in paths:
        try:
            file = read_test_file(read_text(path, UNREADABLE), _shown(path))
            loaded.append((file, load_rules(_rule_files(path, file))))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(sorted(set(problems)))
    return loaded


def _rule_files(path: Path, file: RuleTestFile) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for pattern in file.head.rule_files:
        matches = sorted(path.parent.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not matches:
            raise ConfigError([Problem(str(path), 1, 1, f"rule_files: {pattern!r} matches no file")])
        found |= {_shown(match): read_text(match, UNREADABLE) for match in matches}
    return list(found.items())


def _shown(path: Path) -> str:
    """A path without ``..`` parts, relative to where the user stands if it lies below."""
    resolved, here = path.resolve(), Path.cwd()
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(resolved)
