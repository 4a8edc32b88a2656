"""Unpack HTTP bodies within a bound: a few kilobytes can say that they are a thousand times as many. Pure."""

from __future__ import annotations

import zlib

ACCEPTED = "gzip, deflate"
"""What a request says it understands."""

_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class InflateError(Exception):
    """A body cannot be unpacked. ``too_large``: it is more than the bound, else it is broken."""

    def __init__(self, detail: str, *, too_large: bool = False) -> None:
        super().__init__(detail)
        self.too_large = too_large


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body that was packed.

    Args:
        body: As it came.
        encoding: The ``Content-Encoding``; empty and ``identity``: it is not packed.
        limit: No more bytes than these are ever made.

    Raises:
        InflateError: An encoding that was not asked for, broken data, or more than `limit`.
    """
    kind = encoding.strip().lower()
    if kind in ("", "identity"):
        return body
    if kind not in _WINDOWS:
        raise InflateError(f"content-encoding {kind[:40]!r} was not asked for")
    try:
        return _unpack(body, _window(body, kind), limit)
    except zlib.error as error:
        raise InflateError(f"not {kind}: {error}") from None


def _window(body: bytes, kind: str) -> int:
    """Some servers send deflate without the zlib header that RFC 9110, section 8.4.1.2, asks for."""
    bare = kind == "deflate" and body[:1] and body[0] & 0x0F != 8
    return -zlib.MAX_WBITS if bare else _WINDOWS[kind]


def _unpack(body: bytes, window: int, limit: int) -> bytes:
    unpacker = zlib.decompressobj(window)
    found = unpacker.decompress(body, limit + 1)
    if len(found) > limit:
        raise InflateError(f"more than {limit} bytes when unpacked", too_large=True)
    if not unpacker.eof:
        raise InflateError("the packed body is cut short")
    return found
