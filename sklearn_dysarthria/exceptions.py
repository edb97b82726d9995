"""Every error and warning of the package.

Errors about recordings say which row, which file, what is wrong and what to do about it.
They all derive from :class:`RecordingError`, which is a :class:`ValueError`.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def _plain(label: Any) -> Any:
    """Return an index label without NumPy types: "row 7" reads better than "row np.int64(7)"."""
    if isinstance(label, tuple):
        return tuple(map(_plain, label))
    return label.item() if isinstance(label, np.generic) else label


class RecordingError(ValueError):
    """A recording, or the table that holds it, cannot be used.

    Parameters
    ----------
    problem : str
        What is wrong.
    row : object, optional
        Index label of the row in the table of recordings.
    path : str, optional
        File behind the row.
    remedy : str, optional
        What the caller can do about it; each subclass brings a default.

    Attributes
    ----------
    problem, row, path, remedy
        As given.
    """

    default_remedy = "Run check_recordings(X, y) to see every unusable row at once."

    def __init__(
        self,
        problem: str,
        *,
        row: Any = None,
        path: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.row = _plain(row)
        self.path = path
        self.remedy = self.default_remedy if remedy is None else remedy
        super().__init__(self._describe())

    def _describe(self) -> str:
        where = []
        if self.row is not None:
            where.append(f"row {self.row!r}")
        if self.path is not None:
            where.append(f"file {self.path!r}")
        prefix = f"{', '.join(where)}: " if where else ""
        return f"{prefix}{self.problem} {self.remedy}".strip()

    def __str__(self) -> str:
        # KeyError and FileNotFoundError, which some subclasses also are, would quote the text.
        return self._describe()

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling of exceptions, which
        # joblib needs to bring an error back from a worker.
        return _rebuild, (type(self), self.problem, self.row, self.path, self.remedy)


def _rebuild(
    cls: type[RecordingError], problem: str, row: Any, path: str | None, remedy: str | None
) -> RecordingError:
    return cls(problem, row=row, path=path, remedy=remedy)


class MissingColumnError(RecordingError):
    """The table lacks a column that this step needs."""

    default_remedy = "Add the column to the table of recordings."


class AudioTypeError(RecordingError, TypeError):
    """An ``audio`` cell is neither a path nor a one-dimensional float array."""

    default_remedy = "Give a path, or a 1-D float array with its rate in column 'sample_rate'."


class SampleRateError(RecordingError):
    """A sampling rate is missing, impossible, or contradicts the file's own header."""

    default_remedy = "Give the true rate in Hz in column 'sample_rate'."


class SegmentsError(RecordingError):
    """A ``segments`` cell is not a list of ``(start, end)`` seconds inside the recording."""

    default_remedy = (
        "Give a list of (start, end) pairs in seconds, or None for the whole recording."
    )


class MissingFileError(RecordingError, FileNotFoundError):
    """The file does not exist."""

    default_remedy = "Correct the path; relative paths start at the current working directory."


class NotAFileError(RecordingError, IsADirectoryError):
    """The path is a directory, a pipe or a device."""

    default_remedy = "Give one row per file in it."


class UnreadableAudioError(RecordingError):
    """The file is not audio that libsndfile can open."""

    default_remedy = "Convert it to WAV, FLAC, OGG or MP3, or leave the row out."


class TruncatedAudioError(RecordingError):
    """The file ends, or stops being audio, before the length that its header declares."""

    default_remedy = "Copy the original file again, or leave the row out."


class EmptyAudioError(RecordingError):
    """The recording, or what its segments select, has no samples."""

    default_remedy = "Leave the row out, or correct its segments."


class SilentAudioError(RecordingError):
    """Every sample has the same value."""

    default_remedy = "Leave the row out."


class NonFiniteAudioError(RecordingError):
    """The recording holds NaN, infinite or absurdly large samples."""

    default_remedy = "Write the file again from its source, or leave the row out."


class TooShortAudioError(RecordingError):
    """The recording is shorter than one analysis frame."""

    default_remedy = "Leave the row out, or use shorter frames."


class UnknownTaskError(RecordingError):
    """The row's task is not among those that were asked for."""

    default_remedy = "Name the task, or the group it belongs to."


class PatientError(RecordingError):
    """A patient is missing, or a patient's rows carry different labels."""

    default_remedy = "Give every row its patient, and every patient one label."


class CorpusNotFoundError(FileNotFoundError):
    """A corpus is not on this computer and was not, or could not be, downloaded."""


class WeightsError(RuntimeError):
    """Pretrained weights are missing or do not fit the backbone tensor by tensor."""


class TorchStackError(ImportError):
    """The installed torch and torchvision do not fit together."""


class RecordingWarning(UserWarning):
    """Some recordings were left out, because they could not be used."""


class CacheWarning(UserWarning):
    """A result could not be kept in the cache; it is returned all the same."""


class BandwidthWarning(UserWarning):
    """Some recordings hold nothing in part of the requested frequency band."""


class LabelLeakWarning(UserWarning):
    """A column that was asked for gives the label away, or nearly so."""


class SmallClassWarning(UserWarning):
    """A class has too few patients for its figures to mean much."""


class PatientLeakWarning(UserWarning):
    """A patient may be on both sides of a split, so that a score would flatter the model."""
