"""Energy over time."""

from __future__ import annotations

import math

import numpy as np


def frame_energies(samples: np.ndarray, frame_length: int, hop_length: int) -> np.ndarray:
    """Sum the squares in every frame.

    Parameters
    ----------
    samples : ndarray of shape (n_samples,)
        Mono samples.
    frame_length, hop_length : int
        Length of frames and the step between them in samples.

    Returns
    -------
    ndarray of shape (n_frames,), dtype float64
        Frames are centred on every ``hop_length``-th sample, the first on sample 0; what they
        reach beyond the recording is zero.
    """
    n_samples, half = len(samples), frame_length // 2
    starts = np.arange(-half, n_samples + half - frame_length + 1, hop_length)
    # Every frame is a number of whole pieces, so that each sample is squared once.
    length = math.gcd(hop_length, half, frame_length - half)
    pieces = samples[: n_samples // length * length].reshape(-1, length)
    rest = samples[pieces.size :]
    energies = np.append(np.einsum("ij,ij->i", pieces, pieces), rest @ rest)
    up_to = np.append(0.0, np.cumsum(energies, dtype=np.float64))
    first = np.maximum(starts, 0) // length
    last = np.minimum((starts + frame_length) // length, len(energies))
    return up_to[last] - up_to[first]
