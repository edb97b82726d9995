"""The audio of a row: header, samples as recorded, waveform, and a fingerprint of it all."""

from __future__ import annotations

import hashlib
import math
import os
import reprlib
import stat
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sklearn_dysarthria.exceptions import (
    AudioTypeError,
    EmptyAudioError,
    MissingFileError,
    NonFiniteAudioError,
    NotAFileError,
    RecordingError,
    SampleRateError,
    SegmentsError,
    SilentAudioError,
    TooShortAudioError,
    TruncatedAudioError,
    UnreadableAudioError,
)
from sklearn_dysarthria.recordings._containers import (
    declared_length_is_missing,
    describe_plain_wav,
    read_plain_wav,
)

# Rates in Hz that a recording of speech can have: a lower one was meant in kHz, and a damaged
# header must not make the resampler ask for all the memory there is.
LOWEST_RATE, HIGHEST_RATE = 100.0, 1e7
# A header that promises more samples (13 hours at 22 050 Hz) is damaged or was never completed.
_MOST_SAMPLES = 2**30
# The power spectrum of anything larger leaves float32; integers of 32 bits stay well below.
_LARGEST_SAMPLE = 1e12
# A file that is written twice within one tick of its clock may keep size and times although its
# content differs (git calls that "racily clean").  Ticks are milliseconds on most file systems
# and two seconds on the worst, so nothing is remembered of a file changed that recently: after
# that time any change shows, for the time of the last change (ctime) cannot be set back.
_SETTLING_SECONDS = 2.5


class FileMemo:
    """Values by file, valid for one state of it; at most `size`, the oldest are forgotten first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[str, tuple[tuple[int, ...], Any]] = {}
        self._lock = threading.Lock()

    def get(self, path: str, facts: os.stat_result) -> Any:
        """Return the value for a file in its present state, or None."""
        state, value = self._known.get(path, (None, None))
        return value if state == file_state(facts) else None

    def put(self, path: str, facts: os.stat_result, value: Any) -> None:
        """Remember a value, unless the file has changed just now.

        `facts` is the file's state *before* the value, which is not None, was read from it.
        """
        if time.time() - max(facts.st_mtime, facts.st_ctime) < _SETTLING_SECONDS:
            return
        with self._lock:
            while len(self._known) >= self._size and path not in self._known:
                del self._known[next(iter(self._known))]
            self._known[path] = file_state(facts), value


def file_state(facts: os.stat_result) -> tuple[int, ...]:
    """Return the facts of a file that change with its content."""
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


# Headers and digests of unchanged files: the cache needs them each time.  Opening a file takes
# 0.1 ms, SHA-256 of 700 kB 0.35 ms: as long as all the rest of finding an image.
_headers, _digests = FileMemo(size=50_000), FileMemo(size=50_000)


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


def is_missing(cell: Any) -> bool:
    """Return whether a cell is None, NaN, NaT or NA."""
    return (
        cell is None
        or cell is pd.NaT
        or cell is pd.NA
        or (isinstance(cell, (float, np.floating)) and math.isnan(cell))
    )


def is_path(audio: Any) -> bool:
    return isinstance(audio, (str, os.PathLike))


def as_row(row: Any) -> Mapping[str, Any] | pd.Series:
    """Return a row of the table, made from a path if need be; raise AudioTypeError otherwise."""
    if is_path(row):
        return {"audio": row}
    if isinstance(row, (Mapping, pd.Series)):
        return row
    raise AudioTypeError(
        f"got {type(row).__name__} where one recording is expected.",
        remedy="Give a row of the table of recordings, or a path.",
    )


def row_and_path(row: Any) -> dict[str, Any]:
    """Return label and path of a row by name, as :class:`RecordingError` takes them."""
    audio = row.get("audio")
    path = os.fsdecode(audio) if is_path(audio) else None
    return {"row": getattr(row, "name", None), "path": path}


def is_plausible_rate(rate: float) -> bool:
    """Return whether a recording of speech can have a sampling rate, in Hz."""
    return LOWEST_RATE <= rate <= HIGHEST_RATE


def _stated_rate(row: Any) -> float | None:
    cell = row.get("sample_rate")
    if is_missing(cell):
        return None
    try:
        rate = math.nan if isinstance(cell, (bool, np.bool_)) else float(cell)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    if not is_plausible_rate(rate):
        cell = cell.item() if isinstance(cell, np.generic) else cell
        raise SampleRateError(
            f"the sampling rate is {reprlib.repr(cell)}, not a number of Hz between "
            f"{LOWEST_RATE:g} and {HIGHEST_RATE:g}.",
            **row_and_path(row),
        )
    return rate


def _samples_of(row: Any) -> np.ndarray:
    """Return the samples of an array row, which must be one-dimensional floats."""
    audio, where = row.get("audio"), row_and_path(row)
    if is_missing(audio):
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
        raise SampleRateError("an array of samples comes without its rate.", **row_and_path(row))
    return RecordingInfo(rate, 1, len(samples))


def _check_is_file(where: dict[str, Any]) -> os.stat_result:
    """Raise unless the path leads to a file with something in it; return its state."""
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
    return facts


def _open_sound_file(row: Any) -> Any:
    """Open the row's file with soundfile, or say precisely why that is impossible."""
    import soundfile

    where = row_and_path(row)
    _check_is_file(where)
    try:
        # Bytes, because soundfile cannot encode names that are not valid UTF-8.
        sound = soundfile.SoundFile(os.fsencode(where["path"]))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        reason = getattr(error, "error_string", error)
        raise UnreadableAudioError(f"cannot be decoded ({reason})", **where) from error
    try:
        _check_header(row, sound.samplerate, sound.frames * sound.channels)
    except BaseException:
        sound.close()
        raise
    return sound


def _check_header(row: Any, rate: float, n_values: int) -> None:
    """Raise when what a file says of itself is implausible or contradicts the row."""
    where = row_and_path(row)
    if not is_plausible_rate(rate):
        raise SampleRateError(
            f"the file's header says {rate:.0f} Hz, which no recording of speech has.",
            remedy="Write the file again with its true rate, or leave the row out.",
            **where,
        )
    _check_stated_rate(row, rate)
    if n_values > _MOST_SAMPLES:
        raise UnreadableAudioError(
            "the file's header does not say how long the recording is.",
            remedy="Write it again, to a file rather than to a pipe, or leave the row out.",
            **where,
        )


def _check_stated_rate(row: Any, rate: float) -> None:
    """Raise when the row contradicts the file."""
    stated = _stated_rate(row)
    if stated is not None and stated != rate:
        raise SampleRateError(
            f"column 'sample_rate' says {stated:g} Hz, the file itself {rate:g} Hz.",
            **row_and_path(row),
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
        The subclass says what is wrong.
    """
    row = as_row(row)
    if not is_path(row.get("audio")):
        return _array_info(row)
    where = row_and_path(row)
    facts = _check_is_file(where)
    info = _headers.get(where["path"], facts)
    if info is None:
        info = _described(row, where["path"])
        _headers.put(where["path"], facts, info)
    _check_stated_rate(row, info.sample_rate)
    return info


def recorded_rates(rows: Iterable[Any]) -> list[float]:
    """Return the sampling rate of each recording in Hz, NaN if it cannot be used."""
    rates = []
    for row in rows:
        try:
            rates.append(describe_recording(row).sample_rate)
        except RecordingError:
            rates.append(math.nan)
    return rates


def _described(row: Any, path: str) -> RecordingInfo:
    try:
        plain = describe_plain_wav(path)
    except OSError:
        plain = None  # libsndfile raises with a reason
    if plain is not None:
        info = RecordingInfo(*plain)
        _check_header(row, info.sample_rate, info.n_samples * info.n_channels)
        return info
    with _open_sound_file(row) as sound:
        return RecordingInfo(float(sound.samplerate), sound.channels, sound.frames)


def _decode_any(row: Any) -> tuple[np.ndarray, float]:
    """Return samples in integers of 16 bits, or floats, from any kind of sound file."""
    import soundfile

    where = row_and_path(row)
    with _open_sound_file(row) as sound:
        rate, announced = float(sound.samplerate), sound.frames
        try:
            samples = sound.read(dtype="int16" if sound.subtype == "PCM_16" else "float32")
            is_cut = len(samples) < announced or declared_length_is_missing(where["path"])
        except (soundfile.SoundFileError, OSError, MemoryError):
            is_cut = True
    if is_cut:
        raise TruncatedAudioError(
            "the file cannot be decoded up to the length that its header declares.", **where
        )
    return samples, rate


def decode(row: Any) -> tuple[np.ndarray, float]:
    """Return the samples as recorded, mixed down to mono float32, and their rate."""
    if not is_path(row.get("audio")):
        info = _array_info(row)
        with np.errstate(over="ignore"):  # becomes infinity, which has its own error
            # A copy, so that changes of the result do not change the table.
            samples = np.array(_samples_of(row), dtype=np.float32)
        _check_values(samples, row_and_path(row))
        return samples, info.sample_rate
    where = row_and_path(row)
    _check_is_file(where)
    try:
        plain = read_plain_wav(where["path"])
    except (OSError, MemoryError):
        plain = None  # libsndfile raises with a reason
    samples, rate = _decode_any(row) if plain is None else plain
    if plain is not None:
        _check_header(row, rate, samples.size)
    is_short = samples.dtype.kind == "i"
    if is_short:
        # libsndfile divides by the same number, one sample at a time: half of the decoding.
        samples = samples.astype(np.float32)
        samples *= np.float32(1 / 32768)
    if samples.ndim == 2:
        # The mean of the channels is librosa.to_mono's definition.
        with np.errstate(over="ignore", invalid="ignore"):
            samples = samples.mean(axis=1)
    if not is_short:
        _check_values(samples, where)
    return samples, rate


def _check_values(samples: np.ndarray, where: dict[str, Any]) -> None:
    """Raise when a sample is no number, or too large a one."""
    # One pass for what nearly always holds; the sum of squares is NaN if a sample is.
    with np.errstate(over="ignore", invalid="ignore"):
        if samples @ samples <= _LARGEST_SAMPLE:
            return
    if not np.isfinite(samples).all():
        raise NonFiniteAudioError("the recording holds NaN or infinite samples.", **where)
    if max(samples.max(), -samples.min()) > _LARGEST_SAMPLE:
        raise NonFiniteAudioError(
            f"the recording holds samples beyond ±{_LARGEST_SAMPLE:g}.", **where
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
    """Raise if the samples (at least one) left of a row are silent, or last too few seconds."""
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
    """Put the parts of a waveform that are kept end to end; a view if there is one part.

    `spans` holds start and end of each, in units of 1 / `rate`.
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
    if is_path(audio):
        content = _content_of_file(os.fsdecode(audio))
    else:
        content = _content_of_array(audio)
    spans = segments_of(row, info.duration, info.sample_rate)
    return hashlib.sha256(repr((content, info.sample_rate, spans)).encode()).hexdigest()


def state_of_audio(row: Any) -> tuple[int, ...] | None:
    """Return the state of a row's file, empty if there is none; None for audio in memory."""
    audio = row["audio"]
    if not is_path(audio):
        return None
    try:
        return file_state(os.stat(audio))
    except (OSError, ValueError):  # the latter for a name that cannot be one
        return ()


def is_unchanged(row: Any, content: str, state: tuple[int, ...]) -> bool:
    """Return whether a row's file is as it was; its state was taken before its fingerprint."""
    try:
        # The fingerprint reads a file that was changed just now again: its state may look the same.
        return state_of_audio(row) == state and fingerprint(row) == content
    except (RecordingError, OSError):
        return False
