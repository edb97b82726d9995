"""The recipe from a waveform to a spectrogram image, in as few passes over memory as it takes.

With x the frames, B the mel bank, W and T_c what acts along features and frames (cosine transform,
resizing; derivative of channel c, resizing), an image is

    level = 10 log10 max(B |Hann FFT x|², floor),   image_c = W level T_c,

where the floor lies 80 dB below the maximum.  The frames are never copied: they overlap in memory,
and the window is applied to their spectra.  The linear steps are matrices, built once per size.

Numba compiles the loops for which NumPy and torch would need many passes.  That takes seconds at
the first call; what it compiled is kept beside this file or in the user's cache folder.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import numba
import numpy as np
import torch

from sklearn_dysarthria.exceptions import CacheWarning

DELTA_WIDTH = 9
"""Frames in the window of the derivatives."""
TOP_DB = 80.0
_SMALLEST_POWER = 1e-10
_SAMPLES_AT_ONCE = 2**19
"""Samples of overlapping frames whose spectra are held at the same time: 256 default frames."""
_ORDERS = {"static": 0, "delta": 1, "delta2": 2}

# What single precision costs: with s the norm of the loudest frame, before the window, over the
# amplitude of the quietest band that counts, in units of the filter's weight, no band errs by more
# than s times this (3.2e-6 was the largest of 16,000 pairs of signal and setting: noise, tones,
# hum, offsets, clicks and speech, n_fft from 64 to 16384).  With the default front end, s is 700 to
# 1700 for the recordings of Minsk2020 and for synthetic speech: none needs double precision.
_DECIBELS_PER_RATIO = 3.5e-6
_TOLERATED_DECIBELS = 0.0065

# Sums may be taken in another order, which is what wide registers need; NaN and infinity keep
# their meaning.
_FREEDOMS = {"reassoc", "contract", "arcp", "nsz"}


class ImageRecipe:
    """Everything that is the same for all recordings.

    Parameters
    ----------
    sample_rate : float
        Rate of the waveforms in Hz.
    n_fft, hop_length, n_mels, fmin, fmax, channels
        As in :class:`~sklearn_dysarthria.LogMelDeltaImages`.
    n_mfcc : int or None
        Number of cepstral coefficients; None stays with the log-mel spectrogram.
    shape : tuple of int
        Height and width of the image in pixels.
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        fmin: float,
        fmax: float,
        n_mfcc: int | None,
        channels: tuple[str, ...],
        shape: tuple[int, int],
    ) -> None:
        self.n_fft, self.hop_length, self.n_mels = n_fft, hop_length, n_mels
        self.channels, self.shape = channels, shape
        bank = mel_bank(sample_rate, n_fft, n_mels, fmin, fmax)
        self._widest = float(bank.sum(axis=0).max()) or 1.0
        self._n_wanted = int(np.flatnonzero(bank.any(axis=1)).max(initial=0)) + 1
        self._bank = Banded(bank[: self._n_wanted] / 16, 16)  # hann_power gives 16 times the power
        self._features = feature_operator(n_mels, n_mfcc, shape[0])

    def image(self, waveform: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Compute one image.

        Parameters
        ----------
        waveform : ndarray of shape (n_samples,), dtype float32
            Mono samples.
        out : ndarray of shape (n_channels, height, width), dtype float32, optional
            Where to write it; a new array when None.

        Returns
        -------
        ndarray of shape (n_channels, height, width), dtype float32
            Decibels, and decibels per frame and per frame².
        """
        level = self.log_mel(waveform)
        if self._features is not None:
            rows = np.empty((len(level), self.shape[0]), dtype=np.float32)
            self._features.multiply(level, rows)
            level = rows
        image = np.empty((len(self.channels), *self.shape), np.float32) if out is None else out
        derived = np.empty_like(level)
        for name, channel in zip(self.channels, image, strict=True):
            if name == "static":
                resize(level, channel)
                continue
            taps = derivative(len(level), _ORDERS[name])
            if taps is None:
                channel[...] = 0
            else:
                correlate(level, taps, derived)
                resize(derived, channel)
        return image

    def log_mel(self, waveform: np.ndarray) -> np.ndarray:
        """Return the log-mel spectrogram, float32 of shape (n_frames, n_mels).

        Decibels relative to the maximum, from -80 to 0.
        """
        power, loudest = self._mel_power(waveform, np.float32)
        # Rounding errors are a share of the loudest sound, wherever it is: a hum below the first
        # band would drown the quiet bands above it.  Then all is done again in double precision.
        quietest = np.sqrt(max(float(power.min()), _floor(float(power.max()))) / self._widest)
        if not _DECIBELS_PER_RATIO * loudest <= _TOLERATED_DECIBELS * quietest:
            power, _ = self._mel_power(waveform, np.float64)
        peak = max(float(power.max()), _SMALLEST_POWER)
        power *= 1 / peak
        np.maximum(power, _floor(peak) / peak, out=power)
        np.log10(power, out=power)
        power *= 10
        return np.maximum(power, -TOP_DB, out=power)

    def _mel_power(self, waveform: np.ndarray, dtype: type) -> tuple[np.ndarray, float]:
        """Return the power in every frame and band, and the largest norm of a frame."""
        # Frames are centred on every hop_length-th sample, the first on sample 0; what they reach
        # beyond the recording is zero.
        half, n_samples = self.n_fft // 2, len(waveform)
        padded: np.ndarray = np.empty(n_samples + 2 * half, dtype=dtype)
        padded[:half] = padded[half + n_samples :] = 0
        padded[half : half + n_samples] = waveform
        frames = torch.from_numpy(padded).unfold(0, self.n_fft, self.hop_length)
        power = np.empty((len(frames), self.n_mels), dtype=np.float32)
        loudest = 0.0
        at_once = max(1, _SAMPLES_AT_ONCE // self.n_fft)
        for start in range(0, len(frames), at_once):
            spectra = torch.fft.rfft(frames[start : start + at_once]).numpy()
            lines = np.empty((len(spectra), self._n_wanted), dtype=np.float32)
            loudest = max(loudest, hann_power(spectra.view(dtype), self.n_fft % 2 == 0, lines))
            self._bank.multiply(lines, power[start : start + at_once])
        # Parseval's theorem; the other half of the spectrum is the same.
        return power, (2 / self.n_fft * loudest) ** 0.5


def _floor(peak: float) -> float:
    return max(peak * 10 ** (-TOP_DB / 10), _SMALLEST_POWER)


@lru_cache(maxsize=32)
def image_recipe(**parameters: object) -> ImageRecipe:
    """Return the recipe for a set of parameters, built once per process."""
    return ImageRecipe(**parameters)  # type: ignore[arg-type]


class Banded:
    """A matrix that is zero except along a diagonal, for products from the right that skip zeros.

    Its columns are cut into groups, and each group keeps only the rows in which it is not zero.

    Parameters
    ----------
    matrix : ndarray of shape (n_rows, n_columns)
        The matrix.
    group : int
        Columns in a group: fewer skip more zeros in more, smaller products.
    """

    def __init__(self, matrix: np.ndarray, group: int) -> None:
        self._blocks = []
        for column in range(0, matrix.shape[1], group):
            columns = matrix[:, column : column + group]
            occupied = np.flatnonzero(columns.any(axis=1))
            rows = slice(occupied[0], occupied[-1] + 1) if len(occupied) else slice(0)
            block = np.ascontiguousarray(columns[rows], dtype=np.float32)
            self._blocks.append((rows, slice(column, column + group), block))

    def multiply(self, left: np.ndarray, out: np.ndarray) -> None:
        """Write ``left @ matrix``, float32 of shape (n, n_columns), to `out`."""
        for rows, columns, block in self._blocks:
            np.matmul(left[:, rows], block, out=out[:, columns])


def mel_bank(sample_rate: float, n_fft: int, n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Triangular filters on Slaney's mel scale, each of unit area.

    The scale is linear up to 1000 Hz (200/3 Hz per mel) and logarithmic above (27 steps for a
    factor of 6.4), as in Slaney's Auditory Toolbox and in ``librosa.filters.mel``.

    Parameters
    ----------
    sample_rate : float
        Hz.
    n_fft : int
        Samples in one frame.
    n_mels : int
        Number of filters.
    fmin, fmax : float
        Lower end of the first and upper end of the last filter, in Hz.

    Returns
    -------
    ndarray of shape (1 + n_fft // 2, n_mels)
        Weights of the power spectrum's bins.  A narrow filter may contain no bin at all.
    """
    edges = _hertz(np.linspace(_mel(fmin), _mel(fmax), n_mels + 2))
    bins = np.arange(1 + n_fft // 2)[:, None] * (sample_rate / n_fft)
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))


_LINEAR_HERTZ, _LOG_FROM, _LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def _mel(hertz: float) -> float:
    if hertz < _LOG_FROM:
        return hertz / _LINEAR_HERTZ
    return float(_LOG_FROM / _LINEAR_HERTZ + np.log(hertz / _LOG_FROM) / _LOG_STEP)


def _hertz(mels: np.ndarray) -> np.ndarray:
    above = mels - _LOG_FROM / _LINEAR_HERTZ
    return np.where(above < 0, mels * _LINEAR_HERTZ, _LOG_FROM * np.exp(_LOG_STEP * above))


def derivative(n_frames: int, order: int) -> np.ndarray | None:
    """Savitzky–Golay derivative over time, away from the ends of the recording.

    A polynomial of degree `order` is fitted to `DELTA_WIDTH` frames and derived `order` times.
    What is left is a constant, so the first and last frames, whose windows would leave the
    recording, have the derivative of the nearest whole window (``mode="interp"``).

    Parameters
    ----------
    n_frames : int
        Frames of the recording.
    order : {1, 2}
        Order of the derivative.

    Returns
    -------
    ndarray of shape (width,), dtype float32, or None
        Weights of the frames around one.  With few frames the width is the largest odd one that
        fits; None when that is too short for the polynomial, and the derivative zero.
    """
    width = min(DELTA_WIDTH, n_frames - 1 + n_frames % 2)
    if width <= order:
        return None
    return _polynomial_taps(width, order)


@lru_cache(maxsize=2 * DELTA_WIDTH)
def _polynomial_taps(width: int, order: int) -> np.ndarray:
    half = width // 2
    # Least squares: the slope is sum(x y) / sum(x x); the curvature is twice the same with the
    # centred square for x.
    x = np.arange(-half, half + 1.0)
    basis = x if order == 1 else x**2 - np.mean(x**2)
    return np.asarray(order * basis / (basis @ basis), dtype=np.float32)


def feature_operator(n_mels: int, n_mfcc: int | None, n_out: int) -> Banded | None:
    """Turn mel bands into the rows of an image: cosine transform if asked for, and resizing.

    Parameters
    ----------
    n_mels : int
        Bands.
    n_mfcc : int or None
        Cepstral coefficients (orthonormal DCT-II); None stays with the bands.
    n_out : int
        Rows of the image.

    Returns
    -------
    Banded of shape (n_mels, n_out) or None
        None where nothing is to be done.
    """
    if n_mfcc is not None:
        from scipy.fft import dct

        coefficients = dct(np.eye(n_mels), axis=1, type=2, norm="ortho")[:, :n_mfcc]
        return Banded(coefficients @ _interpolation(n_mfcc, n_out), n_out)
    if n_mels == n_out:
        return None
    return Banded(_interpolation(n_mels, n_out), 32)


def _interpolation(n_in: int, n_out: int) -> np.ndarray:
    matrix = np.empty((n_in, n_out))
    resize(np.eye(n_in), matrix)
    return matrix


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, and keep the result on disk if that is possible."""
    alone = numba.njit(nogil=True, fastmath=_FREEDOMS)(function)
    try:
        chosen = numba.njit(nogil=True, fastmath=_FREEDOMS, cache=True)(function)
    except RuntimeError as error:  # no folder can be written
        _warn(function, error)
        chosen = alone

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal chosen
        try:
            return chosen(*arguments)
        except Exception as error:
            # The disk is full, or what lies there is damaged.  What else can be wrong will come up
            # again.
            if chosen is alone:
                raise
            chosen = alone
            result = chosen(*arguments)
            _warn(function, error)
            return result

    return call


def _warn(function: Callable[..., Any], error: Exception) -> None:
    warnings.warn(
        f"{function.__name__} is compiled for this process alone, which takes seconds: Numba "
        f"cannot keep it or read it ({type(error).__name__}: {error}). Point NUMBA_CACHE_DIR to a "
        "folder that can be written, or delete the files _spectrogram.*.nb? in "
        f"{os.path.dirname(__file__)}/__pycache__.",
        CacheWarning,
        stacklevel=3,
    )


@_compiled
def hann_power(spectra, is_even, power):
    """Window frames whose spectra are given, and take the power.

    A periodic Hann window is 1/2 - cos(2πn/N)/2, so that the windowed spectrum is
    ``X[k]/2 - (X[k-1] + X[k+1])/4``: one pass for the window and the squares.

    Parameters
    ----------
    spectra : ndarray of shape (n_frames, 2 * n_bins)
        Real and imaginary parts in turns, of frames that are not windowed yet.
    is_even : bool
        Whether a frame has an even number of samples.
    power : ndarray of shape (n_frames, n_wanted)
        Overwritten with 16 times the power of the windowed frames, in the first bins.

    Returns
    -------
    float
        The largest ``sum |X[k]|²`` of a frame, over all bins.
    """
    n_frames, n_wanted = power.shape
    n_bins = spectra.shape[1] // 2
    loudest = 0.0
    for frame in range(n_frames):
        x, out = spectra[frame], power[frame]
        # Beyond its ends, the spectrum of real samples is its own mirror image.
        out[0] = 4 * (x[0] - x[2]) ** 2
        for k in range(1, min(n_wanted, n_bins - 1)):
            real = (x[2 * k] - x[2 * k - 2]) + (x[2 * k] - x[2 * k + 2])
            imag = (x[2 * k + 1] - x[2 * k - 1]) + (x[2 * k + 1] - x[2 * k + 3])
            out[k] = real * real + imag * imag
        if n_wanted == n_bins:
            real, imag = x[-2] - x[-4], x[-1] - x[-3]
            out[-1] = 4 * real * real if is_even else real * real + (imag + 2 * x[-1]) ** 2
        energy = x[0] * x[0]
        for part in range(1, 2 * n_bins):
            energy += x[part] * x[part]
        loudest = max(loudest, energy)
    return loudest


@_compiled
def correlate(rows, taps, out):
    """Correlate every column with an odd number of taps.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
        At least as many rows as taps.
    taps : ndarray of shape (n_taps,)
        Weights of consecutive rows.
    out : ndarray of shape (n_rows, n_columns)
        Overwritten; the first and the last rows, whose taps would leave `rows`, are those of the
        nearest row whose taps do not.
    """
    half, last = len(taps) // 2, len(rows) - 1
    for row in range(half, last - half + 1):
        into = out[row]
        values = rows[row - half]
        for column in range(len(into)):
            into[column] = taps[0] * values[column]
        for tap in range(1, len(taps)):
            weight, values = taps[tap], rows[row - half + tap]
            for column in range(len(into)):
                into[column] += weight * values[column]
    for row in range(half):
        out[row], out[last - row] = out[half], out[last - half]


@_compiled
def resize(rows, out):
    """Resize along the rows by antialiased bilinear interpolation, and transpose.

    A new pixel is a triangle around its centre, which reaches one old pixel to either side, or one
    new pixel when those are larger; as Pillow's ``BILINEAR``, and as
    ``torch.nn.functional.interpolate(..., antialias=True)`` for more than one new pixel.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
        What is resized.
    out : ndarray of shape (n_columns, n_out)
        Overwritten.
    """
    (n_rows, n_columns), n_out = rows.shape, out.shape[1]
    step = n_rows / n_out
    reach = max(step, 1.0)
    # As rows first, which wide registers can add, then transposed: twice as fast as in tiles, since
    # `out` is mostly memory that was never touched before and is now written from end to end.
    resized = np.empty((n_out, n_columns), dtype=out.dtype)
    for pixel in range(n_out):
        into = resized[pixel]
        centre = (pixel + 0.5) * step
        first = max(0, math.floor(centre - reach + 0.5))
        last = min(n_rows, math.floor(centre + reach + 0.5))
        total = 0.0
        for row in range(first, last):
            total += 1 - abs(row + 0.5 - centre) / reach
        for row in range(first, last):
            weight = out.dtype.type((1 - abs(row + 0.5 - centre) / reach) / total)
            values = rows[row]
            if row == first:
                for column in range(n_columns):
                    into[column] = weight * values[column]
            else:
                for column in range(n_columns):
                    into[column] += weight * values[column]
    for column in range(n_columns):
        for pixel in range(n_out):
            out[column, pixel] = resized[pixel, column]
