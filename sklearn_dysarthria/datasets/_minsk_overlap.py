"""Speakers who are in both Minsk corpora, found by code and by samples."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from scipy import fft

from sklearn_dysarthria.datasets import fetch_minsk2019_als, fetch_minsk2020_als
from sklearn_dysarthria.recordings import as_table, column, load_waveform, patient_ids

_RATE = 8000  # Hz; both corpora are compared at one rate, high enough to align periods


def minsk_overlap(
    older: Any = None,
    newer: Any = None,
    *,
    threshold: float = 0.8,
    data_home: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """List the speakers who are probably in both Minsk2019 and Minsk2020.

    Recordings of /a/ are compared by their samples, after mixing down and resampling to 8 kHz, so
    that the format of the files does not matter: the similarity of two recordings is the largest
    absolute normalised cross-correlation over all shifts at which at least half of the shorter
    one overlaps the other.  The same recording, cut or scaled differently or stored as float
    instead of 16 bits, reaches nearly 1; between different speakers of Minsk2020 it stays below
    0.5.  Two different recordings of one person are not recognised; only the code shows them.

    Parameters
    ----------
    older, newer : table of recordings, optional
        Tables with columns ``patient`` and ``task``, of which the rows with task ``phonationA``
        are compared; by default those of :func:`fetch_minsk2019_als` and
        :func:`fetch_minsk2020_als`.
    threshold : float, default=0.8
        Similarity from which two recordings count as the same one.
    data_home : path-like, optional
        Where the corpora are, for the tables that are not given.

    Returns
    -------
    DataFrame
        One row per pair of patients with the same code or the same recording, in the order of
        the older corpus: ``patient2019``, ``patient2020``, ``same_code``, ``same_recording`` and
        ``similarity`` (0 to 1; of several recordings, the largest).

    Raises
    ------
    ValueError
        The threshold is not above 0 and at most 1.
    RecordingError
        A recording cannot be read, or a table lacks patients or tasks.

    Examples
    --------
    Both loaders call a patient by group and code ("ALS020"), so that speakers with the same code
    stay on one side of every split of the two tables together.  Those whose recording is in the
    newer corpus under another code get its patient id in one line:

    >>> import pandas as pd
    >>> from sklearn_dysarthria.datasets import fetch_minsk2019_als, fetch_minsk2020_als
    >>> from sklearn_dysarthria.datasets import minsk_overlap
    >>> older, y_older = fetch_minsk2019_als(return_X_y=True)  # doctest: +SKIP
    >>> newer, y_newer = fetch_minsk2020_als(return_X_y=True)  # doctest: +SKIP
    >>> same = minsk_overlap(older, newer).query("same_recording")  # doctest: +SKIP
    >>> older["patient"] = older["patient"].replace(
    ...     dict(zip(same["patient2019"], same["patient2020"])))  # doctest: +SKIP
    >>> X = pd.concat([older, newer], ignore_index=True)  # doctest: +SKIP
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r} is not a similarity above 0 and up to 1.")
    if older is None:
        older = fetch_minsk2019_als(data_home=data_home).data
    if newer is None:
        newer = fetch_minsk2020_als(data_home=data_home, tasks="phonationA").data
    first, second = _Voices(older), _Voices(newer)
    size = fft.next_fast_len(first.longest + second.longest, real=True)
    spectra = [fft.rfft(samples, size) for samples in second.samples]
    best: dict[tuple[Any, Any], float] = {}
    for i, mine in enumerate(first.samples):
        spectrum = fft.rfft(mine, size)
        for j, theirs in enumerate(second.samples):
            products = fft.irfft(spectrum * np.conj(spectra[j]), size)
            pair = (first.patients[i], second.patients[j])
            best[pair] = max(best.get(pair, 0.0), _similarity(mine, theirs, products))
    rows = [
        (mine, theirs, mine == theirs, similarity >= threshold, similarity)
        for (mine, theirs), similarity in best.items()
        if mine == theirs or similarity >= threshold
    ]
    names = ["patient2019", "patient2020", "same_code", "same_recording", "similarity"]
    return pd.DataFrame(rows, columns=names)


class _Voices:
    """The recordings of /a/ in a table: their patients, and their samples without offset."""

    def __init__(self, X: Any) -> None:
        table = as_table(X)
        table = table[column(table, "task", "to find the recordings of /a/") == "phonationA"]
        self.patients = list(patient_ids(table, "to find the speakers of both corpora"))
        self.samples = []
        for i in range(len(table)):
            samples = load_waveform(table.iloc[i], _RATE).astype(np.float64)
            self.samples.append(samples - samples.mean())
        self.longest = max(map(len, self.samples), default=1)


def _similarity(mine: np.ndarray, theirs: np.ndarray, products: np.ndarray) -> float:
    """Return the largest normalised cross-correlation, from the circular one of the two."""
    shifts = np.arange(1 - len(theirs), len(mine))
    begin, end = np.maximum(shifts, 0), np.minimum(shifts + len(theirs), len(mine))
    allowed = end - begin >= min(len(mine), len(theirs)) / 2
    shifts, begin, end = shifts[allowed], begin[allowed], end[allowed]
    energy = _energy(mine, begin, end) * _energy(theirs, begin - shifts, end - shifts)
    # Where one of the two is next to silent, rounding decides: nothing is similar there.
    audible = energy > 1e-9 * np.sum(mine**2) * np.sum(theirs**2)
    if not audible.any():
        return 0.0
    return float(min(1.0, np.max(np.abs(products[shifts[audible]]) / np.sqrt(energy[audible]))))


def _energy(samples: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    running = np.concatenate([[0.0], np.cumsum(samples**2)])
    return running[end] - running[begin]
