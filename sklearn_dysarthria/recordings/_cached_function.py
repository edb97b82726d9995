"""Compute a result for a recording once, and find it again.

The key is what determines the result: the bytes of the audio, its rate, the segments, and the
parameters of the computation.  Names and positions of rows are not part of it, so folds, grid
points, processes and later runs share one store.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sklearn_dysarthria.exceptions import RecordingError
from sklearn_dysarthria.recordings._audio import describe_recording
from sklearn_dysarthria.recordings._cache import entry_key, open_store
from sklearn_dysarthria.recordings._file_memo import FileMemo, file_state
from sklearn_dysarthria.recordings._waveform import segments_of

__all__ = ["CachedFunction", "fingerprint"]

# SHA-256 of 700 kB takes 0.35 ms, as long as all the rest of finding an image.
_digests = FileMemo(size=50_000)


def _content_of_file(path: str) -> str:
    facts = os.stat(path)
    digest = _digests.get(path, facts)
    if digest is None:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _digests.put(path, facts, digest)
    return digest


def _content_of_array(audio: Any) -> str:
    with np.errstate(over="ignore"):  # infinity is an error later, hence not kept
        samples = np.ascontiguousarray(audio, dtype=np.float32)
    return hashlib.sha256(samples.data).hexdigest()


def fingerprint(row: Any) -> str:
    """Hash everything about a recording that its samples depend on.

    Parameters
    ----------
    row : Series or mapping
        A row of the table of recordings.

    Returns
    -------
    str
        Hexadecimal SHA-256 of the file (or array), its rate and its segments.

    Raises
    ------
    RecordingError
        The row cannot be used.  Everything that the row and the file's header show is checked here:
        a bad row must not pass because the same audio is known from a good one.
    OSError
        The file vanished meanwhile.
    """
    audio = row["audio"]
    info = describe_recording(row)
    if isinstance(audio, (str, os.PathLike)):
        content = _content_of_file(os.fsdecode(audio))
    else:
        content = _content_of_array(audio)
    spans = segments_of(row, info.duration, info.sample_rate)
    return hashlib.sha256(repr((content, info.sample_rate, spans)).encode()).hexdigest()


def _state_of_audio(row: Any) -> tuple[int, ...] | None:
    """Return the state of a row's file, empty if there is none; None for audio in memory."""
    audio = row["audio"]
    if not isinstance(audio, (str, os.PathLike)):
        return None
    try:
        return file_state(os.stat(audio))
    except (OSError, ValueError):  # the latter for a name that cannot be one
        return ()


def _is_unchanged(row: Any, content: str, state: tuple[int, ...] | None) -> bool:
    """Return whether a row's file is as it was; its state was taken before its fingerprint."""
    if state is None:
        return True
    try:
        # The fingerprint reads a file that was changed just now again: its state may look the same.
        return _state_of_audio(row) == state and fingerprint(row) == content
    except (RecordingError, OSError):
        return False


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
    parameters : callable
        Takes the row, returns a mapping of everything but the audio that determines the result;
        see :func:`~sklearn_dysarthria.recordings.entry_key`.
    """

    def __init__(
        self,
        compute: Callable[..., np.ndarray],
        cache: Any,
        parameters: Callable[[Any], Mapping[str, Any]],
    ) -> None:
        self.compute = compute
        self.parameters = parameters
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
            state = _state_of_audio(row)
            content = fingerprint(row)
            key = entry_key(content, self.parameters(row))
        except (RecordingError, OSError):
            return self.compute(row, *out)  # which raises with the reason
        found = self.store.get(key, *out)
        if found is not None:
            return found
        with self.store.computing(key):
            found = self.store.get(key, *out)  # another worker may have been faster
            if found is None:
                found = self.compute(row, *out)
                if _is_unchanged(row, content, state):
                    self.store.put(key, found)
        return found
