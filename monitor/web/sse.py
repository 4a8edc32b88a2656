"""Server-sent events: one encoding per update for all clients, and only the sections that changed.

A client that connects gets everything (``event: snapshot``), then the changes (``event: update``). It keeps the id of
the last update; when it comes back with ``Last-Event-ID`` and this process still remembers that update, it gets what it
missed, else a new snapshot. A slow client skips updates: it is sent what changed since the last one that it took.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain

import structlog
from aiohttp import web

from monitor.clock import NS_PER_MS
from monitor.telemetry.view import MonitorView
from monitor.telemetry.views.alerting import HistoryQuery
from monitor.web.page import HISTORY_ENTRIES, Sparks, encode, join_sections, sections, slow_sections, spark_values
from monitor.web.shapes.alerting import history_body

_log = structlog.get_logger(__name__)
BEAT_S = 2.0
"""After so long without news an update without sections goes out: a page that hears nothing says that it is old."""
SLOW_PERIOD_S = 1.0
"""Between readings of what nobody needs four times a second: rules, signals, history."""
SEND_DEADLINE_S = 20.0


class Broadcaster:
    """Reads the view `updates_per_s` times a second while anyone listens, and hands the bytes to every client."""

    def __init__(self, view: MonitorView, updates_per_s: float = 4.0, max_clients: int = 200) -> None:
        self._view = view
        self._period_s = 1 / updates_per_s
        self._slow_every = max(1, round(SLOW_PERIOD_S * updates_per_s))
        self._max_clients = max_clients
        self._boot = secrets.token_hex(6)  # ids of another run mean nothing here
        self._number = 0
        self._refreshes = 0
        self._parts: dict[str, bytes] = {}
        self._changed_at: dict[str, int] = {}
        self._frames: dict[int, bytes] = {}
        self._sparks = Sparks()
        self._news = asyncio.Condition()
        self._closing = False
        self.clients = 0
        self.encodings = 0
        self.failure = ""

    async def run(self) -> None:
        """Update until cancelled; the short histories are kept even while nobody listens."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await self._update()
                self.failure = ""
            except Exception as error:  # noqa: BLE001 - one bad reading must not stop the page for good; /healthz says so
                self.failure = f"{type(error).__name__}: {error}"
                _log.exception("web.update_failed")
            due = max(due + self._period_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _update(self) -> None:
        now_ns = self._view.process().now_ns
        if self._sparks.due(now_ns):
            self.keep(spark_values(self._view))
        if self.clients:
            await self.refresh()

    def keep(self, values: Mapping[str, float | None]) -> None:
        """Add one point to the short histories that the page draws."""
        self._sparks.add(self._view.process().now_ns, values)

    async def close(self) -> None:
        """End every stream at once."""
        async with self._news:
            self._closing = True
            self._news.notify_all()

    async def refresh(self) -> None:
        """Read the view, note which sections changed, and wake the clients if any did."""
        fresh = await self._encoded()
        changed = [name for name, body in fresh.items() if self._parts.get(name) != body]
        if not changed:
            return
        async with self._news:
            self._number += 1
            self._parts.update(fresh)
            self._changed_at.update(dict.fromkeys(changed, self._number))
            self._frames.clear()
            self._news.notify_all()

    async def _encoded(self) -> Mapping[str, bytes]:
        self.encodings += 1
        slow = self._refreshes % self._slow_every == 0
        parts = {"sparks": encode(self._sparks.body())}
        for name, body in chain(sections(self._view), slow_sections(self._view) if slow else ()):
            parts[name] = encode(body)
            await asyncio.sleep(0)  # an event that has come meanwhile goes first
        if slow:
            entries = await self._view.history(HistoryQuery(limit=HISTORY_ENTRIES))
            parts["history"] = encode([history_body(entry) for entry in entries])
        self._refreshes += 1
        return parts

    def _frame(self, since: int) -> bytes:
        """What changed after update `since`, as one event; 0 is everything."""
        if since not in self._frames:
            parts = {name: body for name, body in self._parts.items() if self._changed_at[name] > since}
            data = join_sections(parts, self._view.process().now_ns // NS_PER_MS)
            kind = b"update" if since else b"snapshot"
            self._frames[since] = self._event(kind, data)
        return self._frames[since]

    def _beat(self) -> bytes:
        """A sign of life; only a comment, which pages do not hear, where the view cannot be read."""
        if self.failure:
            return b": the view cannot be read\n\n"
        return self._event(b"update", join_sections({}, self._view.process().now_ns // NS_PER_MS))

    def _event(self, kind: bytes, data: bytes) -> bytes:
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._boot.encode(), self._number, kind, data)

    def _resume_from(self, last_event_id: str) -> int:
        boot, _, number = last_event_id.rpartition("-")
        known = boot == self._boot and number.isascii() and number.isdigit() and len(number) < 18
        return int(number) if known and int(number) <= self._number else 0

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it goes away or the program stops."""
        if self.clients >= self._max_clients:
            raise web.HTTPServiceUnavailable(text="too many open event streams", headers={"Retry-After": "30"})
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        self.clients += 1
        try:
            if self.clients == 1:
                await self.refresh()
            await self._serve(response, self._resume_from(request.headers.get("Last-Event-ID", "")))
        except (ConnectionResetError, TimeoutError):
            pass  # the client went away or stopped reading; it will come back with its Last-Event-ID
        finally:
            self.clients -= 1
        return response

    async def _serve(self, response: web.StreamResponse, since: int) -> None:
        await response.write(b"retry: 1000\n\n")
        while not self._closing:
            if self._number > since:
                await self._write(response, self._frame(since))
                since = self._number
            await self._wait_beyond(since)
            if self._number == since and not self._closing:
                await self._write(response, self._beat())

    @staticmethod
    async def _write(response: web.StreamResponse, frame: bytes) -> None:
        async with asyncio.timeout(SEND_DEADLINE_S):
            await response.write(frame)

    async def _wait_beyond(self, since: int) -> None:
        """Until there is news or a sign of life is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_S), self._news:
                await self._news.wait_for(lambda: self._closing or self._number > since)
