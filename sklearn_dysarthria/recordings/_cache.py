"""Results for recordings, kept in a folder and found again by what they were computed from.

The key is what determines a result: the bytes of the audio, its rate, the segments, and the
parameters of the computation.  Names and positions of rows are not part of it, so folds, grid
points, processes and later runs share one store.

Every entry is a file in one of 256 subfolders, named by its key.  It is written to a temporary file
and renamed, so that it is there whole or not at all whenever a process is killed.  After a power
cut an entry may lack its bytes (nothing waits for the disk); its checksum finds that.
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
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from joblib import Memory

from sklearn_dysarthria.exceptions import CacheWarning, RecordingError
from sklearn_dysarthria.recordings._audio import fingerprint, is_unchanged, state_of_audio

DEFAULT_MAX_BYTES = 20 * 2**30
"""Bound of a cache for which none was chosen: some 35 000 images of 3 x 224 x 224."""
MAX_BYTES_VARIABLE = "SKLEARN_DYSARTHRIA_CACHE_BYTES"
"""Environment variable that replaces the default bound."""

_BLOCK = 4096  # bytes that a small file takes on disk
_LOW_WATER = 0.9  # pruning goes this far below the bound, so that not every entry has to prune
_TOUCH_SECONDS = 60  # precision of "least recently used"; saves a write per hit
_PATIENCE_SECONDS = 60  # longest wait for a lock, in case the process that holds it hangs
_STALE_SECONDS = 3600  # writing one entry never takes as long
_TEMPORARY, _SUBFOLDER, _ENTRY = map(re.compile, ("[0-9a-f]{32}", "[0-9a-f]{2}", "[0-9a-f]{62}"))
_timed_out: set[str] = set()  # locks for which this process has waited in vain


@dataclass(frozen=True)
class RecordingCache:
    """Folder that keeps what was computed from recordings, with a bound of its own.

    Give it wherever ``cache=`` takes a folder, if the default bound does not suit.

    Parameters
    ----------
    folder : str or path
        Where to keep entries; made when the first is written.
    max_bytes : int, optional
        Bound of all entries together; the least recently used are deleted first.  By default the
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
    text = json.dumps([content, _plain(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError(f"names of parameters must be strings, got {list(value)}.")
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value  # json raises for anything else that is not plain


class CachedFunction:
    """A function of a row whose results are kept in a folder.

    Parameters
    ----------
    compute : callable
        Takes a row, returns an array of numbers; must raise :class:`RecordingError` rather than
        return something for a bad recording, since errors are not kept.  Where this object is
        called with `out`, so is it.
    cache : str, path, RecordingCache, joblib.Memory or None
        Where to keep results; None computes every time.
    parameters : mapping
        Everything but the audio that determines the result, see
        :func:`~sklearn_dysarthria.recordings.entry_key`.
    parameters_of_row : callable, optional
        Takes a row, returns a mapping of those that differ between rows.
    """

    def __init__(
        self,
        compute: Callable[..., np.ndarray],
        cache: Any,
        parameters: Mapping[str, Any],
        parameters_of_row: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        self.compute = compute
        self.parameters = parameters
        self.parameters_of_row = parameters_of_row
        self.store = open_store(cache)

    def __call__(self, row: Any, *out: np.ndarray) -> np.ndarray:
        """Return the result for one row, from the cache when it is there.

        A result is not kept when the file was changed between its key and its result.

        Parameters
        ----------
        row : Series or mapping
            A row of the table of recordings.
        out : ndarray, optional
            Of the result's shape and type, C-contiguous: takes the result up, and is returned.
        """
        if self.store is None:
            return self.compute(row, *out)
        try:
            state = state_of_audio(row)
            content = fingerprint(row)
            of_row = {} if self.parameters_of_row is None else self.parameters_of_row(row)
            key = entry_key(content, {**self.parameters, **of_row})
        except (RecordingError, OSError):
            return self.compute(row, *out)  # which raises with the reason
        found = self.store.get(key, *out)
        if found is not None:
            return found
        with self.store.computing(key):
            found = self.store.get(key, *out)  # another worker may have been faster
            if found is None:
                found = self.compute(row, *out)
                if state is None or is_unchanged(row, content, state):
                    self.store.put(key, found)
        return found


class ArrayStore:
    """Arrays in a folder, bounded in size, that any number of processes and threads may share.

    Parameters
    ----------
    folder : str or path
        Made when the first entry is written.
    max_bytes : int
        Bound of all entries together, each counted in blocks of 4 KiB.  Processes that give the
        same folder different bounds each keep to their own.

    Notes
    -----
    The file ``size`` holds the size of all entries, or a little more, so that they need not be
    listed.  Only if it exceeds the bound, or is missing or damaged, are the entries listed and
    added up, and the least recently used deleted until 90 % of the bound are left.  An entry is
    counted before it becomes visible, under a lock, so that the visible ones stay within the bound.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = os.path.abspath(folder)
        self.max_bytes = max_bytes
        self._swept = False

    def get(self, key: str, out: np.ndarray | None = None) -> np.ndarray | None:
        """Return the array of a key, or None if there is no sound entry.

        Parameters
        ----------
        key : str
            Hexadecimal SHA-256, see :func:`entry_key`.
        out : ndarray, optional
            Array to read into.  An entry of another shape or type counts as damaged.

        Returns
        -------
        ndarray or None
            The caller's own, to be changed at will; `out` if it was given.  A damaged entry is
            deleted.
        """
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                facts = os.fstat(file.fileno())
                content = bytearray(facts.st_size)
                is_whole = file.readinto(content) == len(content)
        except OSError:
            return None
        array = _unpacked(content, key) if is_whole else None
        if array is not None and out is not None:
            array = _copied(array, out)
        if array is None:
            _remove(path)
        elif time.time() - facts.st_mtime > _TOUCH_SECONDS:
            with contextlib.suppress(OSError):  # the folder may be read-only
                os.utime(path)
        return array

    def put(self, key: str, array: Any) -> None:
        """Keep an array.

        If the disk is full, the folder cannot be written, or the array is larger than nine tenths
        of the bound, nothing is kept and a :class:`CacheWarning` says so.

        Parameters
        ----------
        key : str
            Hexadecimal SHA-256, see :func:`entry_key`.
        array : array-like
            Of booleans or numbers.

        Raises
        ------
        TypeError
            An array of anything else.
        """
        parts = _packed(key, array)
        size = _on_disk(sum(map(len, parts)))
        if size > _LOW_WATER * self.max_bytes:
            self._warn(f"an entry of {size} bytes is too large for a bound of {self.max_bytes}")
            return
        path = self._path(key)
        temporary = os.path.join(self.folder, "tmp", uuid.uuid4().hex)
        try:
            for made in (path, temporary):
                os.makedirs(os.path.dirname(made), exist_ok=True)
            self._sweep()
            with open(temporary, "xb") as file:
                file.writelines(parts)
            with self._locked("size"):
                self._make_room(size)
                os.replace(temporary, path)
        except OSError as error:
            # Windows does not replace a file that is being read, which then holds the same array.
            if not isinstance(error, PermissionError) or self.get(key) is None:
                self._warn(error.strerror or repr(error))
        finally:
            _remove(temporary)

    @contextlib.contextmanager
    def computing(self, key: str) -> Iterator[None]:
        """Let only one process or thread compute an entry; others that want it wait.

        Look again with :meth:`get` inside the block.  The lock ends with its process, however
        that ends.  After a minute, and where the file system has no locks, the block runs without
        it: then an entry may be computed twice, which does no harm.

        Parameters
        ----------
        key : str
            Hexadecimal SHA-256.  Keys with the same first byte share a lock; do not nest.
        """
        with self._locked(key[:2]):
            yield

    def clear(self) -> int:
        """Delete every entry; return how many there were."""
        entries = [path for _, _, path in self._entries()]
        for path in (*entries, *(path for _, path in self._temporaries())):
            _remove(path)
        _remove(os.path.join(self.folder, "size"))
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

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold a lock, or go on without it after some time."""
        from filelock import FileLock, Timeout

        path = os.path.join(self.folder, "locks", name)
        lock = FileLock(path)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            # A process that hangs must not delay every entry by the whole time.
            patience = 0 if path in _timed_out else _PATIENCE_SECONDS
            lock.acquire(timeout=patience, poll_interval=0.005)
            _timed_out.discard(path)
        except Timeout:
            _timed_out.add(path)
        except (OSError, NotImplementedError):  # read-only, or a file system without locks
            pass
        try:
            yield
        finally:
            lock.release()

    def _make_room(self, size: int) -> None:
        """Count an entry of some bytes that is about to become visible; see the class's notes."""
        path = os.path.join(self.folder, "size")
        try:
            with open(path, "rb") as file:
                known = int.from_bytes(_checked(file.read()), "little")
        except (OSError, ValueError):
            known = self.max_bytes
        if known + size > self.max_bytes:
            known = self._prune(size)
        number = (known + size).to_bytes(8, "little")
        with open(path, "wb") as file:
            file.write(_checksum(number) + number)

    def _prune(self, wanted: int) -> int:
        """Delete the least recently used entries if there are too many; return what is left."""
        entries = sorted(self._entries())
        used = sum(size for _, size, _ in entries)
        goal = self.max_bytes if used + wanted <= self.max_bytes else _LOW_WATER * self.max_bytes
        for _, size, path in entries:
            if used + wanted <= goal:
                break
            if _remove(path):
                used -= size
        return used

    def _sweep(self) -> None:
        """Delete what killed writers left behind, when this object first writes."""
        if not self._swept:
            self._swept = True
            for modified, path in self._temporaries():
                if time.time() - modified > _STALE_SECONDS:
                    _remove(path)

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Yield the time of last use, the size on disk and the path of every entry."""
        for subfolder in _scan(self.folder, _SUBFOLDER):
            is_own = subfolder.is_dir(follow_symlinks=False)
            for entry in _scan(subfolder.path, _ENTRY) if is_own else ():
                with contextlib.suppress(OSError):  # deleted meanwhile
                    facts = entry.stat(follow_symlinks=False)
                    yield facts.st_mtime, _on_disk(facts.st_size), entry.path

    def _temporaries(self) -> Iterator[tuple[float, str]]:
        for file in _scan(os.path.join(self.folder, "tmp"), _TEMPORARY):
            with contextlib.suppress(OSError):
                yield file.stat(follow_symlinks=False).st_mtime, file.path


def _packed(key: str, array: Any) -> tuple[bytes, memoryview]:
    """Return the two parts of an entry: checksum and description, and the array's bytes.

    CRC-32 takes 0.1 ms for an image of 600 kB, SHA-256 0.3 ms; it finds every damage within 32
    neighbouring bits and misses any other once in 2**32.  It guards against accidents, not against
    forgery.
    """
    values = np.asarray(array, order="C")
    if values.dtype.kind not in "biufc":  # others' bytes are not their values
        raise TypeError(f"cannot keep an array of type {values.dtype}.")
    header = json.dumps([key, values.dtype.str, values.shape]).encode()
    header = header.ljust(-(-(len(header) + 8) // 64) * 64 - 8)  # aligns the numbers
    header = len(header).to_bytes(4, "little") + header
    content = values.reshape(-1).view(np.uint8).data
    return _checksum(header, content) + header, content


def _unpacked(content: bytearray, key: str) -> np.ndarray | None:
    """Return the array of an entry, on the same memory; None unless every byte is as written."""
    try:
        header = 8 + int.from_bytes(_checked(content)[:4], "little")
        written_key, dtype, shape = json.loads(bytes(content[8:header]))
        array = np.ndarray(shape, dtype, content, offset=header)
    except (ValueError, TypeError):
        return None
    is_sound = written_key == key and list(array.shape) == shape
    return array if is_sound and header + array.nbytes == len(content) else None


def _checksum(*parts: Any) -> bytes:
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value.to_bytes(4, "little")


def _checked(content: bytes | bytearray) -> memoryview:
    """Return what follows a checksum; raise ValueError if it does not match."""
    rest = memoryview(content)[4:]
    if not rest or _checksum(rest) != content[:4]:
        raise ValueError("damaged")
    return rest


def _copied(array: np.ndarray, out: np.ndarray) -> np.ndarray | None:
    """Copy an array if shape and type agree, whatever the order of bytes."""
    if (array.shape, array.dtype.newbyteorder("=")) != (out.shape, out.dtype.newbyteorder("=")):
        return None
    out[...] = array
    return out


def _remove(path: str) -> bool:
    """Delete a file; return False if there is none, or it may not be deleted (now)."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def _scan(folder: str, name: re.Pattern[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if name.fullmatch(entry.name)]
    except OSError:
        return []


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
