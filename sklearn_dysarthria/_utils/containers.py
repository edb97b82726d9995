"""Does a sound file end where its container says it should?

libsndfile silently shortens a truncated WAV and cannot see the end of a truncated Ogg stream.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

# Recorders that write to a pipe leave a length they could not know: 0, or (almost) the maximum.
_UNKNOWN_LENGTH = 0x7FFF_F000
_OGG_TAIL = 65_536  # no Ogg page is longer
_OGG_HEADER = 27  # bytes before the table of segment lengths, whose size is byte 26
_END_OF_STREAM = 0x04


def declared_length_is_missing(path: str) -> bool:
    """Tell whether a WAV or Ogg file stops before its declared end.

    Parameters
    ----------
    path : str
        An existing file of any kind.

    Returns
    -------
    bool
        True for a WAV whose data chunk is longer than the file, and for an Ogg stream without
        its end-of-stream page.  False for every other container.
    """
    with open(path, "rb") as file:
        magic = file.read(12)
        size = os.fstat(file.fileno()).st_size
        if magic[:4] in (b"RIFF", b"RIFX") and magic[8:] == b"WAVE":
            return _wav_is_cut(file, size, ">I" if magic[:4] == b"RIFX" else "<I")
        if magic[:4] == b"OggS":
            file.seek(max(0, size - _OGG_TAIL))
            return _ogg_is_cut(file.read())
    return False


def _ogg_is_cut(tail: bytes) -> bool:
    last_page = tail.rfind(b"OggS")
    page = tail[last_page:]
    if last_page < 0 or len(page) < _OGG_HEADER or not page[5] & _END_OF_STREAM:
        return True
    lacing = page[_OGG_HEADER : _OGG_HEADER + page[26]]
    return len(page) < _OGG_HEADER + page[26] + sum(lacing)


def _wav_is_cut(file: BinaryIO, size: int, number: str) -> bool:
    while len(header := file.read(8)) == 8:
        (length,) = struct.unpack(number, header[4:])
        if header[:4] == b"data":
            known = 0 < length < _UNKNOWN_LENGTH
            return known and file.tell() + length > size
        file.seek(length + length % 2, os.SEEK_CUR)
    return True
