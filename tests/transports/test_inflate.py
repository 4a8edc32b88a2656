"""Bodies are unpacked within a bound, and what cannot be unpacked is refused in words."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.transports.inflate import InflateError, inflate


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@given(st.binary(max_size=2000))
def test_every_encoding_gives_the_body_back(body: bytes) -> None:
    for packed, encoding in (
        (body, ""),
        (body, "identity"),
        (gzip.compress(body), "gzip"),
        (gzip.compress(body), " GZIP "),
        (zlib.compress(body), "deflate"),
        (bare_deflate(body), "deflate"),
    ):
        assert inflate(packed, encoding, 2000) == body


def test_no_more_is_made_than_the_bound() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 50_000
    with pytest.raises(InflateError, match="more than 1000 bytes when unpacked") as error:
        inflate(bomb, "gzip", 1000)
    assert error.value.too_large


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (b"not packed", "gzip", "not gzip"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "gzip", "cut short"),
        (b"", "gzip", "cut short"),
        (b"x", "br", "was not asked for"),
        (b"x", "gzip, gzip", "was not asked for"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(body: bytes, encoding: str, words: str) -> None:
    with pytest.raises(InflateError, match=words) as error:
        inflate(body, encoding, 1000)
    assert not error.value.too_large
