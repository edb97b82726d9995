"""Arrays on disk, found again by a key that tells what they were made from.

One file per entry (see :mod:`~sklearn_dysarthria._utils.array_file`), in 256 subfolders by the
first byte of the key.  An entry is written to a temporary file of the same file system and renamed,
so that it is there whole or not at all, whenever a process is killed.  A power cut may leave an
entry without its bytes (nothing waits for the disk); its checksum finds that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Memory

from sklearn_dysarthria._utils.array_file import array_as_bytes, read_array
from sklearn_dysarthria._utils.file_locks import file_lock
from sklearn_dysarthria.exceptions import CacheWarning

DEFAULT_MAX_BYTES = 20 * 2**30
"""Bound of a cache whose size nobody chose: some 35 000 images of 3 x 224 x 224."""
MAX_BYTES_VARIABLE = "SKLEARN_DYSARTHRIA_CACHE_BYTES"
"""Environment variable that replaces the default bound."""

_BLOCK = 4096  # what a small file takes on disk, and the ledger's unit
_LOW_WATER = 0.9  # pruning goes below the bound, so that not every put has to prune
_TOUCH_SECONDS = 60  # how exactly "least recently used" is told; saves a write per hit
_PATIENCE_SECONDS = 60  # what waiting for another process may cost, should that one hang
_STALE_SECONDS = 3600  # no writer needs as long for one entry
_ENTRY_NAME, _FOLDER_NAME = re.compile("[0-9a-f]{62}"), re.compile("[0-9a-f]{2}")
_counted_folders: set[str] = set()  # by this process


@dataclass(frozen=True)
class RecordingCache:
    """Folder that keeps what was computed from recordings, with a bound of its own.

    Goes wherever ``cache=`` takes a folder, when its default bound does not suit.

    Parameters
    ----------
    folder : str or path
        Where to keep entries; made when the first is written.
    max_bytes : int, optional
        Bound of all entries together; the least recently used go first.  By default the
        environment variable ``SKLEARN_DYSARTHRIA_CACHE_BYTES``, and without it 20 GiB.

    Raises
    ------
    ValueError
        `max_bytes` is not a positive integer.

    Examples
    --------
    >>> from sklearn_dysarthria import LogMelDeltaImages, RecordingCache
    >>> images = LogMelDeltaImages(cache=RecordingCache("features", max_bytes=2 * 2**30))
    """

    folder: str | os.PathLike[str]
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        bound = self.max_bytes
        if bound is not None and not (isinstance(bound, Integral) and bound > 0):
            raise ValueError(f"max_bytes is {bound!r}, not a positive integer.")

    def clear(self) -> int:
        """Delete every entry, and nothing else that may be in the folder.

        Returns
        -------
        int
            How many there were.
        """
        store = open_store(self)
        assert store is not None
        return store.clear()


def open_store(cache: Any) -> ArrayStore | None:
    """Return the store that a parameter ``cache`` means.

    Parameters
    ----------
    cache : None, str, path, RecordingCache or joblib.Memory
        Of a ``Memory`` only its location counts, which may hold joblib's own entries too: bound,
        checksums and format are the store's, and ``mmap_mode``, ``compress`` and ``verbose``
        change nothing.

    Returns
    -------
    ArrayStore or None
        None where nothing is to be kept: no cache, or a ``Memory`` without location.

    Raises
    ------
    TypeError
        `cache` is none of these.
    ValueError
        The environment variable that bounds the size is not a positive number.
    """
    max_bytes = None
    if isinstance(cache, Memory):
        cache = cache.location
    elif isinstance(cache, RecordingCache):
        cache, max_bytes = cache.folder, cache.max_bytes
    if cache is None:
        return None
    if not isinstance(cache, (str, os.PathLike)):
        raise TypeError(
            f"cache is {cache!r}, not a folder, a RecordingCache, a joblib.Memory or None."
        )
    # A subfolder, so that a folder which holds other things can be given, and cleared.
    folder = os.path.join(os.fspath(cache), "arrays")
    return ArrayStore(folder, _default_bound() if max_bytes is None else max_bytes)


def _default_bound() -> int:
    text = os.environ.get(MAX_BYTES_VARIABLE)
    if not text:
        return DEFAULT_MAX_BYTES
    try:
        bound = int(float(text))  # "2e9" too
    except (ValueError, OverflowError):
        bound = 0
    if bound <= 0:
        raise ValueError(f"{MAX_BYTES_VARIABLE}={text!r} is not a positive number of bytes.")
    return bound


def entry_key(content: str, parameters: Mapping[str, Any]) -> str:
    """Return the key of what is computed from some content with some parameters.

    Parameters
    ----------
    content : str
        Digest of the input.
    parameters : mapping of str to plain value
        Everything else that determines the result: str, bool, int, float, None, and lists,
        tuples and mappings of these.  Order does not count; 1 and 1.0 are two values, a tuple
        and a list of the same values are one.

    Returns
    -------
    str
        Hexadecimal SHA-256.

    Raises
    ------
    TypeError
        A value is not plain, or a name not a str.
    """
    spelled = json.dumps([content, _plain(parameters)], sort_keys=True)
    return hashlib.sha256(spelled.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"names of parameters must be strings, got {list(value)}.")
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value  # json refuses what it does not know


class ArrayStore:
    """Arrays in a folder, bounded in size, that any number of processes may share.

    Parameters
    ----------
    folder : str or path
        Made when the first entry is written.
    max_bytes : int
        Bound of all entries together, each counted in blocks of 4 KiB.  Processes that give the
        same folder different bounds each keep to their own.

    Notes
    -----
    The size is known without looking at the entries: whoever writes one appends as many bytes to
    the file ``ledger`` as the entry has blocks, so that the ledger's *length* is the size of the
    store, or a little more.  Only when that exceeds the bound are the entries listed; the least
    recently used are deleted until 90 % of the bound are left, and the ledger is cut to what was
    found.  A ledger that is missing is made in the same way, and so is one that turns out too short
    when a process first writes and adds up the entries.  Room is made before an entry becomes
    visible, under a lock, so that the visible ones stay within the bound.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = os.path.abspath(folder)
        self.max_bytes = max_bytes
        self._swept = False

    def get(self, key: str, out: np.ndarray | None = None) -> np.ndarray | None:
        """Return the array of a key, or None when there is no sound entry.

        Parameters
        ----------
        key : str
            Hexadecimal SHA-256, see :func:`entry_key`.
        out : ndarray, optional
            C-contiguous, where the array is read to.  An entry of another shape or type counts as
            damaged.

        Returns
        -------
        ndarray or None
            The caller's own, to be changed at will; `out` if it was given, which holds anything
            where there is no sound entry.  A damaged entry is deleted.
        """
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                facts = os.fstat(file.fileno())
                array = read_array(file, facts.st_size, bytes.fromhex(key), out)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # a folder that may only be read is used all the same
            if array is None:
                os.unlink(path)
            elif time.time() - facts.st_mtime > _TOUCH_SECONDS:
                os.utime(path)
        return array

    def put(self, key: str, array: Any) -> None:
        """Keep an array.

        A full disk, a folder that may not be written, or an array larger than nine tenths of the
        bound bring a :class:`CacheWarning`; nothing is kept then.

        Parameters
        ----------
        key : str
            Hexadecimal SHA-256, see :func:`entry_key`.
        array : array-like
            Of booleans or numbers, with at most 8 axes.

        Raises
        ------
        TypeError
            An array of anything else.
        """
        parts = array_as_bytes(array, bytes.fromhex(key))
        size = sum(map(len, parts))
        if _blocks(size) > _LOW_WATER * (self.max_bytes // _BLOCK):
            self._warn(f"an entry of {size} bytes is too large for a bound of {self.max_bytes}")
            return
        try:
            self._write(self._path(key), parts, _blocks(size))
        except OSError as error:
            self._warn(error.strerror or repr(error))

    @contextlib.contextmanager
    def computing(self, key: str) -> Iterator[None]:
        """Let only one process compute an entry; another that wants it waits.

        Look again with :meth:`get` inside the block.  The lock ends with its process, however
        that ends.  It is given up after a minute, and where the file system knows no locks: then
        an entry may be computed twice, which harms nothing.

        Parameters
        ----------
        key : str
            Hexadecimal SHA-256.  Keys with the same first byte share a lock; do not nest.
        """
        with file_lock(os.path.join(self.folder, "locks", key[:2]), patience=_PATIENCE_SECONDS):
            yield

    def clear(self) -> int:
        """Delete every entry; return how many there were."""
        entries = [path for _, _, path in self._entries()]
        temporaries = [path for _, _, path in self._temporaries()]
        for path in (*entries, *temporaries, os.path.join(self.folder, "ledger")):
            with contextlib.suppress(OSError):
                os.unlink(path)
        return len(entries)

    def _path(self, key: str) -> str:
        return os.path.join(self.folder, key[:2], key[2:])

    def _warn(self, reason: str) -> None:
        warnings.warn(
            f"The cache in {self.folder} cannot keep results ({reason}); they are used, and "
            "computed again next time.",
            CacheWarning,
            stacklevel=3,
        )

    def _write(self, path: str, parts: Iterable[Any], blocks: int) -> None:
        temporaries = os.path.join(self.folder, "tmp")
        os.makedirs(temporaries, exist_ok=True)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not self._swept:
            self._swept = True
            self._sweep()
        temporary = os.path.join(temporaries, uuid.uuid4().hex)
        try:
            with open(temporary, "xb") as file:
                for part in parts:
                    file.write(part)
            self._make_room(blocks)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _sweep(self) -> None:
        """Delete what killed writers left behind."""
        for modified, _, path in self._temporaries():
            if time.time() - modified > _STALE_SECONDS:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def _make_room(self, blocks: int) -> None:
        """Enter an entry of some blocks, already a temporary file, into the ledger; see Notes."""
        bound = self.max_bytes // _BLOCK
        visible = self._first_count()
        with file_lock(os.path.join(self.folder, "locks", "ledger"), patience=_PATIENCE_SECONDS):
            name = os.path.join(self.folder, "ledger")
            ledger = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(ledger, bytes(blocks))
                counted = os.fstat(ledger).st_size
                if counted == blocks or counted < visible + blocks or counted > bound:
                    # It is new, has lost something, or is full.
                    os.ftruncate(ledger, self._prune(bound))
            finally:
                os.close(ledger)

    def _first_count(self) -> int:
        """Return the blocks of all entries when this process first asks, 0 afterwards.

        Needs no lock: whatever is visible is in the ledger already.  A process that prunes
        meanwhile makes the ledger look too short, and then it is counted once more.
        """
        if self.folder in _counted_folders:
            return 0
        _counted_folders.add(self.folder)
        return sum(blocks for _, blocks, _ in self._entries())

    def _prune(self, bound: int) -> int:
        """Delete the least recently used entries if there are too many; return what is left."""
        self._sweep()
        # Temporary files count, for they are about to become entries.  They come first, because
        # one that becomes an entry meanwhile had better be counted twice than not at all.
        used = sum(blocks for _, blocks, _ in self._temporaries())
        entries = sorted(self._entries())
        used += sum(blocks for _, blocks, _ in entries)
        goal = used if used <= bound else int(_LOW_WATER * bound)
        for _, blocks, path in entries:
            if used <= goal:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                used -= blocks
        return used

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Yield the time of last use, the blocks and the path of every entry."""
        for folder in _scan(self.folder):
            if _FOLDER_NAME.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
                yield from _facts(folder.path, _ENTRY_NAME)

    def _temporaries(self) -> Iterator[tuple[float, int, str]]:
        yield from _facts(os.path.join(self.folder, "tmp"), re.compile("[0-9a-f]{32}"))


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _facts(folder: str, name: re.Pattern[str]) -> Iterator[tuple[float, int, str]]:
    for file in _scan(folder):
        if name.fullmatch(file.name):
            with contextlib.suppress(OSError):  # deleted meanwhile
                facts = file.stat(follow_symlinks=False)
                yield facts.st_mtime, _blocks(facts.st_size), file.path


def _blocks(size: int) -> int:
    return -(-size // _BLOCK)
