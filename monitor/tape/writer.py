"""Appends blocks to files, rotates them, and keeps the folder within its budget. Blocking: the recorder has a thread for it.

A block is written whole with one call and never changed, so that a process that dies leaves whole blocks and at most
one torn end. A write that fails is undone by cutting the file back to its last whole block. Old files are never
appended to: each start begins a new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import zstandard

from monitor.clock import NS_PER_S
from monitor.tape.carry import Carry
from monitor.tape.folder import created_ns, file_name, file_number, tape_files
from monitor.tape.format import About, Row, encode_block, encode_file_head

_NS_PER_HOUR = 3600 * NS_PER_S
_CARRIED_BYTES = 8 * 1024 * 1024
_MOST_ROWS = 4096
FILES_IN_BUDGET = 4
RESERVE = "reserve"
"""A file that keeps room for the last words of a tape whose disk is full."""
_RESERVE_BYTES = 64 * 1024


@dataclass(frozen=True)
class TapeLimits:
    """Sizes in bytes.

    Attributes:
        file_bytes: A file that has grown so large is followed by a new one; a full hour of the wall clock ends it too.
        folder_bytes: The oldest files are removed so that all together stay below this, but for the block that fills
            a file; None keeps all.
        keep_s: Files that ended longer ago are removed; None keeps all.
        level: Of zstd.
    """

    file_bytes: int = 256 * 1024 * 1024
    folder_bytes: int | None = None
    keep_s: float | None = None
    level: int = 3

    @classmethod
    def within(cls, budget: int | None, keep_s: float | None) -> TapeLimits:
        """Limits of a folder; a file holds at most a quarter of its budget, so that little goes at once."""
        if budget is None:
            return cls(keep_s=keep_s)
        return cls(min(cls.file_bytes, budget // FILES_IN_BUDGET), budget, keep_s)


class TapeWriter:
    """A tape that grows.

    Attributes:
        files: Files begun; ``removed``: old files removed for budget or age.
        blocks: Blocks written, with ``bytes_written`` in all.
        folder_bytes: Size of all files in the folder.

    Args:
        folder: Created where it is missing.
        limits: When to rotate and what to keep.
        program: Name and version of who writes, for the files' headers.
        note: Says that the market was made up.

    Raises:
        OSError: The folder cannot be made, or written to.
    """

    def __init__(self, folder: Path, limits: TapeLimits | None = None, *, program: str = "", note: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        self.folder = folder
        self.limits = limits or TapeLimits()
        self.files = self.removed = self.blocks = self.bytes_written = 0
        self._program = program
        self._note = note
        self._carry = Carry()
        self.folder_bytes = sum(path.stat().st_size for path in tape_files(folder))
        self._compress = zstandard.ZstdCompressor(level=self.limits.level)
        self._number = max(map(file_number, tape_files(folder)), default=0)
        self._fd: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._created_ns = 0

    def write(self, rows: Sequence[Row], now_ns: int) -> None:
        """Append one block.

        Raises:
            OSError: The disk refused; nothing of the block is on it.
        """
        try:
            if self._is_full(now_ns):
                self.rotate()
            if self._fd is None:
                self._begin(now_ns, self._carry.records())
                self._reserve()
            self._append(encode_block(rows, self._compress))
            self.blocks += 1
        finally:
            for row in rows:
                self._carry.hear(row)

    def write_last(self, rows: Sequence[Row], now_ns: int) -> None:
        """Append a small last block to a disk that has refused others, in the room that was kept for it.

        Raises:
            OSError: The disk refused that, too.
        """
        self._release()
        if self._fd is None:
            self._begin(now_ns, [])  # all that would be repeated has no room
        self._append(encode_block(rows, self._compress))
        self.blocks += 1

    def sync(self) -> None:
        """Have the disk keep what was written, against a loss of power."""
        if self._fd is not None:
            os.fsync(self._fd)

    def rotate(self) -> None:
        """End the file; the next block begins a new one."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """End the file; nothing more is written.

        Raises:
            OSError: The disk refused to keep what was written.
        """
        self._release()
        self.rotate()

    def _reserve(self) -> None:
        """Keep room for last words; random bytes, for a disk that compresses. A disk that has none left has none for these, either."""
        path = self.folder / RESERVE
        if path.exists():
            return
        try:
            path.write_bytes(os.urandom(_RESERVE_BYTES))
        except OSError:
            self._release()

    def _release(self) -> None:
        with contextlib.suppress(OSError):  # what cannot be removed frees nothing: the disk says so next
            (self.folder / RESERVE).unlink(missing_ok=True)

    def _is_full(self, now_ns: int) -> bool:
        return self._fd is not None and (
            self._size >= self.limits.file_bytes or now_ns // _NS_PER_HOUR != self._created_ns // _NS_PER_HOUR
        )

    def _begin(self, now_ns: int, carried: Sequence[Row]) -> None:
        self._make_room(now_ns)
        self._path = self.folder / file_name(self._number + 1, now_ns)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
        self._number += 1
        self._size, self._created_ns = 0, now_ns
        try:
            self._append(encode_file_head(About(now_ns, self._program, self._note)))
            for part in parts(carried):
                self._append(encode_block(part, self._compress))
        except Exception:
            self._abandon()
            raise
        self.files += 1

    def _abandon(self) -> None:
        """Remove a file that does not hold all that it must begin with; the next block tries again."""
        self.rotate()
        assert self._path is not None
        self._path.unlink()
        self._number -= 1
        self.bytes_written -= self._size
        self.folder_bytes -= self._size

    def _append(self, data: bytes) -> None:
        assert self._fd is not None
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self._undo()
            raise
        self._size += len(data)
        self.bytes_written += len(data)
        self.folder_bytes += len(data)

    def _undo(self) -> None:
        """Cut the torn end off."""
        assert self._fd is not None
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, self._size, os.SEEK_SET)

    def _make_room(self, now_ns: int) -> None:
        """Remove the oldest files, so that a full new one will fit into the budget."""
        files = tape_files(self.folder)
        sizes = {path: path.stat().st_size for path in files}
        ends = [*(created_ns(path) for path in files[1:]), now_ns]
        for path, ended_ns in zip(files, ends, strict=False):
            if not self._is_over(sum(sizes.values())) and not self._is_old(ended_ns, now_ns):
                return
            path.unlink(missing_ok=True)
            self.folder_bytes -= sizes.pop(path)
            self.removed += 1

    def _is_over(self, total: int) -> bool:
        limits = self.limits
        return limits.folder_bytes is not None and total + limits.file_bytes > limits.folder_bytes

    def _is_old(self, ended_ns: int, now_ns: int) -> bool:
        return self.limits.keep_s is not None and now_ns - ended_ns > self.limits.keep_s * NS_PER_S


def parts(records: Sequence[Row]) -> Iterator[list[Row]]:
    """Records in blocks of a size that every reader takes."""
    part: list[Row] = []
    size = 0
    for record in records:
        part.append(record)
        size += len(record[3])
        if size >= _CARRIED_BYTES or len(part) >= _MOST_ROWS:
            yield part
            part, size = [], 0
    if part:
        yield part
