"""One run of the pack over the sell-off, and one archive of the autumn, for all tests that look at them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from monitor.language.rules import load_rules
from monitor.rule import RuleSet
from monitor.testing.storm import Played, play

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def rules() -> RuleSet:
    return load_rules([(path.name, path.read_text()) for path in sorted((ROOT / "rules").glob("*.yaml"))])


@pytest.fixture(scope="session")
def pack(rules: RuleSet) -> set[str]:
    return {rule.name for rule in rules.alerts}


@pytest.fixture(scope="session")
def played(rules: RuleSet) -> Played:
    """The pack up to noon of 21 November; tests that ask for it belong to the group `november`, so that it is played once."""
    return play(rules)


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """``scripts/november.py``."""
    spec = importlib.util.spec_from_file_location("scripts_november", ROOT / "scripts" / "november.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def autumn(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archive of the autumn and its configuration."""
    folder = tmp_path_factory.mktemp("november")
    script.write_history(folder)
    return folder
