"""The linear steps of the image recipe as matrices, and products with them that skip the zeros.

Everything after the decibels is linear: derivatives, resizing, the cosine transform.  Each is
written here as one matrix, once per size, and the steps of one axis are multiplied into one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

DELTA_WIDTH = 9
"""Frames in the window of the derivatives."""


class Banded:
    """A matrix that is zero except along a diagonal, for products from the right.

    Its columns are cut into groups, and each group keeps only the rows in which it is not zero.

    Parameters
    ----------
    blocks : iterable of (int, int, ndarray)
        First row and first column of each group, and what it is not zero in.
    """

    def __init__(self, blocks: Iterable[tuple[int, int, np.ndarray]]) -> None:
        self._blocks = [
            (
                slice(row, row + block.shape[0]),
                slice(column, column + block.shape[1]),
                np.ascontiguousarray(block, dtype=np.float32),
            )
            for row, column, block in blocks
        ]

    @classmethod
    def of(cls, matrix: np.ndarray, group: int) -> Banded:
        """Cut a whole matrix into groups of columns.

        Parameters
        ----------
        matrix : ndarray of shape (n_rows, n_columns)
            The matrix.
        group : int
            Columns in a group: fewer skip more zeros in more, smaller products.

        Returns
        -------
        Banded
            The same matrix.
        """
        blocks = []
        for column in range(0, matrix.shape[1], group):
            columns = matrix[:, column : column + group]
            occupied = np.flatnonzero(columns.any(axis=1))
            first, last = (occupied[0], occupied[-1] + 1) if len(occupied) else (0, 0)
            blocks.append((first, column, columns[first:last]))
        return cls(blocks)

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


def interpolation(n_in: int, n_out: int, pixels: slice = slice(None)) -> tuple[int, np.ndarray]:
    """Antialiased bilinear interpolation along one axis: a triangle around each new pixel's centre.

    It reaches one old pixel to either side, or one new pixel when those are larger, as in
    ``torch.nn.functional.interpolate(..., antialias=True)`` and Pillow's ``BILINEAR``.

    Parameters
    ----------
    n_in, n_out : int
        Pixels before and after.
    pixels : slice, default=slice(None)
        Which new pixels.

    Returns
    -------
    first : int
        The first old pixel that counts for them.
    weights : ndarray of shape (n_old_pixels, n_new_pixels)
        From that pixel on; each column sums to 1.
    """
    step = n_in / n_out
    centres = (np.arange(n_out)[pixels] + 0.5) * step
    reach = max(step, 1.0)
    first = max(0, math.floor(centres[0] - reach))
    last = min(n_in, math.ceil(centres[-1] + reach) + 1)
    distances = np.abs(np.arange(first, last)[:, None] + (0.5 - centres))
    weights = np.maximum(0, 1 - distances / reach)
    return first, weights / weights.sum(axis=0)


@lru_cache(maxsize=64)
def derivative(n_frames: int, order: int) -> np.ndarray:
    """Savitzky–Golay derivative over time.

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
    ndarray of shape (n_frames, n_frames)
        For products from the right, ``features @ derivative``.  With few frames the window is the
        largest odd width that fits; when that is too short for the polynomial, it is all zero.
    """
    matrix = np.zeros((n_frames, n_frames))
    width = min(DELTA_WIDTH, n_frames - 1 + n_frames % 2)
    if width <= order:
        return matrix
    half = width // 2
    # Least squares: the slope is sum(x y) / sum(x x); the curvature is twice the same with the
    # centred square for x.
    x = np.arange(-half, half + 1.0)
    basis = x if order == 1 else x**2 - np.mean(x**2)
    taps = order * basis / (basis @ basis)
    for frame in range(n_frames):
        start = min(max(frame - half, 0), n_frames - width)
        matrix[start : start + width, frame] = taps
    return matrix


@lru_cache(maxsize=256)
def time_operators(n_frames: int, n_out: int, channels: tuple[str, ...]) -> tuple[Banded, ...]:
    """Derive along time and resize it, for each channel in one product.

    Parameters
    ----------
    n_frames, n_out : int
        Frames before, pixels after.
    channels : tuple of {"static", "delta", "delta2"}
        What the products are.

    Returns
    -------
    tuple of Banded
        Of shape (n_frames, n_out), one per channel.
    """
    # A group should reach little further than the window of the derivatives.
    group = max(1, min(32, round(64 * n_out / n_frames)))
    blocks: dict[str, list[Any]] = {name: [] for name in channels}
    for column in range(0, n_out, group):
        first, resize = interpolation(n_frames, n_out, slice(column, column + group))
        # With a window's reach on both sides, the ends of the piece are either those of the
        # recording or do not count.
        begin = max(0, min(first - DELTA_WIDTH, n_frames - DELTA_WIDTH))
        end = min(n_frames, max(first + len(resize) + DELTA_WIDTH, begin + DELTA_WIDTH))
        padded = np.zeros((end - begin, resize.shape[1]))
        padded[first - begin : first - begin + len(resize)] = resize
        for order, name in enumerate(("static", "delta", "delta2")):
            if name in blocks:
                block = derivative(end - begin, order) @ padded if order else padded
                blocks[name].append((begin, column, block))
    banded = {name: Banded(found) for name, found in blocks.items()}
    return tuple(banded[name] for name in channels)


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
        _, resize = interpolation(n_mfcc, n_out)
        return Banded([(0, 0, coefficients @ resize)])
    if n_mels == n_out:
        return None
    _, resize = interpolation(n_mels, n_out)
    return Banded.of(resize, 32)
