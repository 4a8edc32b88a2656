"""A served made-up monitor, at the pace of a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from monitor.testing.fake_view import FakeView
from monitor.web.server import WebSettings, make_app
from tests.web.conftest import TOKEN, Served


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The web application over a `FakeView`, on a loopback port."""
    view = FakeView()
    app = make_app(view, WebSettings(token=TOKEN, updates_per_s=6))
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://127.0.0.1:{1}".format(*runner.addresses[0])
    async with aiohttp.ClientSession() as session:
        yield Served(url, view, app, runner, session)
    await runner.cleanup()
