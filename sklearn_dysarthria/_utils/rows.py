"""New arrays in a file on a disk, which threads fill row by row."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import threading
import uuid
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

_FILE_NAME = re.compile(r"[0-9a-f]{32}\.rows")


class RowsOnDisk:
    """A new array in a file, filled row by row by the threads of one process.

    Rows are written through the file, not through a map of it, so that a full disk is an error and
    not a crash, and nothing of the array stays in memory.

    The file is removed when the array is garbage collected or the process ends.  A process that is
    killed leaves it behind; the next array in the folder removes it then, since its lock is free.

    Parameters
    ----------
    folder : str or path
        Where to make the file; made if there is none.
    shape : sequence of int
        Shape of the array.
    dtype : dtype
        Type of the array.

    Raises
    ------
    OSError
        The folder cannot be written, or its disk has no room for the array.
    """

    def __init__(self, folder: str | os.PathLike[str], shape: Sequence[int], dtype: Any) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        self._size = self.shape[0] * self._row_bytes
        os.makedirs(folder, exist_ok=True)
        _remove_abandoned(folder)
        if self._size > shutil.disk_usage(folder).free:
            reason = f"{os.strerror(errno.ENOSPC)}: the array needs {self._size} bytes"
            raise OSError(errno.ENOSPC, reason, os.fspath(folder))
        self._path = os.path.join(os.path.abspath(folder), f"{uuid.uuid4().hex}.rows")
        lock = _lock_of(self._path)
        with contextlib.suppress(OSError, NotImplementedError):  # a file system without locks
            lock.acquire(timeout=0)
        self._file = open(self._path, "xb")  # noqa: SIM115 - closed by `finish` or `close`
        self._discard = (self._file, self._path, lock, os.getpid())
        self.close = weakref.finalize(self, _remove, *self._discard)
        self._writing = threading.Lock()

    def __setitem__(self, position: int, row: Any) -> None:
        """Write one row, or a single value that fills it."""
        whole = np.broadcast_to(np.asarray(row, dtype=self.dtype), self.shape[1:])
        content = np.ascontiguousarray(whole).reshape(-1).view(np.uint8).data
        with self._writing:
            self._file.seek(position * self._row_bytes)
            self._file.write(content)

    def finish(self) -> np.ndarray:
        """Return the array, a read-only memory map; every row must have been written."""
        self._file.close()
        if not self._size:  # which no memory map can hold
            self.close()
            return np.empty(self.shape, dtype=self.dtype)
        array = np.memmap(self._path, dtype=self.dtype, mode="r", shape=self.shape)
        self.close.detach()
        weakref.finalize(array.base, _remove, *self._discard)
        return array


def _lock_of(path: str) -> Any:
    from filelock import FileLock

    # Garbage collection may release it in another thread.
    return FileLock(f"{path}.lock", thread_local=False)


def _remove(file: Any, path: str, lock: Any, process: int) -> None:
    """Remove an array's file and its lock, in the process that made them (not in its forks)."""
    if process == os.getpid():
        with contextlib.suppress(OSError):  # a full disk
            file.close()
        _unlink(path, lock)


def _remove_abandoned(folder: str | os.PathLike[str]) -> None:
    """Remove the files of processes that were killed."""
    for name in os.listdir(folder):
        if _FILE_NAME.fullmatch(name):
            path = os.path.join(folder, name)
            lock = _lock_of(path)
            with contextlib.suppress(OSError, NotImplementedError):  # locked, or no locks here
                lock.acquire(timeout=0)
                _unlink(path, lock)


def _unlink(path: str, lock: Any) -> None:
    # Windows does not remove a file that is mapped, as at the end of the process.  Such a file is
    # abandoned.
    with contextlib.suppress(OSError):
        os.unlink(path)
    lock.release()
    if not os.path.exists(path):
        with contextlib.suppress(OSError):
            os.unlink(lock.lock_file)
