"""A stretch of a tape as a tape of its own, with what it needs of the time before: instruments, open links, liveness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monitor.errors import TapeError
from monitor.tape.carry import Carry
from monitor.tape.folder import created_ns, read_files, some_files
from monitor.tape.format import Record, Row
from monitor.tape.reader import Loss
from monitor.tape.writer import TapeWriter

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
    carry, leading = Carry(), True
    for item in read_files(_files_of(folder, from_ns, to_ns)):
        if isinstance(item, Loss):
            yield item
        elif leading and (item.carried or _is_before(item, from_ns)):
            carry.hear(item)
        elif item.carried or not (_is_before(item, from_ns) or (to_ns is not None and item.recv_ns >= to_ns)):
            if leading:
                yield from carry.records()
                leading = False
            yield item


def _is_before(item: Record, from_ns: int | None) -> bool:
    return from_ns is not None and item.recv_ns < from_ns


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
