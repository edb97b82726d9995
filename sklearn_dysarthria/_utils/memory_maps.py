"""Arrays on disk: written row by row, read chunk by chunk, never in memory as a whole."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any

import numpy as np

_CHUNK = 2**24
"""Bytes of an array that are looked at in one go."""


class RowsInMemory:
    """A new array in memory, filled row by row.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    dtype : dtype
        Type of the array.
    missing : object
        What a row holds that nobody puts.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, missing: Any) -> None:
        # Filled at the end, where need be: filling first would go through all the memory twice.
        self._array = np.empty(shape, dtype=dtype)
        self._missing = missing
        self._lacking = set(range(shape[0]))

    def put(self, position: int, row: Any) -> None:
        """Write one row."""
        self._array[position] = row
        self._lacking.discard(position)

    def finish(self) -> np.ndarray:
        """Return the array."""
        if self._lacking:
            self._array[sorted(self._lacking)] = self._missing
        return self._array


class RowsOnDisk:
    """A new array in a file without a name, filled row by row; nothing of it stays in memory.

    The file is unlinked from the start (``O_TMPFILE`` where the file system has it), so that the
    kernel frees it once nobody has it open: when the array is garbage collected, and however the
    process ends.

    Parameters
    ----------
    folder : str or path
        On whose file system the file lies; made if there is none.
    shape, dtype, missing
        As for :class:`RowsInMemory`.

    Raises
    ------
    OSError
        The folder cannot be written, or its disk has no room for the array: told before the work.
    """

    def __init__(
        self, folder: str | os.PathLike[str], shape: Sequence[int], dtype: Any, missing: Any
    ) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.missing = missing
        self._lacking = set(range(self.shape[0]))
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        os.makedirs(folder, exist_ok=True)
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - it outlives this object
        self._closing = weakref.finalize(self, self._file.close)
        size = self._row_bytes * self.shape[0]
        if size:
            try:
                os.posix_fallocate(self._file.fileno(), 0, size)
            except OSError as error:
                self._closing()
                reason = f"{error.strerror}: the array needs {size} bytes"
                raise OSError(error.errno, reason, os.fspath(folder)) from error

    def put(self, position: int, row: Any) -> None:
        """Write one row, through the file: a full disk is an error here, and a crash in a map."""
        self._file.seek(position * self._row_bytes)
        row = np.ascontiguousarray(row, dtype=self.dtype)
        self._file.write(memoryview(row.reshape(-1).view(np.uint8)))
        self._lacking.discard(position)

    def finish(self) -> np.ndarray:
        """Return the array, read-only."""
        for position in tuple(self._lacking):
            self.put(position, np.full(self.shape[1:], self.missing, dtype=self.dtype))
        self._file.flush()
        self._closing.detach()
        if not self._row_bytes * self.shape[0]:  # which no memory map can hold
            self._file.close()
            return np.empty(self.shape, dtype=self.dtype)
        array = np.memmap(self._file, dtype=self.dtype, mode="r", shape=self.shape)
        # joblib sends a memory map to its processes as the name of its file.  This name leads to
        # the open file as long as this process keeps it open, which is as long as the map lives.
        array.filename = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        weakref.finalize(array.base, self._file.close)
        return array


def new_rows(
    folder: str | os.PathLike[str] | None, shape: Sequence[int], dtype: Any, missing: Any
) -> RowsInMemory | RowsOnDisk:
    """Return an array to be filled row by row: in memory without a folder, else in a file there."""
    if folder is None:
        return RowsInMemory(shape, dtype, missing)
    return RowsOnDisk(folder, shape, dtype, missing)


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
    """Tell whether an array, or what it is a view of, lies in a memory-mapped file."""
    return _map_behind(array) is not None


def drop_pages(array: Any) -> None:
    """Give back the memory that a file's pages occupy once they have been read.

    Read again, they come from the kernel's cache or the disk.  Nothing happens to arrays in
    memory, nor to a map that is not known to be shared with its file, whose changes (mode
    ``"c"``) would be lost.
    """
    behind = _map_behind(array)
    if behind is not None and behind[1] in ("r", "r+", "w+"):
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
