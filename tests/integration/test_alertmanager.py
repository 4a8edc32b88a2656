"""The Alertmanager sink against a real Alertmanager: grouped, deduplicated, resolved, silenced by amtool."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.alert import AlertState
from monitor.sink import Result
from monitor.sinks import build_sink
from monitor.sinks.alertmanager import AlertmanagerSink
from tests.integration.servers import Running, alertmanager
from tests.sinks.build import alert, note

pytestmark = pytest.mark.needs("alertmanager")


def recent(name: str = "High", state: AlertState = AlertState.FIRING, **labels: str) -> Any:
    now_ns = time.time_ns()
    view = alert(name, state, starts_ns=now_ns - 60_000_000_000, **labels)
    return replace(view, ends_at_ns=now_ns if state is AlertState.RESOLVED else 0)


def _run(command: list[str | Path]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture
async def running(
    binary: Callable[[str], Path], free_port: Callable[[], int], tmp_path: Path
) -> AsyncIterator[Running]:
    async with alertmanager(binary("alertmanager"), tmp_path, free_port()) as started:
        yield started


@asynccontextmanager
async def sink_to(running: Running, **options: Any) -> AsyncIterator[AlertmanagerSink]:
    sink = build_sink("alertmanager", {"urls": [running.url], **options})
    assert isinstance(sink, AlertmanagerSink)
    try:
        yield sink
    finally:
        await sink.close()


async def test_grouped_then_resolved_with_our_fingerprint(running: Running) -> None:
    views = [recent(base=base) for base in ("BTC", "ETH", "SOL")]
    async with sink_to(running) as sink:
        assert (await sink.deliver(note(*views))).result is Result.OK
        (first,) = await running.hooked(1)
        assert sorted(a["fingerprint"] for a in first["alerts"]) == sorted(v.fingerprint for v in views)
        assert (first["status"], len(first["alerts"])) == ("firing", 3)
        over = [replace(v, state=AlertState.RESOLVED, ends_at_ns=time.time_ns()) for v in views]
        await sink.deliver(note(*over, key="k2"))
        bodies = await running.hooked(2)
    assert bodies[-1]["status"] == "resolved"


async def test_two_monitors_make_one_alert_with_one_start(running: Running) -> None:
    view = recent(base="BTC")
    async with sink_to(running) as one, sink_to(running) as two:
        await one.deliver(note(view))
        await two.deliver(note(view))
        await running.hooked(1)
        await asyncio.sleep(1)  # Alertmanager's own timer, several group intervals
    (stored,) = running.alerts()
    assert stored["fingerprint"] == view.fingerprint
    assert len(running.hook.requests) == 1


async def test_a_400_keeps_the_valid_ones(running: Running) -> None:
    bad = replace(recent("Bad"), labels=(("alertname", "Bad"), ("not-a-name", "x")))
    async with sink_to(running) as sink:
        outcome = await sink.deliver(note(recent("A"), bad, recent("C")))
        assert outcome.result is Result.OK
        assert sink.refused == 1
    assert sorted(a["labels"]["alertname"] for a in running.alerts()) == ["A", "C"]


async def test_the_ladder_leaves_one_active_label_set(running: Running) -> None:
    mild = recent(severity="warning")
    worse = replace(mild, labels=recent(severity="critical").labels, severity="critical")
    async with sink_to(running) as sink:
        await sink.deliver(note(mild))
        await asyncio.sleep(0.01)
        await sink.deliver(note(worse))
    assert [a["labels"]["severity"] for a in running.alerts()] == ["critical"]


async def test_resent_alerts_outlive_their_first_end(running: Running) -> None:
    view = recent()
    async with sink_to(running, resend_s=0.25) as sink:
        await sink.deliver(note(view))
        first = running.alerts()[0]["endsAt"]
        await asyncio.sleep(0.05)
        await sink.resend([view])
        assert running.alerts()[0]["endsAt"] > first


@pytest.mark.needs("amtool")
async def test_silenced_by_amtool(running: Running, binary: Callable[[str], Path]) -> None:
    command: list[str | Path] = [binary("amtool"), f"--alertmanager.url={running.url}"]
    silence = [*command, "silence", "add", "--comment=test", "--author=test", "--duration=1h", "base=BTC"]
    await asyncio.to_thread(_run, silence)
    async with sink_to(running) as sink:
        await sink.deliver(note(recent(base="BTC"), recent("Other", base="ETH")))
    (body,) = await running.hooked(1)
    assert [a["labels"]["base"] for a in body["alerts"]] == ["ETH"]
    found = await asyncio.to_thread(_run, [*command, "alert", "query", "--silenced", "-o", "json"])
    assert [a["labels"]["base"] for a in json.loads(found)] == ["BTC"]
