"""The event stream: whole first, then changes, the same bytes for all, and an end at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from monitor.clock import NS_PER_S
from monitor.testing.fake_view import FakeView
from monitor.web.page import ALERTS, Sparks
from monitor.web.server import BROADCASTER
from tests.web.conftest import SETTINGS, Served


@dataclass(frozen=True)
class Event:
    identity: str
    kind: str
    data: dict[str, Any]


async def next_event(reply: aiohttp.ClientResponse) -> Event | None:
    """The next event; None at the end of the stream."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(10):
        async for raw in reply.content:
            line = raw.decode().rstrip("\n")
            if not line and "data" in fields:
                return Event(fields["id"], fields["event"], json.loads(fields["data"]))
            name, _, value = line.partition(": ")
            if name:
                fields[name] = value
    return None


@asynccontextmanager
async def stream(served: Served, last: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"Last-Event-ID": last} if last else {}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session,
        session.get(f"{served.url}/events", headers=headers) as reply,
    ):
        assert reply.headers["Content-Type"] == "text/event-stream"
        yield reply


async def wait_until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_first_everything_then_what_changed(served: Served) -> None:
    async with stream(served) as reply:
        first = await next_event(reply)
        assert first is not None
        assert first.kind == "snapshot"
        assert {
            "process",
            "feeds",
            "assets",
            "windows",
            "rules",
            "alerts",
            "history",
            "sparks",
            "sinks",
            "silences",
            "latency",
        } <= set(first.data)
        served.view.reload_error = "broken"
        second = await next_event(reply)
        assert second is not None
        assert (second.kind, set(second.data)) == ("update", {"now", "process"})
        assert second.data["process"]["reload"]["error"] == "broken"


async def test_a_client_that_comes_back_gets_what_it_missed(served: Served) -> None:
    async with stream(served) as reply:
        first = await next_event(reply)
    assert first is not None
    served.view.reload_error = "while away"
    async with stream(served, first.identity) as reply:
        missed = await next_event(reply)
    assert missed is not None
    assert missed.kind == "update"
    assert missed.data["process"]["reload"]["error"] == "while away"
    assert "rules" not in missed.data


async def test_a_page_without_news_hears_that_the_monitor_lives(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr("monitor.web.sse.BEAT_S", 0.05)
    async with stream(served) as reply:
        first, beat = await next_event(reply), await next_event(reply)
    assert first is not None
    assert beat is not None
    assert (beat.kind, set(beat.data), beat.identity) == ("update", {"now"}, first.identity)


async def test_an_id_of_another_run_gets_everything(served: Served) -> None:
    for strange in ("0-5", "nonsense", "-1", "9" * 40):
        async with stream(served, strange) as reply:
            event = await next_event(reply)
            assert event is not None
            assert event.kind == "snapshot"


async def test_clients_share_one_encoding(served: Served) -> None:
    broadcaster = served.app[BROADCASTER]
    async with stream(served) as one, stream(served) as two, stream(served) as three:
        for reply in (one, two, three):
            await next_event(reply)
        before = broadcaster.encodings
        served.view.reload_error = "x"
        events = [await next_event(reply) for reply in (one, two, three)]
        assert broadcaster.encodings - before <= 3
        assert events[0] == events[1] == events[2]


async def test_nothing_is_encoded_while_nobody_listens(served: Served) -> None:
    await asyncio.sleep(3 / SETTINGS.updates_per_s)
    assert served.app[BROADCASTER].encodings == 0


async def test_too_many_clients_are_told_to_wait(served: Served) -> None:
    async with (
        stream(served),
        stream(served),
        stream(served),
        stream(served),
        served.session.get(f"{served.url}/events") as reply,
    ):
        assert reply.status == 503
        assert reply.headers["Retry-After"] == "30"

    def gone() -> bool:
        served.view.advance(1)  # a client that went away is noticed at the next update
        return served.app[BROADCASTER].clients == 0

    await wait_until(gone)


async def test_streams_end_at_once_when_the_program_stops(served: Served) -> None:
    async with stream(served) as reply:
        await next_event(reply)
        async with asyncio.timeout(0.9):  # less than the second that the server would give an open request
            await served.runner.cleanup()
        assert await next_event(reply) is None


async def test_a_bad_reading_is_said_and_does_not_stop_the_page(served: Served, monkeypatch: Any) -> None:
    def broken(_view: FakeView) -> None:
        raise RuntimeError("no table")

    async with stream(served) as reply:
        await next_event(reply)
        monkeypatch.setattr(FakeView, "windows", broken)
        await wait_until(lambda: served.app[BROADCASTER].failure)
        async with served.session.get(f"{served.url}/healthz") as health:
            assert (health.status, await health.text()) == (503, "live page: RuntimeError: no table\n")
        monkeypatch.undo()
        await wait_until(lambda: not served.app[BROADCASTER].failure)
        served.view.reload_error = "x"
        assert await next_event(reply) is not None


def test_sparks_keep_a_slot_per_step_and_leave_gaps() -> None:
    sparks = Sparks(step_s=10, points=8)
    assert sparks.due(100 * NS_PER_S)
    sparks.add(100 * NS_PER_S, {"a": 1.0})
    assert not sparks.due(109 * NS_PER_S)
    sparks.add(110 * NS_PER_S, {"a": 2.0, "b": 5.0})
    sparks.add(170 * NS_PER_S, {"a": 3.0})
    assert sparks.body() == {"a": [1.0, 2.0, None, None, None, None, None, 3.0], "b": [5.0, *[None] * 6]}
    sparks.add(999 * NS_PER_S, {"a": 4.0})
    assert sparks.body()["a"] == [*[None] * 7, 4.0]


def test_a_late_reading_leaves_the_last_value_standing_and_a_missing_one_missing() -> None:
    sparks = Sparks(step_s=10, points=8)
    sparks.add(100 * NS_PER_S, {"a": 1.0, "b": 5.0})
    sparks.add(110 * NS_PER_S, {"a": 2.0})
    sparks.add(140 * NS_PER_S, {"a": 3.0})
    assert sparks.body() == {"a": [1.0, 2.0, 2.0, 2.0, 3.0], "b": [5.0, None, None, None, None]}


async def test_a_storm_shows_the_most_urgent_and_counts_all(served: Served, monkeypatch: Any) -> None:
    mild, *_ = served.view.alerts()
    storm = [replace(mild, fingerprint=f"{number:016x}", severity="warning") for number in range(2000)]
    worst = replace(mild, fingerprint="worst", severity="critical", starts_at_ns=1)
    monkeypatch.setattr(served.view, "alerts", lambda: [*storm, worst])
    async with stream(served) as reply:
        first = await next_event(reply)
    assert first is not None
    assert len(first.data["alerts"]) == ALERTS
    assert first.data["alerts"][0]["fingerprint"] == "worst"
    assert first.data["alert_counts"] == {
        "total": 2001, "states": {"firing": 2001}, "firing": {"warning": 2000, "critical": 1}
    }  # fmt: skip
