"""New arrays that are filled row by row: in memory, on a disk, or by several processes at once.

Whoever computes a row has it written where it belongs, so that nobody copies it afterwards.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from sklearn_dysarthria._utils.memory_maps import MemoryOnly


class RowsInMemory:
    """A new array in memory, filled row by row by the threads of one process.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    dtype : dtype
        Type of the array.
    """

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        self._array = np.empty(shape, dtype=dtype)

    def put(self, position: int, row: Any) -> None:
        """Write one row.

        Parameters
        ----------
        position : int
            Which.
        row : array-like
            What goes there; a single value fills the row.
        """
        self._array[position] = row

    def fill(self, positions: Sequence[int], compute: Callable[[np.ndarray], Any]) -> None:
        """Have one row computed, for one or more positions.

        Parameters
        ----------
        positions : sequence of int
            Where the row goes; at least one.
        compute : callable
            Writes the row to the C-contiguous array that it is given.  What it raises comes up,
            and then any of the rows may hold anything.
        """
        first, *others = positions
        row = self._array[first, ...]
        compute(row)
        for position in others:
            self._array[position] = row

    def finish(self) -> np.ndarray:
        """Return the array, whose every row must have been written."""
        return self._array

    def close(self) -> None:
        """Do nothing: this memory goes with its last user."""


class _RowsOfFile:
    """Rows of an array in a file that is open somewhere; any process may write any of them.

    They are written through the file, not through a map of it: that a disk or the memory is full
    is then an error and not a crash, and fresh pages need not be filled with zeros first.
    """

    def __init__(self, path: str, identity: tuple[int, int], shape: Sequence[int], dtype: Any):
        self.path, self.identity = path, identity
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def __reduce__(self) -> tuple[Any, ...]:
        # What another process gets refers to the file, and does not own it.
        return _RowsOfFile, (self.path, self.identity, self.shape, self.dtype)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            if _identity(descriptor) != self.identity:
                # The owner gave up, and the number of its file is now that of another one.
                raise FileNotFoundError(f"{self.path} is no longer the file to be written")
            yield descriptor
        finally:
            os.close(descriptor)

    def put(self, position: int, row: Any) -> None:
        """See :meth:`RowsInMemory.put`."""
        whole = np.broadcast_to(np.asarray(row, dtype=self.dtype), self.shape[1:])
        self._write((position,), np.ascontiguousarray(whole))

    def fill(self, positions: Sequence[int], compute: Callable[[np.ndarray], Any]) -> None:
        """See :meth:`RowsInMemory.fill`."""
        row = np.empty(self.shape[1:], dtype=self.dtype)
        compute(row)
        self._write(positions, row)

    def _write(self, positions: Sequence[int], row: np.ndarray) -> None:
        content = row.reshape(-1).view(np.uint8).data
        with self._opened() as descriptor:
            for position in positions:
                done = 0
                while done < self._row_bytes:
                    start = position * self._row_bytes + done
                    done += os.pwrite(descriptor, content[done:], start)


class _RowsOfOwnFile(_RowsOfFile):
    """The same in the process that made the file; takes the open file over."""

    def __init__(self, descriptor: int, shape: Sequence[int], dtype: Any) -> None:
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
        super().__init__(path, _identity(descriptor), shape, dtype)
        self._descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)

    @property
    def _size(self) -> int:
        return self.shape[0] * self._row_bytes

    @contextmanager
    def _opened(self) -> Iterator[int]:
        yield self._descriptor


class RowsOnDisk(_RowsOfOwnFile):
    """A new array in a file without a name, filled row by row; nothing of it stays in memory.

    The file is unlinked from the start (``O_TMPFILE`` where the file system has it), so that the
    kernel frees it once nobody has it open: when the array is garbage collected, and however the
    process ends.

    Parameters
    ----------
    folder : str or path
        On whose file system the file lies; made if there is none.
    shape, dtype
        As for :class:`RowsInMemory`.

    Raises
    ------
    OSError
        The folder cannot be written, or its disk has no room for the array: told before the work.
    """

    def __init__(self, folder: str | os.PathLike[str], shape: Sequence[int], dtype: Any) -> None:
        os.makedirs(folder, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            super().__init__(os.dup(file.fileno()), shape, dtype)
        if self._size:
            try:
                os.posix_fallocate(self._descriptor, 0, self._size)
            except OSError as error:
                self.close()
                reason = f"{error.strerror}: the array needs {self._size} bytes"
                raise OSError(error.errno, reason, os.fspath(folder)) from error

    def finish(self) -> np.ndarray:
        """Return the array, read-only; every row must have been written."""
        if not self._size:  # which no memory map can hold
            return np.empty(self.shape, dtype=self.dtype)
        self.close.detach()
        file = os.fdopen(self._descriptor, "rb")
        array = np.memmap(file, dtype=self.dtype, mode="r", shape=self.shape)
        # joblib sends a memory map to its processes as the name of its file.  This name leads to
        # the open file as long as this process keeps it open, which is as long as the map lives.
        array.filename = self.path
        weakref.finalize(array.base, file.close)
        return array


class RowsOfProcesses(_RowsOfOwnFile):
    """A new array in memory, filled row by row by processes of this computer.

    The memory is a file's that exists nowhere else (``memfd_create``), until the array is
    finished.  It is then this process's own, and goes when the array is garbage collected.

    Parameters
    ----------
    shape, dtype
        As for :class:`RowsInMemory`.

    Raises
    ------
    MemoryError
        This computer has not as much memory.
    """

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        np.empty(shape, dtype=dtype)  # takes nothing, and fails where the array never fits
        super().__init__(os.memfd_create("rows"), shape, dtype)

    def finish(self) -> np.ndarray:
        """Return the array, writable; every row must have been written."""
        if not self._size:
            return np.empty(self.shape, dtype=self.dtype)
        # Private: a process that is forked later and writes to its array does not change this one.
        memory = MemoryOnly(self._descriptor, self._size, flags=mmap.MAP_PRIVATE)
        self.close()
        return np.ndarray(self.shape, self.dtype, buffer=memory)


NewRows = RowsInMemory | RowsOnDisk | RowsOfProcesses


def new_rows(
    folder: str | os.PathLike[str] | None,
    shape: Sequence[int],
    dtype: Any,
    *,
    for_processes: bool = False,
) -> NewRows:
    """Return an array to be filled row by row: in memory without a folder, else in a file there.

    Parameters
    ----------
    folder, shape, dtype
        As for :class:`RowsOnDisk`.
    for_processes : bool, default=False
        Other processes of this computer shall write to it, which needs
        :data:`~sklearn_dysarthria._utils.workers.HAS_MEMORY_FILES`.
    """
    if folder is not None:
        return RowsOnDisk(folder, shape, dtype)
    return RowsOfProcesses(shape, dtype) if for_processes else RowsInMemory(shape, dtype)


def _identity(descriptor: int) -> tuple[int, int]:
    facts = os.fstat(descriptor)
    return facts.st_dev, facts.st_ino
