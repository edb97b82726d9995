"""From one row of the table to its samples."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklearn_dysarthria._utils.containers import declared_length_is_missing
from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    EmptyAudioError,
    MissingFileError,
    NonFiniteAudioError,
    NotAFileError,
    SampleRateError,
    SegmentsError,
    SilentAudioError,
    TooShortAudioError,
    TruncatedAudioError,
    UnreadableAudioError,
)


class RecordingInfo(NamedTuple):
    """What is known of a recording before its samples are read."""

    sample_rate: float
    """Sampling rate as recorded, in Hz."""
    n_channels: int
    """Number of channels before mixing down."""
    n_samples: int
    """Samples per channel."""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate


def _is_missing(cell: Any) -> bool:
    return (
        cell is None
        or cell is pd.NaT
        or cell is pd.NA
        or (isinstance(cell, float) and math.isnan(cell))
    )


def _as_row(row: Any) -> Mapping[str, Any] | pd.Series:
    if isinstance(row, (str, os.PathLike)):
        return {"audio": row}
    return row


def _where(row: Any) -> dict[str, Any]:
    """Row label and path, as :class:`RecordingError` wants them."""
    audio = row.get("audio")
    path = os.fspath(audio) if isinstance(audio, (str, os.PathLike)) else None
    return {"row": getattr(row, "name", None), "path": path}


def _stated_rate(row: Any) -> float | None:
    rate = row.get("sample_rate")
    if _is_missing(rate):
        return None
    try:
        rate = float(rate)
    except (TypeError, ValueError):
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise SampleRateError(
            f"the sampling rate is {row.get('sample_rate')!r}, not a positive number.",
            **_where(row),
        )
    return rate


def _array_info(row: Any) -> RecordingInfo:
    samples = np.asarray(row["audio"])
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise AudioTypeError(
            f"the audio is {type(row['audio']).__name__} of shape {samples.shape} and type "
            f"{samples.dtype}.",
            **_where(row),
        )
    rate = _stated_rate(row)
    if rate is None:
        raise SampleRateError("an array of samples comes without its rate.", **_where(row))
    return RecordingInfo(rate, 1, len(samples))


def _open_sound_file(row: Any) -> Any:
    """Open the row's file with soundfile, or say precisely why that is impossible."""
    import soundfile

    where = _where(row)
    path = Path(where["path"])
    if path.is_dir():
        raise NotAFileError("this is a directory.", **where)
    if not path.exists():
        raise MissingFileError("there is no such file.", **where)
    try:
        if path.stat().st_size == 0:
            raise EmptyAudioError("the file is empty.", **where)
        sound = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise UnreadableAudioError(f"cannot be decoded ({error}).", **where) from error
    stated = _stated_rate(row)
    if stated is not None and stated != sound.samplerate:
        sound.close()
        raise SampleRateError(
            f"column 'sample_rate' says {stated:g} Hz, the file itself {sound.samplerate} Hz.",
            **where,
        )
    return sound


def _is_path(audio: Any) -> bool:
    return isinstance(audio, (str, os.PathLike))


def describe_recording(row: Any) -> RecordingInfo:
    """Read rate, channels and length of a recording from its header only.

    Parameters
    ----------
    row : Series, mapping or path
        A row of the table of recordings.

    Returns
    -------
    RecordingInfo
        ``(sample_rate, n_channels, n_samples)`` of the whole recording, segments ignored.

    Raises
    ------
    RecordingError
        The subclass tells what is wrong.
    """
    row = _as_row(row)
    if not _is_path(row.get("audio")):
        return _array_info(row)
    with _open_sound_file(row) as sound:
        return RecordingInfo(float(sound.samplerate), sound.channels, sound.frames)


def _decode(row: Any) -> tuple[np.ndarray, float]:
    """Samples as recorded, mixed down to mono float32, and their rate."""
    if not _is_path(row.get("audio")):
        info = _array_info(row)
        return np.asarray(row["audio"], dtype=np.float32), info.sample_rate
    import soundfile

    where = _where(row)
    with _open_sound_file(row) as sound:
        rate, announced = float(sound.samplerate), sound.frames
        try:
            samples = sound.read(dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise UnreadableAudioError(f"cannot be decoded ({error}).", **where) from error
    if len(samples) < announced or declared_length_is_missing(where["path"]):
        raise TruncatedAudioError("the file ends before the length its header declares.", **where)
    # A single channel is a view; the mean of several is librosa.to_mono's definition.
    return (samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)), rate


def segments_of(row: Any, duration: float, sample_rate: float) -> list[tuple[float, float]]:
    """Return the row's segments in seconds, checked against the recording.

    Parameters
    ----------
    row : Series or mapping
        A row of the table of recordings.
    duration : float
        Length of the recording in seconds.
    sample_rate : float
        Rate of the recording in Hz; segments may overshoot the end by one sample.

    Returns
    -------
    list of (float, float)
        Start and end in seconds; the whole recording when the row has no segments.

    Raises
    ------
    SegmentsError
        Not increasing, overlapping or outside the recording.
    """
    cell = row.get("segments")
    if _is_missing(cell):
        return [(0.0, duration)]
    try:
        segments = [(float(start), float(end)) for start, end in cell]
    except (TypeError, ValueError):
        raise SegmentsError(f"segments are {cell!r}.", **_where(row)) from None
    previous = 0.0
    for start, end in segments:
        if not (previous <= start < end <= duration + 1 / sample_rate):
            raise SegmentsError(
                f"segment ({start:g}, {end:g}) is empty, overlaps its predecessor or leaves the "
                f"recording of {duration:g} s.",
                **_where(row),
            )
        previous = end
    return segments


def load_waveform(
    row: Any, sample_rate: float | None = None, *, min_duration: float = 0.0
) -> np.ndarray:
    """Turn a row of the table into a mono waveform.

    Every transformer of the package takes its samples from here: decode with soundfile, mix
    down, keep the row's segments, resample with soxr.

    Parameters
    ----------
    row : Series, mapping or path
        A row of the table of recordings.
    sample_rate : float, optional
        Rate of the result in Hz; None keeps the rate of the recording.
    min_duration : float, default=0
        Seconds below which the (segmented) recording counts as too short.

    Returns
    -------
    ndarray of shape (n_samples,), dtype float32
        Samples, nominally in [-1, 1].

    Raises
    ------
    RecordingError
        Its subclass tells what is wrong: a missing, unreadable or truncated file, a directory,
        no samples, silence, NaN or infinity, too short, a wrong rate, impossible segments.
    """
    row = _as_row(row)
    samples, rate = _decode(row)
    where = _where(row)
    if not len(samples):
        raise EmptyAudioError("the recording has no samples.", **where)
    if not np.isfinite(samples).all():
        raise NonFiniteAudioError("the recording holds NaN or infinite samples.", **where)
    if not _is_missing(row.get("segments")):
        spans = segments_of(row, len(samples) / rate, rate)
        pieces = [samples[round(start * rate) : round(end * rate)] for start, end in spans]
        samples = np.concatenate([np.empty(0, np.float32), *pieces])
        if not len(samples):
            raise EmptyAudioError("the segments select no samples.", **where)
    if samples.min() == samples.max():
        raise SilentAudioError("the recording is silent: every sample is the same.", **where)
    if len(samples) < round(min_duration * rate):
        raise TooShortAudioError(
            f"{len(samples) / rate:.4g} s are shorter than one analysis frame of "
            f"{min_duration:.4g} s.",
            **where,
        )
    return samples if sample_rate is None else _resample(samples, rate, float(sample_rate))


def _resample(samples: np.ndarray, rate: float, target: float) -> np.ndarray:
    if rate == target:
        return samples
    import soxr

    resampled = soxr.resample(samples, rate, target, quality="HQ")
    # soxr may be one sample off; librosa.resample settles on the ceiling, and so do we.
    n_samples = math.ceil(len(samples) * (target / rate))
    return np.pad(resampled, (0, max(0, n_samples - len(resampled))))[:n_samples]
