"""The shell around the slow sources: quota and last values survive a restart, and no reply harms anything."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from structlog.testing import capture_logs

from monitor.errors import FetchError
from monitor.events import Event, FeedState, MarketEvent, Sample
from monitor.feed import Request
from monitor.runtime.source_runner import SourceRunner
from monitor.source import Quota, SourceOptions, SourcePoll, SourceSpec, decode_json
from monitor.testing.manual_clock import ManualClock
from monitor.transports.http import Reply

Answer = bytes | FetchError


class FakeHttp:
    """Answers from a script; the last answer repeats."""

    def __init__(self, clock: ManualClock, *answers: Answer) -> None:
        self.clock = clock
        self.answers = deque(answers)
        self.asked: list[int] = []

    async def fetch(self, request: Request, *, timeout_s: float = 10.0, max_bytes: int | None = None) -> Reply:
        self.asked.append(self.clock.wall_ns())
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.popleft()
        if isinstance(answer, FetchError):
            raise answer
        return Reply(answer, self.clock.wall_ns())


class ToySource:
    """One request every minute, three calls in ten minutes."""

    spec: ClassVar[SourceSpec] = SourceSpec(
        "toy", "Toy", ("tvl",), "http://127.0.0.1", "none", Quota(3, 600.0), "https://example.org"
    )

    def __init__(self) -> None:
        self.options = SourceOptions()

    def polls(self, now_ns: int) -> list[SourcePoll]:
        return [SourcePoll(Request("value", "http://127.0.0.1/value"), 60.0)]

    def parse(self, request: Request, body: bytes, recv_ns: int) -> list[MarketEvent]:
        if body == b"bug":
            raise KeyError("a bug in the parser")
        return [Sample("tvl", (), decode_json(body, float), recv_ns, recv_ns, "toy")]


class Bench:
    """A runner with its fake surroundings."""

    def __init__(self, clock: ManualClock, directory: Path | None, *answers: Answer) -> None:
        self.clock = clock
        self.http = FakeHttp(clock, *answers)
        self.events: list[Event] = []
        fake: Any = self.http
        self.runner = SourceRunner(ToySource(), self.take, http=fake, clock=clock, directory=directory, rng=Random(1))

    def take(self, events: Sequence[Event]) -> None:
        self.events += events

    async def run_for(self, seconds: float) -> None:
        task = asyncio.create_task(self.runner.run())
        await self.clock.advance(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @property
    def values(self) -> list[float]:
        return [event.value for event in self.events if isinstance(event, Sample)]

    @property
    def states(self) -> list[bool]:
        return [event.up for event in self.events if isinstance(event, FeedState)]


async def test_it_asks_at_its_pace_and_never_beyond_the_quota() -> None:
    bench = Bench(ManualClock(), None, *(json.dumps(n).encode() for n in range(10)))
    await bench.run_for(590)
    assert bench.values == [0.0, 1.0, 2.0]
    assert bench.runner.calls_left() == 0
    assert bench.states == [True, False]  # seven minutes without a call are too long for a poll of every minute


async def test_quota_and_last_value_survive_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    first = Bench(clock, tmp_path, b"1.5")
    await first.run_for(130)
    asked = len(first.http.asked)
    assert asked == 3
    second = Bench(clock, tmp_path, b"2.5")
    await second.run_for(20)
    assert second.http.asked == []
    assert second.values == [1.5]
    sample = second.events[0]
    assert isinstance(sample, Sample)
    assert sample.recv_ns == first.http.asked[-1]
    await second.run_for(400)
    assert second.http.asked == []
    assert second.runner.calls_left() == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>", "malformed"),
        (b'"text"', "wrong_type"),
        (b"bug", "internal"),
        (FetchError("timeout", "nothing"), "timeout"),
        (FetchError("too_large", "x"), "too_large"),
        (FetchError("redirect", "x"), "redirect"),
        (FetchError("status_500", "x"), "status_500"),
    ],
)
async def test_a_bad_reply_is_counted_and_the_last_good_value_keeps_its_age(answer: Answer, reason: str) -> None:
    bench = Bench(ManualClock(), None, b"1.0", answer)
    await bench.run_for(500)
    status = bench.runner.polls["value"]
    assert status.errors[reason] >= 1
    assert status.last_error.startswith(reason)
    assert status.last_good_ns == bench.http.asked[0]
    assert bench.values == [1.0]
    assert bench.states == [True, False]


async def test_retry_after_is_honoured() -> None:
    bench = Bench(ManualClock(), None, FetchError("rate_limited", "HTTP 429", 300.0), b"1.0")
    await bench.run_for(290)
    assert len(bench.http.asked) == 1
    bench = Bench(ManualClock(), None, FetchError("rate_limited", "HTTP 429", 300.0), b"1.0")
    await bench.run_for(320)
    assert bench.values == [1.0]


async def test_a_pause_that_a_service_asked_for_survives_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    first = Bench(clock, tmp_path, FetchError("rate_limited", "HTTP 429", 300.0))
    await first.run_for(10)
    assert len(first.http.asked) == 1
    second = Bench(clock, tmp_path, b"1.0")
    await second.run_for(280)
    assert second.http.asked == []
    await second.run_for(20)
    assert second.values[:1] == [1.0]


async def test_an_unreadable_shelf_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "value.reply").write_bytes(b"garbage")
    (tmp_path / "toy" / "quota.json").write_bytes(b"{")
    bench = Bench(ManualClock(), tmp_path, b"4.0")
    await bench.run_for(5)
    assert bench.values == [4.0]


async def test_a_disk_that_refuses_is_said_once_and_ends_no_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monitor.runtime.source_runner.write_atomically", full)
    bench = Bench(ManualClock(), tmp_path, b"4.0")
    with capture_logs() as logs:
        await bench.run_for(200)
    assert len(bench.values) > 1
    assert [log["event"] for log in logs].count("source.not_kept") == 1
