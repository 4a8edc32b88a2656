"""An end to connections that never ask for anything: aiohttp waits for a request for ever, and sockets are few."""

from __future__ import annotations

from asyncio import BaseTransport
from weakref import WeakKeyDictionary, WeakSet

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Patience:
    """Knows which connections have sent a whole request line and headers once, and closes those that have not for too long.

    A connection that has asked before is aiohttp's own business: its keep-alive timeout ends it.

    Args:
        limit_s: How long a connection may take for its first request.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._asked: WeakSet[BaseTransport] = WeakSet()
        self._since_s: WeakKeyDictionary[BaseTransport, float] = WeakKeyDictionary()

    def guard(self) -> Middleware:
        """Goes first: hears of every request whose headers are complete."""

        @web.middleware
        async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.transport is not None:
                self._asked.add(request.transport)
            return await handler(request)

        return heard

    def end_silent(self, server: web.Server, now_s: float) -> int:
        """Close what has been silent for longer than the limit; how many. `now_s` is monotonic."""
        open_now = [link.transport for link in server.connections if link.transport is not None]
        silent = [link for link in open_now if link not in self._asked]
        late = [link for link in silent if now_s - self._since_s.setdefault(link, now_s) > self.limit_s]
        for link in late:
            link.abort()
        return len(late)
