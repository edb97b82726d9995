"""The parameters of dysarthric speech: unit, healthy and severe value, spread and source.

The literature settles the direction and the rough size of the effects.  The spread between
speakers is what makes the classes overlap; for the voice, values and spread were chosen so that
Praat measures on the synthetic vowels what it measures on the recordings of Minsk2020, elsewhere
the spread is an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trait:
    """One parameter of speech as it depends on severity.

    Parameters
    ----------
    unit : str
        Unit of all values.
    scale : {"linear", "log", "logit"}
        Scale on which severity acts and speakers are normally distributed.
    healthy, severe : float
        Typical value at severity 0 and 1.
    spread : float
        Standard deviation between speakers of one severity, on that scale.
    lowest, highest : float
        Limits of what the synthesiser can make of it.
    subsystem : str
        Subsystem of speech it belongs to, of :data:`SUBSYSTEMS`.
    sources : str
        Where direction and size come from: keys of :data:`SOURCES`; "assumed" marks a size
        that no source gives.
    """

    unit: str
    scale: str
    healthy: float
    severe: float
    spread: float
    lowest: float
    highest: float
    subsystem: str
    sources: str

    def to_scale(self, value: float) -> float:
        """Return a value of the trait on its scale."""
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
