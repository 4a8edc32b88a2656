"""Dashboards as they are in the repository, and the builder's modules."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GRAFANA = Path(__file__).resolve().parents[2] / "grafana"
BOARD_FILES = sorted((GRAFANA / "dashboards").glob("*.json"))


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """``grafana/build.py``, which is a script and no package."""
    sys.path.insert(0, str(GRAFANA))
    with warnings.catch_warnings():
        # the SDK prefers dashboards of version 2, which only Grafana 12 and later read
        warnings.filterwarnings("ignore", message="Prefer using dashboardv2", category=DeprecationWarning)
        return importlib.import_module("build")


@pytest.fixture(params=BOARD_FILES, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each committed dashboard."""
    loaded: dict[str, Any] = json.loads(request.param.read_text(encoding="utf-8"))
    return loaded
