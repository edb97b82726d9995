"""Where noise comes from: functions from a length, a rate and a generator to samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import next_fast_len

from sklearn_dysarthria._utils.audio_files import find_audio_files
from sklearn_dysarthria.exceptions import RecordingError
from sklearn_dysarthria.preprocessing._babble import babble
from sklearn_dysarthria.recordings import load_waveform

NoiseSource = Callable[[int, float, np.random.Generator], np.ndarray]

_LOWEST_PINK = 20.0  # Hz
_MOST_DRAWS = 50
_KEPT_FILES = 8  # decoded noise files that a process remembers


def white(n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return Gaussian noise with the same power at all frequencies."""
    return rng.standard_normal(n_samples)


def pink(n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return Gaussian noise whose power falls as 1/f, by 3 dB per octave, from 20 Hz up.

    Below, there is nothing: 1/f has as much power from 2 to 20 Hz as from 200 to 2000 Hz, and
    what no microphone records and no analysis sees would use up most of the noise's power.
    """
    length = next_fast_len(n_samples, real=True)  # a prime number of samples takes ten times longer
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    audible = frequencies >= _LOWEST_PINK
    spectrum[~audible] = 0
    spectrum[audible] /= np.sqrt(frequencies[audible])
    return np.fft.irfft(spectrum, length)[:n_samples]


@dataclass(frozen=True)
class RecordedNoise:
    """Random excerpts of recorded noise.

    Parameters
    ----------
    recordings : tuple of (str, row)
        Name for error messages, and a row as `load_waveform` takes it.
    """

    recordings: tuple[tuple[str, Any], ...]

    def __call__(self, n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
        """Cut an excerpt from one of the recordings, looped where that is too short."""
        name, row = self.recordings[rng.integers(len(self.recordings))]
        samples = _noise_samples(name, row, sample_rate)
        spare = len(samples) - n_samples
        start = rng.integers(spare + 1) if spare >= 0 else rng.integers(len(samples))
        excerpt = np.take(samples, np.arange(start, start + n_samples), mode="wrap")
        return excerpt.astype(np.float64)


def _noise_samples(name: str, row: dict[str, Any], sample_rate: float) -> np.ndarray:
    try:
        if isinstance(row["audio"], str):
            changed = os.stat(row["audio"]).st_mtime_ns
            return _decoded(row["audio"], changed, sample_rate)
        return load_waveform(row, sample_rate)
    except (RecordingError, OSError) as error:
        # Not a RecordingError: the noise is to blame, and the recording is not to become NaN.
        raise ValueError(f"noise {name} cannot be used: {error}") from error


@lru_cache(maxsize=_KEPT_FILES)
def _decoded(path: str, changed: int, sample_rate: float) -> np.ndarray:
    return load_waveform(path, sample_rate)


def draw_noise(
    source: NoiseSource,
    n_samples: int,
    sample_rate: float,
    measured: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw noise of mean 0 and power 1 over the measured samples.

    Parameters
    ----------
    source : callable
        One of this module.
    n_samples : int
        Length of the recording.
    sample_rate : float
        Its rate in Hz.
    measured : ndarray of shape (n_samples,), dtype bool
        Samples over which power is measured; at least two.
    rng : Generator
        Decides everything random.

    Returns
    -------
    ndarray of shape (n_samples,)
        Noise.

    Raises
    ------
    ValueError
        Recorded noise is silent wherever it was tried, or cannot be read.
    """
    for _ in range(_MOST_DRAWS):
        noise = source(n_samples, sample_rate, rng)
        noise = noise - noise[measured].mean()
        power = np.mean(noise[measured] ** 2)
        if power > 0:
            return noise / np.sqrt(power)
    raise ValueError(
        f"{_MOST_DRAWS} excerpts of the recorded noise were silent; leave the pauses out of it."
    )


def noise_source(noise: Any, noise_sample_rate: float | None) -> NoiseSource:
    """Return what produces the noise that a user asked for.

    Parameters
    ----------
    noise : {"white", "pink", "babble"}, path, array, or sequence of paths and arrays
        As in :class:`~sklearn_dysarthria.AddNoise`.
    noise_sample_rate : float or None
        Rate of arrays in Hz.

    Returns
    -------
    callable
        Takes a number of samples, their rate in Hz and a Generator.

    Raises
    ------
    ValueError
        `noise` is none of these, names nothing that exists, or has no rate.
    """
    if isinstance(noise, str) and noise in SYNTHETIC:
        return SYNTHETIC[noise]
    alone = isinstance(noise, (str, os.PathLike)) or (
        isinstance(noise, np.ndarray) and noise.dtype.kind == "f"
    )
    if not alone and not isinstance(noise, (Sequence, np.ndarray)):
        raise ValueError(
            f"noise={noise!r} must be 'white', 'pink', 'babble', a file or folder of noise, an "
            "array of samples, or a list of files and arrays."
        )
    parts = [noise] if alone else list(noise)
    rows = [row for i, part in enumerate(parts) for row in _rows(part, i, noise_sample_rate)]
    if not rows:
        raise ValueError("noise is an empty list.")
    return RecordedNoise(tuple(rows))


def _rows(part: Any, number: int, rate: float | None) -> list[tuple[str, dict[str, Any]]]:
    """Name one element of `noise`, and turn it into rows for `load_waveform`."""
    if isinstance(part, (str, os.PathLike)):
        if not os.fspath(part):
            raise ValueError("noise is an empty path; '.' would be the current folder.")
        return [(repr(str(path)), {"audio": str(path)}) for path in _files(Path(part))]
    samples = np.asarray(part) if isinstance(part, np.ndarray) else None
    if samples is None or samples.ndim != 1 or samples.dtype.kind != "f":
        kind = type(part).__name__ if samples is None else f"{samples.ndim}-D {samples.dtype} array"
        raise ValueError(f"noise number {number} is a {kind}, not a path or a 1-D float array.")
    if rate is None:
        raise ValueError("noise holds arrays: give their rate in Hz as noise_sample_rate.")
    return [(f"number {number}", {"audio": samples, "sample_rate": rate})]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = find_audio_files(path)
        if not files:
            raise ValueError(f"the folder of noise {str(path)!r} holds no audio files.")
        return files
    if not path.exists():
        raise ValueError(
            f"noise {str(path)!r} is neither 'white', 'pink', 'babble' nor an existing file or "
            "folder."
        )
    return [path]


SYNTHETIC: dict[str, NoiseSource] = {"white": white, "pink": pink, "babble": babble}
