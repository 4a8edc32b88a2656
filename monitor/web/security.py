"""What guards the HTTP surface: the host name asked for, the headers of every answer, the token for changes."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def host_name(host_header: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    host = host_header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def host_guard(allowed: Iterable[str]) -> Middleware:
    """Middleware: answer only to addresses, ``localhost`` and `allowed` names.

    A page of another origin can make its own name resolve to 127.0.0.1 and then read everything here (DNS rebinding);
    its name stands in the Host header. An address cannot be rebound.
    """
    names = {"localhost", *(name.lower() for name in allowed)}

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = host_name(request.headers.get("Host", ""))
        if name not in names and not _is_address(name):
            raise web.HTTPMisdirectedRequest(text="this host name is not served here; add it to allowed_hosts")
        return await handler(request)

    return guard


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, errors and static files included; which versions serve it is nobody's business."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "market-risk-monitor"


def token_guard(token: str | None) -> Middleware:
    """Middleware: a request that changes something needs ``Authorization: Bearer`` with the configured token.

    Without a configured token nothing can be changed. A browser adds no such header by itself, so a foreign page
    cannot forge the request either.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return await handler(request)
        if not token:
            raise web.HTTPForbidden(text="no token is configured, so nothing can be changed over HTTP")
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # surrogateescape: so aiohttp reads bytes of a header that are no text
        said = given.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(said, token.encode()):
            raise web.HTTPUnauthorized(text="a valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return guard
