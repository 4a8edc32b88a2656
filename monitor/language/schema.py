"""JSON Schemas for editors, made from the models that read the files. ``docs/schema`` holds them; a test compares."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from monitor.language.ruletest import TestFile
from monitor.language.shape import RuleFile

SCHEMAS: dict[str, type[BaseModel]] = {"rules.schema.json": RuleFile, "rule-tests.schema.json": TestFile}
"""File name under ``docs/schema`` -> the model it describes."""


def schema_text(name: str) -> str:
    """The text of one schema file."""
    schema = SCHEMAS[name].model_json_schema(by_alias=True)
    tidy(schema)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def tidy(node: Any) -> None:
    """Drop titles, which only repeat the keys."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for value in node.values():
            tidy(value)
    elif isinstance(node, list):
        for value in node:
            tidy(value)
