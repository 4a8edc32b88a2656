"""A served made-up monitor and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from monitor.testing.fake_view import FakeView
from monitor.web.malformed import http_logger
from monitor.web.server import WebSettings, make_app

TOKEN = "a-long-enough-token"
SETTINGS = WebSettings(token=TOKEN, allowed_hosts=("risk.example.com",), updates_per_s=20, max_clients=4)


@dataclass(frozen=True)
class Served:
    """A running server with what stands behind it."""

    url: str
    view: FakeView
    app: web.Application
    runner: web.AppRunner
    session: aiohttp.ClientSession

    async def data(self, path: str) -> Any:
        """The ``data`` of a good answer."""
        async with self.session.get(self.url + path) as reply:
            body = await reply.json()
        assert (reply.status, body["status"]) == (200, "success"), body
        return body["data"]

    async def send(
        self, method: str, path: str, body: Any = None, token: str | None = TOKEN, **headers: str
    ) -> tuple[int, Any]:
        """Status and body of a request that changes something."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self.session.request(method, self.url + path, json=body, headers=headers) as reply:
            return reply.status, await reply.json()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The web application over a `FakeView`, on a loopback port."""
    view = FakeView()
    app = make_app(view, SETTINGS)
    runner = web.AppRunner(app, logger=http_logger(), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://127.0.0.1:{1}".format(*runner.addresses[0])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield Served(url, view, app, runner, session)
    await runner.cleanup()
