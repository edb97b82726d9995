"""Compute a recording's features once and find them again.

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
from joblib import Memory

from sklearn_dysarthria.exceptions import RecordingError
from sklearn_dysarthria.recordings import describe_recording, segments_of


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
        The row cannot be used.  Whatever can be told from the row and the file's header is told
        here: a bad row must not pass because the same audio is known from a good one.
    OSError
        The file vanished meanwhile.
    """
    audio = row["audio"]
    info = describe_recording(row)
    if isinstance(audio, (str, os.PathLike)):
        with open(audio, "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    else:
        with np.errstate(over="ignore"):  # infinity is an error later, hence not kept
            samples = np.asarray(audio).astype(np.float32)
        digest = hashlib.sha256(samples.tobytes())
    spans = segments_of(row, info.duration, info.sample_rate)
    digest.update(repr((info.sample_rate, spans)).encode())
    return digest.hexdigest()


def _evaluate(
    key: str, parameters: Mapping[str, Any], compute: Callable[[Any], Any], row: Any
) -> Any:
    return compute(row)


class CachedFunction:
    """A function of a row whose results are kept in a folder.

    Parameters
    ----------
    compute : callable
        Takes a row, returns an array; must raise :class:`RecordingError` rather than return
        something for a bad recording, since errors are not kept.
    cache : str, path, joblib.Memory or None
        Where to keep results; None computes every time.
    parameters : callable
        Takes the row, returns a mapping of everything but the audio that determines the result.
    """

    def __init__(
        self,
        compute: Callable[[Any], Any],
        cache: Any,
        parameters: Callable[[Any], Mapping[str, Any]],
    ) -> None:
        self.compute = compute
        self.parameters = parameters
        if isinstance(cache, os.PathLike):
            cache = os.fspath(cache)  # joblib puts strings and Path objects in different folders
        self.memory = cache if isinstance(cache, Memory) else Memory(cache, verbose=0)

    def __call__(self, row: Any) -> Any:
        """Return the result for one row, from the cache when it is there."""
        if self.memory.location is None:
            return self.compute(row)
        try:
            key = fingerprint(row)
        except (RecordingError, OSError):
            return self.compute(row)  # which says what is wrong with the row
        evaluate = self.memory.cache(_evaluate, ignore=["compute", "row"])
        return evaluate(key, dict(self.parameters(row)), self.compute, row)
