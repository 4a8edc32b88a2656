"""docs/configuration.md names every key of the file, of a feed and of every sink, and no other."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from monitor.config.model import AlertOptions, ApiSettings, Config, EngineOptions, FeedEntry, LogSettings, RecordOptions
from monitor.sink import SinkKind, SinkOptions
from monitor.sinks import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
COMMON = set(SinkOptions.model_fields)


def told(name: str) -> tuple[set[str], set[str]]:
    """The keys that the page tells of a sink, and those of them in bold."""
    row = next(
        row.partition(" | ")[2]
        for row in SECTIONS["Sinks"].splitlines()
        if row.startswith("| `") and f"`{name}`" in row.partition(" | ")[0]
    )
    keys = re.sub(r"\([^)]*\)", "", row)
    return set(re.findall(r"`(\w+)`", keys)), set(re.findall(r"\*\*`(\w+)`\*\*", keys))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_key_of_a_sink_is_told_and_the_needed_ones_are_bold(name: str) -> None:
    kind: SinkKind = import_module(KINDS[name]).KIND
    fields = {key: field for key, field in kind.options.model_fields.items() if key not in COMMON}
    assert told(name) == (set(fields), {key for key, field in fields.items() if field.is_required()})


def test_what_every_sink_takes_is_told() -> None:
    common = SECTIONS["Sinks"].partition("A secret")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"\| [^|]* \| [^|]* \|$", "", common, flags=re.MULTILINE))) == COMMON


def test_every_key_of_a_feed_is_told() -> None:
    keys = [row.partition(" | ")[0] for row in SECTIONS["Feeds"].splitlines()]
    assert set(re.findall(r"`(\w+)`", "\n".join(keys))) == set(FeedEntry.model_fields)


def test_every_key_of_the_file_is_told() -> None:
    table = "\n".join(
        row.partition(" | ")[0] for row in PAGE.partition("## Feeds")[0].splitlines() if row.startswith("| `")
    )
    rooms: dict[str, type[BaseModel]] = {
        "engine": EngineOptions,
        "alerts": AlertOptions,
        "record": RecordOptions,
        "log": LogSettings,
        "api": ApiSettings,
    }
    keys = {f"{room}.{key}" for room, model in rooms.items() for key in model.model_fields}
    assert set(re.findall(r"`([\w.]+)`", table)) == keys | (set(Config.model_fields) - set(rooms))
