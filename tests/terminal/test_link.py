"""The event stream in any pieces, and refusals in the monitor's words."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from monitor.errors import MonitorError
from monitor.terminal.link import EventParser, Link, Lost
from tests.web.conftest import TOKEN, Served

STREAM = (
    'retry: 1000\n\nid: a-1\nevent: snapshot\ndata: {"é": 1}\n\n: still here\n\nid: a-2\r\ndata: x\r\ndata: y\r\n\r\n'
)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_the_same_in_any_pieces(size: int) -> None:
    raw, parser = STREAM.encode(), EventParser()
    found = [data for start in range(0, len(raw), size) for data in parser.feed(raw[start : start + size])]
    assert found == ['{"é": 1}', "x\ny"]
    assert parser.last_id == "a-2"


def test_an_endless_event_is_refused() -> None:
    parser, piece = EventParser(), b"data: " + b"x" * 12_000_000 + b"\n"
    assert list(parser.feed(piece)) == list(parser.feed(piece)) == []
    with pytest.raises(MonitorError, match="larger than 32 MiB"):
        list(parser.feed(piece))


async def test_the_first_update_has_everything_and_the_next_only_changes(served: Served) -> None:
    async with Link(served.url) as link:
        updates = link.updates()
        first = await anext(updates)
        assert isinstance(first, dict)
        assert {"feeds", "alerts", "signals", "depth", "history", "sparks"} <= set(first)
        served.view.down.add("okx")
        second = await anext(updates)
        assert isinstance(second, dict)
        assert "feeds" in second
        assert "history" not in second
        await updates.aclose()


async def test_a_lost_stream_is_said_and_tried_again(served: Served) -> None:
    port = int(served.url.rsplit(":", 1)[1])
    async with Link(served.url, first_wait_s=0.05) as link:
        updates = link.updates()
        await anext(updates)
        await served.runner.cleanup()
        lost = [await anext(updates), await anext(updates)]
        assert all(isinstance(item, Lost) for item in lost), lost
        assert isinstance(lost[1], Lost)
        assert lost[1].wait_s == 0.1
        from monitor.web.server import make_app

        again = web.AppRunner(make_app(served.view), shutdown_timeout=1)
        await again.setup()
        await web.TCPSite(again, "127.0.0.1", port).start()
        while isinstance(news := await anext(updates), Lost):
            pass
        assert "feeds" in news
        await updates.aclose()
        await again.cleanup()


async def test_something_else_on_the_port_is_not_taken_for_a_monitor(served: Served) -> None:
    async with Link(served.url + "/nowhere") as link:
        updates = link.updates()
        lost = await anext(updates)
        assert isinstance(lost, Lost)
        assert "404" in lost.words
        assert "is this a monitor?" in lost.words
        await updates.aclose()


async def test_refusals_are_the_monitors_own_words(served: Served) -> None:
    async with Link(served.url) as link:
        with pytest.raises(MonitorError, match="bearer token"):
            await link.call("POST", "/api/v1/acks", body={"fingerprint": "x", "by": "k"}, token="wrong")
        with pytest.raises(MonitorError, match="fingerprint"):
            await link.call("POST", "/api/v1/acks", body={"fingerprint": "x", "by": "k"}, token=TOKEN)
        assert json.dumps(await link.call("GET", "/api/v1/silences")) == "[]"
        with pytest.raises(MonitorError, match="JSON"):
            await link.call("GET", "/metrics")


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(MonitorError, match="http://"):
        Link("127.0.0.1:9108")
