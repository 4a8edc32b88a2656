"""Has the next piece of something made on a second thread while the first one is used.

Worth it where most of the making lets go of the interpreter: reading, decompressing and sorting columns does.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")
_END: Final = object()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order; while one is used the next is made, and none after that.

    Args:
        items: Asked from a thread of its own, one item at a time. What it raises is raised here, in its place.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item  # type: ignore[misc]  # not the end
