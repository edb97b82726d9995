"""The recipe from a waveform to a spectrogram image, in as few passes over memory as it takes.

With x the frames, B the mel bank, W and T_c what acts along features and frames (cosine transform,
resizing; derivative of channel c, resizing), an image is

    level = 10 log10 max(B |Hann FFT x|², floor),   image_c = W level T_c,

where the floor lies 80 dB below the maximum.  The frames are never copied: they overlap in memory,
and the window is applied to their spectra.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from sklearn_dysarthria.features._kernels import correlate, hann_power, resize
from sklearn_dysarthria.features._operators import Banded, derivative, feature_operator, mel_bank

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
        """Compute the log-mel spectrogram.

        Parameters
        ----------
        waveform : ndarray of shape (n_samples,), dtype float32
            Mono samples.

        Returns
        -------
        ndarray of shape (n_frames, n_mels), dtype float32
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
