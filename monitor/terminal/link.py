"""The connection to a running monitor: its event stream, followed for ever, and requests that change something."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import msgspec

from monitor.errors import MonitorError

Json = dict[str, Any]
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 15.0
SILENCE_S = 40.0
"""The server gives a sign of life every 15 s; after this long the connection is dead."""
MAX_EVENT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream ended or could not be opened; another attempt follows in `wait_s` seconds."""

    words: str
    wait_s: float


class EventParser:
    """Server-sent events out of bytes that arrive in any pieces.

    Raises:
        MonitorError: An event larger than `MAX_EVENT_BYTES`: that is no monitor.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._data: list[str] = []
        self._size = 0
        self.last_id = ""

    def feed(self, piece: bytes) -> Iterator[str]:
        """The data of each event that `piece` completes."""
        *lines, self._rest = (self._rest + self._decoder.decode(piece)).split("\n")
        for line in lines:
            yield from self._take(line.removesuffix("\r"))
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise MonitorError("one event of the stream is larger than 32 MiB; is this a monitor?")

    def _take(self, line: str) -> Iterator[str]:
        name, _, value = line.partition(":")
        if not line and self._data:
            yield "\n".join(self._data)
            self._data, self._size = [], 0
        elif name == "data":
            self._data.append(value.removeprefix(" "))
            self._size += len(value)
        elif name == "id":
            self.last_id = value.strip()


class Link:
    """One running monitor. Open it with ``async with``."""

    def __init__(self, url: str, *, first_wait_s: float = FIRST_WAIT_S) -> None:
        if not url.startswith(("http://", "https://")):
            raise MonitorError(f"--url must start with http:// or https://, not {url!r}")
        self.url = url.rstrip("/")
        self._first_wait_s = first_wait_s
        self._session: aiohttp.ClientSession | None = None
        self._last_id = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(read_bufsize=2**20)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session is not None, "open the link first"
        return self._session

    async def updates(self) -> AsyncGenerator[Json | Lost, None]:
        """Changed sections by name, the first time all of them; `Lost` whenever the stream breaks. Never ends."""
        wait_s = self._first_wait_s
        while True:
            words = "the monitor ended the stream"
            try:
                async with aclosing(self._stream()) as stream:
                    async for update in stream:
                        wait_s = self._first_wait_s
                        yield update
            except (aiohttp.ClientError, TimeoutError, OSError, MonitorError, msgspec.DecodeError) as error:
                words = str(error) or "no sign of life"
            yield Lost(words, wait_s)
            await asyncio.sleep(wait_s)  # noqa: TID251 - a person waits, in real time
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _stream(self) -> AsyncGenerator[Json, None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_S)
        headers = {"Accept": "text/event-stream", "Last-Event-ID": self._last_id}
        async with self._http.get(f"{self.url}/events", timeout=timeout, headers=headers) as reply:
            if reply.content_type != "text/event-stream":
                raise MonitorError(f"{self.url} answered {reply.status} without an event stream; is this a monitor?")
            parser = EventParser()
            async for piece in reply.content.iter_any():
                for data in parser.feed(piece):
                    self._last_id = parser.last_id
                    yield msgspec.json.decode(data, type=Json)

    async def call(self, method: str, path: str, *, body: Json | None = None, token: str = "") -> Any:
        """One request of the API.

        Returns:
            The ``data`` of the answer.

        Raises:
            MonitorError: It refused, in its own words, or did not answer.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = aiohttp.ClientTimeout(total=10)
        try:
            request = self._http.request(method, self.url + path, json=body, headers=headers, timeout=timeout)
            async with request as reply:
                answer = msgspec.json.decode(await reply.read(), type=Json)
        except msgspec.DecodeError as error:
            raise MonitorError(f"{self.url} did not answer with JSON; is this a monitor?") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MonitorError(f"no answer: {str(error) or 'it took too long'}") from error
        if answer.get("status") != "success":
            raise MonitorError(str(answer.get("error", "refused")))
        return answer.get("data")
