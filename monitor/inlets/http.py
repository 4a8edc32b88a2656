"""``POST /api/v1/inlet``: the rows are the body. The web server's token guard stands before it, as before every change."""

from __future__ import annotations

from aiohttp import web

from monitor.clock import Clock
from monitor.inlets.door import Door
from monitor.inlets.payloads import MAX_BYTES

PATH = "/api/v1/inlet"
SHOWN_REFUSALS = 100
KINDS = {
    "application/json": "json",
    "application/x-ndjson": "json",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}


def inlet_route(door: Door, clock: Clock) -> web.RouteDef:
    """The route to add to the web application.

    Answers 200 with ``{"taken": n, "refused": [{"row", "reason", "detail"}]}`` when something was taken or nothing was
    refused, 422 with the same body when every row was refused, 413 for more than `MAX_BYTES`, 415 for a content type
    that is none of `KINDS`.
    """

    async def take(request: web.Request) -> web.Response:
        kind = KINDS.get(request.content_type)
        if kind is None:
            raise web.HTTPUnsupportedMediaType(text=f"send one of {', '.join(KINDS)}")
        source = request.query.get("source", "http")[:100]
        taken, refused = await door.take("http", await _body(request), kind, clock.wall_ns(), source)
        shown = [{"row": r.number, "reason": r.reason, "detail": r.detail} for r in refused[:SHOWN_REFUSALS]]
        body = {"taken": taken, "refused": shown, "refused_count": len(refused)}
        return web.json_response(body, status=422 if refused and not taken else 200)

    return web.post(PATH, take)


async def _body(request: web.Request) -> bytes:
    """The body within the inlet's own limit; the rest of the API has a far smaller one."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BYTES:
            raise web.HTTPRequestEntityTooLarge(max_size=MAX_BYTES, actual_size=len(body))
    return bytes(body)
