"""A stretch of a tape as a tape of its own, with what it needs of the time before: instruments, open links, liveness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.errors import TapeError
from monitor.tape.carry import Carry
from monitor.tape.folder import created_ns, read_blocks, some_files
from monitor.tape.format import Record, Row
from monitor.tape.reader import Loss
from monitor.tape.writer import TapeWriter

_EVER = -(1 << 63)
_BLOCK_BYTES = 512 * 1024
_MOST_ROWS = 4096


@dataclass(slots=True)
class CutReport:
    """What a cut did: records copied, records carried from the time before, and what the source had lost."""

    records: int = 0
    carried: int = 0
    losses: list[Loss] = field(default_factory=list)


def window(folder: Path, from_ns: int | None = None, to_ns: int | None = None) -> Iterator[Record | Loss]:
    """Records received in [from, to), led by what was still true before, marked as carried.

    Reading starts with the last file that was begun by `from_ns` and leaves out files begun after `to_ns`: records out
    of order are found within these files only.

    Raises:
        TapeError: There is no tape in the folder.
    """
    for block in window_blocks(folder, from_ns, to_ns):
        if isinstance(block, Loss):
            yield block
        else:
            yield from map(Record._make, block)


def window_blocks(folder: Path, from_ns: int | None = None, to_ns: int | None = None) -> Iterator[list[Row] | Loss]:
    """As `window`, block by block; raises as it does."""
    first_ns = _EVER if from_ns is None else from_ns
    carry, leading = Carry(), True
    for block in read_blocks(_files_of(folder, from_ns, to_ns)):
        if isinstance(block, Loss):
            yield block
            continue
        rest = _after_heard(block, first_ns, carry) if leading else block
        kept = [row for row in rest if row[4] or (row[0] >= first_ns and (to_ns is None or row[0] < to_ns))]
        if kept and leading:
            leading = False
            yield list(carry.records())
        if kept:
            yield kept


def _after_heard(block: list[Row], first_ns: int, carry: Carry) -> list[Row]:
    """What comes behind the rows of the time before, which `carry` hears."""
    for number, row in enumerate(block):
        if not row[4] and row[0] >= first_ns:
            return block[number:]
        carry.hear(row)
    return []


def cut(folder: Path, writer: TapeWriter, from_ns: int | None, to_ns: int | None) -> CutReport:
    """Copy a stretch into another tape.

    Args:
        folder: The source.
        writer: The target, over an empty folder; stays the caller's to close.
        from_ns: Unix time of the first record; None from the start.
        to_ns: Unix time after the last record; None to the end.

    Raises:
        TapeError: There is no tape in the folder, or nothing in this stretch.
        OSError: The target cannot be written.
    """
    report = CutReport()
    rows: list[Row] = []
    size, latest_ns = 0, 0
    for item in window(folder, from_ns, to_ns):
        if isinstance(item, Loss):
            report.losses.append(item)
            continue
        if rows and rows[-1][4] and not item.carried:  # a block of what is repeated, for itself
            writer.write(rows, item.recv_ns)
            rows, size = [], 0
        report.carried += item.carried
        report.records += not item.carried
        latest_ns = max(latest_ns, item.recv_ns)
        rows.append(item)
        size += len(item.payload)
        if size >= _BLOCK_BYTES or len(rows) >= _MOST_ROWS:
            writer.write(rows, latest_ns)
            rows, size = [], 0
    if rows:
        writer.write(rows, latest_ns)
    if not report.records:
        raise TapeError("nothing was recorded in this stretch", str(folder))
    return report


def _files_of(folder: Path, from_ns: int | None, to_ns: int | None) -> list[Path]:
    files = some_files(folder)
    if from_ns is not None:
        before = [number for number, path in enumerate(files) if created_ns(path) <= from_ns]
        files = files[before[-1] if before else 0 :]
    if to_ns is not None:
        files = [path for number, path in enumerate(files) if number == 0 or created_ns(path) < to_ns]
    return files
