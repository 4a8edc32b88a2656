"""A directory of tape files, oldest first: names, records across files, and what is in them."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import msgspec

from monitor.clock import NS_PER_S
from monitor.errors import TapeError
from monitor.tape.course import OWNER
from monitor.tape.format import BlockHead, Record, Row
from monitor.tape.reader import Loss, Place, TapeReader

SUFFIX = ".tape"
RECORDER = "recorder"
"""The name of records that say what could not be recorded."""
DAMAGED = "damaged"
"""Why records are missing that lay in the damaged part of the tape from which a piece was cut; at least so many."""
_OURS = frozenset({OWNER, RECORDER})
_NAME = re.compile(r"(\d{8})-(\d{8}T\d{6}Z)\.tape")
_BEGINNING_BYTES = 4096
_TIME = "%Y%m%dT%H%M%SZ"


def file_name(number: int, created_ns: int) -> str:
    """``00000001-20251121T044000Z.tape``: the number gives the order, whatever the wall clock did."""
    return f"{number:08d}-{dt.datetime.fromtimestamp(created_ns / NS_PER_S, dt.UTC).strftime(_TIME)}{SUFFIX}"


def file_number(path: Path) -> int:
    """The number in a file's name; 0 for a name that is not ours."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def created_ns(path: Path) -> int:
    """When a file was begun, by its name, to the second; 0 for a name that is not ours."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return 0
    return int(dt.datetime.strptime(match[2], _TIME).replace(tzinfo=dt.UTC).timestamp()) * NS_PER_S


def tape_files(folder: Path) -> list[Path]:
    """The files of a tape, oldest first: their names begin with their numbers."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.name))


@contextlib.contextmanager
def open_tape(path: Path) -> Iterator[TapeReader]:
    """Open one file for reading.

    Raises:
        TapeError: It cannot be opened, is no tape, or of another version.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise TapeError(error.strerror or str(error), str(path)) from None
    with file:
        yield TapeReader(file, str(path))


def read_folder(folder: Path) -> Iterator[Record | Loss]:
    """Records of all files in the order of recording, and losses where they stand.

    What a file repeats of the one before it is left out, except in the first and after a file that is gone or cannot be
    read, which is one loss.

    Raises:
        TapeError: There is no tape in the folder.
    """
    return read_files(some_files(folder))


def some_files(folder: Path) -> list[Path]:
    """The files of a tape, oldest first, at least one.

    Raises:
        TapeError: There is none, the folder cannot be read, or it holds more than one tape: what both have would count twice.
    """
    files = tape_files(folder)
    if not files:
        raise TapeError("no tape here" if may_read(folder) else "it may not be read", str(folder))
    for one, other in pairwise(files):
        if file_number(one) == file_number(other):
            words = "are of two tapes: give each a folder of its own"
            raise TapeError(f"{one.name} and {other.name} have one number, so they {words}", str(folder))
    begun: dict[bytes, Path] = {}
    for path in files:
        first = begun.setdefault(_beginning(path), path)
        if first is not path:
            raise TapeError(f"{path.name} is {first.name} once more", str(folder))
    return files


def _beginning(path: Path) -> bytes:
    """What tells a file from others: when it was begun, to the nanosecond, and its first block; its name where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_BEGINNING_BYTES) or path.name.encode()
    except OSError:  # whoever reads it says why
        return path.name.encode()


def may_read(folder: Path) -> bool:
    """Whether nothing forbids to look into a folder; searching one that is forbidden finds nothing."""
    return not folder.is_dir() or os.access(folder, os.R_OK | os.X_OK)


def read_files(files: Iterable[Path]) -> Iterator[Record | Loss]:
    """As `read_folder`, for some files that follow each other."""
    for block in read_blocks(files):
        if isinstance(block, Loss):
            yield block
        else:
            yield from map(Record._make, block)


def read_blocks(files: Iterable[Path]) -> Iterator[list[Row] | Loss]:
    """As `read_files`, block by block; a loss says between which times it lies."""
    return _dated(_read_blocks(files))


def _dated(blocks: Iterable[list[Row] | Loss]) -> Iterator[list[Row] | Loss]:
    """The same, losses held back until the next record of their time is known."""
    since_ns: int | None = None
    held: list[list[Row] | Loss] = []
    for block in blocks:
        if isinstance(block, Loss):
            held.append(replace(block, since_ns=since_ns))
            continue
        until_ns = next((row[0] for row in block if not row[4]), None)
        if held and until_ns is None:
            held.append(block)  # what the next file repeats
            continue
        for item in held:
            yield replace(item, until_ns=until_ns) if isinstance(item, Loss) else item
        held.clear()
        since_ns = next((row[0] for row in reversed(block) if not row[4]), since_ns)
        yield block
    yield from held


def _read_blocks(files: Iterable[Path]) -> Iterator[list[Row] | Loss]:
    first, before = True, None
    for path in files:
        if gone := _gone(before, path):
            yield gone
            first = True
        before = path
        try:
            with open_tape(path) as reader:
                for block in reader.blocks():
                    yield block if isinstance(block, Loss) or first else [row for row in block if not row[4]]
                first = False
        except TapeError as error:
            yield Loss(str(path), error.offset or 0, path.stat().st_size, error.reason)
            first = True


def _gone(before: Path | None, path: Path) -> Loss | None:
    """What is missing between two files of a tape: numbers follow each other, and only the oldest are ever removed."""
    if before is None:
        return None
    first, last = file_number(before) + 1, file_number(path) - 1
    if first > last:
        return None
    words = f"file {first} is" if first == last else f"files {first} to {last} are"
    return Loss(str(path), 0, 0, f"{words} not there")


@dataclass(slots=True)
class FileInfo:
    """One file's index, added up.

    Attributes:
        first_ns: With ``last_ns`` of what happened in it, not of what it repeats.
        losses: What cannot be read.
        dropped: Records that were never written, by reason, as the recorder noted: ``slow`` or ``disk``.
    """

    path: Path
    size: int
    blocks: int = 0
    records: int = 0
    raw_bytes: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    venues: set[str] = field(default_factory=set)
    losses: list[Loss] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    note: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all that was heard was written and can be read, as far as was looked."""
        return not self.losses and not self.dropped


def inspect_files(files: Sequence[Path], *, deep: bool = False) -> list[FileInfo]:
    """As `inspect`, of files that follow each other; one that is not there is a loss of the next."""
    found = [inspect(path, deep=deep) for path in files]
    for before, info in pairwise(found):
        if gone := _gone(before.path, info.path):
            info.losses.insert(0, gone)
    return found


def inspect(path: Path, *, deep: bool = False) -> FileInfo:
    """What is in a file, by its index and the recorder's notes; `deep` also reads every block, so that damage inside one is found."""
    info = FileInfo(path, path.stat().st_size)
    try:
        with open_tape(path) as reader:
            info.note = reader.about.note
            for step in reader.index():
                _look(info, reader, step, deep=deep)
    except TapeError as error:
        info.losses.append(Loss(str(path), error.offset or 0, info.size, error.reason))
    return info


def _look(info: FileInfo, reader: TapeReader, step: Place | Loss, *, deep: bool) -> None:
    if isinstance(step, Loss):
        info.losses.append(step)
        return
    noted = RECORDER in step.head.venues
    found = reader.block(step) if deep or noted else []
    if isinstance(found, Loss):
        info.losses.append(found)
        return
    _add(info, step.head)
    info.venues.update(name for name in step.head.venues if name not in _OURS)
    info.dropped += dropped(found)


def _add(info: FileInfo, head: BlockHead) -> None:
    info.blocks += 1
    info.records += head.records
    info.raw_bytes += head.raw
    if not head.carried:
        info.first_ns = head.first_ns if info.first_ns is None else min(info.first_ns, head.first_ns)
        info.last_ns = head.last_ns if info.last_ns is None else max(info.last_ns, head.last_ns)


def dropped(rows: Iterable[Row]) -> Counter[str]:
    """How many records were never written, by reason, as these rows say."""
    found: Counter[str] = Counter()
    for row in rows:
        if row[2] == "lost":
            try:
                frames, reason = read_lost(row[3])
            except ValueError:
                frames, reason = 1, "the note on it cannot be read"
            found[reason] += frames
    return found


def write_lost(frames: int, reason: str) -> str:
    """The payload of a ``lost`` record: how many frames the recorder dropped, and why (``slow``, ``disk``, `DAMAGED`)."""
    return msgspec.json.encode({"frames": frames, "reason": reason}).decode()


def read_lost(payload: str | bytes) -> tuple[int, str]:
    """Frames and reason of a ``lost`` record.

    Raises:
        ValueError: The text is something else.
    """
    found = msgspec.json.decode(payload, type=dict[str, int | str])
    return int(found.get("frames", 0)), str(found.get("reason", ""))
