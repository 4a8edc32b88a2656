"""Reloading by itself: what counts as a change, and that a bad one changes nothing but what is said about it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.config import Config, parse_config
from monitor.errors import ConfigError, Problem
from monitor.runtime.reload import FIXED, Reloader, needs_restart
from monitor.telemetry.views.program import ReloadView
from monitor.testing.manual_clock import ManualClock

EVERY_S = 2.0


class Application:
    """As much of the running program as reloading touches. Its files are `config.yaml` and `rules/*.yaml`."""

    def __init__(self, folder: Path) -> None:
        (folder / "rules").mkdir()
        (folder / "config.yaml").write_text("a", encoding="utf-8")
        (folder / "rules" / "one.yaml").write_text("a", encoding="utf-8")
        self.clock = ManualClock()
        self.happenings = SimpleNamespace(reload=ReloadView())
        source = SimpleNamespace(
            document=SimpleNamespace(file=str(folder / "config.yaml")),
            config=SimpleNamespace(rules=["rules/*.yaml"]),
            base=folder,
        )
        self.loaded: Any = SimpleNamespace(source=source, rules=SimpleNamespace(alerts=()))
        self.adopted = 0
        self.problem: ConfigError | None = None

    def load_again(self) -> Any:
        if self.problem is not None:
            raise self.problem
        return self.loaded

    def adopt(self, loaded: Any) -> None:
        assert loaded is self.loaded
        self.adopted += 1


@pytest.fixture
def app(tmp_path: Path) -> Application:
    return Application(tmp_path)


@contextlib.asynccontextmanager
async def watched(app: Application) -> AsyncIterator[None]:
    task = asyncio.create_task(Reloader(app).watch(EVERY_S))  # type: ignore[arg-type]  # a stand-in
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_untouched_files_are_not_read_again(app: Application) -> None:
    async with watched(app):
        await app.clock.advance(10 * EVERY_S)
    assert app.adopted == 0


@pytest.mark.parametrize("name", ["config.yaml", "rules/one.yaml", "rules/new.yaml"])
async def test_a_changed_or_new_file_is_taken_over_once(app: Application, tmp_path: Path, name: str) -> None:
    async with watched(app):
        (tmp_path / name).write_text("another text", encoding="utf-8")
        await app.clock.advance(3 * EVERY_S)
    assert app.adopted == 1
    assert app.happenings.reload.successes == 1


async def test_a_removed_rule_file_is_a_change(app: Application, tmp_path: Path) -> None:
    async with watched(app):
        (tmp_path / "rules" / "one.yaml").unlink()
        await app.clock.advance(EVERY_S)
    assert app.adopted == 1


async def test_a_bad_file_is_tried_once_and_nothing_is_adopted(app: Application, tmp_path: Path) -> None:
    app.problem = ConfigError([Problem("rules/one.yaml", 3, 7, "unknown function 'foo'")])
    async with watched(app):
        (tmp_path / "rules" / "one.yaml").write_text("wrong", encoding="utf-8")
        await app.clock.advance(5 * EVERY_S)
    assert app.adopted == 0
    reload = app.happenings.reload
    assert (reload.ok, reload.failures, reload.successes) == (False, 1, 0)
    assert "rules/one.yaml:3:7" in reload.last_error
    assert reload.last_success_ns == 0 < reload.last_attempt_ns


async def test_a_good_reload_after_a_bad_one_clears_the_error_and_keeps_the_count(app: Application) -> None:
    reloader = Reloader(app)  # type: ignore[arg-type]  # a stand-in
    app.problem = ConfigError([Problem("config.yaml", 1, 1, "no")])
    assert not reloader.reload("requested")
    app.problem = None
    await app.clock.advance(60)
    assert reloader.reload("requested")
    reload = app.happenings.reload
    assert (reload.ok, reload.failures, reload.successes, reload.last_error) == (True, 1, 1, "")
    assert reload.last_success_ns == app.clock.wall_ns()


BASE = "listen: 127.0.0.1:9108\nrules: []\nfeeds: [{venue: bybit}]\n"


@pytest.mark.parametrize(
    "changed",
    [
        "sinks: [{type: file, path: a.jsonl}]",
        "engine: {interval: 1s}",
        "watch: [BTC]",
        "data_dir: elsewhere",
        "api: {token: abcdefgh}",
    ],
)
def test_what_needs_a_restart_is_refused_with_its_place(changed: str) -> None:
    old, new = parse_config(BASE, "c.yaml", Path(), {}), parse_config(BASE + changed, "c.yaml", Path(), {})
    (problem,) = needs_restart(old.config, new)
    assert (problem.line, problem.message) == (
        4,
        f"{changed.split(':', maxsplit=1)[0]} cannot change while running; restart to apply it",
    )


def test_feeds_rules_routes_and_pegs_change_while_running() -> None:
    new = "listen: 127.0.0.1:9108\nrules: []\nfeeds: [{venue: okx}]\npegs: {USDT: 0.9}\nroutes: [{sinks: [console]}]\n"
    old = parse_config(BASE, "c.yaml", Path(), {})
    assert needs_restart(old.config, parse_config(new, "c.yaml", Path(), {})) == []


def test_every_key_is_either_applied_by_a_reload_or_refused() -> None:
    assert set(Config.model_fields) - set(FIXED) == {"rules", "feeds", "routes", "pegs"}
