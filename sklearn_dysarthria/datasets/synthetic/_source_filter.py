"""A voice from a source and a filter: the glottis, and the vocal tract that it excites.

The glottal pulse is the KLGLOTT88 model of Klatt and Klatt (1990): one period of the flow is
``x**2 - x**3`` over the open phase and nothing afterwards.  What is generated is its derivative,
which already holds the radiation at the lips.  The vocal tract is a cascade of formant resonators
with the nose beside it (Klatt, 1980).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, lfilter, resample_poly, sosfilt

_CONTROL_RATE = 200.0  # Hz; no contour below moves faster than 20 Hz
# Mean absolute difference of two independent normal deviates, as jitter and shimmer measure it.
_MEAN_ABSOLUTE_DIFFERENCE = 2 / np.sqrt(np.pi)
_TILT_AT = 3000.0  # Hz
_OVERSAMPLING = 2  # of the pulses, whose spectrum has no end

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
class Phonation:
    """How the vocal folds vibrate."""

    f0: float  # mean fundamental frequency, Hz
    jitter: float  # mean difference of neighbouring periods, % of the mean
    shimmer: float  # the same of their amplitudes, %
    hnr: float  # power of the harmonics over that of the aspiration noise in the radiated voice, dB
    open_quotient: float  # open part of the glottal period, 0 to 1
    tilt: float  # extra attenuation of the source at 3 kHz, dB
    tremor_rate: float  # centre of the band in which pitch and loudness tremble, Hz
    pitch_tremor: float  # standard deviation, semitones
    pitch_drift: float  # standard deviation of the slow wandering of pitch, semitones
    loudness_tremor: float  # the same two of loudness, dB
    loudness_drift: float


@dataclass(frozen=True)
class GlottalSource:
    """Samples of the two sources of a voice, of shape (n_samples,) each."""

    pulses: np.ndarray  # derivative of the glottal flow, loudness contour included
    noise: np.ndarray  # turbulence at the glottis, louder while it is open; its level is arbitrary


def wandering(
    n_samples: int, sample_rate: float, band: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Draw a random contour of unit standard deviation, of shape (n_samples,).

    `band` is the slowest and the fastest movement, Hz; 0 as the slowest means everything below the
    fastest.  The standard deviation is that of the process, not of this excerpt.
    """
    low, high = band
    settling = int(2 * _CONTROL_RATE / max(low, 0.25))
    n_frames = int(np.ceil(n_samples * _CONTROL_RATE / sample_rate)) + 2
    if low > 0:
        sos = butter(2, [low, high], "bandpass", fs=_CONTROL_RATE, output="sos")
    else:
        sos = butter(2, high, fs=_CONTROL_RATE, output="sos")
    impulse = np.zeros(4 * settling)
    impulse[0] = 1.0
    gain = np.sqrt(np.sum(sosfilt(sos, impulse) ** 2))
    frames = sosfilt(sos, rng.standard_normal(settling + n_frames))[settling:] / gain
    times = np.arange(n_samples) * (_CONTROL_RATE / sample_rate)
    return np.interp(times, np.arange(n_frames), frames)


def tilt_filter(attenuation: float, sample_rate: float) -> tuple[list[float], list[float]]:
    """Design the one-pole low-pass filter with this attenuation (positive dB) at 3 kHz.

    Return the coefficients ``b, a``; the gain is one at zero frequency.
    """
    power = 10 ** (-attenuation / 10)
    cosine = np.cos(2 * np.pi * _TILT_AT / sample_rate)
    rest = 1 - power
    slope = 1 - power * cosine
    pole = (slope - np.sqrt(slope**2 - rest**2)) / rest
    return [1 - pole], [1.0, -pole]


def _perturbed_periods(
    f0: np.ndarray, jitter: float, sample_rate: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return start and length of every period in seconds, until past the last sample."""
    cycles = np.cumsum(f0) / sample_rate
    regular = np.interp(np.arange(int(cycles[-1]) + 1), cycles, np.arange(len(f0)) / sample_rate)
    spare = max(8, len(regular) // 20)  # jitter may make the periods add up to less
    periods = np.concatenate([np.diff(regular), np.full(spare, 1 / f0[-1])])
    spread = jitter / 100 / _MEAN_ABSOLUTE_DIFFERENCE
    periods *= 1 + spread * np.clip(rng.standard_normal(len(periods)), -3, 3)
    return np.concatenate([[0.0], np.cumsum(periods)[:-1]]), periods


def _pulse_train(
    closures: np.ndarray,
    periods: np.ndarray,
    amplitudes: np.ndarray,
    open_quotient: float,
    n_samples: int,
    sample_rate: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivative of the flow, and the phase within the open part (0 when closed).

    A period runs from closure to closure, because the closure is what excites the tract.
    """
    times = np.arange(n_samples) / sample_rate
    cycle = np.searchsorted(closures, times, side="right") - 1
    since = (times - closures[cycle]) / periods[cycle]
    phase = np.clip((since - 1 + open_quotient) / open_quotient, 0.0, 1.0)
    pulses = (2 * phase - 3 * phase**2) * amplitudes[cycle]
    # The flow stops abruptly at closure.  Sampled as it is, that step would alias into an
    # inharmonic hiss; a step band-limited over two samples (polyBLEP) keeps the pulses clean.
    steps = (closures + periods) * sample_rate
    before = steps.astype(int)
    inside = before + 1 < n_samples
    before, late = before[inside], (steps - before)[inside]
    np.add.at(pulses, before, amplitudes[inside] * (1 - late) ** 2 / 2)
    np.add.at(pulses, before + 1, -amplitudes[inside] * late**2 / 2)
    return pulses, phase


def glottal_source(
    phonation: Phonation,
    n_samples: int,
    sample_rate: float,
    rng: np.random.Generator,
) -> GlottalSource:
    """Return `n_samples` of a voice source, pulses and turbulence."""
    tremor_band = (0.75 * phonation.tremor_rate, 1.25 * phonation.tremor_rate)
    drift_band = (0.0, 1.0)

    def contour(tremor: float, drift: float) -> np.ndarray:
        trembling = wandering(n_samples, sample_rate, tremor_band, rng)
        drifting = wandering(n_samples, sample_rate, drift_band, rng)
        return tremor * trembling + drift * drifting

    semitones = contour(phonation.pitch_tremor, phonation.pitch_drift)
    decibels = contour(phonation.loudness_tremor, phonation.loudness_drift)
    f0 = phonation.f0 * 2 ** (np.clip(semitones, -9, 9) / 12)
    closures, periods = _perturbed_periods(f0, phonation.jitter, sample_rate, rng)
    spread = phonation.shimmer / 100 / _MEAN_ABSOLUTE_DIFFERENCE
    amplitudes = 1 + spread * np.clip(rng.standard_normal(len(closures)), -3, 3)
    pulses, phase = _pulse_train(
        closures,
        periods,
        amplitudes,
        phonation.open_quotient,
        _OVERSAMPLING * n_samples,
        _OVERSAMPLING * sample_rate,
    )
    pulses = resample_poly(pulses, 1, _OVERSAMPLING)
    loudness = 10 ** (np.clip(decibels, -15, 9) / 20)
    airflow = 0.3 + 0.7 * np.sin(np.pi * phase[::_OVERSAMPLING]) ** 2
    return GlottalSource(
        pulses=lfilter(*tilt_filter(phonation.tilt, sample_rate), pulses) * loudness,
        noise=rng.standard_normal(n_samples) * airflow * loudness,
    )


@dataclass(frozen=True)
class Tract:
    """A vocal tract: its fixed part, and its moving formants."""

    fixed: np.ndarray  # (n_sections, 6), second-order sections as scipy.signal.sosfilt takes them
    moving: np.ndarray  # (n_frames, n_moving, 3), denominators of resonators with unit gain at 0 Hz
    hop: int  # samples per frame


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
    """Design the vocal tract, frame by frame (of `hop` samples).

    `formants`, of shape (n_frames, n_formants), are in Hz, at most eight.  F1 to F3 may move, the
    others stay where their first frame has them, and one too close to half the sampling rate is
    left out.  `nasality` is the opening of the velum, 0 to 1.
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
    """Filter `sources`, of shape (n_sources, n_samples), separately by a vocal tract.

    `tract` has frames for all samples.  Return the sound that the lips radiate, of the same shape.
    """
    radiated = sosfilt(tract.fixed, sources, axis=-1)
    for formant in reversed(range(tract.moving.shape[1])):
        radiated = _through_moving_resonator(radiated, tract.moving[:, formant], tract.hop)
    return radiated
