"""A local HTTP receiver that remembers requests and answers as told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web


@dataclass
class Receiver:
    url: str = ""
    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    judge: Callable[[str, bytes], tuple[int, dict[str, str], Any]] | None = None

    def answer(self, status: int, headers: dict[str, str] | None = None, body: Any = None) -> None:
        self.answers.append((status, headers or {}, body if body is not None else {}))

    def bodies(self) -> list[Any]:
        return [msgspec.json.decode(body) for _, _, body in self.requests]

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request.path, dict(request.headers), body))
        if self.judge is not None:
            status, headers, reply = self.judge(request.path, body)
        else:
            status, headers, reply = self.answers.pop(0) if self.answers else (200, {}, {"ok": True, "result": []})
        return web.json_response(reply, status=status, headers=headers)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    state = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", state.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield state
    finally:
        await runner.cleanup()
