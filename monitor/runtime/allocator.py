"""Large blocks go back to the system when they are freed: a setting of the C library, made once at the start.

glibc serves blocks above a threshold from mappings of their own, which it gives back when they are freed. But it raises
the threshold to the size of every such block that is freed. Each copy of the windows, some ten megabytes every minute,
would come from the heap from then on and leave holes there: resident memory crept up for as long as the windows grew
and stayed at the sum of all its peaks.
"""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Of mallopt(3)."""
LARGE_BYTES = 1 << 18
"""Chunks of a log's columns are of this size; what is smaller comes from the heap as ever."""
ARENAS = 2
"""Heaps for threads: packing and writing are done on a few, one after the other."""


def give_back_large_blocks() -> bool:
    """Hold the threshold still; False where the C library knows no such setting (musl, macOS, Windows)."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(M_ARENA_MAX, ARENAS))
