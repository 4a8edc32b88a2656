"""Walks one tape file: its blocks, and in place of what cannot be read, what is missing and where.

A damaged block is left out and the walk goes on behind it: by its length where its header is whole, else at the next
place where a whole header starts. A file that is no tape, or of another version, is an error at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from monitor import format as fmt
from monitor.errors import TapeError
from monitor.tape.format import (
    BLOCK_HEAD,
    BLOCK_MAGIC,
    FILE_HEAD,
    MAX_ABOUT_BYTES,
    MAX_VENUE_BYTES,
    BlockHead,
    Record,
    Row,
    decode_block_head,
    decode_file_head,
    decode_rows,
)

_HEAD_BYTES = BLOCK_HEAD.size + MAX_VENUE_BYTES
_SEARCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes that cannot be read.

    Attributes:
        file: Which file; with ``offset`` and ``size`` the bytes. Without a ``size`` the ``reason`` says it all.
        records: How many records they held, where that is known.
        torn: Whether they are the end of the file, which is what a crash leaves.
        since_ns: When the last record before was received; None where none was read. ``until_ns``: the first one behind.
        aside: Whether it lies outside of the time that was asked for.
    """

    file: str
    offset: int
    size: int
    reason: str
    records: int | None = None
    torn: bool = False
    since_ns: int | None = None
    until_ns: int | None = None
    aside: bool = False

    def __str__(self) -> str:
        """Place, extent, reason and time."""
        if not self.size:
            return f"{self.file}: {self.reason}{self._when}"
        count = "an unknown number of" if self.records is None else str(self.records)
        return (
            f"{self.file}:{self.offset}: {self.size} bytes with {count} records are missing: {self.reason}{self._when}"
        )

    @property
    def _when(self) -> str:
        since, until = (None if ns is None else fmt.utc_time(ns) for ns in (self.since_ns, self.until_ns))
        match since, until:
            case None, None:
                return ""
            case None, _:
                return f", before {until}"
            case _, None:
                return f", after {since}"
            case _:
                return f", between {since} and {until}"

    def touches(self, from_ns: int | None, to_ns: int | None) -> bool:
        """Whether any of it may be of [from, to)."""
        before = from_ns is not None and self.until_ns is not None and self.until_ns < from_ns
        after = to_ns is not None and self.since_ns is not None and self.since_ns >= to_ns
        return not before and not after


class Place(NamedTuple):
    """Where a block is."""

    offset: int
    head: BlockHead


class TapeReader:
    """One file, opened for reading at any place.

    Args:
        file: Seekable; stays the caller's to close.
        name: For messages.

    Raises:
        TapeError: It is no tape, of another version, or its header is damaged.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        try:
            self.about, self._start = decode_file_head(self._at(0, FILE_HEAD.size + MAX_ABOUT_BYTES))
        except TapeError as error:
            raise TapeError(error.reason, name, 0) from None
        self.size = file.seek(0, 2)

    def index(self) -> Iterator[Place | Loss]:
        """Every block's header, in order, without reading the blocks; a cut-off last block is a loss."""
        offset = self._start
        while offset < self.size:
            step = self._look(offset)
            yield step
            offset += step.size if isinstance(step, Loss) else step.head.size

    def block(self, place: Place) -> list[Row] | Loss:
        """The records of one block, as rows."""
        stored = self._at(place.offset + place.head.head_size, place.head.stored)
        try:
            return decode_rows(place.head, stored)
        except TapeError as error:
            torn = place.offset + place.head.size >= self.size
            return Loss(self.name, place.offset, place.head.size, error.reason, place.head.records, torn)

    def blocks(self) -> Iterator[list[Row] | Loss]:
        """Block after block, and losses where they stand."""
        for step in self.index():
            yield step if isinstance(step, Loss) else self.block(step)

    def records(
        self, from_ns: int | None = None, to_ns: int | None = None, venue: str | None = None
    ) -> Iterator[Record | Loss]:
        """Records received in [from, to), in the order of recording, and losses where they stand.

        With `venue`, blocks without it are not read; the others are given whole.
        """
        for step in self.index():
            if isinstance(step, Loss):
                yield step
            elif step.head.overlaps(from_ns, to_ns) and (venue is None or venue in step.head.venues):
                yield from self._within(step, from_ns, to_ns)

    def _within(self, place: Place, from_ns: int | None, to_ns: int | None) -> Iterator[Record | Loss]:
        records = self.block(place)
        if isinstance(records, Loss):
            yield records
        else:
            for row in records:
                if (from_ns is None or row[0] >= from_ns) and (to_ns is None or row[0] < to_ns):
                    yield Record(*row)

    def _look(self, offset: int) -> Place | Loss:
        try:
            head = decode_block_head(self._at(offset, _HEAD_BYTES))
        except TapeError as error:
            end = self._next_head(offset + 1)
            return Loss(self.name, offset, end - offset, error.reason, torn=end == self.size)
        left = self.size - offset
        if head.size <= left:
            return Place(offset, head)
        end = self._next_head(offset + head.head_size)
        return Loss(self.name, offset, end - offset, "a block is cut short", head.records, torn=end == self.size)

    def _next_head(self, offset: int) -> int:
        """The next place at which a whole header starts; the end of the file where there is none."""
        while offset < self.size:
            data = self._at(offset, _SEARCH_BYTES)
            found = data.find(BLOCK_MAGIC)
            if found < 0:
                offset += max(1, len(data) - len(BLOCK_MAGIC) + 1)
                continue
            offset += found
            try:
                decode_block_head(self._at(offset, _HEAD_BYTES))
            except TapeError:
                offset += 1
            else:
                return offset
        return self.size

    def _at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(size)
