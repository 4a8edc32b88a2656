"""A stretch of a tape as a tape of its own, with what it needs of the time before: instruments, open links, liveness, what decoders had learned."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from monitor.clock import NS_PER_S
from monitor.errors import TapeError
from monitor.tape.carry import Carry
from monitor.tape.folder import (
    DAMAGED,
    RECORDER,
    created_ns,
    dropped,
    open_tape,
    read_blocks,
    some_files,
    write_lost,
)
from monitor.tape.format import Record, Row
from monitor.tape.holes import with_holes
from monitor.tape.reader import Loss, Place
from monitor.tape.replay import Replay
from monitor.tape.writer import TapeWriter, parts

_EVER = -(1 << 63)
_NEVER = (1 << 63) - 1
_LEADING = frozenset({"config", "rest", "chosen", "connect", "disconnect", "promote", "in", "known", "lost"})


@dataclass(slots=True)
class CutReport:
    """What a cut did.

    Attributes:
        records: Records copied.
        carried: Records that lead them.
        unknown: Links that were open and of whose time before nothing is known.
        losses: What the source has lost of the stretch.
        dropped: Records of the stretch that were never written, by reason.
    """

    records: int = 0
    carried: int = 0
    unknown: int = 0
    losses: list[Loss] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def window(
    folder: Path, from_ns: int | None = None, to_ns: int | None = None, *, holes: bool = False
) -> Iterator[Record | Loss]:
    """Records received in [from, to), led by those of the time before that say what was still true.

    What leads is marked as carried, and holds all that decoders must have read to go on: reading starts with the file in
    which the oldest link that was open at `from_ns` was opened, where that is still there. Files that begin with records
    after `to_ns` are left out: records out of order are found within the others only. With `holes`, records say what was
    not heard where something is missing (`monitor.tape.holes`).

    Raises:
        TapeError: There is no tape in the folder.
    """
    for block in window_blocks(folder, from_ns, to_ns, holes=holes):
        if isinstance(block, Loss):
            yield block
        else:
            yield from map(Record._make, block)


def window_blocks(
    folder: Path, from_ns: int | None = None, to_ns: int | None = None, *, holes: bool = False
) -> Iterator[list[Row] | Loss]:
    """As `window`, block by block; raises as it does."""
    blocks = read_blocks(_files_of(folder, from_ns, to_ns))
    parts = _parts(with_holes(blocks) if holes else blocks, from_ns, to_ns)
    return (part if isinstance(part, Loss) else part.rows for part in parts)


def cut(folder: Path, writer: TapeWriter, from_ns: int | None, to_ns: int | None, replay: Replay) -> CutReport:
    """Copy a stretch into another tape, led by what still held at its start and by what the decoders had learned.

    Args:
        folder: The source.
        writer: The target, over an empty folder; stays the caller's to close.
        from_ns: Unix time of the first record; None from the start.
        to_ns: Unix time after the last record; None to the end.
        replay: A new one. Reads what leads, and what is damaged within that goes into its report.

    Raises:
        TapeError: There is no tape in the folder, or nothing in this stretch.
        OSError: The target cannot be written.
    """
    report, carry, leading, last_ns = CutReport(), Carry(), True, 0
    for part in _parts(read_blocks(_files_of(folder, from_ns, to_ns)), from_ns, to_ns):
        if isinstance(part, Loss):
            replay.lose(part)
            if not part.aside:
                report.losses.append(part)
                if not leading:
                    _write(writer, [_note(part, last_ns)])
            continue
        if part.leads:
            for row in part.rows:
                carry.hear(row)
                replay.take(Record(*row))
            continue
        if leading:
            leading = False
            carried = [*carry.records(), *replay.known(part.rows[0][0])]
            report.unknown = _unknown(carried)
            report.carried = _write(writer, carried)
        report.records += _write(writer, part.rows)
        last_ns = part.rows[-1][0]
        report.dropped += dropped(part.rows)
    if not report.records:
        losses = [str(loss) for loss in report.losses]
        raise TapeError("\n".join(["nothing was recorded in this stretch", *losses]), str(folder))
    return report


def _note(loss: Loss, now_ns: int) -> Row:
    """What stands in a piece where the whole could not be read."""
    return now_ns, RECORDER, "lost", write_lost(loss.records or 1, DAMAGED), False


def _unknown(carried: Sequence[Record]) -> int:
    """Links whose decoder was not there to learn."""
    links = {kind: {record.name for record in carried if record.kind == kind} for kind in ("connect", "known")}
    return len(links["connect"] - links["known"])


def _write(writer: TapeWriter, rows: Sequence[Row]) -> int:
    """Write rows in blocks of a size that every reader takes; how many there were."""
    for part in parts(rows):
        writer.write(part, max(row[0] for row in part))
    return len(rows)


class _Part(NamedTuple):
    """Rows that follow each other; whether they are of the time before."""

    rows: list[Row]
    leads: bool


def _parts(blocks: Iterable[list[Row] | Loss], from_ns: int | None, to_ns: int | None) -> Iterator[_Part | Loss]:
    first_ns = _EVER if from_ns is None else from_ns
    states, leading = Carry(), True
    for block in blocks:
        if isinstance(block, Loss):
            yield block if block.touches(from_ns, to_ns) else replace(block, aside=True)
            continue
        start = _start(block, first_ns) if leading else 0
        for row in block[:start]:
            if row[2] == "state":
                states.hear(row)
        if before := [_as_carried(row) for row in block[:start] if row[2] in _LEADING]:
            yield _Part(before, leads=True)
        rows = list(_within(block[start:], first_ns, to_ns))
        if rows and leading:
            leading = False
            yield _Part(list(states.records()), leads=True)
        if rows:
            yield _Part(rows, leads=False)


def _start(block: Sequence[Row], first_ns: int) -> int:
    """The place of the first row of a stretch."""
    return next((place for place, row in enumerate(block) if not row[4] and row[0] >= first_ns), len(block))


def _within(rows: Sequence[Row], first_ns: int, to_ns: int | None) -> Iterator[Row]:
    """Rows of [first, to). What a clock that was set back dates before tells decoders all the same."""
    for row in rows:
        if row[4] or (row[0] >= first_ns and (to_ns is None or row[0] < to_ns)):
            yield row
        elif row[0] < first_ns and row[2] in {*_LEADING, "state"}:
            yield _as_carried(row)


def _as_carried(row: Row) -> Row:
    """An opening stays what it is: a decoder that hears it hears all that follows."""
    return row if row[2] == "connect" else (*row[:4], True)


def _files_of(folder: Path, from_ns: int | None, to_ns: int | None) -> list[Path]:
    """Files that may hold records of a stretch, from the one on in which the oldest link that it finds open was opened."""
    files = some_files(folder)
    if from_ns is not None:
        files = files[_last_begun(files, _oldest_ns(files[_last_begun(files, from_ns)], from_ns)) :]
    if to_ns is not None:
        last = max((number for number, path in enumerate(files) if _begins_before(path, to_ns)), default=0)
        files = files[: last + 1]
    return files


def _last_begun(files: Sequence[Path], by_ns: int) -> int:
    """The last file that was surely begun by then, as a name gives whole seconds: those before it were ended by then."""
    return max((number for number, path in enumerate(files) if created_ns(path) + NS_PER_S <= by_ns), default=0)


def _begins_before(path: Path, to_ns: int) -> bool:
    """Whether a file was begun before `to_ns`, or with records that had waited since then."""
    return created_ns(path) < to_ns or _first_ns(path) < to_ns


def _first_ns(path: Path) -> int:
    """The least time in a file's first block of its own; the end of time where it has none that can be read."""
    with contextlib.suppress(TapeError), open_tape(path) as reader:
        for step in reader.index():
            if isinstance(step, Place) and not step.head.carried:
                return step.head.first_ns
    return _NEVER


def _oldest_ns(path: Path, from_ns: int) -> int:
    """When the oldest link was opened that a file says was open at its start; `from_ns` where it names none."""
    opened = [from_ns]
    for block in read_blocks([path]):
        rows = [] if isinstance(block, Loss) else block
        if not all(row[4] for row in rows):
            break
        opened += [row[0] for row in rows if row[2] == "connect"]
    return min(opened)
