"""The web application: one port for metrics, health, API, event stream and live page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler

from monitor.telemetry.health import healthy, ready
from monitor.telemetry.metrics import Budget, Metrics
from monitor.telemetry.view import MonitorView
from monitor.web.api import Api, BadRequest, failure
from monitor.web.malformed import reason
from monitor.web.patience import Patience
from monitor.web.reports import Reports
from monitor.web.security import add_headers, host_guard, token_guard
from monitor.web.sse import Broadcaster

STATIC = files("monitor.web") / "static"
PAGE_FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "alerts.js": "text/javascript",
    "parts.js": "text/javascript",
    "format.js": "text/javascript",
    "draw.js": "text/javascript",
    "actions.js": "text/javascript",
    "tables.js": "text/javascript",
    "pulse.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_ERROR_KINDS = {400: "bad_data", 401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large"}


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the web application behaves.

    Attributes:
        token: Allows changes (silences, acknowledgements); None forbids them.
        allowed_hosts: Host names to answer to besides addresses and ``localhost``.
        updates_per_s: Updates of the live page.
        max_clients: Open event streams at most.
        max_body_bytes: Largest request body.
        first_request_s: How long a new connection may take for its first request.
        budget: Bounds on the number of series.
        reports: Folder of backtest reports to list and serve.
    """

    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    updates_per_s: float = 4.0
    max_clients: int = 200
    max_body_bytes: int = 64 * 1024
    first_request_s: float = 15.0
    budget: Budget = field(default_factory=Budget)
    reports: Path | None = None


BROADCASTER: web.AppKey[Broadcaster] = web.AppKey("broadcaster", Broadcaster)
PATIENCE: web.AppKey[Patience] = web.AppKey("patience", Patience)


def make_app(view: MonitorView, settings: WebSettings | None = None) -> web.Application:
    """Build the application; run it with `aiohttp.web.AppRunner` on a loopback address."""
    settings = settings or WebSettings()
    patience = Patience(settings.first_request_s)
    app = web.Application(
        middlewares=[patience.guard(), errors_as_json, host_guard(settings.allowed_hosts), token_guard(settings.token)],
        client_max_size=settings.max_body_bytes,
    )
    app[PATIENCE] = patience
    app[BROADCASTER] = Broadcaster(view, settings.updates_per_s, settings.max_clients)
    app.on_response_prepare.append(add_headers)
    app.cleanup_ctx.append(_broadcast)
    app.on_shutdown.append(_end_streams)
    app.add_routes(_probe_routes(view, Metrics(view, settings.budget)))
    reports = Reports(settings.reports)
    app.add_routes(Api(view, reports).routes())
    app.add_routes([web.get("/reports/{name}", reports.serve)])
    stream = web.get("/events", app[BROADCASTER].stream, allow_head=False)  # an answer to HEAD has no body, and ends
    app.add_routes([stream, *_page_routes(settings.token)])
    return app


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals of the API have Prometheus' error shape, whoever raised them."""
    try:
        return await handler(request)
    except BadRequest as error:
        return failure(400, "bad_data", str(error))
    except web.RequestPayloadError as error:
        return failure(400, "bad_data", f"body: not what its headers say: {reason(error)}")
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = failure(error.status, _ERROR_KINDS.get(error.status, "refused"), _words(error))
        for name in ("WWW-Authenticate", "Retry-After", "Allow"):
            if name in error.headers:
                answer.headers[name] = error.headers[name]
        return answer


def _words(error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{error.method} is not possible here, but {', '.join(sorted(error.allowed_methods))}"
    if isinstance(error, web.HTTPNotFound) and error.text == f"{error.status}: {error.reason}":
        return "nothing has this address; what there is stands in docs/openapi.json"
    return error.text or error.reason


async def _broadcast(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[BROADCASTER].run(), name="web.broadcast")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _end_streams(app: web.Application) -> None:
    await app[BROADCASTER].close()


def _probe_routes(view: MonitorView, metrics: Metrics) -> list[web.RouteDef]:
    async def scrape(request: web.Request) -> web.Response:
        start = perf_counter()
        body, content_type = metrics.expose(request.headers.get("Accept", ""))
        metrics.last_scrape_s = perf_counter() - start
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthz(request: web.Request) -> web.Response:
        stalled = request.app[BROADCASTER].failure
        return _probe(healthy(view) + ([f"live page: {stalled}"] if stalled else []))

    async def readyz(_request: web.Request) -> web.Response:
        return _probe(ready(view))

    return [web.get("/metrics", scrape), web.get("/healthz", healthz), web.get("/readyz", readyz)]


def _probe(problems: list[str]) -> web.Response:
    return web.Response(text="\n".join(problems or ["ok"]) + "\n", status=503 if problems else 200)


def _page_routes(token: str | None) -> list[web.RouteDef]:
    """The live page. Files are read once: a request never reaches the file system."""
    page = (STATIC / "index.html").read_bytes()
    if not token:
        page = page.replace(b'name="changes" content="allowed"', b'name="changes" content="refused"')
    routes = [web.get("/", _file(page, "text/html"))]
    return routes + [
        web.get(f"/static/{name}", _file((STATIC / name).read_bytes(), kind)) for name, kind in PAGE_FILES.items()
    ]


def _file(body: bytes, content_type: str) -> Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=body, content_type=content_type, charset="utf-8", headers={"Cache-Control": "no-cache"}
        )

    return serve
