"""The map of the rooms names every room, and no room that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "monitor"
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
UNMAPPED = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}


def named() -> set[str]:
    """Names in the first column: ``a/b/`` of ``monitor/a/b/``, and those that follow in the same folder."""
    found = set()
    for row in re.findall(r"^\| (`monitor/[^|]+)\|", MAP, re.MULTILINE):
        folder = ""
        for name in re.findall(r"`([^`]+)`", row):
            if name.startswith("monitor/"):
                folder = name.rstrip("/").rpartition("/")[0] + "/"
                found.add(name)
            else:
                found.add(folder + name)
    return {name.removeprefix("monitor/") for name in found}


def test_every_file_and_folder_of_the_package_is_on_the_map() -> None:
    there = {path.name + ("/" if path.is_dir() else "") for path in PACKAGE.iterdir() if path.name not in UNMAPPED}
    assert there - named() == set()


def test_what_is_on_the_map_is_there() -> None:
    assert named()
    assert [name for name in sorted(named()) if not (PACKAGE / name).exists()] == []
    assert [name for name in re.findall(r"\(`([a-z]+\.py)`\)", MAP) if not list(PACKAGE.rglob(name))] == []
