"""A local venue: one TCP port that serves a `VenueProtocol` over websocket and HTTP, and misbehaves when told to.

The protocol object says what the venue answers; this module moves the bytes, keeps each client's topics, and applies
`monitor.testing.faults.Faults`. It binds to loopback only and everything that it sends is synthetic::

    async with VenueServer(make_protocol("bybit", instruments), SystemClock()) as server:
        feed = make_feed("bybit", FeedOptions(..., ws_url=server.ws_url, rest_url=server.rest_url))
        await server.publish(Price(...), Liquidation(...))
        server.faults.stall = True
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from websockets.extensions.permessage_deflate import enable_server_permessage_deflate
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from monitor.clock import Clock
from monitor.events import MarketEvent
from monitor.testing.faults import Faults, RestFault
from monitor.testing.json_venue import dumps
from monitor.testing.protocol import ClientReply, Frame, Push, VenueProtocol
from monitor.testing.venues.past import PAST, TOLD, Asked, Past, remembered

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 1024 * 1024
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Head:
    """The first lines of an HTTP request."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes

    @classmethod
    def parse(cls, raw: bytes) -> _Head:
        first, *lines = raw.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        url = urlsplit(target)
        pairs = (line.partition(":") for line in lines if line)
        return cls(method, url.path, url.query, {name.strip().lower(): value.strip() for name, _, value in pairs}, raw)

    @property
    def upgrades(self) -> bool:
        return self.headers.get("upgrade", "").lower() == "websocket"


class VenueClient:
    """The server's side of one open websocket.

    ``topics`` is what the client is subscribed to; ``faults``, when set, replaces the server's for this client.
    """

    def __init__(self, wire: ServerProtocol, writer: asyncio.StreamWriter, head: _Head) -> None:
        self.path = head.path
        self.query = head.query
        self.headers = head.headers
        self.topics: frozenset[str] = frozenset()
        self.faults: Faults | None = None
        self.received: list[Frame] = []
        self.wire = wire
        self._writer = writer

    def send(self, frames: Iterable[Frame]) -> int:
        """Queue data frames for this client; returns how many."""
        if self.wire.state is not State.OPEN or self._writer.is_closing():
            return 0
        count = 0
        for frame in frames:
            count += 1
            if isinstance(frame, str):
                self.wire.send_text(frame.encode())
            else:
                self.wire.send_binary(frame)
        self.flush()
        return count

    def send_wire(self, data: bytes) -> None:
        """Write raw bytes, framed or not: garbage below the websocket's own framing."""
        self._writer.write(data)

    def ping(self) -> None:
        """Send a ping of the websocket protocol."""
        if self.wire.state is State.OPEN:
            self.wire.send_ping(b"venue")
            self.flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake."""
        if self.wire.state is State.OPEN:
            self.wire.send_close(code, reason)
            self.flush()

    def drop(self) -> None:
        """Cut the TCP connection without a word."""
        self._writer.transport.abort()

    def pause(self) -> None:
        """Stop reading what the client sends; its buffers fill."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed has the writing half only

    def flush(self) -> None:
        """Hand what the protocol wants to say to the socket."""
        chunks = self.wire.data_to_send()
        payload = b"".join(chunks)
        if payload and not self._writer.is_closing():
            self._writer.write(payload)
        if SEND_EOF in chunks and self._writer.can_write_eof() and not self._writer.is_closing():
            with contextlib.suppress(OSError):  # the client may have cut the connection already
                self._writer.write_eof()

    async def drain(self) -> None:
        """Wait until the client has read enough of what was queued."""
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    @property
    def plain(self) -> bool:
        """Whether a frame serialised once can be written to this client as it is."""
        return not self.wire.extensions and self.wire.state is State.OPEN and not self._writer.is_closing()

    def write_plain(self, payload: bytes) -> None:
        """Write frames that are already serialised; see `plain`."""
        self._writer.write(payload)


class VenueServer:
    """One venue on one loopback port.

    Attributes:
        protocol: What the venue says; shared by every client.
        faults: Misbehaviour of every client without its own.
        clients: Open websockets, oldest first.
        past: The market before the start, where the venue answers for it.
        told: Events that were published, for who asks later.
        counts: ``connects`` (websocket handshakes asked for), ``refused``, ``disconnects``, ``subscribes`` (topics),
            ``client_frames``, ``pings`` (protocol pings from clients), ``pongs``, ``frames`` (data frames sent),
            ``rest`` and ``rest /path``.
    """

    def __init__(
        self,
        protocol: VenueProtocol,
        clock: Clock,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        deflate: bool = False,
        tls: ssl.SSLContext | None = None,
        ping_every_s: float = 1.0,
    ) -> None:
        self.protocol = protocol
        self.clock = clock
        self.host = host
        self.port = port
        self.faults = Faults()
        self.clients: list[VenueClient] = []
        self.counts: Counter[str] = Counter()
        self.past: Past | None = None
        self.told: deque[MarketEvent] = deque(maxlen=TOLD)
        self._deflate = deflate
        self._tls = tls
        self._ping_every_s = ping_every_s
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; a port of 0 is replaced by the one that the system chose."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self._tls, limit=_HEAD_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        self._ticker = asyncio.create_task(self._tick(), name=f"venue-server-{self.protocol.venue}")

    async def stop(self) -> None:
        """Cut every connection and stop listening; the port can be taken again by `start`."""
        if self._server is None:
            return
        self._server.close()
        tasks = [task for task in (self._ticker, *self._handlers) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = self._ticker = None

    @property
    def ws_url(self) -> str:
        """Scheme, host and port for ``ws_url`` of a feed's options."""
        return f"{'wss' if self._tls else 'ws'}://{self.host}:{self.port}"

    @property
    def rest_url(self) -> str:
        """Scheme, host and port for ``rest_url`` of a feed's options."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    async def publish(self, *events: MarketEvent) -> int:
        """Encode events and send them to whoever is subscribed; returns the number of frames handed over."""
        remembered(self.told, events)
        return await self.push(self.protocol.encode(events))

    async def push(self, pushes: Iterable[Push]) -> int:
        """Send frames to their subscribers and wait until slow clients have caught up."""
        pushes = list(pushes)
        sent = 0
        for client in tuple(self.clients):
            frames = self._frames_for(client, pushes)
            if frames:
                sent += self._write(client, frames)
                await client.drain()
        self.counts["frames"] += sent
        return sent

    def drop_all(self) -> None:
        """Cut every websocket's TCP connection."""
        for client in tuple(self.clients):
            client.drop()

    def close_all(self, code: int = 1001, reason: str = "going away") -> None:
        """Close every websocket properly."""
        for client in tuple(self.clients):
            client.close(code, reason)

    def ping_all(self) -> None:
        """Send a protocol ping to every client."""
        for client in tuple(self.clients):
            client.ping()

    async def broadcast(self, *frames: Frame) -> None:
        """Send these frames to every client whatever it subscribed to."""
        for client in tuple(self.clients):
            self.counts["frames"] += client.send(frames)
            await client.drain()

    async def wait_for(self, name: str, at_least: int = 1, timeout_s: float = 10.0) -> None:
        """Return when ``counts[name]`` has reached a number.

        Raises:
            TimeoutError: It did not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s):
            while self.counts[name] < at_least:
                self._changed.clear()
                await self._changed.wait()

    def _count(self, name: str, number: int = 1) -> None:
        self.counts[name] += number
        self._changed.set()

    def _faults(self, client: VenueClient) -> Faults:
        return client.faults or self.faults

    def _frames_for(self, client: VenueClient, pushes: list[Push]) -> list[Frame]:
        faults = self._faults(client)
        frames = [
            push.frame
            for push in pushes
            if push.path == client.path
            and (not push.topic or (push.topic in client.topics and not faults.is_dead(push.topic)))
        ]
        return faults.mangle(frames)

    def _write(self, client: VenueClient, frames: list[Frame]) -> int:
        if not client.plain:
            return client.send(frames)
        client.write_plain(b"".join(map(serialize, frames)))
        return len(frames)

    async def _tick(self) -> None:
        while True:
            await self.clock.sleep_until(self.clock.mono_ns() + int(self._ping_every_s * 1e9))
            for client in tuple(self.clients):
                if not self._faults(client).half_open:
                    client.send(self.protocol.pings(client.path, self.clock.wall_ns()))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Give a connection a task of ours: asyncio's own complains in the log when `stop` cancels it."""
        task = asyncio.create_task(self._handle(reader, writer), name=f"venue-client-{self.protocol.venue}")
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left; tests look at `counts`
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            if self.faults.silent_handshake:
                await asyncio.Event().wait()
            head = _Head.parse(await reader.readuntil(b"\r\n\r\n"))
            if head.upgrades:
                await self._serve_websocket(head, reader, writer)
                return
            await self._serve_rest(head, reader, writer)

    async def _serve_rest(self, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = min(int(head.headers.get("content-length", "0")), _BODY_LIMIT)
        body = await reader.readexactly(size)
        self._count("rest")
        self._count(f"rest {head.path}")
        query = dict(parse_qsl(head.query))
        found = self._past_reply(head.path, query, body)
        status, answer = (
            self.protocol.rest(head.method, head.path, query, body, self.clock.wall_ns())
            if found is None
            else (200, dumps(found).encode())
        )
        writer.write(await _http_reply(status, answer, self.faults.rest))
        await writer.drain()

    def _past_reply(self, path: str, query: dict[str, str], body: bytes) -> Any:
        """What the venue says about the past; None where nothing of the kind was asked."""
        reply = PAST.get(self.protocol.venue)
        if self.past is None or reply is None:
            return None
        listed = {item.symbol: item for item in self.protocol.instruments}
        return reply(Asked(listed, self.past, self.told, path, query, self.clock.wall_ns(), body))

    async def _serve_websocket(self, head: _Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count("connects")
        extensions = enable_server_permessage_deflate(None) if self._deflate else None
        wire = ServerProtocol(extensions=extensions, max_size=_BODY_LIMIT)
        wire.receive_data(head.raw)
        (request,) = wire.events_received()
        assert isinstance(request, Request)
        client = VenueClient(wire, writer, head)
        greeting = self.protocol.on_connect(head.path, head.query, self.clock.wall_ns())
        status = self.faults.refuse_status or (None if greeting else 404)
        if status is not None or greeting is None:
            self._count("refused")
            response = wire.reject(HTTPStatus(status or 404), "refused by the local venue\n")
            if self.faults.refuse_retry_after_s is not None:
                response.headers["Retry-After"] = str(self.faults.refuse_retry_after_s)
            wire.send_response(response)
            client.flush()
            await client.drain()
            return
        wire.send_response(wire.accept(request))
        client.flush()
        await self._converse(client, greeting, reader)

    async def _converse(self, client: VenueClient, greeting: ClientReply, reader: asyncio.StreamReader) -> None:
        if self.faults.accept_then_close:
            client.close(1000, "")
            await client.drain()
            return
        self.clients.append(client)
        try:
            self._answer(client, greeting)
            while data := await reader.read(_READ_BYTES):
                if self._faults(client).half_open:
                    continue
                self._receive(client, data)
                await client.drain()
        finally:
            self.clients.remove(client)
            self._count("disconnects")

    def _receive(self, client: VenueClient, data: bytes) -> None:
        wire = client.wire
        wire.receive_data(data)
        for event in wire.events_received():
            if not isinstance(event, WireFrame):
                continue
            if event.opcode is Opcode.TEXT:
                self._hear(client, bytes(event.data).decode())
            elif event.opcode is Opcode.BINARY:
                self._hear(client, bytes(event.data))
            elif event.opcode is Opcode.PING:
                self._count("pings")
            elif event.opcode is Opcode.PONG:
                self._count("pongs")
        client.flush()

    def _hear(self, client: VenueClient, frame: Frame) -> None:
        self._count("client_frames")
        client.received.append(frame)
        reply = self.protocol.on_client_frame(client.path, frame, client.topics, self.clock.wall_ns())
        self._answer(client, reply)

    def _answer(self, client: VenueClient, reply: ClientReply) -> None:
        faults = self._faults(client)
        client.topics = (client.topics | frozenset(reply.subscribed)) - frozenset(reply.unsubscribed)
        if not faults.no_acks:
            client.send(reply.frames)
        for topic in reply.subscribed:
            if not (faults.is_dead(topic) or faults.stall):
                snapshot = self.protocol.snapshot_frames(client.path, topic, self.clock.wall_ns())
                self.counts["frames"] += client.send(snapshot)
        if reply.subscribed:
            self._count("subscribes", len(reply.subscribed))
        if reply.close is not None:
            client.close(reply.close)


def serialize(frame: Frame) -> bytes:
    """One uncompressed, unmasked websocket frame, as a server writes it."""
    if isinstance(frame, str):
        return WireFrame(Opcode.TEXT, frame.encode()).serialize(mask=False)
    return WireFrame(Opcode.BINARY, frame).serialize(mask=False)


async def _http_reply(status: int, body: bytes, fault: RestFault | None) -> bytes:
    headers = {"Content-Type": "application/json"}
    if fault is not None:
        await asyncio.sleep(fault.delay_s)
        status = fault.status or status
        body = body if fault.body is None else fault.body
        headers = {"Content-Type": fault.content_type} | fault.headers
    headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body
