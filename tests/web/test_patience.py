"""Connections that never ask are ended, those that asked are left alone."""

from __future__ import annotations

import asyncio

from monitor.web.server import PATIENCE
from tests.web.conftest import Served

START_S = 1000.0


async def test_only_who_never_asked_is_sent_away(served: Served) -> None:
    patience = served.app[PATIENCE]
    assert served.runner.server is not None
    host, port = served.runner.addresses[0][:2]
    slow, slow_writer = await asyncio.open_connection(host, port)
    slow_writer.write(b"GET / HTTP/1.1\r\nHost: 127.0")  # and never the rest
    await slow_writer.drain()
    await served.data("/api/v1/rules")  # stays open, kept alive
    assert len(served.runner.server.connections) == 2
    assert patience.end_silent(served.runner.server, START_S) == 0
    assert patience.end_silent(served.runner.server, START_S + patience.limit_s) == 0
    assert patience.end_silent(served.runner.server, START_S + patience.limit_s + 0.1) == 1
    async with asyncio.timeout(10):
        assert await slow.read() == b""
    slow_writer.close()
    await served.data("/api/v1/rules")


async def test_a_refused_request_is_a_request(served: Served) -> None:
    patience = served.app[PATIENCE]
    assert served.runner.server is not None
    await served.send("POST", "/api/v1/silences", {}, token=None)
    for later_s in (0.0, 1e6):
        assert patience.end_silent(served.runner.server, START_S + later_s) == 0
