"""Webhook through the whole outbox: a receiver that is down, limits us, and drops repeats by key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import structlog

from monitor.clock import SystemClock
from monitor.runtime.alerting.change import Outgoing
from monitor.runtime.alerting.delivery import Delivery
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.worker import DeliverySettings
from monitor.sinks import build_sink
from tests.sinks.build import alert, note
from tests.sinks.server import receiver


async def test_a_storm_through_an_outage_arrives_once_per_key_and_in_order(tmp_path: Path) -> None:
    async with receiver() as to:
        calls = 0

        def judge(path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
            nonlocal calls
            calls += 1
            if calls <= 40:
                return 503, {}, {}
            return (429, {"Retry-After": "0.01"}, {}) if calls % 50 == 0 else (200, {}, {})

        to.judge = judge
        sink = build_sink("webhook", {"url": to.url, "secret": "s"})
        store = await Store.open(tmp_path / "m.db", durable=False)
        settings = DeliverySettings(retry_first_s=0.002, retry_max_s=0.01)
        delivery = Delivery({"hook": sink}, store, SystemClock(), structlog.get_logger(), settings=settings)
        task = asyncio.create_task(delivery.run())
        delivery.submit([Outgoing("hook", note(alert(f"A{n % 50}"), key=f"{n:04}")) for n in range(1000)])
        assert await delivery.drain(30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await delivery.close()
        log = [row.key for row in reversed(await store.deliveries(limit=5000)) if row.outcome == "ok"]
        await store.close()
    assert sorted(log) == [f"{n:04}" for n in range(1000)]
    by_alert: dict[int, list[str]] = {}
    for key in log:
        by_alert.setdefault(int(key) % 50, []).append(key)
    assert all(keys == sorted(keys) for keys in by_alert.values())
    assert {headers["Idempotency-Key"] for _, headers, _ in to.requests} == set(log)
