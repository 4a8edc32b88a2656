"""Asks the slow sources, each request at its pace and within the service's quota; keeps the last good reply on disk.

After a restart the kept replies are read again at their own time of receipt: values are there at once with their true
age, no request is made before it is due, and the quota that was used stays used.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import structlog

from monitor.clock import NS_PER_S, Clock
from monitor.errors import DecodeError, FetchError
from monitor.events import Channel, Event, FeedState, MarketEvent
from monitor.runtime.apart import read_apart
from monitor.runtime.feeds.backoff import Backoff
from monitor.runtime.feeds.desk import Tap
from monitor.runtime.files import write_atomically
from monitor.source import Novelty, Quota, Source, SourcePoll
from monitor.tape.facts import source_name
from monitor.telemetry.views.feeds import PollView, SourceView
from monitor.transports.http import HttpClient

Emit = Callable[[Sequence[Event]], None]

TIMEOUT_S = 30.0
LONGEST_WAIT_S = 3600.0
STALE_PERIODS = 3.0
PACE_S = 0.25
SHORTEST_S = 1.0
WATCH_NS = 15 * NS_PER_S
KEPT_BYTES = 4 * 1024 * 1024
MOST_BYTES = 32 * 1024 * 1024
"""The largest reply of the services is a list of all protocols, of about 10 MB."""
LARGE_BYTES = 1024 * 1024
"""About 10 ms of reading; a larger reply is read in a process of its own."""


@dataclass(slots=True)
class Used:
    """How much of a quota's present period is used, and until when the service wants to be left alone; survives restarts."""

    since_ns: int = 0
    calls: int = 0
    not_before_ns: int = 0

    def pause_ns(self, now_ns: int) -> int:
        """How long the service still wants no call; never longer than `LONGEST_WAIT_S`, whatever the clock did."""
        return max(0, min(self.not_before_ns - now_ns, int(LONGEST_WAIT_S * NS_PER_S)))

    def wait_ns(self, quota: Quota, now_ns: int) -> int:
        """How long until the next call is allowed; 0: now."""
        end_ns = self.since_ns + int(quota.period_s * NS_PER_S)
        if not self.since_ns <= now_ns < end_ns:
            self.since_ns, self.calls = now_ns, 0
            return 0
        return 0 if self.calls < quota.calls else end_ns - now_ns


@dataclass(slots=True)
class PollStatus:
    """One request's health, for the status page and ``monitor signals``."""

    name: str
    every_s: float
    last_good_ns: int | None = None
    newest_ns: int = 0
    last_error: str = ""
    replies: int = 0
    unchanged: int = 0
    events: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class SourceRunner:
    """Runs all polls of one source.

    Args:
        source: What to ask and how to read it.
        emit: Takes events, on the event loop.
        http: Makes the requests; honours ``Retry-After`` and ETags.
        clock: Wall time stamps values, monotonic time paces requests.
        directory: Where quota and last replies are kept; None: nowhere.
        rng: Jitter.
        speed: Market seconds per real one (the demo); intervals are in the market's.
        tap: Hears every reply, for a tape.
    """

    def __init__(
        self,
        source: Source,
        emit: Emit,
        *,
        http: HttpClient,
        clock: Clock,
        directory: Path | None,
        rng: Random,
        speed: float = 1.0,
        tap: Tap | None = None,
    ) -> None:
        self._tap = tap
        self.source = source
        self.name = source.spec.name
        self.polls = {poll.request.name: PollStatus(poll.request.name, poll.every_s) for poll in source.polls(0)}
        self.used = Used()
        self._emit = emit
        self._http = http
        self._clock = clock
        self._shelf = None if directory is None else Shelf(directory / self.name)
        self._rng = rng
        self._speed = speed
        self._novelty = Novelty(keep=2000)
        self._turn = asyncio.Lock()
        self._up: bool | None = None
        self._log = structlog.get_logger("monitor.source").bind(source=self.name)

    def view(self) -> SourceView:
        """How it fares."""
        polls = [
            PollView(
                request=poll.name,
                every_s=poll.every_s,
                replies=poll.replies,
                unchanged=poll.unchanged,
                values=poll.events,
                last_good_ns=poll.last_good_ns or 0,
                newest_ns=poll.newest_ns,
                failures=dict(poll.errors),
                last_error=poll.last_error,
            )
            for poll in self.polls.values()
        ]
        return SourceView(self.name, self.up, polls, self.calls_left())

    @property
    def up(self) -> bool:
        """Whether at least half of its requests are answered."""
        return bool(self._up)

    async def run(self) -> None:
        """Ask until cancelled."""
        self._restore()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name=f"source/{self.name}")
            for name in self.polls:
                tasks.create_task(self._repeat(name), name=f"source/{self.name}/{name}")

    def calls_left(self) -> int | None:
        """What is left of the quota in its present period; None where the service publishes none."""
        quota = self.source.spec.quota
        if quota is None:
            return None
        self.used.wait_ns(quota, self._clock.wall_ns())
        return quota.calls - self.used.calls

    def _restore(self) -> None:
        """Read the kept replies again, at their own time."""
        if self._shelf is None:
            return
        self.used = self._shelf.used()
        for poll in self.source.polls(self._clock.wall_ns()):
            kept = self._shelf.reply(poll.request.name)
            if kept is None or kept[0] > self._clock.wall_ns():
                continue
            try:
                self._pass_on(poll, self._parse(poll, kept[1], kept[0]), kept[0])
            except DecodeError as error:
                self._log.warning("source.kept_reply_unreadable", request=poll.request.name, reason=error.reason)

    async def _repeat(self, name: str) -> None:
        status = self.polls[name]
        backoff = Backoff(min(60.0, status.every_s), LONGEST_WAIT_S, self._rng)
        wait_s = self._first_wait_s(status)
        while True:
            await self._clock.sleep_until(self._clock.mono_ns() + int(wait_s / self._speed * NS_PER_S))
            wait_s = max(await self._ask(name, backoff), self._speed * SHORTEST_S)
            self._tell()

    async def _watch(self) -> None:
        """Tell that the source is no longer live even while all requests wait."""
        while True:
            await self._clock.sleep_until(self._clock.mono_ns() + WATCH_NS)
            if self._up is not None:
                self._tell()

    def _first_wait_s(self, status: PollStatus) -> float:
        if status.last_good_ns is None:
            return 0.0
        age_s = (self._clock.wall_ns() - status.last_good_ns) / NS_PER_S
        return max(0.0, status.every_s - age_s)

    async def _ask(self, name: str, backoff: Backoff) -> float:
        """Ask once; returns the seconds until the next time."""
        status = self.polls[name]
        poll = next(poll for poll in self.source.polls(self._clock.wall_ns()) if poll.request.name == name)
        try:
            async with self._turn:
                await self._within_quota()
                reply = await self._http.fetch(poll.request, timeout_s=TIMEOUT_S, max_bytes=MOST_BYTES)
            if self._tap is not None and not reply.unchanged:
                self._tap(source_name(self.name, name), "rest", reply.body, reply.recv_ns)
            await self._read(poll, reply.body, reply.recv_ns)
        except FetchError as error:
            return self._failed(status, backoff, error.reason, error.detail, error.retry_after_s)
        except DecodeError as error:
            return self._failed(status, backoff, error.reason, error.detail, None)
        backoff.reset()
        status.unchanged += reply.unchanged
        if self._shelf is not None and not reply.unchanged:
            self._shelf.keep(name, reply.recv_ns, reply.body)
        return poll.every_s * self._rng.uniform(0.95, 1.0)

    async def _read(self, poll: SourcePoll, body: bytes, recv_ns: int) -> None:
        """Parse and pass on; a large reply is read in another process, because the engine must not wait for it."""
        if len(body) < LARGE_BYTES:
            events = self._parse(poll, body, recv_ns)
        else:
            events = await read_apart(self.source, poll.request, body, recv_ns)
        self._pass_on(poll, events, recv_ns)

    def _parse(self, poll: SourcePoll, body: bytes, recv_ns: int) -> list[MarketEvent]:
        try:
            return self.source.parse(poll.request, body, recv_ns)
        except DecodeError:
            raise
        except Exception as error:
            # A parser's bug must stop neither the source nor the program; it is counted and logged like a bad reply.
            raise DecodeError("internal", repr(error)[:200]) from error

    def _pass_on(self, poll: SourcePoll, events: list[MarketEvent], recv_ns: int) -> None:
        status = self.polls[poll.request.name]
        new = self._novelty.new(events)
        status.last_good_ns, status.last_error = recv_ns, ""
        status.newest_ns = max((event.ts_ns for event in events), default=status.newest_ns)
        status.replies += 1
        status.events += len(new)
        if new:
            self._emit(new)

    async def _within_quota(self) -> None:
        """Wait for the quota and the pace, then use one call."""
        quota = self.source.spec.quota
        pause_ns = max(int(PACE_S * NS_PER_S), self.used.pause_ns(self._clock.wall_ns()))
        await self._clock.sleep_until(self._clock.mono_ns() + int(pause_ns / self._speed))
        if quota is not None:
            wait_ns = self.used.wait_ns(quota, self._clock.wall_ns())
            if wait_ns:
                self._log.warning("source.quota_used_up", wait_s=round(wait_ns / NS_PER_S))
                await self._clock.sleep_until(self._clock.mono_ns() + int(wait_ns / self._speed))
                self.used.wait_ns(quota, self._clock.wall_ns())
            self.used.calls += 1
            if self._shelf is not None:
                self._shelf.keep_used(self.used)

    def _leave_alone(self, seconds: float) -> None:
        """The service asked for a pause: of all requests, and also after a restart."""
        until_ns = self._clock.wall_ns() + int(seconds * NS_PER_S)
        if until_ns > self.used.not_before_ns:
            self.used.not_before_ns = until_ns
            if self._shelf is not None:
                self._shelf.keep_used(self.used)

    def _failed(
        self, status: PollStatus, backoff: Backoff, reason: str, detail: str, retry_after_s: float | None
    ) -> float:
        backoff.failed()
        if retry_after_s:
            self._leave_alone(retry_after_s)
        status.errors[reason] += 1
        status.last_error = f"{reason}: {detail}"[:300]
        self._log.warning("source.poll_failed", request=status.name, reason=reason, detail=detail[:300])
        return max(min(60.0, status.every_s) + backoff.wait_s(), retry_after_s or 0.0)

    def _tell(self) -> None:
        """Say whether the source is live: at least half of its polls answered within three of their periods."""
        now_ns = self._clock.wall_ns()
        good = sum(
            status.last_good_ns is not None
            and now_ns - status.last_good_ns <= STALE_PERIODS * status.every_s * NS_PER_S
            for status in self.polls.values()
        )
        up = 2 * good >= len(self.polls)
        if up != self._up:
            self._up = up
            self._emit([FeedState(self.name, Channel.REFERENCE, up, now_ns, "" if up else "poll_failed")])


class Shelf:
    """Quota and last good replies of one source, as files.

    None is worth that the event loop waits for the disk, or that the source ends because the disk refuses.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._refused = False
        directory.mkdir(parents=True, exist_ok=True)

    def keep(self, name: str, recv_ns: int, body: bytes) -> None:
        """Keep a reply; one that is too large is only asked for again."""
        if len(body) <= KEPT_BYTES:
            self._write(self._path(name), f"{recv_ns}\n".encode() + body)

    def reply(self, name: str) -> tuple[int, bytes] | None:
        """Time of receipt and body of the last good reply; None where there is none or it cannot be read."""
        try:
            head, _, body = self._path(name).read_bytes().partition(b"\n")
            return int(head), body
        except (OSError, ValueError):
            return None

    def keep_used(self, used: Used) -> None:
        """Keep what is used of the quota."""
        self._write(self._directory / "quota.json", json.dumps(asdict(used)).encode())

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data, sync=False)
        except OSError as error:
            if not self._refused:  # said once: it is the same for every reply until there is space again
                structlog.get_logger("monitor.source").warning(
                    "source.not_kept", folder=str(path.parent), error=str(error)
                )
            self._refused = True
        else:
            self._refused = False

    def used(self) -> Used:
        """What is used of the quota; nothing where that is not known."""
        try:
            kept = json.loads((self._directory / "quota.json").read_bytes())
            return Used(int(kept["since_ns"]), int(kept["calls"]), int(kept.get("not_before_ns", 0)))
        except (OSError, ValueError, KeyError, TypeError):
            return Used()

    def _path(self, name: str) -> Path:
        return self._directory / (re.sub(r"[^A-Za-z0-9]+", "_", name) + ".reply")
