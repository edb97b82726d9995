"""Babble: several people talking at once, out of synthetic voices."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sklearn_dysarthria.datasets import make_dysarthric_speech
from sklearn_dysarthria.recordings import load_waveform

N_TALKERS = 8
_SYNTHESIS_RATE = 16000  # Hz; speech has little above half of it
_TASKS = ("phonationA", "phonationI", "rhythmPA", "rhythmTA", "rhythmKA")
_SEED = 20240229  # of the voices, which are always the same; where they start is random


def babble(n_samples: int, sample_rate: float, rng: np.random.Generator) -> np.ndarray:
    """Let eight healthy synthetic speakers talk at once, each from a random point of a loop.

    Parameters
    ----------
    n_samples : int
        Length of the result.
    sample_rate : float
        Rate of the result in Hz.
    rng : Generator
        Decides where each speaker begins.

    Returns
    -------
    ndarray of shape (n_samples,)
        The sum of the speakers, all of the same power.
    """
    out = np.zeros(n_samples)
    for talker in _talkers(float(sample_rate)):
        start = rng.integers(len(talker))
        out += np.take(talker, np.arange(start, start + n_samples), mode="wrap")
    return out


@lru_cache(maxsize=4)
def _talkers(sample_rate: float) -> tuple[np.ndarray, ...]:
    """Return every speaker's loop at one rate; resampling it for each recording would cost."""
    return tuple(
        load_waveform({"audio": loop, "sample_rate": _SYNTHESIS_RATE}, sample_rate)
        for loop in _loops()
    )


@lru_cache(maxsize=1)
def _loops() -> tuple[np.ndarray, ...]:
    """Synthesise each healthy speaker's tasks end to end, free of offset and of power 1."""
    # The corpus needs two classes: the one speaker of the other class is left out.
    X, y = make_dysarthric_speech(
        N_TALKERS + 1,
        tasks=_TASKS,
        weights=[N_TALKERS, 1],
        difficulty="easy",
        duration=2.0,
        sample_rate=_SYNTHESIS_RATE,
        n_jobs=1,
        random_state=_SEED,
    )
    healthy = X[y == 0]
    loops = []
    for _, recordings in healthy.groupby("patient", sort=False):
        parts = [audio.astype(np.float64) for audio in recordings["audio"]]
        loop = np.concatenate([(part - part.mean()) / part.std() for part in parts])
        loops.append(loop)
    return tuple(loops)
