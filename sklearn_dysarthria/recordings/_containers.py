"""Containers of sound files: what libsndfile does not do with them.

It silently shortens truncated WAV, AIFF and AU files, cannot see the end of a truncated Ogg stream,
and opening an ordinary WAV file with it takes as long as reading the samples.
"""

from __future__ import annotations

import os
import struct
from io import FileIO
from typing import BinaryIO

import numpy as np

# Recorders that write to a pipe leave a length they could not know: 0, or (almost) the maximum.
_UNKNOWN_LENGTH = 0x7FFF_F000
_IN_DS64 = 0xFFFF_FFFF  # RF64 keeps the true length in its chunk "ds64"
_OGG_TAIL = 65_536  # no Ogg page is longer
_OGG_HEADER = 27  # bytes before the table of segment lengths, whose size is byte 26
_END_OF_STREAM = 0x04
_PLAIN_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def read_plain_wav(path: str) -> tuple[np.ndarray, float] | None:
    """Read the most common kind of sound file directly: WAV, 16-bit integers, nothing else.

    Parameters
    ----------
    path : str
        An existing file of any kind.

    Returns
    -------
    samples : ndarray of shape (n_samples,) or (n_samples, n_channels), dtype int16
        As soundfile would read them.
    sample_rate : float
        Hz.  None instead of both unless the file consists of header and samples alone.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        header = _plain_header(file)
        if header is None:
            return None
        rate, channels, n_samples = header
        samples = np.empty(n_samples * channels, dtype="<i2")
        if file.readinto(samples.data.cast("B")) < samples.nbytes:
            return None
        return samples if channels == 1 else samples.reshape(-1, channels), rate


def describe_plain_wav(path: str) -> tuple[float, int, int] | None:
    """Return rate in Hz, number of channels, and samples per channel of such a file.

    None for a file that :func:`read_plain_wav` does not read.
    """
    with open(path, "rb", buffering=0) as file:
        return _plain_header(file)


def _plain_header(file: FileIO) -> tuple[float, int, int] | None:
    header = file.read(_PLAIN_HEADER.size)
    if len(header) < _PLAIN_HEADER.size:
        return None
    riff, rest, wave, fmt, size, code, channels, rate, _, frame, bits, data, length = (
        _PLAIN_HEADER.unpack(header)
    )
    is_plain = (
        (riff, wave, fmt, size, code, bits, data) == (b"RIFF", b"WAVE", b"fmt ", 16, 1, 16, b"data")
        and 0 < channels <= 1024
        and frame == 2 * channels
        and 0 < rate < 2**31
        and length > 0
        and length % frame == 0
        and rest == length + _PLAIN_HEADER.size - 8
        and os.fstat(file.fileno()).st_size == length + _PLAIN_HEADER.size
    )
    return (float(rate), channels, length // frame) if is_plain else None


def declared_length_is_missing(path: str) -> bool:
    """Return whether a file stops before its declared end.

    Parameters
    ----------
    path : str
        An existing file of any kind.

    Returns
    -------
    bool
        True for a WAV (RIFF, RIFX, RF64, BW64), AIFF or AU file whose data are announced longer
        than the file, and for an Ogg stream without its end-of-stream page.  False for every
        other container, and when the writer did not know the length.
    """
    with open(path, "rb") as file:
        magic = file.read(12)
        size = os.fstat(file.fileno()).st_size
        if magic[8:] == b"WAVE" and magic[:4] in (b"RIFF", b"RF64", b"BW64"):
            return _chunk_is_cut(file, size, b"data", "<")
        if magic[8:] == b"WAVE" and magic[:4] == b"RIFX":
            return _chunk_is_cut(file, size, b"data", ">")
        if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
            return _chunk_is_cut(file, size, b"SSND", ">")
        if magic[:4] in (b".snd", b"dns.") and len(magic) == 12:
            start, length = struct.unpack(">II" if magic[:4] == b".snd" else "<II", magic[4:])
            return _is_known(length) and start + length > size
        if magic[:4] == b"OggS":
            file.seek(max(0, size - _OGG_TAIL))
            return _ogg_is_cut(file.read())
    return False


def _is_known(length: int) -> bool:
    return 0 < length < _UNKNOWN_LENGTH


def _ogg_is_cut(tail: bytes) -> bool:
    last_page = tail.rfind(b"OggS")
    page = tail[last_page:]
    if last_page < 0 or len(page) < _OGG_HEADER or not page[5] & _END_OF_STREAM:
        return True
    lacing = page[_OGG_HEADER : _OGG_HEADER + page[26]]
    return len(page) < _OGG_HEADER + page[26] + sum(lacing)


def _chunk_is_cut(file: BinaryIO, size: int, name: bytes, order: str) -> bool:
    """Walk the chunks of a RIFF-like file up to the one that holds the samples."""
    true_length = 0
    while len(header := file.read(8)) == 8:
        (length,) = struct.unpack(f"{order}I", header[4:])
        start = file.tell()
        if header[:4] == name:
            if length == _IN_DS64:
                return start + true_length > size
            return _is_known(length) and start + length > size
        if header[:4] == b"ds64" and len(lengths := file.read(16)) == 16:
            true_length = struct.unpack("<QQ", lengths)[1]
        file.seek(start + length + length % 2)
    return True
