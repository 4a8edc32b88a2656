"""The reference page, the schemas and the shipped rules are what the program says they are.

``UPDATE_GOLDEN=1`` writes page and schemas anew.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from monitor.language import load_rules
from monitor.language.explain import explain_rule
from monitor.language.reference import refresh
from monitor.language.ruletest import read_test_file
from monitor.language.schema import SCHEMAS, schema_text
from monitor.yamlsource import load_yaml

ROOT = Path(__file__).parents[2]
if os.environ.get("UPDATE_GOLDEN"):
    page = ROOT / "docs" / "rules.md"
    page.write_text(refresh(page.read_text(encoding="utf-8")), encoding="utf-8")
    for schema in SCHEMAS:
        (ROOT / "docs" / "schema" / schema).write_text(schema_text(schema), encoding="utf-8")
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
RULES = sorted((ROOT / "rules").glob("*.yaml"))
TESTS = sorted((ROOT / "rules" / "tests").glob("*.yaml"))


def test_the_generated_parts_of_the_page_are_fresh() -> None:
    assert refresh(PAGE) == PAGE


@pytest.mark.parametrize("block", BLOCKS)
def test_every_yaml_block_of_the_page_loads(block: str) -> None:
    if block.startswith("rule_files"):
        assert read_test_file(block, "docs").tests
    else:
        loaded = load_rules([("docs", block)])
        assert loaded.alerts
        assert all(explain_rule(rule).startswith(rule.id) for rule in loaded.alerts)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schemas_are_fresh(name: str) -> None:
    assert (ROOT / "docs" / "schema" / name).read_text(encoding="utf-8") == schema_text(name)


@pytest.mark.parametrize("path", [*RULES, *TESTS], ids=lambda path: "/".join(path.parts[-2:]))
def test_shipped_files_fit_their_schema_and_name_it(path: Path) -> None:
    name = "rule-tests.schema.json" if path.parent.name == "tests" else "rules.schema.json"
    text = path.read_text(encoding="utf-8")
    jsonschema.validate(load_yaml(text, path.name).data, json.loads(schema_text(name)))
    assert text.startswith("# yaml-language-server: $schema=")
    assert (path.parent / text.split("$schema=")[1].split("\n")[0]).resolve() == ROOT / "docs" / "schema" / name


def test_a_schema_refuses_what_the_loader_refuses() -> None:
    schema = json.loads(schema_text("rules.schema.json"))
    for rule in ({"alert": "A", "exprr": "x"}, {"alert": "A", "for": "5x"}, {"alert": "A", "on_unknown": "explode"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"groups": [{"name": "g", "rules": [rule]}]}, schema)
    jsonschema.validate(
        {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "price > $x", "params": {"x": 1e9}, "for": 0}]}]},
        schema,
    )


def test_an_explanation_shows_each_part_once() -> None:
    (rule,) = load_rules(
        [("f", "groups: [{name: g, rules: [{alert: A, expr: 'sum(trades[1h]) > 1B', clear: 'sum(trades[1h]) < 5M'}]}]")]
    ).alerts
    text = explain_rule(rule, ["trades, every row"])
    assert text.count("sum(trades[1h])   [") == 1
    assert "  keeps in memory\n    trades, every row\n" in text
    assert "#2  #1 > 1B" in text
    assert "trades: events, USD; history of 1h" in text
