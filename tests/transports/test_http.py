"""The HTTPS client against a local server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate

import pytest
from aiohttp import web

from monitor.errors import FetchError
from monitor.feed import Request
from monitor.testing.manual_clock import ManualClock
from monitor.transports.http import HttpClient


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_get_and_post(free_port: Callable[[], int]) -> None:
    async def echo(request: web.Request) -> web.Response:
        text = await request.text()
        return web.Response(text=f"{request.method} {request.path_qs} {text} {request.headers.get('X-A')}")

    clock = ManualClock()
    async with serving(echo, free_port()) as url, HttpClient(clock) as http:
        reply = await http.fetch(Request("a", f"{url}/x?y=1", headers=(("X-A", "b"),)))
        assert reply.body == b"GET /x?y=1  b"
        assert reply.recv_ns == clock.wall_ns()
        reply = await http.fetch(Request("a", f"{url}/x", "POST", b"{}"))
        assert reply.body == b"POST /x {} None"


async def test_unchanged_reply_is_asked_for_by_its_etag(free_port: Callable[[], int]) -> None:
    asked: list[str | None] = []

    async def tagged(request: web.Request) -> web.Response:
        asked.append(request.headers.get("If-None-Match"))
        if asked[-1] == '"v1"':
            return web.Response(status=304)
        return web.Response(text="body", headers={"ETag": '"v1"'})

    async with serving(tagged, free_port()) as url, HttpClient(ManualClock()) as http:
        first = await http.fetch(Request("a", url + "/"))
        again = await http.fetch(Request("a", url + "/"))
    assert asked == [None, '"v1"']
    assert (first.body, first.unchanged) == (b"body", False)
    assert (again.body, again.unchanged) == (b"body", True)


async def test_a_server_without_etags_is_asked_by_date(free_port: Callable[[], int]) -> None:
    date, asked = "Fri, 21 Nov 2025 07:30:00 GMT", list[str | None]()

    async def dated(request: web.Request) -> web.Response:
        asked.append(request.headers.get("If-Modified-Since"))
        if asked[-1] == date:
            return web.Response(status=304)
        return web.Response(text="body", headers={"Last-Modified": date})

    async with serving(dated, free_port()) as url, HttpClient(ManualClock()) as http:
        await http.fetch(Request("a", url + "/"))
        again = await http.fetch(Request("a", url + "/"))
    assert asked == [None, date]
    assert (again.body, again.unchanged) == (b"body", True)


@pytest.mark.parametrize(
    ("ahead_s", "wait_s"), [(90, 90.0), (-90, 0.0), (None, 30.0)], ids=["a date", "a date that is past", "nonsense"]
)
async def test_retry_after_may_be_a_date(free_port: Callable[[], int], ahead_s: int | None, wait_s: float) -> None:
    clock = ManualClock()
    header = "soon" if ahead_s is None else formatdate(clock.wall_ns() // 10**9 + ahead_s, usegmt=True)

    async def limited(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": header})

    async with serving(limited, free_port()) as url, HttpClient(clock) as http:
        with pytest.raises(FetchError) as caught:
            await http.fetch(Request("a", url + "/"))
    assert caught.value.retry_after_s == pytest.approx(wait_s, abs=1.0)


async def test_no_failure_keeps_us_away_for_longer_than_an_hour(free_port: Callable[[], int]) -> None:
    async def down(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "999999999"})

    async with serving(down, free_port()) as url, HttpClient(ManualClock()) as http:
        with pytest.raises(FetchError, match="HTTP 503") as caught:
            await http.fetch(Request("a", url + "/"))
    assert caught.value.retry_after_s == 3600.0


async def test_redirect_is_refused(free_port: Callable[[], int]) -> None:
    asked: list[str] = []

    async def moved(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=301, headers={"Location": "/elsewhere"})

    async with serving(moved, free_port()) as url, HttpClient(ManualClock()) as http:
        with pytest.raises(FetchError) as caught:
            await http.fetch(Request("a", url + "/here"))
    assert caught.value.reason == "redirect"
    assert asked == ["/here"]


@pytest.mark.parametrize(("status", "header", "wait_s"), [(429, "7", 7.0), (418, "90000", 3600.0), (429, None, 30.0)])
async def test_rate_limited_host_is_left_alone(
    free_port: Callable[[], int], status: int, header: str | None, wait_s: float
) -> None:
    asked = 0

    async def limited(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return (
            web.Response(status=status, headers={"Retry-After": header} if header else {})
            if asked == 1
            else web.Response()
        )

    clock = ManualClock()
    async with serving(limited, free_port()) as url, HttpClient(clock) as http:
        for _ in range(3):
            with pytest.raises(FetchError) as caught:
                await http.fetch(Request("a", url + "/"))
            assert caught.value.reason == "rate_limited"
            assert caught.value.retry_after_s == wait_s
        assert asked == 1, "insisting earns a ban"
        await clock.advance(wait_s)
        await http.fetch(Request("a", url + "/"))
        assert asked == 2


async def test_large_reply_is_refused_whether_announced_or_not(free_port: Callable[[], int]) -> None:
    async def large(request: web.Request) -> web.Response:
        response = web.Response(body=b"x" * 5_000)
        if request.path == "/chunked":
            response.enable_chunked_encoding()
        return response

    async with serving(large, free_port()) as url, HttpClient(ManualClock(), max_body_bytes=1_000) as http:
        for path in ("/announced", "/chunked"):
            with pytest.raises(FetchError) as caught:
                await http.fetch(Request("a", url + path))
            assert caught.value.reason == "too_large"


async def test_nobody_listens(free_port: Callable[[], int]) -> None:
    async with HttpClient(ManualClock()) as http:
        with pytest.raises(FetchError) as caught:
            await http.fetch(Request("a", f"http://127.0.0.1:{free_port()}/"))
        assert caught.value.reason == "unreachable"


async def test_bad_address_is_an_error_of_the_request_not_a_crash() -> None:
    async with HttpClient(ManualClock()) as http:
        with pytest.raises(FetchError):
            await http.fetch(Request("a", "not an address"))
