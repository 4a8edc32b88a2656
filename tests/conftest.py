"""What all tests share: outside components, loopback ports, a quiet log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from monitor.testing import ports

settings.register_profile("everybody", derandomize=True, database=None)
settings.register_profile("explore", settings.get_profile("default"))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "everybody"))
"""The same examples for everybody, so that a failure is the change's own; HYPOTHESIS_PROFILE=explore looks for new ones."""

BINARIES = {
    "mosquitto": ("mosquitto",),
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "amtool": ("amtool",),
    "zsh": ("zsh",),
    "fish": ("fish",),
    "jq": ("jq",),
    "systemd-analyze": ("systemd-analyze",),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
}
SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def find_binary(component: str) -> Path | None:
    """Where an outside program is, or None."""
    found = (shutil.which(name, path=SYSTEM_PATH) for name in BINARIES[component])
    return next((Path(path) for path in found if path), None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a pytest whose node ids `--dist loadgroup` cannot mark: tests that share a program would be torn apart."""
    if getattr(config.option, "loadgroup", False):
        torn = [item.nodeid for item in items if any(item.iter_markers("xdist_group")) and "@" not in item.nodeid]
        if torn:
            raise pytest.UsageError(f"pytest-xdist did not group {torn[0]} and {len(torn) - 1} more")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes that are no text by their length: gzip writes the time into them, and two workers collected two names."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode("ascii").isprintable()):
        return f"{len(val)}-bytes"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose component is missing; in CI a missing component is a failure, not a skip."""
    for mark in item.iter_markers("needs"):
        for component in mark.args:
            if find_binary(component) is not None:
                continue
            if os.environ.get("CI"):
                pytest.fail(f"{component} is not installed, and CI must run this test", pytrace=False)
            pytest.skip(f"{component} is not installed")


@pytest.fixture
def binary() -> Callable[[str], Path]:
    """The path of a component that the test is marked to need."""

    def get(component: str) -> Path:
        path = find_binary(component)
        assert path is not None, f'mark the test with @pytest.mark.needs("{component}")'
        return path

    return get


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A loopback port that nobody listens on right now; bind it soon."""
    return ports.free_port


@pytest.fixture(autouse=True)
def _log_in_memory() -> Iterator[None]:
    """Keep log lines off the terminal; `structlog.testing.capture_logs` still sees them."""
    structlog.configure(processors=[structlog.testing.LogCapture()])
    yield
    structlog.reset_defaults()
