"""Writes the tape beside the running monitor: a `monitor.runtime.feeds.desk.Tap` with a thread behind a bounded queue.

The receive path only appends to a deque. When the disk is too slow, frames are dropped and counted, in the counters and
on the tape itself; what a replay cannot do without (subscriptions, instruments, liveness) may use twice the room.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from monitor import __version__
from monitor.clock import NS_PER_S, Clock
from monitor.config import RecordOptions
from monitor.errors import ConfigError, Problem
from monitor.feed import Frame
from monitor.runtime.feeds.desk import TapKind
from monitor.tape.folder import RECORDER, dropped, write_lost
from monitor.tape.format import Row
from monitor.tape.writer import TapeLimits, TapeWriter
from monitor.telemetry.views.program import TapeView

_ROW_BYTES = 200
"""What a waiting row costs besides its payload, about."""
_MOST_ROWS = 1024
"""Of a block: what the thread encodes in one go, about 0.4 ms in which the event loop may have to wait."""
_SYNC_S = 1.0
_SAY_S = 10.0
"""Between two lines of the log about what is missing, however often the disk refuses."""


class Recorder:
    """Hears everything and writes it.

    A block is written when `block_bytes` wait, and whatever waits after `flush_s`: a killed process loses so much.

    Attributes:
        dropped: Records that are not on the tape, by reason: ``slow`` (the queue was full) and ``disk`` (it refused).
        recorded: Records on the tape; ``frames``: how many of them are frames that were received.
        failing: The disk's last words, while it refuses.

    Args:
        writer: Used by the thread only, from start to close.
        clock: Dates blocks and files.
        queue_bytes: Room of the queue.
        block_bytes: Size of a block before compression.
        flush_s: Longest wait for a block to fill.
    """

    def __init__(
        self,
        writer: TapeWriter,
        clock: Clock,
        *,
        queue_bytes: int = 128 * 1024 * 1024,
        block_bytes: int = 512 * 1024,
        flush_s: float = 1.0,
    ) -> None:
        self.writer = writer
        self.dropped: Counter[str] = Counter(slow=0, disk=0)  # both keys from the start: two threads count
        self.recorded = self.frames = 0
        self.failing = ""
        self._clock = clock
        self._queue_bytes = queue_bytes
        self._block_bytes = block_bytes
        self._flush_ns = int(flush_s * NS_PER_S)
        self._poll_s = min(0.05, flush_s)
        self._queue: deque[Row] = deque()
        self._put = 0  # bytes ever queued; written by the event loop only
        self._taken = 0  # bytes ever taken; written by the thread only
        self._noted = 0  # of what was dropped as ``slow``: what the line says of it; the event loop's
        self._refused = 0  # of what was dropped as ``disk``: what the tape says of it; the thread's
        self._said: Counter[str] = Counter()  # of both: what the log says
        self._said_ns = 0
        self._rows: list[Row] = []
        self._rows_bytes = 0
        self._flushed_ns = self._synced_ns = clock.mono_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tape", daemon=True)
        self._log = structlog.get_logger("monitor.tape")

    def __call__(self, connection: str, kind: TapKind, payload: Frame, recv_ns: int) -> None:
        """Queue one happening, or count it as dropped."""
        size = len(payload) + _ROW_BYTES
        if self._put - self._taken + size > self._queue_bytes and not self._has_room(kind, size):
            self.dropped["slow"] += 1
            return
        if self.dropped["slow"] != self._noted:
            self._note_hole(recv_ns)
        self._put += size
        self._queue.append((recv_ns, connection, kind, payload, False))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def waiting_bytes(self) -> int:
        """What is queued and not yet taken, about."""
        return self._put - self._taken

    def view(self) -> TapeView:
        """How it fares."""
        writer = self.writer
        return TapeView(
            folder=str(writer.folder),
            records=self.recorded,
            frames=self.frames,
            bytes_written=writer.bytes_written,
            dropped=dict(self.dropped),
            waiting_bytes=self.waiting_bytes,
            queue_bytes=self._queue_bytes,
            folder_bytes=writer.folder_bytes,
            budget_bytes=writer.limits.folder_bytes,
            files=writer.files,
            removed_files=writer.removed,
            failing=self.failing,
        )

    def close(self) -> None:
        """Write all that waits and end the file."""
        if self.dropped["slow"] != self._noted:
            self._note_hole(self._clock.wall_ns())
        self._stop.set()
        self._thread.join()

    def _has_room(self, kind: TapKind, size: int) -> bool:
        return kind not in {"in", "out"} and self.waiting_bytes + size <= 2 * self._queue_bytes

    def _note_hole(self, now_ns: int) -> None:
        """Say how many frames are missing at just this place of the line."""
        count, self._noted = self.dropped["slow"] - self._noted, self.dropped["slow"]
        self._queue.append((now_ns, RECORDER, "lost", write_lost(count, "slow"), False))
        self._put += _ROW_BYTES + len(self._queue[-1][3])

    # In the thread

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            self._work()
        self._work()
        self._flush()
        self._note_refused()
        self._say()
        try:
            self.writer.close()
        except OSError as error:
            self._log.error("tape.close_failed", error=str(error))

    def _work(self) -> None:
        """Move what waits into blocks; write those that are full or old."""
        queue = self._queue
        while queue:
            row = queue.popleft()
            size = len(row[3]) + _ROW_BYTES
            self._taken += size
            self._rows_bytes += size
            self._rows.append(row)
            if self._rows_bytes >= self._block_bytes or len(self._rows) >= _MOST_ROWS:
                self._flush()
        now_ns = self._clock.mono_ns()
        if now_ns - self._flushed_ns >= self._flush_ns:
            self._flush()
            self._sync(now_ns)
        if not self._said_ns or now_ns - self._said_ns >= _SAY_S * NS_PER_S:
            self._say()

    def _flush(self) -> None:
        self._flushed_ns = self._clock.mono_ns()
        rows, self._rows, self._rows_bytes = self._rows, [], 0
        count, refused, now_ns = len(rows), self.dropped["disk"] - self._refused, self._clock.wall_ns()
        notes: list[Row] = []
        if refused:  # the blocks before this one
            notes.append((rows[0][0] if rows else now_ns, RECORDER, "lost", write_lost(refused, "disk"), False))
        if not rows and not notes:
            return
        try:
            self.writer.write(notes + rows, now_ns)
            self._refused += refused
            self.recorded += count
            self.frames += sum(row[2] == "in" for row in rows)
            self.failing = ""
        except Exception as error:  # noqa: BLE001  # whatever it is costs this block, counted, and not the thread
            self.dropped["disk"] += count
            self._refused -= dropped(rows).total()  # with them went what they said of others
            self.failing = str(error)

    def _note_refused(self) -> None:
        """At the end of a tape whose disk is still full: how much is not on it."""
        refused, now_ns = self.dropped["disk"] - self._refused, self._clock.wall_ns()
        if not refused:
            return
        try:
            self.writer.write_last([(now_ns, RECORDER, "lost", write_lost(refused, "disk"), False)], now_ns)
            self._refused += refused
        except OSError as error:
            self.failing = str(error)

    def _say(self) -> None:
        """Log what is missing since the last line, by reason; nothing where nothing is."""
        missing = self.dropped - self._said
        if missing:
            self._said += missing
            self._said_ns = self._clock.mono_ns()
            self._log.error("tape.incomplete", **missing, error=self.failing)

    def _sync(self, now_ns: int) -> None:
        if now_ns - self._synced_ns < _SYNC_S * NS_PER_S:
            return
        self._synced_ns = now_ns
        try:
            self.writer.sync()
        except OSError as error:
            self._log.error("tape.sync_failed", error=str(error))


def recorder_of(options: RecordOptions, data_dir: Path, clock: Clock, note: str) -> Recorder:
    """The recorder of ``record:``, not yet started.

    Args:
        options: The configuration.
        data_dir: Where its folder is, unless it is absolute.
        clock: Dates blocks and files.
        note: Says that the market is made up.

    Raises:
        ConfigError: The folder cannot be used.
    """
    folder = data_dir / options.dir
    try:
        limits = TapeLimits.within(options.budget, options.keep)
        return Recorder(TapeWriter(folder, limits, program=f"monitor {__version__}", note=note), clock)
    except OSError as error:
        raise ConfigError([Problem(str(folder), 0, 0, f"no tape can be written here: {error.strerror}")]) from None
