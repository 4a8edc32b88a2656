"""SIGTERM that comes while the program still loads: noted, and obeyed as soon as it can end in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class EarlyStop:
    """A signal handler that only notes: an exception amid the loading of a compiled library can crash the interpreter."""

    wanted = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        """The signal came."""
        self.wanted = True


@contextmanager
def noting_sigterm() -> Iterator[None]:
    """From here on SIGTERM is noted, until the event loop handles it itself."""
    before = signal.signal(signal.SIGTERM, EarlyStop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
