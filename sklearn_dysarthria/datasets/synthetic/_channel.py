"""What lies between the lips and the file: silence, room noise, a microphone, a level.

Nothing in here depends on the speaker's severity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, lfilter, sosfilt


@dataclass(frozen=True)
class Device:
    """A recording device.

    Parameters
    ----------
    low, high : float
        Band it passes, Hz.
    tilt : float
        Change of gain from low to high frequencies, dB.
    noise : float
        Noise below the voice, dB, on average.
    """

    low: float
    high: float
    tilt: float
    noise: float


DEVICES = {
    "headset": Device(low=60, high=7500, tilt=1.0, noise=42.0),
    "phone-a": Device(low=120, high=7000, tilt=3.0, noise=36.0),
    "phone-b": Device(low=180, high=5500, tilt=-2.0, noise=33.0),
    "phone-c": Device(low=100, high=3800, tilt=0.0, noise=35.0),
    "tablet": Device(low=80, high=6500, tilt=-3.0, noise=31.0),
}
"""Invented, but of the spread that a multi-centre corpus of smartphone recordings shows."""

_NOISE_SPREAD = 3.0  # dB between recordings of one device


def draw_level(rng: np.random.Generator) -> float:
    """Draw the peak level of a recording, 0.1 to 0.9 of full scale."""
    return float(10 ** (rng.uniform(-18, -1) / 20))


def record(
    speech: np.ndarray,
    device: Device,
    silence: tuple[int, int],
    peak: float,
    sample_rate: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Record speech on a device.

    Parameters
    ----------
    speech : ndarray of shape (n_samples,)
        What reaches the microphone.
    device : Device
        What it passes and adds.
    silence : (int, int)
        Samples before and after the speech.
    peak : float
        Largest absolute value of the result.
    sample_rate : float
        Samples per second.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of shape (silence[0] + n_samples + silence[1],), dtype float32
        The recording.
    """
    power = np.mean(speech**2)
    signal = np.pad(speech, silence)
    # A pole at 0.9 makes the hiss a murmur: rooms and amplifiers are louder at the bottom.
    noise = lfilter([1.0], [1.0, -0.9], rng.standard_normal(len(signal)))
    below = device.noise + _NOISE_SPREAD * np.clip(rng.standard_normal(), -2, 2)
    noise *= np.sqrt(power * 10 ** (-below / 10) / np.mean(noise**2))
    heard = _shelf(signal + noise, device.tilt, sample_rate)
    heard = sosfilt(butter(2, device.low, "highpass", fs=sample_rate, output="sos"), heard)
    if device.high < 0.48 * sample_rate:
        heard = sosfilt(butter(4, device.high, fs=sample_rate, output="sos"), heard)
    return (heard * (peak / np.abs(heard).max())).astype(np.float32)


def _shelf(samples: np.ndarray, tilt: float, sample_rate: float) -> np.ndarray:
    """Raise everything above about 1 kHz by ``tilt`` decibels."""
    lows = sosfilt(butter(1, 1000.0, fs=sample_rate, output="sos"), samples)
    return lows + (samples - lows) * 10 ** (tilt / 20)
