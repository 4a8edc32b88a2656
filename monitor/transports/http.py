"""HTTPS requests for metadata and polls: bounded in time, size, redirects and pace."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from monitor import __version__
from monitor.clock import NS_PER_S, Clock
from monitor.errors import FetchError
from monitor.feed import Request
from monitor.retry_after import retry_after_s
from monitor.transports.inflate import ACCEPTED, InflateError, inflate

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_REMEMBERED = 64
MAX_REMEMBERED_BYTES = 1024 * 1024
DEFAULT_PENALTY_S = 30.0
_RATE_LIMITED = (429, 418)
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer. ``recv_ns`` is the unix time of its last byte; ``unchanged``: the server said so (ETag, Last-Modified)."""

    body: bytes
    recv_ns: int
    unchanged: bool = False


class HttpClient:
    """One session for all feeds.

    A host that answers 429 or 418 is left alone for as long as it asks (``Retry-After``; 30 s where it does not say):
    requests to it fail at once as ``rate_limited`` until then, so that no ban is earned by insisting. A redirect is
    not followed: an API that moves is a change that someone should see. Certificates are verified. Bodies are unpacked
    here and not by aiohttp, which unpacks all that has arrived between two turns of the event loop: a megabyte that
    unpacks to a thousand holds everything up for 260 ms.

    Args:
        clock: Times penalties and stamps replies.
        tls: Replaces the system's trust store.
        max_body_bytes: A larger reply is refused, however it is announced, and however it is packed.
    """

    def __init__(
        self, clock: Clock, *, tls: ssl.SSLContext | None = None, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._clock = clock
        self._tls = tls
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None
        self._blocked_until_ns: dict[str, int] = {}
        self._known: OrderedDict[str, tuple[dict[str, str], bytes]] = OrderedDict()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session; its connections end with it."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, request: Request, *, timeout_s: float = 10.0, max_bytes: int | None = None) -> Reply:
        """Make one request.

        Args:
            request: What to ask.
            timeout_s: Real seconds for all of it.
            max_bytes: A smaller bound than the client's.

        Raises:
            FetchError: No usable answer; ``reason`` says why.
        """
        host = urlsplit(request.url).netloc
        self._check_penalty(host)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request, host, min(max_bytes or MAX_BODY_BYTES, self._max_body_bytes))
        except TimeoutError:
            raise FetchError("timeout", f"{request.name}: nothing within {timeout_s:g} s") from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            raise FetchError("bad_http", f"{request.name}: {_one_line(error)}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchError("unreachable", f"{request.name}: {_one_line(error)}") from None

    async def _exchange(self, request: Request, host: str, max_bytes: int) -> Reply:
        headers = dict(request.headers)
        known = self._known.get(request.url) if request.method == "GET" else None
        if known is not None:
            headers |= known[0]
        if request.body is not None:
            headers.setdefault("Content-Type", "application/json")
        async with self._open().request(
            request.method, request.url, data=request.body, headers=headers, allow_redirects=False
        ) as response:
            if known is not None and response.status == 304:
                return Reply(known[1], self._clock.wall_ns(), unchanged=True)
            self._check_status(request, host, response)
            body = await _read(request, response, max_bytes)
            self._remember(request, _validators(response), body)
            return Reply(body, self._clock.wall_ns())

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit_per_host=8, ssl=self._tls or True),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={
                    "User-Agent": f"market-risk-monitor/{__version__}",
                    "Accept": "application/json",
                    "Accept-Encoding": ACCEPTED,
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _check_penalty(self, host: str) -> None:
        left_ns = self._blocked_until_ns.get(host, 0) - self._clock.mono_ns()
        if left_ns > 0:
            raise FetchError("rate_limited", f"{host} asked for a pause", left_ns / NS_PER_S)

    def _check_status(self, request: Request, host: str, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 200:
            return
        wait_s = retry_after_s(response.headers.get("Retry-After"), self._clock.wall_ns())
        if status in _RATE_LIMITED:
            wait_s = DEFAULT_PENALTY_S if wait_s is None else wait_s
            self._blocked_until_ns[host] = self._clock.mono_ns() + int(wait_s * NS_PER_S)
            raise FetchError("rate_limited", f"{request.name}: HTTP {status}", wait_s)
        reason = "redirect" if 300 <= status < 400 else f"status_{status}"
        raise FetchError(reason, f"{request.name}: HTTP {status}", wait_s)

    def _remember(self, request: Request, validators: dict[str, str], body: bytes) -> None:
        if not validators or request.method != "GET" or len(body) > MAX_REMEMBERED_BYTES:
            return
        self._known[request.url] = (validators, body)
        self._known.move_to_end(request.url)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


async def _read(request: Request, response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body as the service meant it; zlib works in a thread, and lets the event loop run meanwhile."""
    if (response.content_length or 0) > limit:
        raise FetchError("too_large", f"{request.name}: {response.content_length} bytes announced")
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise FetchError("too_large", f"{request.name}: more than {limit} bytes")
    encoding = response.headers.get("Content-Encoding", "")
    if not encoding:
        return b"".join(chunks)
    try:
        return await asyncio.to_thread(inflate, b"".join(chunks), encoding, limit)
    except InflateError as error:
        reason = "too_large" if error.too_large else "bad_http"
        raise FetchError(reason, f"{request.name}: {error}") from None


def _one_line(error: Exception) -> str:
    """What went wrong, without the bytes that aiohttp prints below it."""
    return " ".join(str(error).partition("\n")[0].split())[:200].rstrip(" :,") or type(error).__name__


def _validators(response: aiohttp.ClientResponse) -> dict[str, str]:
    """What to ask with next time, so that an unchanged reply is not sent again (RFC 9110, section 13.1)."""
    names = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
    return {ask: response.headers[told] for told, ask in names if told in response.headers}
