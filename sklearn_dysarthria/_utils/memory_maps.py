"""Arrays on disk: read chunk by chunk, never in memory as a whole."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

_CHUNK = 2**24
"""Bytes of an array that are read at a time."""


def _map_behind(array: Any) -> tuple[mmap.mmap, str] | None:
    """Return the map that an array lies in, and the mode in which it was opened."""
    mode = ""
    while array is not None:
        if isinstance(array, np.memmap):
            mode = array.mode
        elif isinstance(array, mmap.mmap):
            return array, mode
        array = getattr(array, "base", None)
    return None


def is_mapped(array: Any) -> bool:
    """Return whether an array, or what it is a view of, lies in a memory-mapped file."""
    return _map_behind(array) is not None


def drop_pages(array: Any) -> None:
    """Give back the memory that a file's pages occupy once they have been read.

    Read again, they come from the system's cache or the disk.  Arrays in memory are left alone, and
    so is a map that may not be shared with its file, whose changes (mode ``"c"``) would be lost.
    Windows has no such request and takes the pages back itself when memory is short.
    """
    behind = _map_behind(array)
    if behind is not None and behind[1] in ("r", "r+", "w+") and hasattr(mmap, "MADV_DONTNEED"):
        behind[0].madvise(mmap.MADV_DONTNEED)


def chunks(array: Any) -> Iterator[slice]:
    """Yield slices of an array's rows, some megabytes each, and drop a file's pages after each.

    Parameters
    ----------
    array : ndarray of shape (n_rows, ...)
        In memory or memory-mapped.

    Yields
    ------
    slice
        Consecutive rows; at least one slice, of no rows for an empty array.
    """
    row_bytes = array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
    step = max(1, _CHUNK // max(1, row_bytes))
    for start in range(0, max(1, len(array)), step):
        yield slice(start, start + step)
        drop_pages(array)
