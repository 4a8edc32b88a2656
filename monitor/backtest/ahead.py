"""Has the next pieces of something made on a second thread while the first one is used.

Worth it where most of the making lets go of the interpreter: reading, decompressing and sorting columns does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")
_END: Final = object()
PIECES = 4
"""So many are made ahead: some take several times as long as others."""


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order; while one is used the next `PIECES` are made, and none after that.

    Args:
        items: Asked from a thread of its own, one item at a time. What it raises is raised here, in its place.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        coming: deque[Future[Any]] = deque(thread.submit(next, items, _END) for _ in range(PIECES))
        try:
            while (item := coming.popleft().result()) is not _END:
                coming.append(thread.submit(next, items, _END))
                yield item
        finally:
            for piece in coming:
                piece.cancel()
