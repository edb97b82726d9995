"""The filter: formant resonators in cascade, and the nose beside them (Klatt, 1980)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter, sosfilt

_BANDWIDTHS = np.array([70.0, 90.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0])  # Hz, Klatt (1980)
_N_MOVING = 3
_HIGHEST_FORMANT = 0.47  # of the sampling rate; a resonance at its half cannot be realised

# Nasalised vowels gain energy below 1 kHz and lose some near 2.5 kHz (Lee et al., 2003): a pole
# below a zero that moves away from it as the velum opens, and wider formants.
_NASAL_POLES = np.array([270.0, 900.0])  # Hz
_NASAL_ZERO_SHIFT = np.array([60.0, 280.0])  # Hz at full nasality
_NASAL_BANDWIDTHS = np.array([90.0, 150.0])  # Hz
_NASAL_WIDENING = np.array([120.0, 80.0, 120.0])  # Hz added to F1 to F3 at full nasality


@dataclass(frozen=True)
class Tract:
    """A vocal tract: what stays put, and what moves.

    Parameters
    ----------
    fixed : ndarray of shape (n_sections, 6)
        Second-order sections as :func:`scipy.signal.sosfilt` takes them.
    moving : ndarray of shape (n_frames, n_moving, 3)
        Denominators of resonators with unit gain at zero frequency, frame by frame.
    hop : int
        Samples per frame.
    """

    fixed: np.ndarray
    moving: np.ndarray
    hop: int


def _quadratic(frequency: np.ndarray, bandwidth: np.ndarray, sample_rate: float) -> np.ndarray:
    """Return ``1, -2 r cos(theta), r**2`` along a new last axis."""
    radius = np.exp(-np.pi * bandwidth / sample_rate)
    middle = -2 * radius * np.cos(2 * np.pi * frequency / sample_rate)
    return np.stack([np.ones_like(middle), middle, np.broadcast_to(radius**2, middle.shape)], -1)


def _sections(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Stack second-order sections with unit gain at zero frequency."""
    gain = denominator.sum(axis=-1, keepdims=True) / numerator.sum(axis=-1, keepdims=True)
    return np.concatenate([numerator * gain, denominator], axis=-1)


def shape_tract(formants: np.ndarray, nasality: float, sample_rate: float, hop: int) -> Tract:
    """Design the vocal tract, frame by frame.

    Parameters
    ----------
    formants : ndarray of shape (n_frames, n_formants)
        Formant frequencies, Hz; at most eight.  F1 to F3 may move, the others stay where their
        first frame has them, and one too close to half the sampling rate is left out.
    nasality : float
        Opening of the velum, 0 to 1.
    sample_rate : float
        Samples per second.
    hop : int
        Samples per frame.

    Returns
    -------
    Tract
        The filter.
    """
    bandwidths = _BANDWIDTHS[: formants.shape[1]].copy()
    bandwidths[:_N_MOVING] += nasality * _NASAL_WIDENING
    realisable = formants[0] < _HIGHEST_FORMANT * sample_rate
    realisable[:_N_MOVING] = False
    upper = _quadratic(formants[0, realisable], bandwidths[realisable], sample_rate)
    zeros = _quadratic(_NASAL_POLES + nasality * _NASAL_ZERO_SHIFT, _NASAL_BANDWIDTHS, sample_rate)
    poles = _quadratic(_NASAL_POLES, _NASAL_BANDWIDTHS, sample_rate)
    nothing = np.zeros_like(upper)
    nothing[:, 0] = 1.0
    return Tract(
        fixed=np.concatenate([_sections(nothing, upper), _sections(zeros, poles)]),
        moving=_quadratic(formants[:, :_N_MOVING], bandwidths[:_N_MOVING], sample_rate),
        hop=hop,
    )


def _through_moving_resonator(
    samples: np.ndarray, denominators: np.ndarray, hop: int
) -> np.ndarray:
    """Filter by a resonator that changes every ``hop`` samples, without clicks.

    A filter's usual memory mixes its past output with its coefficients; carried across a change
    of these it makes the output jump.  Rebuilt from the past output alone, it does not.
    """
    changes = np.flatnonzero(np.any(np.diff(denominators, axis=0) != 0, axis=1)) + 1
    starts = np.concatenate([[0], changes])
    ends = np.append(changes * hop, samples.shape[1])
    filtered = np.empty_like(samples)
    last = np.zeros((2, len(samples)))  # newest first
    for frame, end in zip(starts, ends, strict=True):
        denominator = denominators[frame]
        _, middle, final = denominator
        memory = np.stack([-middle * last[0] - final * last[1], -final * last[0]], axis=-1)
        span = slice(frame * hop, end)
        filtered[:, span], _ = lfilter(
            [denominator.sum()], denominator, samples[:, span], axis=-1, zi=memory
        )
        last = filtered[:, span][:, :-3:-1].T
    return filtered


def through_tract(sources: np.ndarray, tract: Tract) -> np.ndarray:
    """Filter sources by a vocal tract.

    Parameters
    ----------
    sources : ndarray of shape (n_sources, n_samples)
        What excites the tract; each source is filtered on its own.
    tract : Tract
        From :func:`shape_tract`, with frames for all samples.

    Returns
    -------
    ndarray of shape (n_sources, n_samples)
        What the lips radiate.
    """
    radiated = sosfilt(tract.fixed, sources, axis=-1)
    for formant in reversed(range(tract.moving.shape[1])):
        radiated = _through_moving_resonator(radiated, tract.moving[:, formant], tract.hop)
    return radiated
