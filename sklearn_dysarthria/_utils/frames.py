"""Energy over time."""

from __future__ import annotations

import math

import numpy as np


def frame_energies(samples: np.ndarray, frame_length: int, hop_length: int) -> np.ndarray:
    """Sum the squares in every frame of mono samples; float64 of shape (n_frames,).

    Frames are centred on every ``hop_length``-th sample, the first on sample 0; what they reach
    beyond the recording is zero.
    """
    n_samples, half = len(samples), frame_length // 2
    n_frames = max(0, 1 + (n_samples + 2 * half - frame_length) // hop_length)
    # Every frame is a number of whole pieces, so that each sample is squared once.
    length = math.gcd(hop_length, half, frame_length - half)
    before, width, step = half // length, frame_length // length, hop_length // length
    pieces = samples[: n_samples // length * length].reshape(-1, length)
    rest = samples[pieces.size :]
    up_to = np.zeros(max(n_frames * step + width, before + len(pieces) + 2))
    up_to[before + 1 : before + 1 + len(pieces)] = np.vecdot(pieces, pieces)
    up_to[before + 1 + len(pieces)] = rest @ rest
    np.cumsum(up_to, out=up_to)
    return up_to[width::step][:n_frames] - up_to[::step][:n_frames]
