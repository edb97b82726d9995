"""The loops of the image recipe for which NumPy and torch would need many passes over memory.

Numba compiles them at the first call, which takes seconds, and keeps what it compiled beside this
file or in the user's cache folder.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import numba
import numpy as np

from sklearn_dysarthria.exceptions import CacheWarning

# Sums may be taken in another order, which is what wide registers need; NaN and infinity keep
# their meaning.
_FREEDOMS = {"reassoc", "contract", "arcp", "nsz"}


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
        "folder that can be written, or delete the files _kernels.*.nb? in "
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
