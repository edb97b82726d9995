"""From severity to speech: who speaks, and how this person speaks in one recording.

A speaker has one latent severity: 0 is a typical healthy speaker, 1 severe dysarthria; values
beyond both are possible.  Each subsystem of speech is affected a little more or less than the
whole (Rong et al., 2016), and each parameter differs between speakers of the same severity.
References are given in full by :func:`sklearn_dysarthria.datasets.make_dysarthric_speech`.

The literature settles the direction and the rough size of the effects.  The variation between
speakers is what makes the classes overlap.  For the voice, values and variation were chosen so
that Praat measures on the synthetic vowels what it measures on the recordings of Minsk2020;
elsewhere the variation is an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sklearn_dysarthria.datasets.synthetic._source_filter import Phonation
from sklearn_dysarthria.datasets.synthetic._utterances import Articulation

_SUBSYSTEM_SPREAD = 0.15  # of severity, between the subsystems of one speaker
_RETEST_SPREAD = 0.25  # of a trait's spread, between recordings of one speaker

# Hz; F1 to F3 of Hillenbrand et al. (1995), American English.
_VOWELS = {
    "M": {
        "A": (768, 1333, 2522),
        "E": (476, 2089, 2691),
        "I": (342, 2322, 3000),
        "O": (497, 910, 2459),
        "U": (378, 997, 2343),
    },
    "F": {
        "A": (936, 1551, 2815),
        "E": (536, 2530, 3047),
        "I": (437, 2761, 3372),
        "O": (555, 1035, 2828),
        "U": (459, 1105, 2735),
    },
}
_NEUTRAL_SPACING = {"M": 1000.0, "F": 1160.0}  # Hz between resonances of a uniform tube
_N_FORMANTS = 8
_F0 = {"M": (120.0, 0.16), "F": (190.0, 0.15)}  # Hz, and spread of its logarithm
_TRACT_SPREAD = 0.04  # of the logarithm of all formants, between speakers of one sex
_MEN = 0.6  # share; as in VOC-ALS, 97 of 153 (Dubbioso et al., 2024)
_AGE = (62.0, 10.0)  # years


@dataclass(frozen=True)
class Trait:
    """One parameter of speech as it depends on severity."""

    unit: str  # of all values
    scale: str  # linear, log or logit: where severity acts and speakers are normally distributed
    healthy: float  # typical value at severity 0
    severe: float  # at severity 1
    spread: float  # standard deviation between speakers of one severity, on that scale
    lowest: float  # limits between which the synthesiser can realise it
    highest: float
    subsystem: str  # of speech, of SUBSYSTEMS
    sources: str  # of direction and size, keys of SOURCES; "assumed" marks a size that none gives

    def to_scale(self, value: float) -> float:
        """Return the point of the scale at which a value lies."""
        if self.scale == "log":
            return float(np.log(value))
        if self.scale == "logit":
            return float(np.log(value / (1 - value)))
        return value

    def from_scale(self, value: float) -> float:
        """Return the value, within the limits, that lies at a point of the scale."""
        if self.scale == "log":
            value = float(np.exp(value))
        elif self.scale == "logit":
            value = float(1 / (1 + np.exp(-value)))
        return min(max(value, self.lowest), self.highest)


SOURCES = {
    "assumed": "the direction is reported, the size is a guess",
    "minsk": "Vashkevich & Rushkevich 2021: their recordings, measured",
    "voc-als": "Dubbioso et al. 2024",
    "klatt": "Klatt & Klatt 1990: range of normal and breathy voices",
    "ramig": "Ramig et al. 1990",
    "aronson": "Aronson et al. 1992",
    "hlavnicka": "Hlavnička et al. 2020",
    "sapir": "Sapir et al. 2010",
    "weismer": "Weismer et al. 1992",
    "pauses": "Turner & Weismer 1993",
    "ddk": "Tanchip et al. 2022",
    "closure": "Ackermann et al. 1995",
    "voicing": "Thomas et al. 2022",
    "caruso": "Caruso & Burton 1987",
}
"""Short names of the references that ``make_dysarthric_speech`` gives in full."""

_PHON, _RESP, _RESO, _ARTI = SUBSYSTEMS = ("phonation", "respiration", "resonance", "articulation")

# fmt: off
TRAITS: Mapping[str, Trait] = {
    # name                     unit  scale healthy severe spread limits; st: semitones
    "jitter":            Trait("%",  "log",  0.22, 0.95, 0.55, 0.05, 4.0, _PHON, "minsk ramig"),
    "shimmer":           Trait("%",  "log",  1.80, 5.50, 0.60, 0.40, 18., _PHON, "minsk ramig"),
    "hnr":            Trait("dB", "linear",  29.0, 19.0, 4.50, 4.00, 40., _PHON, "minsk ramig"),
    "open_quotient":     Trait("1", "logit", 0.58, 0.68, 0.35, 0.35, 0.92, _PHON, "klatt assumed"),
    "tilt":           Trait("dB", "linear",  9.00, 14.0, 4.00, 1.00, 28., _PHON, "klatt assumed"),
    "tremor_rate":       Trait("Hz", "log",  6.00, 6.00, 0.25, 3.50, 11., _PHON, "aronson"),
    "pitch_tremor":      Trait("st", "log",  0.07, 0.30, 0.80, 0.01, 2.0, _PHON, "minsk hlavnicka"),
    "pitch_drift":       Trait("st", "log",  0.20, 0.65, 0.80, 0.03, 3.0, _PHON, "minsk voc-als"),
    "loudness_tremor":   Trait("dB", "log",  0.35, 1.00, 0.55, 0.05, 4.0, _RESP, "minsk aronson"),
    "loudness_drift":    Trait("dB", "log",  0.80, 2.20, 0.50, 0.10, 5.0, _RESP, "ramig assumed"),
    "loudness_spread":   Trait("dB", "log",  0.80, 2.20, 0.40, 0.10, 6.0, _RESP, "ramig assumed"),
    "pause_probability": Trait("1", "logit", 0.01, 0.10, 0.70, 0.00, 0.4, _RESP, "pauses assumed"),
    "nasality":          Trait("1", "logit", 0.10, 0.55, 0.80, 0.00, 1.0, _RESO, "ramig assumed"),
    "centralisation":    Trait("1", "logit", 0.06, 0.40, 0.60, 0.00, 0.8, _ARTI, "minsk sapir"),
    "rate":             Trait("1/s", "log",  6.00, 3.20, 0.13, 1.20, 8.5, _ARTI, "ddk assumed"),
    "irregularity":      Trait("1",  "log",  0.06, 0.20, 0.40, 0.01, 0.5, _ARTI, "ddk assumed"),
    "incomplete_probability":
        Trait("1", "logit", 0.06, 0.55, 0.80, 0.00, 1.0, _ARTI, "closure voicing assumed"),
    "transition":        Trait("s",  "log", 0.045, 0.08, 0.20, 0.02, .15, _ARTI, "weismer assumed"),
    "burst_level":    Trait("dB", "linear", -9.00, -16., 3.00, -35., -2., _ARTI, "closure assumed"),
    # Severity does not change the voice onset time proper, only whether the closure is voiced.
    "vot_factor":        Trait("1",  "log",  1.00, 1.00, 0.25, 0.40, 2.5, _ARTI, "caruso"),
}
# fmt: on


@dataclass(frozen=True)
class Stop:
    """A voiceless stop before /a/."""

    locus: tuple[float, float, float]  # F1 to F3 of a man at release, Hz
    voice_onset_time: float  # unaspirated, s (Lisker and Abramson, 1964)
    burst_band: tuple[float, float]  # Hz (Stevens and Blumstein, 1978)


# Bursts are diffuse-falling, diffuse-rising and compact.
STOPS = {
    "P": Stop((300.0, 950.0, 2200.0), 0.012, (300.0, 1500.0)),
    "T": Stop((300.0, 1750.0, 2700.0), 0.017, (3200.0, 6500.0)),
    "K": Stop((300.0, 1700.0, 2050.0), 0.026, (1400.0, 2400.0)),
}


@dataclass(frozen=True)
class Speaker:
    """A person, and how this person speaks."""

    severity: float  # latent
    sex: str  # "F" or "M"
    age: int  # years
    f0: float  # habitual fundamental frequency, Hz
    tract: float  # factor on the formants of the sex; above 1 for a short vocal tract
    traits: dict[str, float]  # values of TRAITS, on the scale of each


def _deviate(rng: np.random.Generator) -> float:
    """Draw a standard normal deviate, clipped at 2.5."""
    return float(np.clip(rng.standard_normal(), -2.5, 2.5))


def latent_severity(position: float, difficulty: float, deviate: float) -> float:
    """Return the severity of a speaker of a class at `position` 0 (healthy) to 1 (most severe).

    `difficulty` is the share, 0 to 1, of the standard deviation of severity that the class does not
    explain; `deviate` is the speaker's standard normal deviate.  Over two balanced classes,
    severity has mean 0.5 and standard deviation 0.5 at any difficulty.
    """
    explained = np.sqrt(1 - difficulty**2)
    return float(0.5 + 0.5 * (explained * (2 * position - 1) + difficulty * deviate))


def draw_speaker(position: float, difficulty: float, rng: np.random.Generator) -> Speaker:
    """Draw a speaker of a class; what is drawn from `rng` does not depend on the class.

    See `latent_severity` about `position` and `difficulty`.
    """
    sex = "M" if rng.random() < _MEN else "F"
    age = int(np.clip(round(_AGE[0] + _AGE[1] * _deviate(rng)), 30, 88))
    f0, f0_spread = _F0[sex]
    f0 *= float(np.exp(f0_spread * _deviate(rng)))
    tract = float(np.exp(_TRACT_SPREAD * _deviate(rng)))
    severity = latent_severity(position, difficulty, _deviate(rng))
    affected = {name: severity + _SUBSYSTEM_SPREAD * _deviate(rng) for name in SUBSYSTEMS}
    traits = {}
    for name, trait in TRAITS.items():
        healthy, severe = trait.to_scale(trait.healthy), trait.to_scale(trait.severe)
        expected = healthy + (severe - healthy) * affected[trait.subsystem]
        traits[name] = expected + trait.spread * _deviate(rng)
    return Speaker(severity, sex, age, f0, tract, traits)


def traits_today(speaker: Speaker, rng: np.random.Generator) -> dict[str, float]:
    """Return the speaker's :data:`TRAITS`, in their units, as one recording catches them."""
    return {
        name: trait.from_scale(speaker.traits[name] + _RETEST_SPREAD * trait.spread * _deviate(rng))
        for name, trait in TRAITS.items()
    }


def phonation_of(
    speaker: Speaker, traits: Mapping[str, float], rng: np.random.Generator
) -> Phonation:
    """Return the voice of a speaker in one recording; `traits` are from `traits_today`.

    Its pitch is within a semitone or two of the habitual one.
    """
    own = {name: traits[name] for name in Phonation.__dataclass_fields__ if name in traits}
    return Phonation(f0=speaker.f0 * 2 ** (0.7 * _deviate(rng) / 12), **own)


def vowel_formants(speaker: Speaker, vowel: str, centralisation: float) -> np.ndarray:
    """Return the eight formants (Hz) of a speaker's vowel, one of "A", "E", "I", "O" and "U".

    `centralisation` is how far, on a logarithmic scale, F1 to F3 have moved to those of a neutral
    tube, 0 to 1.
    """
    return _with_upper_formants(speaker, _VOWELS[speaker.sex][vowel], centralisation)


def _with_upper_formants(
    speaker: Speaker, lower: tuple[float, ...], centralisation: float
) -> np.ndarray:
    formants = _NEUTRAL_SPACING[speaker.sex] * (np.arange(_N_FORMANTS) + 0.5)
    formants[:3] = np.asarray(lower) ** (1 - centralisation) * formants[:3] ** centralisation
    return speaker.tract * formants


def articulation_of(speaker: Speaker, consonant: str, traits: Mapping[str, float]) -> Articulation:
    """Return how a speaker repeats "P", "T" or "K" and /a/; `traits` are from `traits_today`."""
    stop = STOPS[consonant]
    size = _NEUTRAL_SPACING[speaker.sex] / _NEUTRAL_SPACING["M"]
    own = {name: traits[name] for name in Articulation.__dataclass_fields__ if name in traits}
    return Articulation(
        **own,
        voice_onset_time=stop.voice_onset_time * traits["vot_factor"],
        burst_band=stop.burst_band,
        locus=_with_upper_formants(
            speaker, tuple(size * f for f in stop.locus), traits["centralisation"]
        ),
    )
