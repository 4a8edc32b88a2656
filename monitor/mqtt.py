"""The connection to an MQTT broker that sink and inlet share: aiomqtt, and what it leaves to its user.

aiomqtt is the project that used to be named asyncio-mqtt (``docs/adr/0002-mqtt-client.md``); only this module and its
two users know it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiomqtt

_NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""paho leaves Nagle's algorithm on, and with it a QoS 1 round trip can take 40 ms instead of a fraction of one."""


class MqttClient(aiomqtt.Client):
    """Good for one ``async with``, which closes the socket however it ends.

    aiomqtt 2.5 leaves a socket open, and read from, when connecting is cancelled or times out, and paho 2.2 one of
    which the TLS handshake failed.

    Args:
        url: ``mqtt://host:port`` or, with TLS, ``mqtts://host:port``.
        ca_file: Certificate authority of the broker; the system's when not given.
        cert_file: Our certificate, where the broker wants one.
        key_file: Its key.
        options: Further settings of `aiomqtt.Client`.

    Raises:
        OSError: A file cannot be read, or holds no certificate.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        **options: Any,
    ) -> None:
        parts = urlsplit(url)
        tls = parts.scheme == "mqtts"
        super().__init__(
            hostname=parts.hostname or "",
            port=parts.port or (8883 if tls else 1883),
            tls_context=_tls_context(ca_file, cert_file, key_file) if tls else None,
            socket_options=_NO_DELAY,
            **options,
        )
        self._event_loop = asyncio.get_running_loop()
        self._in_thread = threading.Lock()
        self._given_up = False

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            self._give_up()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, tb)
        finally:
            self._close()

    def _client_connect(self) -> None:
        """Connect, in a thread that goes on when nobody waits for it any more."""
        with self._in_thread:
            super()._client_connect()
        if self._given_up:
            self._event_loop.call_soon_threadsafe(self._close)

    def _give_up(self) -> None:
        """Close once paho's calls into the event loop, which may still wait for their turn there, are done."""
        self._given_up = True
        if self._in_thread.acquire(blocking=False):  # else the thread does it
            self._in_thread.release()
            self._event_loop.call_soon(self._close)

    def _close(self) -> None:
        self._client.reinitialise()


def _tls_context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = _HandshakeOrNothing
    if cert_file:
        context.load_cert_chain(cert_file, key_file)
    return context


class _HandshakeOrNothing(ssl.SSLSocket):
    """Closed when the handshake fails."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's signature
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise
