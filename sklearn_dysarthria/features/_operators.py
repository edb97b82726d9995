"""The linear steps of the image recipe as arrays, built once per size.

Everything after the decibels is linear: derivatives, resizing, the cosine transform; and so is the
mel bank before them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sklearn_dysarthria.features._kernels import resize

DELTA_WIDTH = 9
"""Frames in the window of the derivatives."""


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
        """Write ``left @ matrix`` to `out`.

        Parameters
        ----------
        left : ndarray of shape (n, n_rows), dtype float32
            Left factor.
        out : ndarray of shape (n, n_columns), dtype float32
            Overwritten.
        """
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
