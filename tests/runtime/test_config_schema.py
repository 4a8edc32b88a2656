"""The schema of the configuration: fresh, true to the shipped file, and of help to somebody who mistypes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from monitor.runtime.config_schema import schema_text
from monitor.yamlsource import load_yaml

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(schema_text())


def test_the_schema_is_fresh() -> None:
    assert (ROOT / "docs" / "schema" / "config.schema.json").read_text(encoding="utf-8") == schema_text()


def test_the_shipped_configuration_fits_and_names_it() -> None:
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    jsonschema.validate(load_yaml(text, "config.yaml").data, SCHEMA)
    assert text.startswith("# yaml-language-server: $schema=docs/schema/config.schema.json\n")


@pytest.mark.parametrize(
    "right",
    [
        {"engine": {"interval": "250ms", "min_coverage": "80%"}},
        {"engine": {"interval": 0.5, "min_coverage": 0.8}},
        {"sinks": [{"type": "mqtt", "url": "mqtt://localhost"}, {"type": "console"}]},
        {"pegs": {"USDT": 0.97}},
    ],
)
def test_what_the_program_takes_fits(right: dict[str, Any]) -> None:
    jsonschema.validate({"feeds": [{"venue": "bybit"}], **right}, SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"feeds": [{"venue": "bybitt"}]},
        {"engine": {"interval": "soon"}},
        {"sinks": [{"type": "mqqt"}]},
        {"sinks": [{"type": "console", "colour": "red"}]},
        {"sinks": [{"type": "mqtt", "url": 5}]},
        {"lisen": "127.0.0.1:1"},
    ],
)
def test_a_mistake_is_marked(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"feeds": [{"venue": "bybit"}], **wrong}, SCHEMA)
