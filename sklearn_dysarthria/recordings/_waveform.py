"""From one row of the table to its waveform."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_dysarthria.exceptions import (
    EmptyAudioError,
    SegmentsError,
    SilentAudioError,
    TooShortAudioError,
)
from sklearn_dysarthria.recordings._audio import (
    HIGHEST_RATE,
    LOWEST_RATE,
    as_row,
    decode,
    is_missing,
    is_plausible_rate,
    row_and_path,
)


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
    if is_missing(cell):
        return [(0.0, duration)]
    try:
        segments = [(float(start), float(end)) for start, end in cell]
    except (TypeError, ValueError, OverflowError):
        raise SegmentsError(f"segments are {reprlib.repr(cell)}.", **row_and_path(row)) from None
    previous, period = 0.0, 1 / sample_rate
    for start, end in segments:
        fits = start < min(end, duration) and end <= duration + period
        if not (fits and previous - period / 2 <= start):
            raise SegmentsError(
                f"segment ({start:g}, {end:g}) is empty, overlaps its predecessor or leaves the "
                f"recording of {duration:g} s.",
                **row_and_path(row),
            )
        previous = end
    return [(max(start, 0.0), min(end, duration)) for start, end in segments]


def load_waveform(
    row: Any, sample_rate: float | None = None, *, min_duration: float = 0.0
) -> np.ndarray:
    """Turn a row of the table into a mono waveform.

    Every transformer of the package takes its samples from here: decode with soundfile, mix
    down, resample with soxr, keep the row's segments.  They are cut from the resampled waveform, as
    in ``librosa.load`` followed by ``librosa.effects.trim``, so that no cut rings in the filter.

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
        Its subclass says what is wrong: a missing, unreadable or truncated file, a directory,
        no samples, silence, NaN or infinity, too short, a wrong rate, impossible segments.
    ValueError
        ``sample_rate`` is not between 100 Hz and 10 MHz.
    """
    if sample_rate is not None and not is_plausible_rate(float(sample_rate)):
        raise ValueError(
            f"sample_rate is {sample_rate!r}, not a number of Hz between {LOWEST_RATE:g} and "
            f"{HIGHEST_RATE:g}."
        )
    row = as_row(row)
    samples, rate = decode(row)
    where = row_and_path(row)
    if not len(samples):
        raise EmptyAudioError("the recording has no samples.", **where)
    spans = None
    if not is_missing(row.get("segments")):
        spans = segments_of(row, len(samples) / rate, rate)
        kept = cut(samples, spans, rate)
        if not len(kept):
            raise EmptyAudioError("the segments select no samples.", **where)
    else:
        kept = samples
    check_sound(row, kept, rate, min_duration)
    if sample_rate is None or rate == sample_rate:
        return kept
    duration = len(samples) / rate
    kept = _resample(samples, rate, float(sample_rate))
    if spans is not None:
        # The last sample, which resampling may add, belongs to what lasts to the end.
        n_samples = len(kept)
        scaled = [
            (start * sample_rate, n_samples if end >= duration else end * sample_rate)
            for start, end in spans
        ]
        kept = cut(kept, scaled, 1)
    if not len(kept):
        raise EmptyAudioError(f"the segments select no samples at {sample_rate:g} Hz.", **where)
    return kept


def check_sound(row: Any, samples: np.ndarray, rate: float, min_duration: float) -> None:
    """Raise when the samples that are left of a row are silent, or too few.

    Parameters
    ----------
    row : Series or mapping
        A row of the table of recordings, named in messages.
    samples : ndarray of shape (n_samples,)
        At least one sample.
    rate : float
        Their rate in Hz.
    min_duration : float
        Seconds that they must last.

    Raises
    ------
    SilentAudioError, TooShortAudioError
        They cannot be used.
    """
    if _is_constant(samples):
        raise SilentAudioError(
            "the recording is silent: every sample is the same.", **row_and_path(row)
        )
    if len(samples) < min_duration * rate - 0.5:
        raise TooShortAudioError(
            f"{len(samples) / rate:.4g} s are shorter than one analysis frame of "
            f"{min_duration:.4g} s.",
            **row_and_path(row),
        )


def _is_constant(samples: np.ndarray) -> bool:
    # A few samples usually suffice.
    few = samples[:: max(1, len(samples) // 64)]
    return bool(few.min() == few.max() and samples.min() == samples.max())


def cut(samples: np.ndarray, spans: Sequence[tuple[float, float]], rate: float) -> np.ndarray:
    """Put the parts of a waveform that are kept end to end.

    Parameters
    ----------
    samples : ndarray of shape (n_samples,)
        The waveform.
    spans : sequence of (float, float)
        Start and end of each part, in units of 1 / `rate`.
    rate : float
        Rate of the waveform.

    Returns
    -------
    ndarray of shape (n_kept,)
        A view if there is one part.
    """
    pieces = [samples[round(start * rate) : round(end * rate)] for start, end in spans]
    return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.float32), *pieces])


def _resample(samples: np.ndarray, rate: float, target: float) -> np.ndarray:
    import soxr

    resampled = soxr.resample(samples, rate, target, quality="HQ")
    # soxr may be one sample off; librosa.resample settles on the ceiling, and so do we.
    n_samples = math.ceil(len(samples) * (target / rate))
    if len(resampled) >= n_samples:
        return resampled[:n_samples]
    padded = np.zeros(n_samples, dtype=np.float32)  # np.pad takes a multiple of the copying
    padded[: len(resampled)] = resampled
    return padded
