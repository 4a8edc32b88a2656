"""What all sinks over HTTP share: one session, answers read the same way, addresses checked, secrets kept out of texts."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping
from time import time_ns
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr, field_validator, model_validator

from monitor.retry_after import retry_after_s
from monitor.sink import Outcome, SinkBase, SinkOptions

_TRY_AGAIN = frozenset({408, 425, 429})
_MAX_REPLY_BYTES = 64 * 1024


class HttpOptions(SinkOptions):
    """Settings of a sink over HTTP.

    Attributes:
        allow_hosts: Host names (patterns with ``*``) that may be called; empty: any.
    """

    allow_hosts: tuple[str, ...] = ()

    def addresses(self) -> tuple[SecretStr, ...]:
        """Every address that the sink will call."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _addresses_are_allowed(self) -> HttpOptions:
        for address in self.addresses():
            check_address(address.get_secret_value(), self.allow_hosts)
        return self


class UrlOptions(HttpOptions):
    """Settings of a sink with one address. The address may hold a token, so it is a secret."""

    url: SecretStr

    def addresses(self) -> tuple[SecretStr, ...]:
        """The address."""
        return (self.url,)

    @field_validator("url")
    @classmethod
    def _not_empty(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value():
            raise ValueError("the address is empty")
        return url


def check_address(url: str, allow_hosts: tuple[str, ...]) -> None:
    """Refuse an address that is not HTTP or not on the list; the message names the host only.

    Raises:
        ValueError: With the reason.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the address must begin with http:// or https:// and name a host")
    if allow_hosts and not any(fnmatch.fnmatchcase(parts.hostname, pattern) for pattern in allow_hosts):
        raise ValueError(f"host {parts.hostname} is not in allow_hosts")


class HttpSink(SinkBase):
    """Base of the sinks over HTTP."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The sink's session; made on first use, inside the running loop. Redirects are never followed by it."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, connect=5.0), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, *, headers: Mapping[str, str] | None = None, **body: Any) -> tuple[Outcome, bytes]:
        """POST once and read the answer; the outcome's reason is a status or an error's type, never its text."""
        try:
            async with self.session.post(url, headers=headers, allow_redirects=False, **body) as reply:
                content = await reply.content.read(_MAX_REPLY_BYTES)
                return classify(reply.status, reply.headers), content
        except (aiohttp.ClientError, OSError) as error:
            return Outcome.retry(said(error)), b""


def said(error: Exception) -> str:
    """An error's type, and the system's words for it; never its own text, which may hold the address and a secret in it."""
    number = getattr(getattr(error, "os_error", error), "errno", None)
    words = os.strerror(number) if isinstance(number, int) and number > 0 else ""
    return f"{type(error).__name__}: {words.lower()}" if words else type(error).__name__


def classify(status: int, headers: Mapping[str, str]) -> Outcome:
    """Read an HTTP status: 2xx is delivered; 408, 425, 429 and 5xx may go through later; all else is refused."""
    if 200 <= status < 300:
        return Outcome.ok(f"HTTP {status}")
    if status in _TRY_AGAIN or status >= 500:
        return Outcome.retry(f"HTTP {status}", retry_after_s(headers.get("Retry-After"), time_ns()))
    return Outcome.drop(f"HTTP {status}")
