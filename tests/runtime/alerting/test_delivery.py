from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from monitor.alert import AlertState, SavedAlert, Transition
from monitor.clock import SystemClock
from monitor.runtime.alerting.change import Change, Outgoing
from monitor.runtime.alerting.delivery import Delivery
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.worker import DeliverySettings
from monitor.sink import Notification, Outcome, Result, SinkBase, SinkOptions
from tests.sinks.build import alert, note

FAST = DeliverySettings(retry_first_s=0.001, retry_max_s=0.01)


class Script(SinkBase):
    """Answers as told; then accepts."""

    def __init__(self, *answers: Outcome | Exception | float, **options: Any) -> None:
        self.options = SinkOptions(type="script", **options)
        self.answers = list(answers)
        self.got: list[str] = []
        self.tries = 0
        self.closed = False

    async def deliver(self, notification: Notification) -> Outcome:
        self.tries += 1
        answer = self.answers.pop(0) if self.answers else Outcome.ok()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = Outcome.ok()
        if answer.result is Result.OK:
            self.got.append(notification.key)
        return answer

    async def close(self) -> None:
        self.closed = True


class Harness:
    def __init__(self, delivery: Delivery, store: Store) -> None:
        self.delivery = delivery
        self.store = store

    def send(self, sink: str, *notifications: Notification) -> None:
        self.delivery.submit([Outgoing(sink, n) for n in notifications])

    async def drained(self) -> None:
        assert await self.delivery.drain(5)


@asynccontextmanager
async def running(path: Path, settings: DeliverySettings = FAST, **sinks: Any) -> AsyncIterator[Harness]:
    store = await Store.open(path / "m.db", durable=False)
    delivery = Delivery(sinks, store, SystemClock(), structlog.get_logger(), settings=settings)
    task = asyncio.create_task(delivery.run())
    try:
        yield Harness(delivery, store)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await delivery.close()
        await store.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_in_order_and_recorded(tmp_path: Path) -> None:
    sink = Script()
    async with running(tmp_path, a=sink) as h:
        h.send("a", *[note(key=f"k{n}") for n in range(50)])
        await h.drained()
        assert sink.got == [f"k{n}" for n in range(50)]
        assert h.delivery.stats["a"].outcomes == {"ok": 50}
        assert h.delivery.stats["a"].depth == 0
        assert {d.outcome for d in await h.store.deliveries()} == {"ok"}
        assert await h.store.depths() == {}
    assert sink.closed


async def test_a_failure_is_tried_again_and_blocks_only_its_own_alert(tmp_path: Path) -> None:
    sink = Script(Outcome.retry("HTTP 503"))
    one, two = alert("One"), alert("Two")
    async with running(tmp_path, DeliverySettings(retry_first_s=0.2), a=sink) as h:
        h.send("a", note(one, key="1a"), note(one, key="1b"), note(two, key="2a"))
        await h.drained()
    assert sink.got == ["2a", "1a", "1b"]


async def test_an_exception_is_a_retry_and_its_text_is_not_kept(tmp_path: Path) -> None:
    sink = Script(RuntimeError("token=hunter2"))
    async with running(tmp_path, a=sink) as h:
        h.send("a", note())
        await h.drained()
        log = await h.store.deliveries()
        assert [d.outcome for d in log] == ["ok", "retry"]
        assert "hunter2" not in str(log) + str(h.delivery.stats)
        assert log[1].reason == "RuntimeError"


async def test_a_slow_receiver_runs_into_its_deadline(tmp_path: Path) -> None:
    sink = Script(30.0, deadline_s=0.02)
    async with running(tmp_path, a=sink) as h:
        h.send("a", note())
        await h.drained()
        assert h.delivery.stats["a"].last_error == "timeout"
    assert sink.got == ["k1"]


async def test_a_refusal_is_a_dead_letter_that_can_be_sent_again(tmp_path: Path) -> None:
    sink = Script(Outcome.drop("HTTP 400"))
    async with running(tmp_path, a=sink) as h:
        h.send("a", note())
        await h.drained()
        (letter,) = await h.store.dead_letters()
        assert letter.reason == "HTTP 400"
        assert await h.delivery.resend([letter.id]) == 1
        await h.drained()
        assert await h.store.dead_letters() == []
    assert sink.got == ["k1"]


async def test_a_dead_sink_does_not_delay_another(tmp_path: Path) -> None:
    dead, alive = Script(*[Outcome.retry("down")] * 10_000), Script()
    async with running(tmp_path, dead=dead, alive=alive) as h:
        for n in range(100):
            h.send("dead", note(key=f"k{n}"))
            h.send("alive", note(key=f"k{n}"))
        await until(lambda: len(alive.got) == 100)
        assert dead.got == []


async def test_the_breaker_opens_and_closes_and_the_fallback_takes_over_once(tmp_path: Path) -> None:
    down = Script(*[Outcome.retry("down")] * 4, fallback="spare")
    spare = Script()
    settings = DeliverySettings(retry_first_s=0.001, retry_max_s=0.01, breaker_after=3)
    async with running(tmp_path, settings, main=down, spare=spare) as h:
        h.send("main", *[note(alert(f"A{n}"), key=f"k{n}") for n in range(3)])
        await until(lambda: h.delivery.stats["main"].breaker_open)
        await h.drained()
        assert not h.delivery.stats["main"].breaker_open
    assert sorted(down.got) == ["k0", "k1", "k2"]
    assert sorted(spare.got) == ["k0", "k1", "k2"]


async def test_a_dead_letter_goes_to_the_fallback(tmp_path: Path) -> None:
    main, spare = Script(Outcome.drop("HTTP 401"), fallback="spare"), Script(fallback="main")
    async with running(tmp_path, main=main, spare=spare) as h:
        h.send("main", note())
        await until(lambda: spare.got == ["k1"])
        await h.drained()
    assert main.tries == 1


async def test_retry_after_rests_the_whole_sink(tmp_path: Path) -> None:
    sink = Script(Outcome.retry("HTTP 429", 0.15))
    async with running(tmp_path, a=sink) as h:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        h.send("a", note(alert("One"), key="1"), note(alert("Two"), key="2"))
        await h.drained()
        assert loop.time() - begin >= 0.15
    assert sink.tries == 3


async def test_what_is_too_old_is_given_up(tmp_path: Path) -> None:
    sink = Script(*[Outcome.retry("down")] * 1000, max_age_s=0.05)
    async with running(tmp_path, a=sink) as h:
        h.send("a", note())
        await h.drained()
        assert len(await h.store.dead_letters("a")) == 1


async def test_undelivered_rows_are_delivered_after_a_restart_in_order(tmp_path: Path) -> None:
    never = Script(*[Outcome.retry("down")] * 100_000)
    async with running(tmp_path, a=never) as h:
        h.send("a", *[note(key=f"k{n:04}") for n in range(30)])
        await until(lambda: never.tries > 3)
    sink = Script()
    async with running(tmp_path, a=sink) as h:
        await until(lambda: len(sink.got) == 30)
        await h.drained()
        assert h.delivery.stats["a"].depth == 0
    assert sink.got == [f"k{n:04}" for n in range(30)]


async def test_a_backlog_beyond_memory_waits_in_the_store(tmp_path: Path) -> None:
    sink = Script(0.2)
    async with running(tmp_path, DeliverySettings(in_memory=10), a=sink) as h:
        for n in range(500):
            h.send("a", note(key=f"k{n:04}"))
            if n % 50 == 0:
                await asyncio.sleep(0.002)
        await h.drained()
    assert sink.got == [f"k{n:04}" for n in range(500)]


async def test_a_repeat_of_a_key_is_not_sent(tmp_path: Path) -> None:
    sink = Script()
    async with running(tmp_path, a=sink) as h:
        h.send("a", note(), note())
        await h.drained()
        h.send("a", note())
        await h.drained()
    assert sink.got == ["k1"]


async def test_submitting_never_waits_for_a_sink(tmp_path: Path) -> None:
    sink = Script(*[60.0] * 3)
    async with running(tmp_path, a=sink) as h:
        async with asyncio.timeout(1):
            for n in range(1000):
                h.send("a", note(key=f"k{n}"))
        await until(lambda: h.delivery.stats["a"].depth == 1000)
        assert not await h.delivery.drain(0.01)


async def test_a_full_disk_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Script()
    async with running(tmp_path, a=sink) as h:
        commit, failures = h.store.commit, [OSError(28, "No space left on device")]

        async def flaky(change: Any) -> Any:
            if failures:
                raise failures.pop()
            return await commit(change)

        monkeypatch.setattr(h.store, "commit", flaky)
        h.send("a", note())
        await h.drained()
        assert h.delivery.write_failures == 1
    assert sink.got == ["k1"]


async def test_resolved_follows_firing_even_if_firing_failed_first(tmp_path: Path) -> None:
    sink = Script(Outcome.retry("x"), Outcome.retry("x"))
    async with running(tmp_path, a=sink) as h:
        h.send("a", note(key="up"))
        h.send("a", note(alert(state=AlertState.RESOLVED), key="over"))
        await h.drained()
    assert sink.got == ["up", "over"]


def pending(number: int, state: AlertState = AlertState.PENDING) -> Change:
    """An alert that becomes something."""
    view = replace(alert(f"A{number}"), state=state)
    return Change(transitions=[Transition(view, AlertState.INACTIVE, state, number, "")], saved=[SavedAlert(view)])


async def test_what_nobody_is_told_of_is_written_together_and_with_the_next_that_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    write = Store._write

    def note(self: Store, db: Any, change: Change) -> Any:
        commits.append(len(change.transitions))
        return write(self, db, change)

    monkeypatch.setattr(Store, "_write", note)
    async with running(tmp_path, replace(FAST, gather_s=3600.0), a=Script()) as harness:
        for number in range(5):
            harness.delivery.submit(pending(number))
            await asyncio.sleep(0)
        assert commits == []
        harness.delivery.submit(pending(5, AlertState.FIRING))
        await until(lambda: bool(commits))
        assert commits == [6], "one transaction, in order"
        harness.delivery.submit(pending(6))
        await harness.drained()
        assert commits == [6, 1], "nothing is left behind at the end"
    async with running(tmp_path, replace(FAST, gather_s=0.01), a=Script()) as harness:
        harness.delivery.submit(pending(7))
        await until(lambda: len(commits) == 3)


@asynccontextmanager
async def refusing_disk(h: Harness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Nothing can be written meanwhile."""
    write = Store._write

    def full(_self: Store, _db: Any, _change: Change) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_write", full)
        yield
    assert Store._write is write


async def test_a_full_disk_keeps_no_alert_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by reading: the alert that the disk is full waited for the disk, as all others did."""
    sink, slow = Script(), Script(*[Outcome.retry("HTTP 503")] * 3)
    async with running(tmp_path, a=sink, b=slow) as h:
        async with refusing_disk(h, monkeypatch):
            h.send("a", note(alert("One"), key="1"), note(alert("Two"), key="2"))
            h.send("b", note(alert("One"), key="1"))
            await until(lambda: sink.got == ["1", "2"])
            h.send("a", note(alert("One", state=AlertState.RESOLVED), key="3"))
            await until(lambda: sink.got == ["1", "2", "3"])
            await until(lambda: slow.got == ["1"])
            assert h.delivery.write_failures
            assert await h.store.depths() == {}
        await h.drained()
        assert (sink.got, slow.got) == (["1", "2", "3"], ["1"]), "once each"
        log = [(d.sink, d.key, d.outcome) for d in await h.store.deliveries() if d.outcome != "retry"]
        assert sorted(log) == [("a", "1", "ok"), ("a", "2", "ok"), ("a", "3", "ok"), ("b", "1", "ok")]
        assert await h.store.depths() == {}
        assert h.delivery.stats["a"].depth == h.delivery.stats["b"].depth == 0
        h.send("a", note(alert("One"), key="1"), note(key="4"))
        await h.drained()
        assert sink.got[3:] == ["4"], "its key is known"


async def test_what_still_waits_when_the_disk_is_back_waits_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Script(*[Outcome.retry("down")] * 10_000)
    async with running(tmp_path, a=sink) as h:
        async with refusing_disk(h, monkeypatch):
            h.send("a", note(alert("One"), key="1"), note(alert("Two"), key="2"))
            await until(lambda: sink.tries > 1)
        await until(lambda: bool(h.delivery.stats["a"].depth) and not h.delivery._unwritten)
        assert await h.store.depths() == {"a": 2}
        sink.answers.clear()
        await h.drained()
        assert sorted(sink.got) == ["1", "2"]
        assert await h.store.depths() == {}


async def test_what_comes_while_the_breaker_is_open_goes_to_the_fallback_at_once(tmp_path: Path) -> None:
    """Found by reading: it waited for the next try, up to a minute."""
    down, spare = Script(*[Outcome.retry("down")] * 10_000, fallback="spare"), Script()
    settings = DeliverySettings(retry_first_s=3600.0, retry_max_s=3600.0, breaker_after=1)
    async with running(tmp_path, settings, main=down, spare=spare) as h:
        h.send("main", note(alert("One"), key="1"))
        await until(lambda: spare.got == ["1"])
        h.send("main", note(alert("Two"), key="2"))
        await until(lambda: spare.got == ["1", "2"])
        assert down.tries == 1


async def test_a_receiver_that_asks_for_an_hour_is_stood_in_for_at_once(tmp_path: Path) -> None:
    """Found by reading: five times an hour passed before its fallback was asked."""
    busy, spare = Script(Outcome.retry("HTTP 429", 3600.0), fallback="spare"), Script()
    async with running(tmp_path, DeliverySettings(), main=busy, spare=spare) as h:
        h.send("main", note())
        await until(lambda: spare.got == ["k1"])
        assert h.delivery.stats["main"].breaker_open


async def test_a_backlog_that_cannot_be_read_for_a_moment_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: the worker ended, and with it the program."""
    sink = Script()
    read, failures = Store.waiting, [sqlite3.OperationalError("disk I/O error")] * 2

    async def flaky(self: Store, *arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read(self, *arguments)

    monkeypatch.setattr(Store, "waiting", flaky)
    async with running(tmp_path, DeliverySettings(in_memory=4), a=sink) as h:
        h.send("a", *[note(alert(f"A{n}"), key=f"k{n}") for n in range(20)])
        await h.drained()
    assert sorted(sink.got) == sorted(f"k{n}" for n in range(20))
    assert not failures
