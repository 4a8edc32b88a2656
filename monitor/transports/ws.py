"""One websocket as a client: bytes to batches of frames, nothing else.

`websockets`' Sans-I/O protocol object runs under our own `asyncio.Protocol`, so that whatever one read of the socket
brought is handed over in one call: a batch of one when the market is calm, of about a thousand in a burst. There is no
queue and no task per connection. Back-off, idle limits and renewal are the supervisor's business.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, cast

import aiohappyeyeballs
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, PayloadTooBig
from websockets.extensions.permessage_deflate import enable_client_permessage_deflate
from websockets.frames import BINARY, CONT, TEXT
from websockets.frames import Frame as WireFrame
from websockets.protocol import CLOSED, CONNECTING, OPEN
from websockets.uri import parse_uri

from monitor import __version__
from monitor.clock import Clock
from monitor.errors import FeedRefused
from monitor.feed import Frame
from monitor.retry_after import retry_after_s

MAX_UNSENT_BYTES = 1024 * 1024
CLOSE_WITHIN_S = 2.0
_NEXT_ADDRESS_AFTER_S = 0.25
_WORDS_LIMIT = 300
_DATA = (TEXT, BINARY, CONT)


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a connection ended.

    ``reason`` is a metric label: ``drop`` (TCP ended, or an orderly close that nobody announced), ``protocol_error``,
    ``too_large``, ``half_open`` (the peer does not read), ``closed`` (we closed it), or what `WebSocket.abort` was told. ``words`` holds the close code and the venue's reason where there is one.
    """

    reason: str
    words: str = ""


class HandshakeRefused(FeedRefused):
    """The venue answered the handshake with an HTTP status; ``retry_after_s`` is the wait that it asked for."""

    def __init__(self, status: int, words: str, retry_after_s: float | None) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        super().__init__(f"HTTP {status}: {words}" if words else f"HTTP {status}")


class Listener(Protocol):
    """Who hears one connection. Called from the event loop, never concurrently."""

    def on_open(self, socket: WebSocket) -> None:
        """The handshake is done; called before any frame."""
        ...

    def on_frames(self, frames: list[Frame], recv_ns: int) -> None:
        """All data frames of one read of the socket, in order. Text is `str`; binary, or text that is not UTF-8, `bytes`."""
        ...

    def on_lost(self, loss: Loss) -> None:
        """An open connection ended; called once. A connection that never opened makes `connect` raise instead."""
        ...


async def connect(
    url: str,
    listener: Listener,
    *,
    clock: Clock,
    headers: Iterable[tuple[str, str]] = (),
    max_frame_bytes: int = 16 * 1024 * 1024,
    timeout_s: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> WebSocket:
    """Open a websocket; name lookup, TCP, TLS and handshake share one deadline.

    Args:
        url: ``ws://`` or ``wss://``; the certificate of the latter is verified.
        listener: Hears frames and the end.
        clock: Stamps each read.
        headers: Added to the handshake.
        max_frame_bytes: A larger message, after decompression, ends the connection as ``too_large``.
        timeout_s: The deadline, in real seconds.
        tls: Replaces the system's trust store, for private certificates.

    Raises:
        OSError: No connection.
        TimeoutError: The deadline passed.
        HandshakeRefused: The venue answered with another status than 101.
        ConnectionError: The answer was no websocket handshake.
    """
    uri = parse_uri(url)
    wire = ClientProtocol(uri, extensions=enable_client_permessage_deflate(None), max_size=max_frame_bytes)
    context = (tls or _trust_store()) if uri.secure else None
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        _, connection = await loop.create_connection(
            lambda: WebSocket(wire, listener, clock, headers),
            sock=await _reach(uri.host, uri.port),
            ssl=context,
            server_hostname=uri.host if uri.secure else None,
        )
        try:
            await connection.opened
        except BaseException:
            connection.abort()
            raise
    return connection


async def _reach(host: str, port: int) -> socket.socket:
    """A connected socket: addresses are tried a quarter of a second apart, the first that answers wins (RFC 8305).

    Not by `create_connection` itself: CPython 3.11 forgets to close the winner when it is cancelled in that moment.
    """
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S)


@functools.cache
def _trust_store() -> ssl.SSLContext:
    return ssl.create_default_context()


class WebSocket(asyncio.Protocol):
    """An open connection, made by `connect`.

    ``last_receipt_ns`` is the monotonic time of the last byte of any kind: it shows a half-open socket.
    """

    def __init__(
        self, wire: ClientProtocol, listener: Listener, clock: Clock, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.last_receipt_ns = clock.mono_ns()
        self._wire = wire
        self._listener = listener
        self._clock = clock
        self._headers = tuple(headers)
        self._parts: list[bytes] = []
        self._parts_are_text = False
        self._was_open = False
        self._ending = ""
        self._paused = False

    # What the supervisor uses

    def send(self, frame: str) -> bool:
        """Send a text frame; False when the connection is no longer open."""
        if self._wire.state is not OPEN or self._transport.is_closing():
            return False
        self._wire.send_text(frame.encode())
        self._flush()
        return True

    def ping(self) -> None:
        """Send a ping of the websocket protocol; any byte in return shows that the peer is alive."""
        if self._wire.state is OPEN and not self._transport.is_closing():
            self._wire.send_ping(b"")
            self._flush()

    def pause(self) -> None:
        """Stop reading: the kernel's buffer, then the venue, holds what comes."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and not self._transport.is_closing():
            self._transport.resume_reading()
        self._paused = False

    def close(self) -> None:
        """Close with a close frame, without waiting for the peer's; by force if it does not even read that."""
        if self._wire.state is OPEN and not self._ending:
            self._wire.send_close(1000)
            self._flush()
        self._ending = self._ending or "closed"
        self._transport.close()
        asyncio.get_running_loop().call_later(CLOSE_WITHIN_S, self._transport.abort)

    def abort(self, reason: str = "closed") -> None:
        """Cut the connection now; `reason` becomes that of the `Loss`."""
        self._ending = self._ending or reason
        self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        request = self._wire.connect()
        request.headers["User-Agent"] = f"market-risk-monitor/{__version__}"
        for name, value in self._headers:
            request.headers[name] = value
        self._wire.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Parse one read and hand its frames over."""
        recv_ns = self._clock.wall_ns()
        self.last_receipt_ns = self._clock.mono_ns()
        wire = self._wire
        wire.receive_data(data)
        events = wire.events_received()
        if not self._was_open:
            if not self._finish_handshake():
                return
            events = events[1:]
        frames = self._frames(cast("list[WireFrame]", events))
        if wire.writes:
            self._flush()
        if frames and not self._ending:
            self._listener.on_frames(frames, recv_ns)
        if wire.state is not OPEN:
            self._transport.close()

    def eof_received(self) -> bool:
        """The peer sent its last byte."""
        self._wire.receive_eof()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the listener why, once."""
        if self._wire.state is not CLOSED:
            self._wire.receive_eof()
        if self._was_open:
            self._listener.on_lost(self._loss(error))
        else:
            self._fail(self._handshake_error() or error or ConnectionResetError("closed during the handshake"))

    # Details

    def _finish_handshake(self) -> bool:
        """Whether the connection is open now; a failed handshake becomes the exception of `connect`."""
        if self._wire.handshake_exc is not None:
            self._fail(self._handshake_error() or ConnectionError())
            self._transport.abort()
            return False
        if self._wire.state is CONNECTING:
            return False
        self._was_open = True
        self.opened.set_result(None)
        self._listener.on_open(self)
        return True

    def _fail(self, error: Exception) -> None:
        """Hand a failed handshake to `connect`, which may be gone already."""
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()

    def _handshake_error(self) -> Exception | None:
        cause = self._wire.handshake_exc
        if isinstance(cause, InvalidStatus):
            response = cause.response
            words = bytes(response.body or b"").decode("utf-8", "replace").strip() or response.reason_phrase
            wait_s = retry_after_s(response.headers.get("Retry-After"), self._clock.wall_ns())
            return HandshakeRefused(response.status_code, words[:_WORDS_LIMIT], wait_s)
        return ConnectionError(f"no websocket: {cause}") if cause is not None else None

    def _frames(self, events: list[WireFrame]) -> list[Frame]:
        frames: list[Frame] = []
        for event in events:
            opcode = event.opcode
            if opcode is TEXT and event.fin:
                try:
                    frames.append(str(event.data, "utf-8"))
                except UnicodeDecodeError:
                    frames.append(bytes(event.data))
            elif opcode is BINARY and event.fin:
                frames.append(bytes(event.data))
            elif opcode in _DATA:
                self._join(event, frames)
        return frames

    def _join(self, event: WireFrame, frames: list[Frame]) -> None:
        """Collect the fragments of one message; the wire object has checked their order and total size."""
        if event.opcode is not CONT:
            self._parts_are_text = event.opcode is TEXT
        self._parts.append(bytes(event.data))
        if event.fin:
            message = b"".join(self._parts)
            self._parts.clear()
            frames.append(_text(message) if self._parts_are_text else message)

    def _flush(self) -> None:
        payload = b"".join(self._wire.data_to_send())
        if payload and not self._transport.is_closing():
            self._transport.write(payload)
            if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                self.abort("half_open")

    def _loss(self, error: Exception | None) -> Loss:
        if self._ending:
            return Loss(self._ending)
        if isinstance(self._wire.parser_exc, PayloadTooBig):
            return Loss("too_large", str(self._wire.parser_exc))
        if self._wire.parser_exc is not None and not isinstance(self._wire.parser_exc, EOFError):
            return Loss("protocol_error", str(self._wire.parser_exc))
        close = self._wire.close_rcvd
        return Loss("drop", str(close) if close is not None else str(error or "connection ended without a close frame"))


def _text(data: bytes | bytearray | memoryview) -> Frame:
    """Text where it is UTF-8; else the bytes as they came, for the decoder to refuse and the tape to keep."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return bytes(data)
