"""What a venue has by REST only: requests repeated at their own pace, with back-off, and what they say of liveness."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.clock import NS_PER_S
from monitor.errors import DecodeError, FetchError
from monitor.feed import Poll
from monitor.runtime.feeds.backoff import Backoff
from monitor.runtime.feeds.desk import Desk
from monitor.transports.http import HttpClient

STALE_PERIODS = 3.0
LEAST_STALE_S = 10.0
HEALTHY_SHARE = 0.5
LONGEST_WAIT_S = 600.0
CARRIER = "rest"


@dataclass(slots=True)
class _Turn:
    """One poll's schedule and health."""

    poll: Poll
    backoff: Backoff
    last_good_ns: int | None = None
    last_good_wall_ns: int = 0

    def healthy(self, mono_ns: int) -> bool:
        limit_s = max(LEAST_STALE_S, STALE_PERIODS * self.poll.every_s)
        return self.last_good_ns is not None and mono_ns - self.last_good_ns <= limit_s * NS_PER_S


class Poller:
    """Runs all polls of one feed: each every ``every_s``, any two at least ``pace_s`` apart, a few in flight together.

    A polled channel is live while at least half of its polls have answered within three of their periods.
    """

    def __init__(self, desk: Desk, http: HttpClient, polls: Sequence[Poll]) -> None:
        self._desk = desk
        self._http = http
        self._turns = [_Turn(poll, Backoff(max(1.0, poll.every_s), LONGEST_WAIT_S, desk.rng)) for poll in polls]
        self._due: list[tuple[int, int]] = []
        self._in_flight = asyncio.Semaphore(desk.settings.polls_at_once)
        self.channels = frozenset(poll.channel for poll in polls)
        desk.liveness.expect(CARRIER, self.channels)

    async def run(self) -> None:
        """Poll until cancelled."""
        clock = self._desk.clock
        self._due = [(clock.mono_ns(), number) for number in range(len(self._turns))]
        async with asyncio.TaskGroup() as tasks:
            while self._turns:
                number = await self._next()
                await self._in_flight.acquire()
                turn = self._turns[number]
                tasks.create_task(self._take(number, turn), name=f"poll-{turn.poll.request.name}")
                await clock.sleep_until(clock.mono_ns() + int(turn.poll.pace_s * NS_PER_S))

    def tick(self, mono_ns: int) -> None:
        """Called about once a second: which polled channels are live."""
        desk = self._desk
        for channel in self.channels:
            turns = [turn for turn in self._turns if turn.poll.channel == channel]
            healthy = sum(turn.healthy(mono_ns) for turn in turns)
            if healthy >= max(1, math.ceil(HEALTHY_SHARE * len(turns))):
                desk.liveness.up(CARRIER, channel, desk.clock.wall_ns())
            else:
                last_ns = max(turn.last_good_wall_ns for turn in turns)
                desk.liveness.down(CARRIER, channel, last_ns or desk.clock.wall_ns(), "poll_failed")

    async def _next(self) -> int:
        """The number of the poll that is due next, once it is due; polls in flight may come back earlier than others."""
        clock = self._desk.clock
        while True:
            now_ns = clock.mono_ns()
            if self._due and self._due[0][0] <= now_ns:
                return heapq.heappop(self._due)[1]
            look_again_ns = now_ns + int(self._desk.settings.tick_s * NS_PER_S)
            await clock.sleep_until(min(look_again_ns, self._due[0][0]) if self._due else look_again_ns)

    async def _take(self, number: int, turn: _Turn) -> None:
        clock = self._desk.clock
        started_ns = clock.mono_ns()
        try:
            wait_s = await self._poll(turn)
        finally:
            self._in_flight.release()
        heapq.heappush(self._due, (started_ns + int(wait_s * NS_PER_S), number))

    async def _poll(self, turn: _Turn) -> float:
        """Poll once; returns the seconds from its start to the next."""
        desk, poll = self._desk, turn.poll
        bad: list[DecodeError] = []
        desk.budget.note(poll.request.weight, desk.clock.mono_ns())
        try:
            reply = await self._http.fetch(poll.request, timeout_s=desk.settings.poll_timeout_s)
            if desk.tap is not None:
                desk.tap(f"{desk.stats.venue}/poll/{poll.request.name}", "rest", reply.body, reply.recv_ns)
            events = desk.feed.parse_poll(poll, reply.body, reply.recv_ns, desk.registry, bad.append)
            self._count_bad_rows(turn, bad)
            if bad and not events:
                return self._failed(turn, bad[0].reason, f"no readable row: {bad[0].detail}", None)
        except FetchError as error:
            return self._failed(turn, error.reason, error.detail, error.retry_after_s)
        except DecodeError as error:
            desk.stats.decode_errors[error.reason] += 1
            return self._failed(turn, error.reason, error.detail, None)
        except Exception as error:  # noqa: BLE001  # a parser's bug must not stop the feed; it is counted and logged
            return self._failed(turn, "internal", repr(error), None)
        turn.backoff.reset()
        turn.last_good_ns, turn.last_good_wall_ns = desk.clock.mono_ns(), reply.recv_ns
        desk.stats.polls += 1
        if events:
            desk.accept(events, reply.recv_ns, turn.last_good_ns, 0, standby=False)
        return poll.every_s

    def _count_bad_rows(self, turn: _Turn, bad: Sequence[DecodeError]) -> None:
        for error in bad:
            self._desk.bad_frame(turn.poll.request.name, error.reason, error.detail)

    def _failed(self, turn: _Turn, reason: str, detail: str, retry_after_s: float | None) -> float:
        turn.backoff.failed()
        self._desk.stats.poll_errors[reason] += 1
        self._desk.sampled.warning(
            "feed.poll_failed", reason, request=turn.poll.request.name, reason=reason, detail=detail
        )
        return max(turn.poll.every_s + turn.backoff.wait_s(), retry_after_s or 0.0)
