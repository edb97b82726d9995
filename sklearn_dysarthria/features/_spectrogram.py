"""The recipe from a waveform to a spectrogram image, in as few passes over memory as it takes.

With x the windowed frames, B the mel bank, V what acts on features (resizing, cosine transform)
and T_c what acts on frames (derivative of channel c, resizing), an image is

    level = 10 log10 max(B |FFT x|², floor),   image_c = V level T_c,

where the floor lies 80 dB below the maximum.  B, V and T_c are almost diagonal, built once per
set of parameters and number of frames, and multiplied block by block.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from sklearn_dysarthria._utils.frames import frame_energies
from sklearn_dysarthria.features._operators import (
    Banded,
    feature_operator,
    mel_bank,
    time_operators,
)

TOP_DB = 80.0
_SMALLEST_POWER = 1e-10
_FRAMES_AT_ONCE = 1024
"""Frames whose spectra are held at the same time: 16 MB of the default front end."""

# What single precision costs: with s the norm of the loudest frame over the amplitude of the
# quietest band that counts, in units of the filter's weight, no band errs by more than 3.3e-6 dB
# times s (largest over 1600 pairs of signal and setting: noise, tones, hum, offsets, clicks and
# speech, n_fft from 64 to 16384).  Speech has s around 1200 with the default front end.
_DECIBELS_PER_RATIO = 3.3e-6
_TOLERATED_DECIBELS = 0.006


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
        self._window = torch.hann_window(n_fft, periodic=True, dtype=torch.float64)
        bank = mel_bank(sample_rate, n_fft, n_mels, fmin, fmax)
        heard = np.flatnonzero(bank.any(axis=1))
        self._bins = slice(heard[0], heard[-1] + 1) if len(heard) else slice(0, 1)
        self._widest = float(bank.sum(axis=0).max()) or 1.0
        # Rows twice, for the squares of real and imaginary parts.
        self._bank = Banded(np.repeat(bank[self._bins], 2, axis=0), 16)
        self._features = feature_operator(n_mels, n_mfcc, shape[0])

    def image(self, waveform: np.ndarray) -> np.ndarray:
        """Compute one image.

        Parameters
        ----------
        waveform : ndarray of shape (n_samples,), dtype float32
            Mono samples.

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
        image = np.empty((len(self.channels), *self.shape), dtype=np.float32)
        operators = time_operators(len(level), self.shape[1], self.channels)
        for operator, channel in zip(operators, image, strict=True):
            operator.multiply(level.T, channel)
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
        power = self._mel_power(waveform, torch.float32)
        # Rounding errors are a share of the loudest sound, wherever it is: a hum below the first
        # band would drown the quiet bands above it.  Then all is done again in double precision.
        loudest = np.sqrt(frame_energies(waveform, self.n_fft, self.hop_length).max())
        quietest = np.sqrt(max(float(power.min()), _floor(power)) / self._widest)
        if not _DECIBELS_PER_RATIO * loudest <= _TOLERATED_DECIBELS * quietest:
            power = self._mel_power(waveform, torch.float64)
        floor = _floor(power)
        peak = max(float(power.max()), _SMALLEST_POWER)
        np.maximum(power, floor, out=power)
        power /= peak
        np.log10(power, out=power)
        power *= 10
        return np.maximum(power, -TOP_DB, out=power)

    def _mel_power(self, waveform: np.ndarray, dtype: torch.dtype) -> np.ndarray:
        """Return the power in every frame and band.

        Frames are centred on every ``hop_length``-th sample, the first on sample 0; what they
        reach beyond the recording is zero.
        """
        half = self.n_fft // 2
        padded = torch.zeros(len(waveform) + 2 * half)
        padded[half : half + len(waveform)] = torch.from_numpy(waveform)
        frames = padded.unfold(0, self.n_fft, self.hop_length)
        window = self._window.to(dtype)
        power = np.empty((len(frames), self.n_mels), dtype=np.float32)
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            some = slice(start, start + _FRAMES_AT_ONCE)
            spectrum = torch.fft.rfft(frames[some] * window)[:, self._bins]
            parts = torch.view_as_real(spectrum).flatten(1)
            self._bank.multiply(parts.square_().float().numpy(), power[some])
        return power


def _floor(power: np.ndarray) -> float:
    return max(float(power.max()) * 10 ** (-TOP_DB / 10), _SMALLEST_POWER)


@lru_cache(maxsize=32)
def image_recipe(**parameters: object) -> ImageRecipe:
    """Return the recipe for a set of parameters, built once per process."""
    return ImageRecipe(**parameters)  # type: ignore[arg-type]
