"""The MQTT sink against a real mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import structlog
import trustme

from monitor.alert import AlertState
from monitor.clock import SystemClock
from monitor.commands.notify_test import attempt
from monitor.runtime.alerting.change import Outgoing
from monitor.runtime.alerting.delivery import Delivery
from monitor.runtime.alerting.store import Store
from monitor.runtime.alerting.worker import DeliverySettings
from monitor.sink import Command, Result, SinkContext
from monitor.sinks import build_sink
from monitor.sinks.mqtt import MqttSink, Options
from tests.integration.servers import Broker
from tests.sinks.build import alert, note

pytestmark = pytest.mark.needs("mosquitto")


@pytest.fixture
def make_broker(
    binary: Callable[[str], Path], free_port: Callable[[], int], tmp_path: Path
) -> Iterator[Callable[..., Broker]]:
    brokers: list[Broker] = []

    def make(*extra: str) -> Broker:
        broker = Broker(binary("mosquitto"), tmp_path, free_port(), *extra)
        brokers.append(broker)
        broker.start()
        return broker

    yield make
    for broker in brokers:
        broker.stop()


async def refuse(command: Command) -> str:
    raise AssertionError(command)


@contextlib.asynccontextmanager
async def running(sink: MqttSink, handle: Any = refuse) -> AsyncIterator[None]:
    task = asyncio.create_task(sink.run(SinkContext(handle, lambda: ())))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def collect(client: aiomqtt.Client, count: int) -> list[tuple[str, bytes, bool]]:
    got = []
    async with asyncio.timeout(10):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            got.append((str(message.topic), message.payload, bool(message.retain)))
            if len(got) == count:
                break
    return got


def sink_for(broker: Broker, **options: Any) -> MqttSink:
    sink = build_sink("mqtt", {"url": f"mqtt://127.0.0.1:{broker.port}", **options})
    assert isinstance(sink, MqttSink)
    return sink


async def test_event_and_retained_state_and_its_end(make_broker: Callable[..., Broker]) -> None:
    broker, firing, over = make_broker(), alert(), alert(state=AlertState.RESOLVED)
    sink = sink_for(broker, prefix="desk")
    topic = f"desk/alerts/{firing.fingerprint}"
    async with running(sink):
        assert (await sink.deliver(note(firing))).result is Result.OK
        async with aiomqtt.Client("127.0.0.1", broker.port) as late:
            await late.subscribe("desk/#", qos=1)
            seen = {t: (p, r) for t, p, r in await collect(late, 2)}
            assert seen["desk/status"] == (b"online", True)
            assert json.loads(seen[topic][0])["state"] == "firing"
            assert (await sink.deliver(note(over, key="k2"))).result is Result.OK
            got = await collect(late, 3)
        assert [t for t, _, _ in got] == [topic, topic, "desk/events"]
        assert json.loads(got[0][1])["state"] == "resolved"
        assert got[1][1] == b""
        event = json.loads(got[2][1])
        assert (event["key"], event["status"], event["alerts"][0]["value"]) == ("k2", "resolved", 1.04e9)
        async with aiomqtt.Client("127.0.0.1", broker.port) as latest:
            await latest.subscribe("desk/#", qos=1)
            assert await collect(latest, 1) == [("desk/status", b"online", True)]


async def status_after(broker: Broker, sink: MqttSink, stop: Callable[[], Any]) -> bytes:
    async with aiomqtt.Client("127.0.0.1", broker.port) as watcher:
        await watcher.subscribe("monitor/status", qos=1)
        task = asyncio.create_task(sink.run(SinkContext(refuse, lambda: ())))
        assert [p for _, p, _ in await collect(watcher, 1)] == [b"online"]
        while sink._client is None:
            await asyncio.sleep(0.001)
        stop() or task.cancel()
        payload = (await collect(watcher, 1))[0][1]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return payload


async def test_an_orderly_stop_says_offline(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    assert await status_after(broker, sink_for(broker), lambda: None) == b"offline"


async def test_a_lost_connection_leaves_its_will(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    sink = sink_for(broker)

    def cut() -> bool:
        assert sink._client is not None
        raw: Any = sink._client._client.socket()
        raw.shutdown(socket.SHUT_RDWR)
        return True

    assert await status_after(broker, sink, cut) == b"offline"


async def test_nagle_is_off(make_broker: Callable[..., Broker]) -> None:
    sink = sink_for(make_broker())
    async with running(sink):
        await sink.deliver(note())
        assert sink._client is not None
        raw: Any = sink._client._client.socket()
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_broker_that_is_stopped_and_started_gets_every_alert_in_order(
    make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    broker = make_broker()
    sink = sink_for(broker, deadline_s=1)
    store = await Store.open(tmp_path / "m.db", durable=False)
    settings = DeliverySettings(retry_first_s=0.05, retry_max_s=0.3)
    delivery = Delivery({"mqtt": sink}, store, SystemClock(), structlog.get_logger(), settings=settings)
    task = asyncio.create_task(delivery.run())

    def send(numbers: range) -> None:
        delivery.submit([Outgoing("mqtt", note(alert(f"A{n % 7}"), key=f"{n:04}")) for n in numbers])

    async with aiomqtt.Client("127.0.0.1", broker.port) as before:
        await before.subscribe("monitor/events", qos=1)
        send(range(100))
        first = await collect(before, 100)
    assert await delivery.drain(10)
    await asyncio.to_thread(broker.stop, kill=True)
    send(range(100, 400))
    assert not await delivery.drain(0.5)
    assert delivery.stats["mqtt"].depth == 300
    await asyncio.to_thread(broker.start)
    async with aiomqtt.Client("127.0.0.1", broker.port) as after:
        await after.subscribe("monitor/events", qos=1)
        assert await delivery.drain(30)
        # Our own connection may have come back before this one; what it sent first is in the log, not here.
        rows = await store.deliveries(limit=1000)
        sent = [row.key for row in reversed(rows) if row.outcome == "ok"]
        seen = await collect(after, len(after.messages))
    keys = [json.loads(payload)["key"] for _, payload, _ in first]
    assert keys == [f"{n:04}" for n in range(100)]
    by_alert: dict[int, list[str]] = {}
    for key in sent:
        by_alert.setdefault(int(key) % 7, []).append(key)
    assert sorted(sent) == [f"{n:04}" for n in range(400)]
    assert all(some == sorted(some) for some in by_alert.values())
    got = list(dict.fromkeys(json.loads(payload)["key"] for _, payload, _ in seen))
    tail: dict[int, list[str]] = {}
    for key in got:
        tail.setdefault(int(key) % 7, []).append(key)
    assert got
    assert all(some == sorted(some) for some in tail.values())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await delivery.close()
    await store.close()


@pytest.fixture
def secured(make_broker: Callable[..., Broker], tmp_path: Path) -> tuple[Broker, Path]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    with (tmp_path / "cert.pem").open("wb") as out:
        out.writelines(blob.bytes() for blob in certificate.cert_chain_pems)
    subprocess.run(["mosquitto_passwd", "-b", "-c", tmp_path / "users", "desk", "s3cret-pass"], check=True)
    for name in ("key.pem", "users"):
        (tmp_path / name).chmod(0o644)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o005 != 0o005:
            with contextlib.suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o005)  # mosquitto drops root
    broker = make_broker(
        f"certfile {tmp_path / 'cert.pem'}",
        f"keyfile {tmp_path / 'key.pem'}",
        "allow_anonymous false",
        f"password_file {tmp_path / 'users'}",
    )
    return broker, tmp_path


async def test_tls_and_password(secured: tuple[Broker, Path]) -> None:
    broker, folder = secured
    (folder / "password").write_text("s3cret-pass\n")
    options = {
        "url": f"mqtts://localhost:{broker.port}",
        "username": "desk",
        "password_file": str(folder / "password"),
        "ca_file": str(folder / "ca.pem"),
    }
    sink = build_sink("mqtt", options)
    assert isinstance(sink, MqttSink)
    async with running(sink):
        async with asyncio.timeout(5):
            assert (await sink.deliver(note())).result is Result.OK
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        async with aiomqtt.Client(
            "localhost", broker.port, username="desk", password="s3cret-pass", tls_context=context
        ) as late:
            await late.subscribe("monitor/alerts/+", qos=1)
            ((topic, _, _),) = await collect(late, 1)
            assert topic.endswith(alert().fingerprint)


@pytest.mark.parametrize("wrong", [{"password": "no"}, {"ca_file": None}])
async def test_wrong_password_or_authority_is_a_retry_that_tells_no_secret(
    secured: tuple[Broker, Path], wrong: dict[str, Any]
) -> None:
    broker, folder = secured
    options = {
        "url": f"mqtts://localhost:{broker.port}",
        "username": "desk",
        "password": "s3cret-pass",
        "ca_file": str(folder / "ca.pem"),
        "deadline_s": 0.5,
        **wrong,
    }
    sink = build_sink("mqtt", options)
    outcome = await attempt(sink, note())
    assert (outcome.result, outcome.reason) == (Result.RETRY, "no answer within 0.5 s")
    assert isinstance(sink, MqttSink)
    assert sink.connects == 0
    assert sink.trouble
    assert "s3cret-pass" not in sink.trouble + repr(sink.options)


async def test_commands_need_the_token(make_broker: Callable[..., Broker]) -> None:
    broker, taken = make_broker(), list[Command]()

    async def handle(command: Command) -> str:
        taken.append(command)
        return "acknowledged"

    sink = sink_for(broker, command_token="open sesame")
    async with running(sink, handle), aiomqtt.Client("127.0.0.1", broker.port) as desk:
        async with asyncio.timeout(5):
            await sink._connected.wait()
        await desk.subscribe("monitor/commands/result", qos=1)
        wishes = [
            b"not json",
            json.dumps({"token": "guess", "action": "ack", "fingerprint": "f"}).encode(),
            json.dumps({"token": "open sesame", "action": "shutdown"}).encode(),
            json.dumps({"token": "open sesame", "action": "ack", "fingerprint": "f", "duration_s": 60}).encode(),
        ]
        for wish in wishes:
            await desk.publish("monitor/commands", wish, qos=1)
        answers = [json.loads(payload) for _, payload, _ in await collect(desk, 4)]
    assert [a["ok"] for a in answers] == [False, False, False, True]
    assert [(c.action, c.fingerprint, c.duration_s) for c in taken] == [("ack", "f", 60.0)]


def test_a_password_in_the_address_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="as username and password") as caught:
        Options(url="mqtt://desk:hunter2@localhost")
    assert "hunter2" not in str(caught.value)
