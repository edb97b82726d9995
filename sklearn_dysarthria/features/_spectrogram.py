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

from sklearn_dysarthria.features._operators import (
    Banded,
    feature_operator,
    mel_bank,
    time_operators,
)

TOP_DB = 80.0
_SMALLEST_POWER = 1e-10
_SAMPLES_AT_ONCE = 2**21
"""Samples of windowed frames that are held at the same time: 1024 frames of the default."""

# What single precision costs: with s the norm of the loudest windowed frame over the amplitude of
# the quietest band that counts, in units of the filter's weight, no band errs by more than s times
# this (largest over 1500 pairs of signal and setting: noise, tones, hum, offsets, clicks and
# speech, n_fft from 64 to 16384).  Speech has s around 700 with the default front end.
_DECIBELS_PER_RATIO = 5.4e-6
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
        self._window = torch.hann_window(n_fft, periodic=True, dtype=torch.float64)
        bank = mel_bank(sample_rate, n_fft, n_mels, fmin, fmax)
        self._widest = float(bank.sum(axis=0).max()) or 1.0
        # Rows twice, for the squares of real and imaginary parts.
        self._bank = Banded.of(np.repeat(bank, 2, axis=0), 16)
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
        power, loudest = self._mel_power(waveform, torch.float32)
        # Rounding errors are a share of the loudest sound, wherever it is: a hum below the first
        # band would drown the quiet bands above it.  Then all is done again in double precision.
        quietest = np.sqrt(max(float(power.min()), _floor(power)) / self._widest)
        if not _DECIBELS_PER_RATIO * loudest <= _TOLERATED_DECIBELS * quietest:
            power, _ = self._mel_power(waveform, torch.float64)
        floor = _floor(power)
        peak = max(float(power.max()), _SMALLEST_POWER)
        np.maximum(power, floor, out=power)
        power /= peak
        np.log10(power, out=power)
        power *= 10
        return np.maximum(power, -TOP_DB, out=power)

    def _mel_power(self, waveform: np.ndarray, dtype: torch.dtype) -> tuple[np.ndarray, float]:
        """Return the power in every frame and band, and the largest norm of a windowed frame."""
        samples = torch.from_numpy(waveform)
        window = self._window.to(dtype)
        n_frames = 1 + (len(waveform) + self.n_fft // 2 * 2 - self.n_fft) // self.hop_length
        power = np.empty((n_frames, self.n_mels), dtype=np.float32)
        loudest = 0.0
        at_once = max(1, _SAMPLES_AT_ONCE // self.n_fft)
        for start in range(0, n_frames, at_once):
            stop = min(start + at_once, n_frames)
            windowed = torch.empty((stop - start, self.n_fft), dtype=dtype)
            self._fill(windowed, samples, window, start, stop)
            parts = torch.view_as_real(torch.fft.rfft(windowed)).flatten(1).square_()
            # Parseval's theorem; the other half of the spectrum is the same.
            loudest = max(loudest, 2 / self.n_fft * float(parts.sum(dim=1).max()))
            self._bank.multiply(parts.float().numpy(), power[start:stop])
        return power, loudest**0.5

    def _fill(
        self, out: torch.Tensor, samples: torch.Tensor, window: torch.Tensor, start: int, stop: int
    ) -> None:
        """Write windowed frames to `out`.

        Frames are centred on every ``hop_length``-th sample, the first on sample 0; what they
        reach beyond the recording is zero.  Only those that do are copied first.
        """
        n_fft, hop, half = self.n_fft, self.hop_length, self.n_fft // 2
        whole = min(max(start, -(-half // hop)), stop)  # the first frame that begins inside
        cut = min(max(whole, (len(samples) - n_fft + half) // hop + 1), stop)  # that ends outside
        for first, last in ((start, whole), (whole, cut), (cut, stop)):
            if first == last:
                continue
            begin, end = first * hop - half, (last - 1) * hop - half + n_fft
            part = samples[max(begin, 0) : end]
            if begin < 0 or end > len(samples):
                missing = (max(-begin, 0), max(end - len(samples), 0))
                part = torch.nn.functional.pad(part, missing)
            torch.mul(part.unfold(0, n_fft, hop), window, out=out[first - start : last - start])


def _floor(power: np.ndarray) -> float:
    return max(float(power.max()) * 10 ** (-TOP_DB / 10), _SMALLEST_POWER)


@lru_cache(maxsize=32)
def image_recipe(**parameters: object) -> ImageRecipe:
    """Return the recipe for a set of parameters, built once per process."""
    return ImageRecipe(**parameters)  # type: ignore[arg-type]
