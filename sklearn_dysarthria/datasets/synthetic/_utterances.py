"""What a speaker says: a sustained vowel, or a syllable repeated.

The functions turn physical parameters into samples and know nothing of patients, severity or
classes.  :mod:`sklearn_dysarthria.datasets.synthetic._speakers` chooses the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfilt

from sklearn_dysarthria.datasets.synthetic._source_filter import (
    GlottalSource,
    Phonation,
    Tract,
    glottal_source,
    shape_tract,
    through_tract,
    wandering,
)

_FRAME = 0.004  # s between two shapes of the vocal tract in a train of syllables
_SLOW_FRAME = 0.01  # s, the same in a sustained vowel
_DEEPEST_CLOSURE = -60.0  # dB, voice during a complete closure


@dataclass(frozen=True)
class Articulation:
    """How the syllables of a train are spoken."""

    rate: float  # syllables per second, pauses apart
    irregularity: float  # coefficient of variation of the interval between syllables
    pause_probability: float  # that a syllable is followed by a pause
    incomplete_probability: float  # that the closure of a syllable leaks voice and air
    transition: float  # time the formants take from consonant to vowel, s
    burst_level: float  # peak of the burst relative to the peak of the vowels, dB
    loudness_spread: float  # standard deviation of loudness from syllable to syllable, dB
    voice_onset_time: float  # from burst to voice, s
    burst_band: tuple[float, float]  # band that holds the burst, Hz
    locus: np.ndarray  # (n_formants,), formants at the release of the consonant, Hz


@dataclass(frozen=True)
class Syllables:
    """When and how every syllable of a train is spoken; one entry per syllable."""

    release: np.ndarray  # time at which the closure opens, s
    end: np.ndarray  # time at which the vowel ends, s
    loudness: np.ndarray  # of the vowel, dB
    leak: np.ndarray  # level of the voice during the closure before the syllable, dB

    def __len__(self) -> int:
        return len(self.release)


def _voice_of(source: GlottalSource, tract: Tract, hnr: float) -> np.ndarray:
    """Radiate both sources, the noise ``hnr`` decibels below the pulses."""
    pulses, noise = through_tract(np.stack([source.pulses, source.noise]), tract)
    ratio = np.sqrt(np.mean(pulses**2) / np.mean(noise**2))
    return pulses + noise * (ratio * 10 ** (-hnr / 20))


def _ramp(n_samples: int, n_up: int, n_down: int) -> np.ndarray:
    """Return ones with raised-cosine flanks."""
    envelope = np.ones(n_samples)
    n_up, n_down = min(n_up, n_samples // 2), min(n_down, n_samples // 2)
    envelope[:n_up] = 0.5 - 0.5 * np.cos(np.pi * np.arange(n_up) / n_up)
    envelope[n_samples - n_down :] = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, n_down + 1) / n_down)
    return envelope


def sustained_vowel(
    phonation: Phonation,
    formants: np.ndarray,
    nasality: float,
    n_samples: int,
    sample_rate: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Synthesise `n_samples` of a sustained vowel, at an arbitrary level.

    `formants`, of shape (n_formants,), and `sample_rate` are in Hz; `nasality` is the opening of
    the velum, 0 to 1.
    """
    hop = round(_SLOW_FRAME * sample_rate)
    n_frames = -(-n_samples // hop)
    # The tongue never holds perfectly still: 1 % of slow movement in every formant.
    movement = [
        wandering(n_frames, sample_rate / hop, (0.0, 2.0), rng)
        for _ in range(min(3, len(formants)))
    ]
    track = np.tile(formants, (n_frames, 1))
    track[:, : len(movement)] *= 1 + 0.01 * np.clip(np.transpose(movement), -2.5, 2.5)
    source = glottal_source(phonation, n_samples, sample_rate, rng)
    voice = _voice_of(source, shape_tract(track, nasality, sample_rate, hop), phonation.hnr)
    flanks = [round(rng.uniform(0.03, 0.12) * sample_rate) for _ in range(2)]
    return voice * _ramp(n_samples, *flanks)


def plan_syllables(
    articulation: Articulation, duration: float, rng: np.random.Generator
) -> Syllables:
    """Draw when and how every syllable of a train of `duration` seconds is spoken.

    There is at least one, and the last one ends within the train.
    """
    most = int(duration * articulation.rate * 2) + 4
    deviates = np.clip(rng.standard_normal(most), -2.5, 2.5)
    # Below a quarter of its mean an interval would hold no vowel at all.
    intervals = np.maximum(1 + articulation.irregularity * deviates, 0.25) / articulation.rate
    # The closure is stretched along with the syllable (Caruso and Burton, 1987).
    closures = 0.38 * intervals
    pauses = np.where(
        rng.random(most) < articulation.pause_probability, rng.uniform(0.15, 0.45, most), 0.0
    )
    incomplete = rng.random(most) < articulation.incomplete_probability
    leak = np.where(incomplete, rng.uniform(-24, -10, most), _DEEPEST_CLOSURE)
    loudness = articulation.loudness_spread * np.clip(rng.standard_normal(most), -2.5, 2.5)
    starts = np.concatenate([[0.0], np.cumsum(intervals + pauses)[:-1]])
    release, end = starts + closures, starts + intervals
    n_syllables = max(1, int(np.searchsorted(end, duration, side="right")))
    release, end = release[:n_syllables], np.minimum(end[:n_syllables], duration)
    # Breath runs out: each train fades a little.
    loudness = loudness[:n_syllables] - 3.0 * release / duration
    return Syllables(release, end, loudness, leak[:n_syllables])


def _voice_envelope(
    syllables: Syllables, articulation: Articulation, times: np.ndarray
) -> np.ndarray:
    """Return the amplitude of the voice: breakpoints in decibels, joined by straight lines."""
    points: list[tuple[float, float]] = [(0.0, -90.0)]
    previous_end = 0.0
    for release, end, loudness, leak in zip(
        syllables.release, syllables.end, syllables.loudness, syllables.leak, strict=True
    ):
        closed = loudness + leak
        onset = release + articulation.voice_onset_time
        rise = min(0.015, 0.3 * (end - release))
        if release - previous_end > 0.12 and previous_end > 0:
            # In a pause even a leaking closure is silent; voice returns just before the release.
            points += [(previous_end + 0.02, -90.0), (release - 0.08, -90.0)]
        points += [
            (max(release - 0.05, previous_end + 0.012), closed),
            (onset, closed),
            (onset + rise, loudness),
            (max(end - 0.02, onset + 1.5 * rise), loudness - 3.0),
            (max(end, onset + 2 * rise), closed),
        ]
        previous_end = end
    points.append((previous_end + 0.03, -90.0))
    ordered = np.array(sorted(points))
    return 10 ** (np.interp(times, ordered[:, 0], ordered[:, 1]) / 20)


def _formant_track(
    syllables: Syllables, articulation: Articulation, vowel: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Return formants that leave the locus at each release and come back to it at each end."""
    after = np.searchsorted(syllables.release, times, side="right") - 1
    since = times - syllables.release[np.maximum(after, 0)]
    until = syllables.end[np.maximum(after, 0)] - times
    # Lips and tongue start fast and arrive slowly.
    opening = np.clip(since / articulation.transition, 0, 1) ** 0.8
    closing = np.clip(until / (0.7 * articulation.transition), 0, 1)
    openness = np.where(after >= 0, np.minimum(opening, closing), 0.0)[:, None]
    return articulation.locus + openness * (vowel - articulation.locus)


def _burst_envelope(
    syllables: Syllables, articulation: Articulation, times: np.ndarray
) -> np.ndarray:
    """Return the amplitude of the noise at the constriction."""
    envelope = np.zeros_like(times)
    length = articulation.voice_onset_time + 0.006
    for release, loudness, leak in zip(
        syllables.release, syllables.loudness, syllables.leak, strict=True
    ):
        leaking = leak > _DEEPEST_CLOSURE
        # Pressure escapes through a leaking closure: a hiss before, a weaker burst after.
        level = 10 ** ((loudness + articulation.burst_level - 8.0 * leaking) / 20)
        start, stop = np.searchsorted(times, [release, release + 5 * length])
        envelope[start:stop] += level * np.exp(-(times[start:stop] - release) / (0.4 * length))
        if leaking:
            start, stop = np.searchsorted(times, [release - 0.05, release])
            envelope[start:stop] += 0.4 * level
    return envelope


def syllable_train(
    phonation: Phonation,
    articulation: Articulation,
    vowel: np.ndarray,
    nasality: float,
    n_samples: int,
    sample_rate: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Synthesise `n_samples` of a repeated stop consonant and vowel, at an arbitrary level.

    `vowel` holds the formants of the vowel, of shape (n_formants,), and is in Hz as `sample_rate`
    is; `nasality` is the opening of the velum, 0 to 1.
    """
    syllables = plan_syllables(articulation, n_samples / sample_rate, rng)
    times = np.arange(n_samples) / sample_rate
    hop = round(_FRAME * sample_rate)
    track = _formant_track(syllables, articulation, vowel, times[::hop])
    source = glottal_source(phonation, n_samples, sample_rate, rng)
    envelope = _voice_envelope(syllables, articulation, times)
    gated = GlottalSource(source.pulses * envelope, source.noise * envelope)
    voice = _voice_of(gated, shape_tract(track, nasality, sample_rate, hop), phonation.hnr)
    band = np.minimum(articulation.burst_band, 0.47 * sample_rate)
    hiss = sosfilt(
        butter(1, band, "bandpass", fs=sample_rate, output="sos"), rng.standard_normal(n_samples)
    )
    # Three standard deviations count as the peak of noise.
    hiss *= np.abs(voice).max() / (3 * hiss.std())
    return voice + hiss * _burst_envelope(syllables, articulation, times)
