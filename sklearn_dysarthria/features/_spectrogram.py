"""The recipe from a waveform to a spectrogram image, step by step, in double precision.

Each function is one line of the recipe in :class:`~sklearn_dysarthria.LogMelDeltaImages` and can
be checked against a textbook, or against the function of the same purpose in librosa.  Single
precision would not do: the rounding of a loud hum below the analysed band, or of a strong tone,
reaches the quiet bins above the floor and shifts them by up to 0.1 dB.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.fft import dct
from scipy.signal import savgol_filter

TOP_DB = 80.0
_SMALLEST_POWER = 1e-10


@lru_cache(maxsize=32)
def mel_bank(sample_rate: float, n_fft: int, n_mels: int, fmin: float, fmax: float) -> torch.Tensor:
    """Triangular filters on Slaney's mel scale, each of unit area.

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
    torch.Tensor of shape (n_mels, 1 + n_fft // 2), dtype float64
        Weights of the power spectrum's bins.
    """
    import warnings

    import librosa.filters

    with warnings.catch_warnings():
        # Narrow low filters may contain no bin at all; the recipe keeps them, at the floor.
        warnings.filterwarnings("ignore", message="Empty filters detected")
        bank = librosa.filters.mel(
            sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, norm="slaney"
        )
    return torch.from_numpy(bank).double()


@lru_cache(maxsize=8)
def _hann(n_fft: int) -> torch.Tensor:
    return torch.hann_window(n_fft, periodic=True, dtype=torch.float64)


def power_spectrogram(waveform: np.ndarray, n_fft: int, hop_length: int) -> torch.Tensor:
    """Squared magnitude of the centred, zero-padded short-time Fourier transform.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,)
        Mono samples.
    n_fft, hop_length : int
        Frame length and step in samples.

    Returns
    -------
    torch.Tensor of shape (1 + n_fft // 2, n_frames), dtype float64
        Power in every bin and frame; periodic Hann window.  Frames are centred on every
        ``hop_length``-th sample, the first on sample 0.
    """
    spectrum = torch.stft(
        torch.from_numpy(waveform.astype(np.float64)),
        n_fft,
        hop_length,
        window=_hann(n_fft),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.real.square() + spectrum.imag.square()


def decibels(power: torch.Tensor) -> torch.Tensor:
    """Power relative to its maximum, in dB, cut 80 dB below the maximum.

    Parameters
    ----------
    power : torch.Tensor
        Non-negative.

    Returns
    -------
    torch.Tensor
        Values in [-80, 0].
    """
    level = 10 * torch.log10(power.clamp(min=_SMALLEST_POWER))
    level -= level.max()
    return level.clamp_(min=-TOP_DB)


def delta(features: np.ndarray, order: int, width: int = 9) -> np.ndarray:
    """Local slope (order 1) or curvature (order 2) over time, by Savitzky–Golay filtering.

    A polynomial of degree ``order`` is fitted to ``width`` frames and derived ``order`` times;
    the first and last frames use the polynomial of the nearest whole window.

    Parameters
    ----------
    features : ndarray of shape (n_features, n_frames)
        Any features over time.
    order : {1, 2}
        Order of the derivative.
    width : int, default=9
        Frames in the window.  Recordings with fewer frames use the largest odd width that
        fits; when that is too short for the polynomial, the derivative is zero.

    Returns
    -------
    ndarray of shape (n_features, n_frames)
        The derivative, in units of ``features`` per frame (per frame² for order 2).
    """
    n_frames = features.shape[-1]
    width = min(width, n_frames - 1 + n_frames % 2)
    if width <= order:
        return np.zeros_like(features)
    return savgol_filter(features, width, polyorder=order, deriv=order, axis=-1, mode="interp")


@lru_cache(maxsize=256)
def _interpolation(n_in: int, n_out: int) -> torch.Tensor:
    """Weights of shape (n_out, n_in): a triangle around each new pixel's centre.

    It reaches one old pixel to either side, or one new pixel when those are larger.
    """
    step = n_in / n_out
    centres = (torch.arange(n_out, dtype=torch.float64) + 0.5) * step
    distances = torch.arange(n_in, dtype=torch.float64) + 0.5 - centres[:, None]
    weights = (1 - distances.abs() / max(step, 1.0)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize channels with antialiased bilinear interpolation.

    The same as ``torch.nn.functional.interpolate(..., antialias=True)`` and Pillow's
    ``BILINEAR``, for images that are one pixel wide too: there torch repeats the first row.

    Parameters
    ----------
    image : torch.Tensor of shape (n_channels, height, width)
        The image.
    size : (int, int)
        New height and width.

    Returns
    -------
    torch.Tensor of shape (n_channels, *size), dtype float64
        The resized image.
    """
    rows = _interpolation(image.shape[-2], size[0])
    columns = _interpolation(image.shape[-1], size[1])
    return rows @ image.double() @ columns.T


def static_features(
    waveform: np.ndarray,
    *,
    sample_rate: float,
    n_fft: int,
    hop_length: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    n_mfcc: int | None,
) -> np.ndarray:
    """Log-mel spectrogram in dB, or the cepstral coefficients made from it.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,)
        Mono samples at ``sample_rate``.
    sample_rate, n_fft, hop_length, n_mels, fmin, fmax
        As in :class:`~sklearn_dysarthria.LogMelDeltaImages`.
    n_mfcc : int or None
        Number of cepstral coefficients (orthonormal DCT-II of the decibels); None stays with the
        log-mel spectrogram.

    Returns
    -------
    ndarray of shape (n_mels or n_mfcc, n_frames), dtype float64
        Features over time.
    """
    bank = mel_bank(sample_rate, n_fft, n_mels, fmin, fmax)
    log_mel = decibels(bank @ power_spectrogram(waveform, n_fft, hop_length)).numpy()
    if n_mfcc is None:
        return log_mel
    return dct(log_mel, axis=0, type=2, norm="ortho")[:n_mfcc]
