"""One array in one file, such that no damage to it goes unnoticed.

The layout, little-endian::

    magic | key | dtype | number of axes | shape | CRC-32        the header, 128 bytes
    the array's bytes in C order

Nothing is pickled.  The checksum covers header and bytes and is verified at every read.  CRC-32
takes 0.1 ms for an image of 600 kB, where reading takes 0.02 ms, SHA-256 0.3 ms and BLAKE2 0.6 ms;
it finds every damage within 32 neighbouring bits and misses any other once in 2**32.  It guards
against accidents, not against forgery: who may write the file may write wrong numbers.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from typing import Any, BinaryIO

import numpy as np

_MAGIC = b"sdarray1"
_HEADER = struct.Struct("<8s32s16sI8QI")
_CHECKSUM = struct.Struct("<I")  # the header's last part
_MOST_AXES = 8
_DTYPE = re.compile(rb"[<>|][biufc][0-9]{1,2}\0*")  # booleans and numbers: bytes are their value


def array_as_bytes(array: Any, key: bytes) -> tuple[bytes, memoryview]:
    """Return what a file holds that keeps an array.

    Parameters
    ----------
    array : array-like
        Of booleans or numbers, with at most 8 axes.
    key : bytes of length 32
        Where the array belongs, so that a file in the wrong place is told.

    Returns
    -------
    header : bytes
        What comes first.
    content : memoryview
        The array's own bytes, not copied if they are in C order.

    Raises
    ------
    TypeError
        An array of anything else.
    """
    values = np.asarray(array, order="C")
    name = values.dtype.str.encode()
    if not _DTYPE.fullmatch(name) or values.ndim > _MOST_AXES:
        raise TypeError(f"cannot keep an array of type {values.dtype} with {values.ndim} axes.")
    content = values.reshape(-1).view(np.uint8).data
    shape = values.shape + (0,) * (_MOST_AXES - values.ndim)
    start = _HEADER.pack(_MAGIC, key, name, values.ndim, *shape, 0)[: -_CHECKSUM.size]
    return start + _CHECKSUM.pack(zlib.crc32(content, zlib.crc32(start))), content


def read_array(
    file: BinaryIO, size: int, key: bytes, out: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the array in a file, or None unless every byte is as it was written.

    Parameters
    ----------
    file : binary file
        At its beginning.
    size : int
        Bytes in it.
    key : bytes of length 32
        As it was written with.
    out : ndarray, optional
        C-contiguous; takes the array up, if that has the same shape and type, whatever the order
        of their bytes.

    Returns
    -------
    ndarray or None
        `out`, else a new, writeable one.
    """
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, written_key, name, n_axes, *axes, checksum = _HEADER.unpack(header)
    if (magic, written_key) != (_MAGIC, key) or n_axes > _MOST_AXES or not _DTYPE.fullmatch(name):
        return None
    try:
        dtype = np.dtype(name.rstrip(b"\0").decode())
    except TypeError:  # "<f3"
        return None
    shape = tuple(axes[:n_axes])
    # Compared before anything is allocated: a damaged shape must not ask for all the memory.
    if size != _HEADER.size + math.prod(shape) * dtype.itemsize:
        return None
    if out is not None and (out.shape, out.dtype.newbyteorder("=")) != (
        shape,
        dtype.newbyteorder("="),
    ):
        return None
    array = out if out is not None and out.dtype == dtype else np.empty(shape, dtype)
    content = array.reshape(-1).view(np.uint8).data
    if file.readinto(content) != len(content):  # type: ignore[attr-defined]
        return None
    if zlib.crc32(content, zlib.crc32(header[: -_CHECKSUM.size])) != checksum:
        return None
    if out is None or out is array:
        return array
    out[...] = array  # written by a computer of the other byte order
    return out
