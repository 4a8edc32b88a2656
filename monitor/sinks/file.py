"""Alerts as JSON lines in a file. The file is opened for each write, so it can be rotated under the program."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

import msgspec

from monitor.sink import Notification, Outcome, SinkBase, SinkKind, SinkOptions
from monitor.sinks.payload import notification_json


class Options(SinkOptions):
    """Settings of the file sink.

    Attributes:
        path: The file; its folder is made.
        fsync: Whether each line reaches the disk before it counts as delivered.
    """

    type: Literal["file"] = "file"
    path: Path
    fsync: bool = True


class FileSink(SinkBase):
    """Appends one line per notification."""

    def __init__(self, options: Options) -> None:
        self.options = options

    async def deliver(self, notification: Notification) -> Outcome:
        """Append; a full disk or missing right is tried again."""
        line = msgspec.json.encode(notification_json(notification)) + b"\n"
        try:
            await asyncio.to_thread(self._append, line)
        except OSError as error:
            return Outcome.retry(f"{type(error).__name__}: {error.strerror}")
        return Outcome.ok("written")

    def _append(self, line: bytes) -> None:
        self.options.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.options.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            begun = (
                size and os.pread(descriptor, 1, size - 1) != b"\n"
            )  # a full disk or a crash cut the last line short
            remaining = memoryview(b"\n" + line if begun else line)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            if self.options.fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


KIND = SinkKind(Options, FileSink)
