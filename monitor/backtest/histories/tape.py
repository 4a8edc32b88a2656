"""History from a raw tape: the recorded frames through the feeds that decode live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from monitor.backtest.history import Missing, Step, Stretch
from monitor.errors import TapeError
from monitor.events import Event
from monitor.runtime.feeds.repeats import Repeats
from monitor.runtime.load import Loaded
from monitor.tape.cut import window_blocks
from monitor.tape.folder import FileInfo, inspect, some_files, tape_files
from monitor.tape.replay import Replay


def knows(folder: Path) -> bool:
    """Whether there is a tape in a folder."""
    return bool(tape_files(folder))


class TapeHistory:
    """A folder of tape files, decoded with the feeds of the configuration.

    Args:
        folder: Where the tape is.
        loaded: The feeds are built with its options, which should be those of the recording.

    Raises:
        TapeError: There is no tape, or nothing on it.
    """

    kind = "tape"

    def __init__(self, folder: Path, loaded: Loaded) -> None:
        self._folder = folder
        self._files = [inspect(path) for path in some_files(folder)]
        self.stretch = _stretch(self._files, folder)
        self.note = next((info.note for info in self._files if info.note), "")
        self._replay = Replay(loaded.feeds, lambda: Repeats().is_new)

    def steps(self, stretch: Stretch, grid_ns: int) -> Iterator[Step]:
        """See `monitor.backtest.history.History`."""
        blocks = window_blocks(self._folder, stretch.start_ns, stretch.end_ns, holes=True)
        return gather(self._replay.steps(blocks, grid_ns), grid_ns, stretch.start_ns)

    def missing(self) -> Missing:
        """See `monitor.backtest.history.History`."""
        report = self._replay.report
        return Missing(
            [str(loss) for loss in report.losses],
            report.lost_frames,
            report.skipped,
            report.decode_errors,
            report.steps_back,
        )


def gather(items: Iterable[tuple[int, list[Event]]], grid_ns: int, start_ns: int = 0) -> Iterator[Step]:
    """Steps of a grid from (receive time, events); a receive time that runs backwards belongs to the step at hand.

    What lies before `start_ns` (liveness as it was then) belongs to the first step.

    >>> [step.now_ns for step in gather([(1, []), (10, []), (11, []), (5, [])], 10)]
    [10, 20]
    """
    now_ns, events = 0, list[Event]()
    for recv_ns, more in items:
        if recv_ns > now_ns:
            instant_ns = -(-max(recv_ns, start_ns) // grid_ns) * grid_ns
            if now_ns and instant_ns > now_ns:
                yield Step(now_ns, events)
                events = []
            now_ns = instant_ns
        events += more
    if now_ns:
        yield Step(now_ns, events)


def _stretch(files: list[FileInfo], folder: Path) -> Stretch:
    firsts = [info.first_ns for info in files if info.first_ns is not None]
    lasts = [info.last_ns for info in files if info.last_ns is not None]
    if not firsts or not lasts:
        losses = [str(loss) for info in files for loss in info.losses]
        raise TapeError("\n".join(["the tape holds no record", *losses]), str(folder))
    return Stretch(min(firsts), max(lasts) + 1)
