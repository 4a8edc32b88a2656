"""The websocket client over real sockets, against the local venue server."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from monitor.clock import SystemClock
from monitor.feed import Frame
from monitor.testing.faults import Faults
from monitor.testing.venue_server import VenueServer, serialize
from monitor.transports import ws
from tests.toy_venue import BTC, PATH, ToyVenue

CLOCK = SystemClock()


class Ear:
    """Hears one connection; each call of `on_frames` is one batch."""

    def __init__(self) -> None:
        self.socket: ws.WebSocket | None = None
        self.batches: list[list[Frame]] = []
        self.losses: list[ws.Loss] = []
        self._news = asyncio.Event()

    def on_open(self, socket: ws.WebSocket) -> None:
        assert not self.batches
        self.socket = socket

    def on_frames(self, frames: list[Frame], recv_ns: int) -> None:
        assert recv_ns > 0
        self.batches.append(frames)
        self._news.set()

    def on_lost(self, loss: ws.Loss) -> None:
        self.losses.append(loss)
        self._news.set()

    @property
    def frames(self) -> list[Frame]:
        return [frame for batch in self.batches for frame in batch]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._news.clear()
                await self._news.wait()


def venue_server(*, deflate: bool = False, tls: ssl.SSLContext | None = None) -> VenueServer:
    return VenueServer(ToyVenue([BTC]), CLOCK, deflate=deflate, tls=tls)


async def connected(server: VenueServer, max_frame_bytes: int = 1_000_000) -> tuple[ws.WebSocket, Ear]:
    ear = Ear()
    socket = await ws.connect(
        server.ws_url + PATH, ear, clock=CLOCK, headers=[("X-Test", "1")], max_frame_bytes=max_frame_bytes
    )
    async with asyncio.timeout(5):
        while not server.clients:
            await asyncio.sleep(0)
    return socket, ear


async def test_one_read_of_the_socket_is_one_batch() -> None:
    async with venue_server() as server:
        socket, ear = await connected(server)
        wanted = [f'{{"n":{number}}}' for number in range(100)]
        server.clients[0].send_wire(b"".join(map(serialize, wanted)))
        await ear.until(lambda: len(ear.frames) == 100)
        assert ear.frames == wanted
        assert len(ear.batches) <= 2
        assert server.clients[0].headers["x-test"] == "1"
        assert server.clients[0].headers["user-agent"].startswith("market-risk-monitor/")
        socket.close()


async def test_text_binary_fragments_and_unicode() -> None:
    async with venue_server() as server:
        socket, ear = await connected(server)
        client = server.clients[0]
        parts = ["héllo 币安".encode()[:7], "héllo 币安".encode()[7:]]
        client.send_wire(WireFrame(Opcode.TEXT, parts[0], fin=False).serialize(mask=False))
        client.send_wire(WireFrame(Opcode.PING, b"between").serialize(mask=False))
        client.send_wire(WireFrame(Opcode.CONT, parts[1]).serialize(mask=False))
        client.send_wire(serialize(b"\x1f\x8b") + serialize("plain"))
        client.send_wire(WireFrame(Opcode.TEXT, b"\xff").serialize(mask=False))
        await ear.until(lambda: len(ear.frames) == 4)
        assert ear.frames == ["héllo 币安", b"\x1f\x8b", "plain", b"\xff"]
        await server.wait_for("pongs")
        socket.close()


async def test_deflate_is_negotiated_and_bounded() -> None:
    async with venue_server(deflate=True) as server:
        _, ear = await connected(server, max_frame_bytes=10_000)
        await server.broadcast("x" * 5_000, "y")
        await ear.until(lambda: len(ear.frames) == 2)
        assert not server.clients[0].plain
        await server.broadcast("z" * 1_000_000)
        await ear.until(lambda: bool(ear.losses))
        assert ear.losses[0].reason == "too_large"


async def test_pings_are_answered_and_sent() -> None:
    async with venue_server() as server:
        socket, _ = await connected(server)
        server.ping_all()
        await server.wait_for("pongs")
        before_ns = socket.last_receipt_ns
        socket.ping()
        await server.wait_for("pings")
        async with asyncio.timeout(5):
            while socket.last_receipt_ns == before_ns:
                await asyncio.sleep(0)
        socket.close()


async def test_paused_socket_reads_nothing_until_resumed() -> None:
    async with venue_server() as server:
        socket, ear = await connected(server)
        socket.pause()
        socket.pause()
        await server.broadcast("held back")
        for _ in range(50):
            await asyncio.sleep(0)
        assert ear.frames == []
        socket.resume()
        await ear.until(lambda: ear.frames == ["held back"])
        socket.close()


async def test_our_close_is_told_as_closed_and_heard_by_the_server() -> None:
    async with venue_server() as server:
        socket, ear = await connected(server)
        socket.close()
        await ear.until(lambda: bool(ear.losses))
        assert ear.losses == [ws.Loss("closed")]
        await server.wait_for("disconnects")
        assert not socket.send("too late")
        socket.ping()
        socket.close()


async def test_the_venues_close_frame_is_a_drop_with_its_words() -> None:
    async with venue_server() as server:
        _, ear = await connected(server)
        server.close_all(1013, "try again later")
        await ear.until(lambda: bool(ear.losses))
        (loss,) = ear.losses
        assert loss.reason == "drop"
        assert "1013" in loss.words
        assert "try again later" in loss.words


async def test_frames_before_a_close_are_not_lost() -> None:
    async with venue_server() as server:
        _, ear = await connected(server)
        server.clients[0].send(["last words"])
        server.clients[0].close(1000)
        await ear.until(lambda: bool(ear.losses))
        assert ear.frames == ["last words"]


async def test_refused_handshake_says_status_words_and_wait() -> None:
    async with venue_server() as server:
        server.faults.refuse_status = 429
        server.faults.refuse_retry_after_s = 7
        with pytest.raises(ws.HandshakeRefused, match="HTTP 429: refused by the local venue") as caught:
            await ws.connect(server.ws_url + PATH, Ear(), clock=CLOCK)
        assert caught.value.retry_after_s == 7.0


async def test_unknown_path_is_refused() -> None:
    async with venue_server() as server:
        with pytest.raises(ws.HandshakeRefused, match="HTTP 404"):
            await ws.connect(server.ws_url + "/nowhere", Ear(), clock=CLOCK)


async def test_one_deadline_for_connect_and_handshake() -> None:
    async with venue_server() as server:
        server.faults.silent_handshake = True
        with pytest.raises(TimeoutError):
            await ws.connect(server.ws_url + PATH, Ear(), clock=CLOCK, timeout_s=0.05)


async def test_a_connect_that_is_cancelled_in_any_moment_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    came = gone = 0

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came, gone
        came += 1
        await reader.read()
        gone += 1
        writer.close()

    async def look_up(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)  # no thread: turns are the same each time
    async with await asyncio.start_server(hear, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        for turns in range(20):
            connecting = asyncio.create_task(ws.connect(f"ws://127.0.0.1:{port}/", Ear(), clock=CLOCK))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        _, last = await asyncio.open_connection("127.0.0.1", port)
        last.close()
        async with asyncio.timeout(5):
            while came < 10 or gone < came:
                await asyncio.sleep(0)


async def test_nobody_listens(free_port: Callable[[], int]) -> None:
    with pytest.raises(ConnectionRefusedError):
        await ws.connect(f"ws://127.0.0.1:{free_port()}/", Ear(), clock=CLOCK)


async def test_an_answer_that_is_not_http_is_a_connection_error() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionError, match="no websocket"):
            await ws.connect(f"ws://127.0.0.1:{port}/", Ear(), clock=CLOCK)


async def test_peer_that_reads_nothing_is_cut_when_too_much_waits() -> None:
    async with venue_server() as server:
        socket, ear = await connected(server)
        server.clients[0].faults = Faults(half_open=True)
        server.clients[0].pause()
        for _ in range(200):
            socket.send("x" * 65_536)
        await ear.until(lambda: bool(ear.losses))
        assert ear.losses[0].reason == "half_open"


async def test_certificate_is_verified() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with venue_server(tls=context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await ws.connect(server.ws_url + PATH, Ear(), clock=CLOCK)
        ear = Ear()
        socket = await ws.connect(server.ws_url + PATH, ear, clock=CLOCK, tls=trusting)
        socket.send('{"op":"ping"}')
        await ear.until(lambda: ear.frames == ['{"op":"pong"}'])
        socket.close()
        await ear.until(lambda: bool(ear.losses))
