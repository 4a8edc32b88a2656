"""From a raw tape to an archive: the recorded frames through the feeds that decode live, events into tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.archive.manifest import Lost, Manifest, origin_name
from monitor.archive.schema import TABLE_OF, CourseRow
from monitor.archive.writer import ArchiveWriter
from monitor.errors import TapeError
from monitor.events import Event
from monitor.feed import Feed
from monitor.feeds import named_feeds
from monitor.tape.course import REMEMBERED
from monitor.tape.cut import window
from monitor.tape.folder import FileInfo, inspect, some_files
from monitor.tape.format import Record
from monitor.tape.reader import Loss
from monitor.tape.replay import IsNew, Replay, ReplayReport, is_course

Progress = Callable[[float, int], None]
"""Told how far the export is (0 to 1) and how many events it has written."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to export: what was received in [start_ns, end_ns), of these venues; None for all."""

    start_ns: int | None = None
    end_ns: int | None = None
    venues: frozenset[str] | None = None

    def takes(self, event: Event) -> bool:
        """Whether an event is of a chosen venue; what has no venue is always taken."""
        return self.venues is None or TABLE_OF[type(event)].venue(event) in {*self.venues, "none"}


def export(
    tape: Path,
    out: Path,
    *,
    feeds: Sequence[Feed] | None = None,
    repeats: Callable[[], IsNew],
    choice: Choice | None = None,
    program: str = "",
    replace: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write what is on a tape into an archive. The same tape and choice again replace what they wrote before.

    Args:
        tape: Folder of the tape.
        out: Folder of the archive.
        feeds: Built as when the tape was recorded; None for those that the tape itself names.
        repeats: As for `monitor.tape.replay.Replay`.
        choice: What to take; everything by default.
        program: What writes, for the manifest.
        replace: Remove what other exports hold of the same data, instead of refusing.
        progress: Told now and then.

    Raises:
        TapeError: There is no tape, it names no feeds, nothing is in the stretch, or the archive cannot be written.
    """
    choice = choice or Choice()
    files = [inspect(path) for path in some_files(tape)]
    start_ns, end_ns = _stretch(files, choice, tape)
    replay = Replay(feeds or (), repeats, named_feeds if feeds is None else None)
    note = next((info.note for info in files if info.note), "")
    origin = _origin(tape, choice)
    with ArchiveWriter(out, origin, f"tape {tape}", note=note, program=program, replace=replace) as writer:
        items: Iterator[Record | Loss] = window(tape, choice.start_ns, choice.end_ns, holes=True)
        if progress is not None:
            items = _watched(items, start_ns, end_ns, writer, progress)
        for item in items:
            if isinstance(item, Loss):
                replay.lose(item)
                continue
            events = replay.take(item)
            writer.add(item.recv_ns, events if choice.venues is None else [e for e in events if choice.takes(e)])
            if choice.venues is None and (row := _course_row(item, len(events))) is not None:
                writer.add(item.recv_ns, (row,))
        if not writer.events:
            raise TapeError(_nothing(replay.report), str(tape))
        return writer.commit(start_ns, end_ns, lost_of(replay.report))


def _course_row(record: Record, events: int) -> CourseRow | None:
    """What the archive keeps of a record besides its events; None for what says nothing but them."""
    if record.kind == "state" and record.carried:
        return CourseRow("state", record.name, b"", record.recv_ns, events, carried=True)
    if not is_course(record):
        return None
    payload = record.payload.encode() if isinstance(record.payload, str) else record.payload
    kept = b"" if record.name == REMEMBERED else payload
    return CourseRow(record.kind, record.name, kept, record.recv_ns, events, record.carried)


def _nothing(report: ReplayReport) -> str:
    if report.skipped["unknown_venue"]:
        return "no event was decoded: the tape does not say with which feeds it was recorded; give --config"
    return "no event was recorded in this stretch"


def lost_of(report: ReplayReport) -> Lost:
    """What a replay could not turn into events."""
    return Lost(
        tuple(str(loss) for loss in report.losses),
        dict(sorted(report.lost_frames.items())),
        dict(sorted(report.skipped.items())),
        dict(sorted(report.decode_errors.items())),
        report.steps_back,
        tuple((loss.since_ns, loss.until_ns) for loss in report.losses),
    )


def _watched(
    items: Iterator[Record | Loss], start_ns: int, end_ns: int, writer: ArchiveWriter, progress: Progress
) -> Iterator[Record | Loss]:
    for number, item in enumerate(items):
        if number % 8192 == 0 and isinstance(item, Record):
            progress(min(max((item.recv_ns - start_ns) / (end_ns - start_ns), 0.0), 1.0), writer.events)
        yield item


def _stretch(files: Sequence[FileInfo], choice: Choice, tape: Path) -> tuple[int, int]:
    firsts = [info.first_ns for info in files if info.first_ns is not None]
    lasts = [info.last_ns for info in files if info.last_ns is not None]
    if not firsts or not lasts:
        losses = [str(loss) for info in files for loss in info.losses]
        raise TapeError("\n".join(["the tape holds no record", *losses]), str(tape))
    start_ns = min(firsts) if choice.start_ns is None else choice.start_ns
    end_ns = max(lasts) + 1 if choice.end_ns is None else choice.end_ns
    if start_ns >= end_ns or start_ns > max(lasts) or end_ns <= min(firsts):
        raise TapeError("nothing was recorded in this stretch", str(tape))
    return start_ns, end_ns


def _origin(tape: Path, choice: Choice) -> str:
    """One name for one tape and choice."""
    venues = sorted(choice.venues) if choice.venues is not None else None
    text = json.dumps([str(tape.resolve()), choice.start_ns, choice.end_ns, venues])
    return origin_name(tape.resolve().name, hashlib.sha256(text.encode()).hexdigest())
