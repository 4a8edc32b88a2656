"""One local HTTP server for all slow sources; it can be told to misbehave. Synthetic data only."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import Literal, Self

from aiohttp import web

from monitor.clock import Clock
from monitor.testing.sources.replies import SlowMarket

Fault = Literal["", "slow", "html", "huge", "redirect", "rate_limited", "error", "yesterday"]
DAY_NS = 86_400 * 10**9
HUGE_BYTES = 80 * 1024 * 1024


class SourceServer:
    """Serves every service's paths on one loopback port; point each source's ``url`` at `url`.

    ``fault`` holds for all requests until it is changed: ``slow`` never answers, ``html`` sends an error page with 200,
    ``huge`` a body of 80 MiB, ``redirect`` 302, ``rate_limited`` 429 with Retry-After 60, ``error`` 500, and
    ``yesterday`` the replies of 36 hours ago. ``asked`` counts requests by path.
    """

    def __init__(self, market: SlowMarket, clock: Clock) -> None:
        self._market = market
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self.fault: Fault = ""
        self.asked: Counter[str] = Counter()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        match self.fault:
            case "slow":
                await asyncio.Event().wait()
            case "html":
                return web.Response(text="<html><title>Just a moment...</title></html>", content_type="text/html")
            case "huge":
                return web.Response(body=b" " * HUGE_BYTES)
            case "redirect":
                raise web.HTTPFound("https://example.org/moved")
            case "rate_limited":
                raise web.HTTPTooManyRequests(headers={"Retry-After": "60"})
            case "error":
                raise web.HTTPInternalServerError
            case "" | "yesterday":
                pass
        now_ns = self._clock.wall_ns() - (DAY_NS * 3 // 2 if self.fault == "yesterday" else 0)
        status, body = self._market.answer(request.path, request.query, await request.read(), now_ns)
        return web.Response(status=status, body=body, content_type="application/json")
