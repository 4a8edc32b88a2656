"""What must not be possible."""

import asyncio
import json

import pytest

from monitor.testing.fake_view import TOTAL, FakeView
from monitor.web.security import host_name
from monitor.web.server import make_app
from tests.web.conftest import TOKEN, Served

ACK = {"fingerprint": TOTAL, "by": "kim"}


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "ü"])
async def test_nothing_changes_without_the_token(served: Served, token: str | None) -> None:
    status, body = await served.send("POST", "/api/v1/acks", ACK, token=token)
    assert status == 401
    assert TOKEN not in str(body)
    assert served.view.acknowledgements() == []


async def test_the_token_is_no_query_parameter_and_no_cookie(served: Served) -> None:
    status, _ = await served.send("POST", f"/api/v1/acks?token={TOKEN}", ACK, token=None, Cookie=f"token={TOKEN}")
    assert status == 401


async def test_without_a_configured_token_nothing_can_be_changed() -> None:
    from aiohttp.test_utils import TestClient, TestServer

    async with TestClient(TestServer(make_app(FakeView()))) as client:
        reply = await client.post("/api/v1/acks", json=ACK, headers={"Authorization": "Bearer "})
        assert reply.status == 403


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("", 421), ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:9", 200), ("risk.example.com", 200), ("RISK.example.com.:80", 200), ("risk.example.com.evil", 421)])  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/status"])
async def test_a_foreign_host_name_is_refused(served: Served, path: str, host: str, status: int) -> None:
    async with served.session.get(served.url + path, headers={"Host": host}) as reply:
        assert reply.status == status


def test_host_names() -> None:
    assert [host_name(text) for text in ("A.b:1", "[::1]:2", "x.", " y ")] == ["a.b", "::1", "x", "y"]


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/metrics", "/api/v1/status", "/nothing"])
async def test_every_answer_carries_the_policy(served: Served, path: str) -> None:
    async with served.session.get(served.url + path) as reply:
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_large_body_is_refused(served: Served) -> None:
    status, body = await served.send("POST", "/api/v1/acks", {**ACK, "comment": "x" * 100_000})
    assert status == 413
    assert body["errorType"] == "too_large"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"null", b'{"by":' + b"[" * 5000])
async def test_a_broken_body_is_a_bad_request(served: Served, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/api/v1/acks", "/api/v1/silences"):
        async with served.session.post(served.url + path, data=body, headers=headers) as reply:
            assert reply.status == 400
            assert (await reply.json())["errorType"] == "bad_data"


async def test_other_methods_are_refused(served: Served) -> None:
    status, _ = await served.send("POST", "/api/v1/status", {})
    assert status == 405


@pytest.mark.parametrize(("asked", "headers", "status", "words"), [
    ("POST /api/v1/acks", {"Authorization": "Bearer \udcff"}, 401, "bearer token"),
    ("POST /api/v1/acks", {"Authorization": f"Bearer {TOKEN}", "Content-Encoding": "gzip"}, 400, "what its headers say"),
    ("PUT /api/v1/acks", {"Authorization": f"Bearer {TOKEN}"}, 405, "PUT is not possible here, but GET, HEAD, POST"),
    ("GET /api/v2/rules", {}, 404, "nothing has this address"),
    ("GET /reports/x", {}, 404, "no report of this name"),
    ("GET /static/..%2fserver.py", {}, 404, "nothing has this address"),
])  # fmt: skip
async def test_every_refusal_says_why(
    served: Served, asked: str, headers: dict[str, str], status: int, words: str
) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    text = f"{asked} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    answer = await raw(served, text.encode("utf-8", "surrogateescape"))
    first, body = answer.split(b"\r\n")[0], json.loads(answer.partition(b"\r\n\r\n")[2])
    assert first.split()[1] == str(status).encode()
    assert body["status"] == "error"
    assert words in body["error"]


async def raw(served: Served, request: bytes) -> bytes:
    """What the server answers to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_stream_is_not_sent_to_who_asks_for_its_head(served: Served) -> None:
    answer = await raw(served, b"HEAD /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


async def test_versions_are_not_told(served: Served) -> None:
    async with served.session.get(served.url) as reply:
        assert reply.headers["Server"] == "market-risk-monitor"


async def test_half_a_request_holds_up_nobody(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
    writer.write(b"GET /events HT")
    await writer.drain()
    assert (await served.data("/api/v1/status"))["rules"] == len(served.view.rules())
    writer.close()
    await writer.wait_closed()
    assert not await reader.read()
