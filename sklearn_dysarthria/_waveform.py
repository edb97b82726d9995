"""From one row of the table to its samples."""

from __future__ import annotations

import math
import os
import reprlib
import stat
from collections.abc import Mapping
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

# Rates in Hz that a recording of speech can have: a lower one was meant in kHz, and a damaged
# header must not make the resampler ask for all the memory there is.
_LOWEST_RATE, _HIGHEST_RATE = 100.0, 1e7
# A header that promises more samples (13 hours at 22 050 Hz) is damaged, or does not know.
_MOST_SAMPLES = 2**30
# The power spectrum of anything larger leaves float32; integers of 32 bits stay well below.
_LARGEST_SAMPLE = 1e12


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
        or (isinstance(cell, (float, np.floating)) and math.isnan(cell))
    )


def _is_path(audio: Any) -> bool:
    return isinstance(audio, (str, os.PathLike))


def _as_row(row: Any) -> Mapping[str, Any] | pd.Series:
    if _is_path(row):
        return {"audio": row}
    if isinstance(row, (Mapping, pd.Series)):
        return row
    raise AudioTypeError(
        f"got {type(row).__name__} where one recording is expected.",
        remedy="Give a row of the table of recordings, or a path.",
    )


def _where(row: Any) -> dict[str, Any]:
    """Row label and path, as :class:`RecordingError` wants them."""
    audio = row.get("audio")
    path = os.fsdecode(audio) if _is_path(audio) else None
    return {"row": getattr(row, "name", None), "path": path}


def _plausible_rate(rate: float) -> bool:
    return _LOWEST_RATE <= rate <= _HIGHEST_RATE


def _stated_rate(row: Any) -> float | None:
    cell = row.get("sample_rate")
    if _is_missing(cell):
        return None
    try:
        rate = math.nan if isinstance(cell, (bool, np.bool_)) else float(cell)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    if not _plausible_rate(rate):
        cell = cell.item() if isinstance(cell, np.generic) else cell
        raise SampleRateError(
            f"the sampling rate is {reprlib.repr(cell)}, not a number of Hz between "
            f"{_LOWEST_RATE:g} and {_HIGHEST_RATE:g}.",
            **_where(row),
        )
    return rate


def _samples_of(row: Any) -> np.ndarray:
    """Return the samples of an array row, which must be one-dimensional floats."""
    audio, where = row.get("audio"), _where(row)
    if _is_missing(audio):
        raise AudioTypeError("the audio is missing.", **where)
    try:
        samples = np.asarray(audio)
    except (TypeError, ValueError, RuntimeError):  # ragged lists, tensors with gradients
        samples = np.asarray(None)
    remedy = None
    if samples.ndim == 1 and samples.dtype.kind in "iu":
        remedy = "Divide the integers by their full scale (32768 for 16 bits) to get floats."
    elif samples.ndim == 2 and samples.dtype.kind == "f":
        remedy = "Mix the channels down to one, or give one row per channel."
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise AudioTypeError(
            f"the audio is {type(audio).__name__} of shape {samples.shape} and type "
            f"{samples.dtype}.",
            remedy=remedy,
            **where,
        )
    return samples


def _array_info(row: Any) -> RecordingInfo:
    samples = _samples_of(row)
    rate = _stated_rate(row)
    if rate is None:
        raise SampleRateError("an array of samples comes without its rate.", **_where(row))
    return RecordingInfo(rate, 1, len(samples))


def _check_is_file(where: dict[str, Any]) -> None:
    """Raise unless the path leads to a file with something in it."""
    try:
        facts = os.stat(where["path"])
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: NUL in the path
        raise MissingFileError("there is no such file.", **where) from None
    except OSError as error:
        raise UnreadableAudioError(
            f"cannot be reached ({error.strerror}).",
            remedy="Correct the path, or the rights to read it.",
            **where,
        ) from None
    if stat.S_ISDIR(facts.st_mode):
        raise NotAFileError("this is a directory.", **where)
    if not stat.S_ISREG(facts.st_mode):
        # Reading a pipe could block for ever, and nothing in it can be read a second time.
        raise NotAFileError(
            "this is a pipe or a device.", remedy="Save the recording to a file first.", **where
        )
    if facts.st_size == 0:
        raise EmptyAudioError("the file is empty.", **where)
    if not os.access(where["path"], os.R_OK):  # libsndfile would only say "System error"
        raise UnreadableAudioError(
            "may not be read.", remedy="Correct the rights to read it.", **where
        )


def _open_sound_file(row: Any) -> Any:
    """Open the row's file with soundfile, or say precisely why that is impossible."""
    import soundfile

    where = _where(row)
    _check_is_file(where)
    try:
        # Bytes, because soundfile cannot encode names that are not valid UTF-8.
        sound = soundfile.SoundFile(os.fsencode(where["path"]))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        reason = getattr(error, "error_string", error)
        raise UnreadableAudioError(f"cannot be decoded ({reason})", **where) from error
    try:
        _check_header(row, sound)
    except BaseException:
        sound.close()
        raise
    return sound


def _check_header(row: Any, sound: Any) -> None:
    """Raise when the file's header is implausible or contradicts the row."""
    where = _where(row)
    if not _plausible_rate(sound.samplerate):
        raise SampleRateError(
            f"the file's header says {sound.samplerate} Hz, which no recording of speech has.",
            remedy="Write the file again with its true rate, or leave the row out.",
            **where,
        )
    stated = _stated_rate(row)
    if stated is not None and stated != sound.samplerate:
        raise SampleRateError(
            f"column 'sample_rate' says {stated:g} Hz, the file itself {sound.samplerate} Hz.",
            **where,
        )
    if sound.frames * sound.channels > _MOST_SAMPLES:
        raise UnreadableAudioError(
            "the file's header does not tell how long the recording is.",
            remedy="Write it again, to a file rather than to a pipe, or leave the row out.",
            **where,
        )


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
    """Return the samples as recorded, mixed down to mono float32, and their rate."""
    if not _is_path(row.get("audio")):
        info = _array_info(row)
        with np.errstate(over="ignore"):  # becomes infinity, which has its own error
            # A copy: whoever changes the result must not change the table.
            return np.array(_samples_of(row), dtype=np.float32), info.sample_rate
    import soundfile

    where = _where(row)
    with _open_sound_file(row) as sound:
        rate, announced = float(sound.samplerate), sound.frames
        try:
            samples = sound.read(dtype="float32", always_2d=True)
            is_cut = len(samples) < announced or declared_length_is_missing(where["path"])
        except (soundfile.SoundFileError, OSError, MemoryError):
            is_cut = True
    if is_cut:
        raise TruncatedAudioError(
            "the file cannot be decoded up to the length that its header declares.", **where
        )
    # A single channel is a view; the mean of several is librosa.to_mono's definition.
    with np.errstate(over="ignore", invalid="ignore"):
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
        Rate of the recording in Hz; segments may overshoot the end by one sample, and begin
        half a sample before their predecessor ends.

    Returns
    -------
    list of (float, float)
        Start and end in seconds, inside the recording; the whole of it when the row has no
        segments.

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
    except (TypeError, ValueError, OverflowError):
        raise SegmentsError(f"segments are {reprlib.repr(cell)}.", **_where(row)) from None
    previous, period = 0.0, 1 / sample_rate
    for start, end in segments:
        fits = start < min(end, duration) and end <= duration + period
        if not (fits and previous - period / 2 <= start):
            raise SegmentsError(
                f"segment ({start:g}, {end:g}) is empty, overlaps its predecessor or leaves the "
                f"recording of {duration:g} s.",
                **_where(row),
            )
        previous = end
    return [(max(start, 0.0), min(end, duration)) for start, end in segments]


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
    ValueError
        ``sample_rate`` is not between 100 Hz and 10 MHz.
    """
    if sample_rate is not None and not _plausible_rate(float(sample_rate)):
        raise ValueError(
            f"sample_rate is {sample_rate!r}, not a number of Hz between {_LOWEST_RATE:g} and "
            f"{_HIGHEST_RATE:g}."
        )
    row = _as_row(row)
    samples, rate = _decode(row)
    where = _where(row)
    if not len(samples):
        raise EmptyAudioError("the recording has no samples.", **where)
    if not np.isfinite(samples).all():
        raise NonFiniteAudioError("the recording holds NaN or infinite samples.", **where)
    if max(samples.max(), -samples.min()) > _LARGEST_SAMPLE:
        raise NonFiniteAudioError(
            f"the recording holds samples beyond ±{_LARGEST_SAMPLE:g}.", **where
        )
    if not _is_missing(row.get("segments")):
        spans = segments_of(row, len(samples) / rate, rate)
        pieces = [samples[round(start * rate) : round(end * rate)] for start, end in spans]
        samples = np.concatenate([np.empty(0, np.float32), *pieces])
        if not len(samples):
            raise EmptyAudioError("the segments select no samples.", **where)
    if samples.min() == samples.max():
        raise SilentAudioError("the recording is silent: every sample is the same.", **where)
    if len(samples) < min_duration * rate - 0.5:
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
