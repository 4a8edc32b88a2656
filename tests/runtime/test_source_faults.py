"""A slow source against a real socket that misbehaves, through the real client and the real runner.

Whatever the endpoint does, the reply is counted under its reason, the last good value stays, and no turn of the event loop
costs the engine more than `TURN_S` of processor time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from random import Random

import pytest

from monitor.clock import NS_PER_S, SystemClock
from monitor.events import Event, FeedState, Sample
from monitor.runtime import source_runner
from monitor.runtime.source_runner import PollStatus, SourceRunner
from monitor.source import SourceOptions
from monitor.sources import make_source
from monitor.transports.http import HttpClient

TURN_S = 0.1
"""Processor time of one turn of the event loop; unpacking a bomb in it took 0.26 s."""

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def total_cap(value: float, updated_at: float) -> bytes:
    data = {"total_market_cap": {"usd": value}, "market_cap_percentage": {}, "updated_at": int(updated_at)}
    return json.dumps({"data": data}).encode()


def good(value: float = 3e12) -> bytes:
    return reply(total_cap(value, time.time()))


def bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    piece = b" " * (1 << 20)
    return b"".join(packer.compress(piece) for _ in range(300)) + packer.flush()


def large_json(size: int) -> bytes:
    row = b'{"id":"x","market_cap":1.5,"more":[1,2,3,{"a":"bbbbbbbbbbbbbbbbbbbb"}]},'
    return b"[" + row * (size // len(row)) + b"{}]"


@dataclass
class Endpoint:
    """Sends the next of its replies to whoever connects; the last one repeats. `None`: trickles bytes for ever."""

    replies: list[bytes | None]
    heard: list[bytes] = field(default_factory=list)
    url: str = ""
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self.serve(reader, writer))
        self.serving.add(task)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            answer = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            if answer is None:
                await self._trickle(writer)
            else:
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    async def _trickle(self, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def endpoint(*replies: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    there = Endpoint(list(replies))
    server = await asyncio.start_server(there.accept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    there.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    async with server:
        yield there
        for task in there.serving:
            task.cancel()
        await asyncio.gather(*there.serving, return_exceptions=True)


class Turns:
    """Watches how much processor time the loop's thread spends between two of its turns."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(0)
            self.longest_s = max(self.longest_s, time.thread_time() - before_s)


class Bench:
    """One request of a real source, asked through real sockets."""

    def __init__(self, url: str, http: HttpClient, directory: Path | None = None, name: str = "global") -> None:
        self.events: list[Event] = []
        self.runner = SourceRunner(
            make_source("coingecko", SourceOptions(url=url)),
            self.take,
            http=http,
            clock=SystemClock(),
            directory=directory,
            rng=Random(1),
            speed=600.0,  # a poll of ten minutes every second
        )
        self.runner.polls = {name: self.runner.polls[name]}
        self.status: PollStatus = self.runner.polls[name]

    def take(self, events: Sequence[Event]) -> None:
        self.events += events

    @property
    def values(self) -> list[Sample]:
        return [event for event in self.events if isinstance(event, Sample)]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Turns]:
        turns = Turns()
        tasks = [asyncio.create_task(self.runner.run()), asyncio.create_task(turns.watch())]
        try:
            yield turns
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.01)


FAULTS: dict[str, tuple[str, Callable[[], bytes | None], str]] = {
    "trickling": ("global", lambda: None, "timeout"),
    "hangs up": ("global", lambda: b"", "unreachable"),
    "no HTTP": ("global", lambda: b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_http"),
    "HTML": ("global", lambda: reply(b"<html><title>Just a moment...</title></html>"), "malformed"),
    "other JSON": ("global", lambda: reply(b'{"data": []}'), "wrong_type"),
    "empty": ("global", lambda: reply(b""), "malformed"),
    "no number": ("global", lambda: reply(total_cap(1, 1e9).replace(b"1000000000", b'"x"')), "wrong_type"),
    "of tomorrow": ("global", lambda: reply(total_cap(1, time.time() + 86_400)), "unexpected"),
    "redirecting": ("global", lambda: reply(b"", "Location: http://127.0.0.1:9/", status="302 Found"), "redirect"),
    "HTTP 500": ("global", lambda: reply(b"oops", status="500 Internal Server Error"), "status_500"),
    "HTTP 429": ("global", lambda: reply(b"", status="429 Too Many Requests"), "rate_limited"),
    "too long": ("global", lambda: OK + b"Content-Length: 99999999\r\n\r\n", "too_large"),
    "cut short": ("global", lambda: OK + b"Content-Length: 100\r\n\r\n{}", "bad_http"),
    "bad chunks": ("global", lambda: OK + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nx", "bad_http"),
    "not gzip": ("global", lambda: reply(b"plain", "Content-Encoding: gzip"), "bad_http"),
    "bomb": ("global", lambda: reply(bomb(), "Content-Encoding: gzip"), "too_large"),
    "large JSON": ("categories", lambda: reply(large_json(30_000_000)), "wrong_type"),
    "deep JSON": ("categories", lambda: reply(b"[" * 2_000_000), "wrong_type"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_reply_harms_anything_and_each_is_counted(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_runner, "TIMEOUT_S", 0.5 if fault == "trickling" else 20.0)
    name, build, reason = FAULTS[fault]
    async with endpoint(build()) as there, HttpClient(SystemClock()) as http:
        bench = Bench(there.url, http, name=name)
        async with bench.running() as turns:
            await until(lambda: bool(bench.status.errors))
    assert set(bench.status.errors) == {reason}, bench.status.last_error
    assert bench.status.last_error.startswith(f"{reason}: ")
    assert "\n" not in bench.status.last_error
    assert bench.values == []
    assert turns.longest_s < TURN_S


async def test_a_large_reply_is_read_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": "layer-1", "market_cap": 2.5e12}, *({"id": f"c{n}", "more": "x" * 100} for n in range(10_000))]
    async with endpoint(reply(json.dumps(rows).encode())) as there, HttpClient(SystemClock()) as http:
        bench = Bench(there.url, http, name="categories")
        monkeypatch.setattr(bench.runner.source, "parse", None)  # a copy of the source reads it elsewhere
        async with bench.running():
            await until(lambda: bool(bench.values))
    assert [(sample.series, sample.value) for sample in bench.values] == [("sector_cap", 2.5e12)]


@pytest.mark.parametrize("packed", [False, True])
async def test_the_last_good_value_stays_and_its_source_is_told_dead_when_it_is_too_old(packed: bool) -> None:
    body = total_cap(3e12, time.time())
    first = reply(gzip.compress(body), "Content-Encoding: gzip") if packed else reply(body)
    async with endpoint(first, reply(b"<html>")) as there, HttpClient(SystemClock()) as http:
        bench = Bench(there.url, http)
        bench.status.every_s = 0.5  # too old after 1.5 s
        async with bench.running():
            await until(lambda: bench.status.errors["malformed"] > 0)
            assert [sample.value for sample in bench.values] == [3e12]
            good_ns = bench.status.last_good_ns
            assert bench.runner.up
            await until(lambda: _states(bench.events) == [True, False])
    assert bench.status.last_good_ns == good_ns
    assert [sample.value for sample in bench.values] == [3e12]


def _states(events: Sequence[Event]) -> list[bool]:
    return [event.up for event in events if isinstance(event, FeedState)]


async def test_yesterdays_reply_is_yesterdays_value() -> None:
    yesterday_s = int(time.time()) - 86_400
    async with endpoint(reply(total_cap(3e12, yesterday_s))) as there, HttpClient(SystemClock()) as http:
        bench = Bench(there.url, http)
        async with bench.running():
            await until(lambda: bool(bench.values))
    (sample,) = bench.values
    assert sample.ts_ns == bench.status.newest_ns == yesterday_s * NS_PER_S
    assert sample.backfill
    assert bench.status.last_good_ns is not None
    assert bench.status.last_good_ns - bench.status.newest_ns > 86_000 * NS_PER_S


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_pause_is_kept_and_survives_a_restart(form: str, tmp_path: Path) -> None:
    wish = "40" if form == "seconds" else formatdate(time.time() + 40, usegmt=True)
    busy = reply(b"", f"Retry-After: {wish}", status="429 Too Many Requests")
    async with endpoint(busy, good()) as there:
        async with HttpClient(SystemClock()) as http:
            bench = Bench(there.url, http, tmp_path)
            async with bench.running():
                await until(lambda: bool(bench.status.errors))
        assert set(bench.status.errors) == {"rate_limited"}
        left_s = (bench.runner.used.not_before_ns - time.time_ns()) / NS_PER_S
        assert 35 < left_s <= 41
        async with HttpClient(SystemClock()) as http:  # the process was started again
            again = Bench(there.url, http, tmp_path)
            again.runner._speed = 20.0  # 40 s pass in two
            async with again.running():
                await asyncio.sleep(0.5)
                assert len(there.heard) == 1
                await until(lambda: bool(again.values))
        assert len(there.heard) == 2


async def test_quota_and_value_survive_a_restart(tmp_path: Path) -> None:
    async with endpoint(good()) as there:
        async with HttpClient(SystemClock()) as http:
            bench = Bench(there.url, http, tmp_path)
            async with bench.running():
                await until(lambda: bool(bench.values))
        left = bench.runner.calls_left()
        assert left == 10_000 - len(there.heard)
        asked = len(there.heard)
        async with HttpClient(SystemClock()) as http:
            again = Bench(there.url, http, tmp_path)
            again.runner._speed = 1.0
            async with again.running():
                await until(lambda: bool(again.values))
                assert again.runner.calls_left() == left
        assert len(there.heard) == asked
        assert again.values[0].recv_ns == bench.values[0].recv_ns


async def test_an_unchanged_reply_is_not_sent_again() -> None:
    tagged = reply(total_cap(3e12, time.time()), 'ETag: "v1"')
    same = b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"
    async with endpoint(tagged, same) as there, HttpClient(SystemClock()) as http:
        bench = Bench(there.url, http)
        async with bench.running():
            await until(lambda: bench.status.unchanged > 0)
    assert b"If-None-Match" not in there.heard[0]
    assert b'If-None-Match: "v1"' in there.heard[1]
    assert len(bench.values) == 1
    assert not bench.status.errors


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    )
    subprocess.run([*command, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with endpoint(good(), tls=tls) as there:
        async with HttpClient(SystemClock()) as http:
            bench = Bench(there.url, http)
            async with bench.running():
                await until(lambda: bool(bench.status.errors))
        assert set(bench.status.errors) == {"unreachable"}
        assert "certificate" in bench.status.last_error.lower()
        trusted = ssl.create_default_context(cafile=certificate)
        async with HttpClient(SystemClock(), tls=trusted) as http:
            bench = Bench(there.url, http)
            async with bench.running():
                await until(lambda: bool(bench.values))
