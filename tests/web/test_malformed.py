"""Clients that do not speak HTTP leave a line a minute in the log, and no traceback."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from monitor.web.malformed import EVERY_S, NAME, Malformed
from tests.web.conftest import TOKEN, Served
from tests.web.test_security import raw


def record(error: Exception, created_s: float) -> logging.LogRecord:
    exc_info = (type(error), error, None)
    made = logging.LogRecord("x", logging.ERROR, "x", 1, "Error from %s", ("10.0.0.9",), exc_info)
    made.created = created_s
    return made


def test_one_line_a_minute_that_counts_the_others() -> None:
    quiet, error = Malformed(), BadHttpMessage("Invalid method encountered:\n\n  b'\\x1b[2J'\n  ^")
    first = record(error, 100.0)
    assert quiet.filter(first)
    assert first.getMessage() == "web.client_failed from 10.0.0.9: Invalid method encountered"
    assert (first.levelname, first.exc_info) == ("WARNING", None)
    assert [quiet.filter(record(error, 100.0 + seconds)) for seconds in (1, EVERY_S - 1)] == [False, False]
    again = record(error, 100.0 + EVERY_S)
    assert quiet.filter(again)
    assert again.getMessage().endswith("; 2 more since the last such line")


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    ours = record(ValueError("ours"), 100.0)
    assert Malformed().filter(ours)
    assert (ours.levelname, ours.getMessage()) == ("ERROR", "Error from 10.0.0.9")
    assert ours.exc_info is not None


async def test_the_served_pages_write_it_so(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    for nonsense in (b"GET /?\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"):
        assert (await raw(served, nonsense)).startswith(b"HTTP/1.0 400 ")
    said = [entry for entry in caplog.records if entry.name == NAME]
    assert [entry.levelname for entry in said] == ["WARNING"]
    assert "Traceback" not in caplog.text


async def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
    head = f"POST /api/v1/acks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        while not (said := [entry for entry in caplog.records if entry.name == NAME]):
            await asyncio.sleep(0)
    assert [(entry.levelname, entry.getMessage()) for entry in said] == [
        ("WARNING", "web.client_failed from 127.0.0.1: Connection lost")
    ]
