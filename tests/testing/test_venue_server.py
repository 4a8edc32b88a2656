"""The local venue as its users end it."""

from __future__ import annotations

import asyncio
from typing import Any

from monitor.clock import SystemClock
from monitor.testing.venue_server import VenueServer
from monitor.testing.venues import make_protocol


async def test_stopping_cuts_who_has_asked_nothing_yet_without_a_complaint() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    async with VenueServer(make_protocol("bybit", []), SystemClock()) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET / HT")
        while not server._handlers:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # its handler waits for the rest
    assert await reader.read() == b""
    writer.close()
    assert complaints == []
