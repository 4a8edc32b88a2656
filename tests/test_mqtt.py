"""The MQTT connection closes its socket however connecting ends; the broker here is a listener that says nothing."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiomqtt
import pytest
import trustme

from monitor.mqtt import MqttClient


@dataclass
class Mute:
    """A broker that takes connections and never answers."""

    port: int = 0
    came: int = 0
    gone: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        self.news.set()
        await reader.read()
        self.gone += 1
        self.news.set()
        writer.close()

    async def until(self, came: int, gone: int) -> None:
        async with asyncio.timeout(5):
            while (self.came, self.gone) != (came, gone):
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def mute() -> AsyncIterator[Mute]:
    broker = Mute()
    async with await asyncio.start_server(broker.accept, "127.0.0.1", 0) as server:
        broker.port = server.sockets[0].getsockname()[1]
        yield broker


async def enter(client: MqttClient) -> None:
    async with client:
        pytest.fail("nobody answered")


async def test_a_connect_that_times_out_is_closed(mute: Mute) -> None:
    with pytest.raises(aiomqtt.MqttError, match="timed out"):
        await enter(MqttClient(mute.url, timeout=0.01))
    await mute.until(came=1, gone=1)


async def test_a_connect_that_is_cancelled_while_it_waits_for_the_answer_is_closed(mute: Mute) -> None:
    entering = asyncio.create_task(enter(MqttClient(mute.url)))
    await mute.until(came=1, gone=0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    await mute.until(came=1, gone=1)


async def test_a_connect_that_is_cancelled_before_it_has_a_socket_is_closed_once_it_has_one(
    mute: Mute, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, begun, may = MqttClient(mute.url), asyncio.Event(), threading.Event()
    connect, loop = client._client.connect, asyncio.get_running_loop()

    def later(*arguments: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        may.wait(5)
        connect(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(client._client, "connect", later)
    entering = asyncio.create_task(enter(client))
    await begun.wait()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert mute.came == 0
    may.set()
    await mute.until(came=1, gone=1)


async def test_a_handshake_that_fails_is_closed() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pytest.fail("a certificate of nobody was taken")

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(aiomqtt.MqttError, match="certificate verify failed"):
            await enter(MqttClient(f"mqtts://localhost:{port}"))
    gc.collect()  # one that is left open is a ResourceWarning, which is an error
