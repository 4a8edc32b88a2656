"""Everything that is not an exchange feed: slow sources, the users' inlets, derived series. Wired from the configuration.

The application gives it a way into the stream, shows it every batch, and ticks it::

    side = SlowSide(loaded, emit, http=http, clock=clock, rng=rng)
    tasks.create_task(side.run())        # sources and inlets
    emit(side.observe(events, now_ns))   # with every batch that the engine takes: derived series
    app.add_routes([side.route])         # POST /api/v1/inlet, behind the token guard
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

import structlog
from aiohttp import web

from monitor.clock import NS_PER_S, Clock
from monitor.derived.desk import DerivedDesk, read_derived
from monitor.errors import Problem
from monitor.events import Event, Sample
from monitor.inlets.door import Door
from monitor.inlets.folder import FolderInlet
from monitor.inlets.http import inlet_route
from monitor.inlets.journal import Journal
from monitor.inlets.mqtt import MqttInlet, MqttInletOptions
from monitor.runtime.feeds.desk import Tap
from monitor.runtime.files import write_atomically
from monitor.runtime.source_runner import Emit, SourceRunner
from monitor.sources import read_source
from monitor.transports.http import HttpClient
from monitor.yamlsource import Document

RESTART_S = 60.0
KEEP_S = 30.0
INLET_KEYS = {"folder": {"path", "every_s"}, "mqtt": {"url", "topic", "username", "password", "ca_file"}}


class Inlet(Protocol):
    """A way in that runs; a source's runner is one as well."""

    async def run(self) -> None:
        """Take rows until cancelled."""
        ...


class SlowSide:
    """Sources, inlets and derived series of one program.

    Args:
        sources: ``sources:`` of the configuration, checked.
        inlets: ``inlets:``, checked; the HTTP way in is always there.
        derived: ``derived:``, checked.
        emit: Takes events, on the event loop.
        http: For the sources.
        clock: Wall time stamps values, monotonic time paces.
        base: Folder that relative paths start from.
        data_dir: Where quotas, last replies, pushed rows and the state of derived series are kept.
        rng: Jitter.
        speed: Asks so many times as often as the services want; only where market time is scaled (the demo).
        tap: Hears the sources' replies.
    """

    def __init__(
        self,
        sources: Sequence[Mapping[str, Any]],
        inlets: Sequence[Mapping[str, Any]],
        derived: Mapping[str, Any],
        emit: Emit,
        *,
        http: HttpClient,
        clock: Clock,
        base: Path,
        data_dir: Path,
        rng: Random,
        speed: float = 1.0,
        tap: Tap | None = None,
    ) -> None:
        self._clock = clock
        self._log = structlog.get_logger("monitor.slow_side")
        self.desk = DerivedDesk(read_derived(derived))
        self._memory = data_dir / "derived.json"
        self._recall_derived()
        self.door = Door(emit, Journal(data_dir / "inlet.jsonl"))
        self._recalled = self.door.recall(clock.wall_ns())
        self.route: web.RouteDef = inlet_route(self.door, clock)
        self.runners = [
            SourceRunner(
                read_source(entry),
                emit,
                http=http,
                clock=clock,
                directory=data_dir / "sources",
                rng=rng,
                speed=speed,
                tap=tap,
            )
            for entry in sources
        ]
        self._inlets = [read_inlet(entry, self.door, clock, base) for entry in inlets]

    async def run(self) -> None:
        """Ask sources and take rows until cancelled; what former runs were told comes first."""
        rows, self._recalled = self._recalled, []
        await self.door.pass_on(rows)
        try:
            await self._run_parts()
        finally:
            self._keep_derived()

    async def _run_parts(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_derived_for_ever(), name="derived")
            for runner in self.runners:
                tasks.create_task(self._keep_running(runner), name=f"source/{runner.name}")
            for inlet in self._inlets:
                tasks.create_task(self._keep_running(inlet), name=f"inlet/{type(inlet).__name__}")

    def _recall_derived(self) -> None:
        """A basket that began anew at 100 would look like a fall, and a streak of 30 days like one of a day."""
        try:
            self.desk.recall(json.loads(self._memory.read_bytes()), self._clock.wall_ns())
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._log.warning("derived.memory_unreadable", file=self._memory.name, reason=repr(error)[:200])

    def _keep_derived(self) -> None:
        try:
            memory = self.desk.memory(self._clock.wall_ns())
            write_atomically(self._memory, json.dumps(memory).encode(), sync=False)
        except OSError as error:
            self._log.warning("derived.memory_not_kept", reason=error.strerror)

    async def _keep_derived_for_ever(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.mono_ns() + int(KEEP_S * NS_PER_S))
            self._keep_derived()

    async def _keep_running(self, part: Inlet) -> None:
        """A full disk or a bug of one way in must not end the program: it is logged, and tried again later."""
        while True:
            try:
                return await part.run()
            except Exception:  # noqa: BLE001  # whatever it is, the rest runs on
                self._log.exception("slow_side.failed", part=type(part).__name__, again_in_s=RESTART_S)
            await self._clock.sleep_until(self._clock.mono_ns() + int(RESTART_S * NS_PER_S))

    def trouble(self, source: str) -> str:
        """The last errors of a configured source, in words; empty where there are none."""
        polls = (poll for runner in self.runners if runner.name == source for poll in runner.polls.values())
        return "; ".join(f"{poll.name}: {poll.last_error}" for poll in polls if poll.last_error)

    def observe(self, events: Sequence[Event], now_ns: int) -> list[Sample]:
        """What follows from a batch at `now_ns`; an empty batch is a tick."""
        return self.desk.observe(events, now_ns)


def read_inlet(entry: Mapping[str, Any], door: Door, clock: Clock, base: Path) -> Inlet:
    """One entry of ``inlets:``.

    Raises:
        ValueError: With what is wrong, in a sentence.
    """
    rest = dict(entry)
    kind = rest.pop("type", None)
    if kind not in INLET_KEYS:
        raise ValueError(f"inlets: unknown type {kind!r} (known: {', '.join(INLET_KEYS)}; HTTP is always there)")
    unknown = sorted(set(rest) - INLET_KEYS[kind])
    if unknown:
        raise ValueError(f"inlets: {kind}: unknown key {', '.join(unknown)}")
    if kind == "folder":
        path, every_s = rest.get("path"), rest.get("every_s", 2.0)
        if not isinstance(path, str) or not path:
            raise ValueError("inlets: folder: path is needed")
        if not isinstance(every_s, int | float) or every_s < 0.1:
            raise ValueError("inlets: folder: every_s must be at least 0.1 seconds")
        return FolderInlet(door, base / path, clock, float(every_s))
    if not all(isinstance(value, str) for value in rest.values()):
        raise ValueError("inlets: mqtt: every setting must be a text")
    if not str(rest.get("url", "")).startswith(("mqtt://", "mqtts://")):
        raise ValueError("inlets: mqtt: url must start with mqtt:// or mqtts://")
    return MqttInlet(door, MqttInletOptions(**rest), clock)


def check_slow_side(data: Any, document: Document) -> list[Problem]:
    """A check for `monitor.config.load_config`: mistakes in ``sources``, ``inlets`` and ``derived``."""
    problems: list[Problem] = []

    def attempt(path: tuple[str | int, ...], read: Callable[[], object]) -> None:
        try:
            read()
        except ValueError as error:
            problems.append(document.problem(path, str(error)))

    def each(key: str, read: Callable[[Mapping[str, Any]], object]) -> None:
        entries = data.get(key, []) if isinstance(data, Mapping) else []
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, Mapping):
                attempt((key, index), partial(read, entry))

    each("sources", read_source)
    door = Door(lambda _samples: None)
    each("inlets", lambda entry: read_inlet(entry, door, _NO_CLOCK, Path()))
    derived = data.get("derived", {}) if isinstance(data, Mapping) else {}
    if isinstance(derived, Mapping):
        attempt(("derived",), lambda: read_derived(derived))
    return problems


class _NoClock:
    """For a check: nothing runs."""

    def wall_ns(self) -> int:
        """Never asked."""
        return 0

    def mono_ns(self) -> int:
        """Never asked."""
        return 0

    async def sleep_until(self, mono_ns: int) -> None:
        """Never asked."""


_NO_CLOCK = _NoClock()
