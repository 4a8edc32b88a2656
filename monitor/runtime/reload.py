"""Reloading: all or nothing. A bad file keeps what runs, and says why in the log, on the page and in a metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.config import Config, LoadedConfig
from monitor.errors import MonitorError, Problem
from monitor.runtime.load import Loaded
from monitor.runtime.view import Happenings

FIXED = (
    "listen", "data_dir", "sinks", "sources", "inlets", "derived", "api", "engine", "alerts", "log", "record", "watch", "backfill",
)  # fmt: skip
"""Keys of the configuration that only a restart applies."""
Stamp = tuple[tuple[str, int, int], ...]


def needs_restart(old: Config, new: LoadedConfig) -> list[Problem]:
    """What a changed configuration asks for that cannot be done while running: refused, not left out in silence."""
    return [
        new.problem((name,), f"{name} cannot change while running; restart to apply it")
        for name in FIXED
        if getattr(old, name) != getattr(new.config, name)
    ]


class Reloadable(Protocol):
    """What can take over a new configuration while it runs.

    Attributes:
        clock: Market time for what is said about a reload.
        loaded: What runs now.
        happenings: Where the outcome is written down.
    """

    clock: Clock
    loaded: Loaded
    happenings: Happenings

    def load_again(self) -> Loaded:
        """Read everything from disk; raises a `MonitorError` when any of it is wrong."""
        ...

    def adopt(self, loaded: Loaded) -> None:
        """Take it over; this cannot fail half way."""
        ...


class Reloader:
    """Reloads on demand and when a file that was read has changed."""

    def __init__(self, app: Reloadable) -> None:
        self._app = app
        self._log = structlog.get_logger("monitor.reload")
        self._stamp = self._look()

    async def watch(self, every_s: float) -> None:
        """Look at the files every so often, for ever."""
        clock = self._app.clock
        while True:
            await clock.sleep_until(clock.mono_ns() + int(every_s * NS_PER_S))
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self.reload("file changed")

    def reload(self, why: str) -> bool:
        """Load everything again; adopt it only when all of it is right."""
        app, now_ns = self._app, self._app.clock.wall_ns()
        old = app.happenings.reload
        try:
            app.adopt(app.load_again())
        except MonitorError as error:
            app.happenings.reload = replace(
                old, ok=False, last_attempt_ns=now_ns, failures=old.failures + 1, last_error=str(error)
            )
            self._log.error("reload.refused", why=why, error=str(error), note="the old rules run on")
            return False
        app.happenings.reload = replace(
            old, ok=True, last_success_ns=now_ns, last_attempt_ns=now_ns, successes=old.successes + 1, last_error=""
        )
        self._log.info("reload.done", why=why, rules=len(app.loaded.rules.alerts))
        self._stamp = self._look()
        return True

    def _look(self) -> Stamp:
        """Name, change time and size of the configuration and every rule file that its patterns match now."""
        source = self._app.loaded.source
        paths = {Path(source.document.file)}
        for pattern in source.config.rules:
            paths |= set(source.base.glob(pattern)) if not Path(pattern).is_absolute() else {Path(pattern)}
        return tuple(sorted(filter(None, map(_stat, paths))))


def _stat(path: Path) -> tuple[str, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size
