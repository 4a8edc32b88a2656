r"""Bytes of a tape file, version 3. Pure.

All integers are little-endian. A file is a header and blocks; every block can be read without any other::

    file    "MRMTAPE\n"  version u16  zero u16  length u32  crc u32  | JSON: created_ns, program, note
    block   "BLK1"  stored u32  raw u32  records u32  first_ns i64  last_ns i64  venues u16  flags u16
            crc of what follows u32  crc of this header and the venues u32
            | venues: names, comma-separated | stored bytes: zstd of
    raw     names u16, each: length u16, UTF-8
            | per record, in columns: recv_ns i64 ...  name u16 ...  flags u8 ...  length u32 ...
            | payloads, one after the other

The checksum is CRC-32 (zlib). The flag 1 says that every record of the block is carried. ``first_ns`` and ``last_ns`` are the least and greatest receive time in the block, which
need not be those of its first and last record: a wall clock can step. The block headers are the index. Version 1 had
the first nine kinds only, version 2 all but the last; their files are read as before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec
import zstandard

from monitor.errors import TapeError
from monitor.feed import Frame
from monitor.tape.facts import venue_of

VERSION = 3
READABLE = (1, 2, 3)
FILE_MAGIC = b"MRMTAPE\n"
BLOCK_MAGIC = b"BLK1"
FILE_HEAD = struct.Struct("<8sHHII")
BLOCK_HEAD = struct.Struct("<4sIIIqqHHII")
MAX_ABOUT_BYTES = 64 * 1024
MAX_RAW_BYTES = 192 * 1024 * 1024
"""A reply may have 64 MiB; a block holds one of these at most, and what came with it."""
MAX_RECORDS = 1 << 20
MAX_NAMES = 65_535
MAX_VENUE_BYTES = 4096

KINDS = ("connect", "disconnect", "promote", "in", "out", "rest", "chosen", "state", "lost", "turn", "events", "memory", "config", "act", "known")  # fmt: skip
"""`monitor.runtime.feeds.desk.TapKind` in the order of their codes, and ``lost``: frames that the recorder had to drop.

From ``turn`` to ``act``: what the program did with what it heard, `monitor.tape.course`; ``known``: what decoders had
learned from frames that are not on the tape."""
CODES = {kind: code for code, kind in enumerate(KINDS)}
_ALL_CARRIED = 1
_TEXT = 0x80
_CARRIED = 0x40
_KIND_BITS = 0x3F


Row = tuple[int, str, str, Frame, bool]
"""A `Record` before it has one's name: what the receive path can afford to make."""


class Record(NamedTuple):
    """One happening.

    ``carried`` repeats an earlier file's record, so that a file can be read without the ones before it; a reader that
    comes from the file before leaves it out.
    """

    recv_ns: int
    name: str
    kind: str
    payload: Frame
    carried: bool = False


class About(msgspec.Struct, frozen=True):
    """What a file says of itself. A ``note`` that is not empty says that the market was made up."""

    created_ns: int
    program: str = ""
    note: str = ""


class BlockHead(NamedTuple):
    """A block's entry in the index. ``size`` is its length in the file, this header included.

    ``carried`` says that nothing in it happened in its file: all of it repeats what was said before.
    """

    stored: int
    raw: int
    records: int
    first_ns: int
    last_ns: int
    venues: tuple[str, ...]
    crc: int
    head_size: int
    carried: bool = False

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.head_size + self.stored

    def overlaps(self, from_ns: int | None, to_ns: int | None) -> bool:
        """Whether the block may hold records of [from, to)."""
        return (from_ns is None or self.last_ns >= from_ns) and (to_ns is None or self.first_ns < to_ns)


def encode_file_head(about: About) -> bytes:
    """The start of a file."""
    text = msgspec.json.encode(about)
    return FILE_HEAD.pack(FILE_MAGIC, VERSION, 0, len(text), zlib.crc32(text)) + text


def decode_file_head(data: bytes) -> tuple[About, int]:
    """What a file says of itself, and where its first block starts.

    Raises:
        TapeError: It is no tape, of another version, or damaged.
    """
    if len(data) < FILE_HEAD.size:
        raise TapeError(f"{len(data)} bytes are too few for a tape")
    magic, version, _, length, crc = FILE_HEAD.unpack_from(data)
    if magic != FILE_MAGIC:
        raise TapeError("not a tape")
    if version not in READABLE:
        raise TapeError(f"version {version}, but this program reads version {', '.join(map(str, READABLE))}")
    text = data[FILE_HEAD.size : FILE_HEAD.size + length]
    if length > MAX_ABOUT_BYTES or len(text) < length or zlib.crc32(text) != crc:
        raise TapeError("the file's header is damaged")
    try:
        return msgspec.json.decode(text, type=About), FILE_HEAD.size + length
    except ValueError as error:
        raise TapeError(f"the file's header is damaged: {error}") from None


def encode_block(rows: Sequence[Row], compress: zstandard.ZstdCompressor | None = None) -> bytes:
    """One block of at least one row.

    Raises:
        ValueError: More names or venues than a block can hold.
    """
    times, owners, kinds, payloads, carried = zip(*rows, strict=True)
    names = list(dict.fromkeys(owners))
    numbers = {name: number for number, name in enumerate(names)}
    texts = [isinstance(payload, str) for payload in payloads]
    data = [_as_bytes(payload) for payload in payloads]
    count = len(rows)
    venues = ",".join(sorted({venue_of(name) for name in names})).encode()
    if len(names) > MAX_NAMES or len(venues) > MAX_VENUE_BYTES:
        raise ValueError("too many names for one block")
    raw = b"".join(
        [
            _encode_names(names),
            struct.pack(f"<{count}q", *times),
            struct.pack(f"<{count}H", *[numbers[name] for name in owners]),
            bytes(
                [
                    CODES[kind] | _TEXT * text | _CARRIED * old
                    for kind, text, old in zip(kinds, texts, carried, strict=True)
                ]
            ),
            struct.pack(f"<{count}I", *map(len, data)),
            *data,
        ]
    )
    stored = (compress or zstandard.ZstdCompressor()).compress(raw)
    flags = _ALL_CARRIED if all(carried) else 0
    fields = (len(stored), len(raw), count, min(times), max(times), len(venues), flags, zlib.crc32(stored))
    head = BLOCK_HEAD.pack(BLOCK_MAGIC, *fields, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head + venues)) + venues + stored


def decode_block_head(data: bytes) -> BlockHead:
    """The header at the start of `data`.

    Raises:
        TapeError: There is no whole, undamaged header.
    """
    if len(data) < BLOCK_HEAD.size:
        raise TapeError("a block's header is cut short")
    magic, stored, raw, records, first_ns, last_ns, venue_bytes, flags, crc, own = BLOCK_HEAD.unpack_from(data)
    end = BLOCK_HEAD.size + venue_bytes
    venues = data[BLOCK_HEAD.size : end]
    if magic != BLOCK_MAGIC:
        raise TapeError("no block starts here")
    if len(venues) < venue_bytes:
        raise TapeError("a block's header is cut short")
    if zlib.crc32(data[: BLOCK_HEAD.size - 4] + venues) != own:
        raise TapeError("a block's header is damaged")
    if raw > MAX_RAW_BYTES or not 0 < records <= MAX_RECORDS or venue_bytes > MAX_VENUE_BYTES:
        raise TapeError("a block's header names impossible sizes")
    names = tuple(venues.decode("utf-8", "replace").split(","))
    return BlockHead(stored, raw, records, first_ns, last_ns, names, crc, end, bool(flags & _ALL_CARRIED))


def decode_block(head: BlockHead, stored: bytes) -> list[Record]:
    """The records of a block, in order; raises as `decode_rows`."""
    return list(map(Record._make, decode_rows(head, stored)))


def decode_rows(head: BlockHead, stored: bytes) -> list[Row]:
    """The records of a block as plain rows, in order: several times as fast as with their names.

    Raises:
        TapeError: The bytes are not those that the header describes.
    """
    if len(stored) != head.stored:
        raise TapeError(f"a block is cut short: {len(stored)} of {head.stored} bytes")
    if zlib.crc32(stored) != head.crc:
        raise TapeError("a block is damaged: its checksum is wrong")
    try:
        raw = _decompress(stored, head.raw)
        return _decode_raw(raw, head.records)
    except (zstandard.ZstdError, struct.error, ValueError, IndexError) as error:
        raise TapeError(f"a block is damaged: {error}") from None


def _decompress(stored: bytes, size: int) -> bytes:
    if zstandard.frame_content_size(stored) != size:
        raise ValueError("another size than its header says")
    raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=size)
    if len(raw) != size:
        raise ValueError("another size than its header says")
    return raw


def _decode_raw(raw: bytes, count: int) -> list[Row]:
    names, at = _decode_names(raw)
    times = struct.unpack_from(f"<{count}q", raw, at)
    at += 8 * count
    numbers = struct.unpack_from(f"<{count}H", raw, at)
    at += 2 * count
    flags = raw[at : at + count]
    at += count
    ends = list(accumulate(struct.unpack_from(f"<{count}I", raw, at), initial=0))
    body = raw[at + 4 * count :]
    if ends[-1] != len(body):
        raise ValueError("payloads of another length than announced")
    return [
        (recv_ns, names[number], KINDS[flag & _KIND_BITS], payload, flag & _CARRIED != 0)
        for recv_ns, number, flag, payload in zip(times, numbers, flags, _payloads(body, flags, ends), strict=True)
    ]


def _payloads(body: bytes, flags: bytes, ends: Sequence[int]) -> list[Frame]:
    if min(flags) & _TEXT and body.isascii():  # most blocks: one decoding for all
        text = body.decode("ascii")
        return [text[start:end] for start, end in pairwise(ends)]
    parts = (body[start:end] for start, end in pairwise(ends))
    return [
        part.decode("utf-8", "surrogatepass") if flag & _TEXT else part for flag, part in zip(flags, parts, strict=True)
    ]


def _encode_names(names: Sequence[str]) -> bytes:
    encoded = [name.encode() for name in names]
    return struct.pack("<H", len(names)) + b"".join(struct.pack("<H", len(name)) + name for name in encoded)


def _decode_names(raw: bytes) -> tuple[list[str], int]:
    (count,) = struct.unpack_from("<H", raw)
    names, at = [], 2
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        names.append(raw[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return names, at


def _as_bytes(payload: Frame) -> bytes:
    return payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
