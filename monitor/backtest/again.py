"""A monitor run again from what it recorded, be it a tape of frames or an archive of events: one call for both.

From an archive the events come as they were decoded when it was written, and the program's course from the table
``course``; from there on it is `monitor.runtime.steps.rerun`, and the alerts are the same to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from monitor.archive.manifest import Manifest, is_archive
from monitor.archive.reader import Archive
from monitor.archive.schema import CourseRow
from monitor.errors import TapeError
from monitor.runtime.alerting.alert_desk import Outbox
from monitor.runtime.load import Loaded
from monitor.runtime.steps.rerun import Rerunner, RerunReport, Rules, Watcher, rerun
from monitor.tape.course import REMEMBERED
from monitor.tape.folder import read_blocks, some_files, tape_files
from monitor.tape.holes import is_of_hole
from monitor.tape.reader import Loss
from monitor.tape.replay import ReplayReport


def run_again(
    loaded: Loaded,
    folder: Path,
    outbox: Outbox,
    *,
    rules: Rules = Rules.RECORDED,
    watcher: Watcher | None = None,
) -> RerunReport:
    """Run a monitor again at its own instants.

    Args:
        loaded: As for `monitor.runtime.steps.rerun.rerun`.
        folder: Of a tape or of an archive.
        outbox: Gets what each step decided.
        rules: Whose rules run.
        watcher: Looks on.

    Raises:
        TapeError: There is neither, it cannot be read, or it does not say when rules were evaluated.
    """
    if tape_files(folder) or not is_archive(folder):
        return rerun(loaded, read_blocks(some_files(folder)), outbox, rules=rules, watcher=watcher)
    archive = Archive(folder)
    if not archive.has_course:
        raise TapeError(
            "it does not say when rules were evaluated; give the tape, or export all of its venues", str(folder)
        )
    return _rerun_archive(archive, Rerunner(loaded, outbox, rules=rules, watcher=watcher))


def _rerun_archive(archive: Archive, monitor: Rerunner) -> RerunReport:
    for item in archive.course():
        if isinstance(item, CourseRow):
            _follow(monitor, item)
        elif not is_of_hole(item):  # the program that recorded has seen what the tape lacks
            monitor.hear(item)
    _add_missing(monitor.report.tape, archive.manifests)
    return monitor.finish()


def _follow(monitor: Rerunner, row: CourseRow) -> None:
    if row.name == REMEMBERED:
        monitor.remember(monitor.take_back(row.events), row.recv_ns)
    elif row.kind != "state":
        monitor.follow((row.recv_ns, row.name, row.kind, row.payload, row.carried))
    elif row.rank:
        monitor.take_back(row.events)  # said by the export before, too


def _add_missing(report: ReplayReport, manifests: Sequence[Manifest]) -> None:
    """What the tapes behind the archive did not have, and what lies between two exports."""
    for manifest in manifests:
        lost = manifest.lost
        report.losses += [Loss(manifest.origin, 0, 0, words) for words in lost.losses]
        report.lost_frames.update(lost.dropped)
        report.skipped.update(lost.skipped)
        report.decode_errors.update(lost.undecoded)
        report.steps_back += lost.steps_back
    for one, other in pairwise(manifests):
        if one.end_ns != other.start_ns:
            report.losses.append(Loss(other.origin, 0, 0, f"{one.origin} does not end where it begins"))
