"""The JSON Schema of ``config.yaml`` for editors, made from the models that read it. ``docs/schema`` holds it.

python -m monitor.runtime.config_schema > docs/schema/config.schema.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

from monitor.config import Config
from monitor.feeds import FEEDS
from monitor.language.schema import tidy
from monitor.sinks import KINDS, sink_kind
from monitor.sources import SOURCES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema: the whole file, venues and sources by name, and the options of each kind of sink."""
    schema = Config.model_json_schema(by_alias=True)
    schema["$defs"]["FeedEntry"]["properties"]["venue"] = {"enum": sorted(FEEDS)}
    properties = schema["properties"]
    properties["sinks"]["items"] = _sinks(schema["$defs"])
    properties["sources"]["items"] = {
        "type": "object",
        "properties": {"type": {"enum": sorted(SOURCES)}},
        "required": ["type"],
    }
    tidy(schema)
    return json.dumps({"$schema": DIALECT, **schema}, indent=2) + "\n"


def _sinks(definitions: dict[str, Any]) -> dict[str, Any]:
    """One entry of ``sinks:``, whose options depend on its type."""
    branches = []
    for kind in sorted(KINDS):
        options = sink_kind(kind).options.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions |= options.pop("$defs", {})
        definitions[f"sink_{kind}"] = options
        chosen = {"properties": {"type": {"const": kind}}}
        branches.append({"if": chosen, "then": {"$ref": f"#/$defs/sink_{kind}"}})
    return {"type": "object", "properties": {"type": {"enum": sorted(KINDS)}}, "required": ["type"], "allOf": branches}


if __name__ == "__main__":
    sys.stdout.write(schema_text())
