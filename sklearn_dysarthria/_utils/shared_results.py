"""Results that come back from processes of the same computer through memory, not through a pipe.

A pipe costs more time per image than the image itself.  Here the arrays in a result stay outside
its pickle (protocol 5): the worker writes them to a file that exists in memory only, and the
receiver maps it.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections import deque
from typing import Any, NamedTuple

_ALIGNMENT = 64
"""Bytes; whole cache lines, whatever the type of an array."""
_MAPPED_AT_ONCE = getattr(mmap, "MAP_SHARED", 0) | getattr(mmap, "MAP_POPULATE", 0)


class Parcel(NamedTuple):
    """A pickled object whose arrays lie in a file."""

    pickled: bytes
    lengths: list[int]
    """Bytes of each array."""


def _padded(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def pack(value: Any, path: str) -> Any:
    """Pickle a value with its arrays written to the file at ``path``.

    Parameters
    ----------
    value : object
        What is to be sent.
    path : str
        An existing file.

    Returns
    -------
    Parcel or object
        For :meth:`ResultFiles.unpack`; the value itself if only joblib's pickler can cope with it
        (objects of a class that was defined in a script or a notebook).
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except (pickle.PicklingError, AttributeError, TypeError):
        return value
    with open(path, "r+b") as file:
        for buffer in buffers:
            content = buffer.raw()
            file.write(content)
            file.write(bytes(_padded(content.nbytes) - content.nbytes))
    return Parcel(pickled, [buffer.raw().nbytes for buffer in buffers])


class ResultFiles:
    """Files in memory that go back and forth between this process and its workers.

    As many are made as are under way at a time; a file that has been read is used again, which
    spares the kernel from finding fresh memory.  For where
    :func:`~sklearn_dysarthria._utils.workers.processes_open_our_files`.
    """

    def __init__(self) -> None:
        self._all: list[int] = []
        self._free: deque[int] = deque()

    def lend(self) -> int:
        """Return the number of a file that is free; any thread may ask."""
        try:
            return self._free.popleft()
        except IndexError:
            number = os.memfd_create("results")
            self._all.append(number)
            return number

    def path(self, number: int) -> str:
        """Return the name by which other processes find the file."""
        return f"/proc/{os.getpid()}/fd/{number}"

    def unpack(self, number: int, packed: Any) -> Any:
        """Return the object that a worker has packed.

        Parameters
        ----------
        number : int
            The file that was lent; it is free again afterwards.
        packed : Parcel or object
            What :func:`pack` has returned.
        """
        unpacked = self._unpacked(number, packed) if isinstance(packed, Parcel) else packed
        self._free.append(number)
        return unpacked

    @staticmethod
    def _unpacked(number: int, parcel: Parcel) -> Any:
        total = sum(map(_padded, parcel.lengths))
        memory = memoryview(mmap.mmap(number, total, flags=_MAPPED_AT_ONCE) if total else b"")
        buffers, start = [], 0
        for length in parcel.lengths:
            buffers.append(bytearray(memory[start : start + length]))
            start += _padded(length)
        return pickle.loads(parcel.pickled, buffers=buffers)

    def close(self) -> None:
        """Give the memory back."""
        while self._all:
            os.close(self._all.pop())
