"""Whether a model has met patients or recordings before: by names, and by samples."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria.exceptions import RecordingError
from sklearn_dysarthria.recordings import load_waveform, patient_ids


def hash_of(patient: Any) -> str:
    """Return what stands for a patient in a model file.

    Parameters
    ----------
    patient : object
        Identifier, spelled as text: a table file gives text, a program perhaps numbers.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    return hashlib.sha256(str(patient).encode()).hexdigest()


def recording_hashes(X: pd.DataFrame) -> list[str | None]:
    """Return what stands for the samples of every recording, whatever its file is called.

    Parameters
    ----------
    X : pandas.DataFrame
        Table of recordings.

    Returns
    -------
    list of str or None
        First half of the hexadecimal SHA-256 of the decoded samples, segments apart; None
        for a recording that cannot be read.
    """
    found: list[str | None] = []
    whole = X.drop(columns="segments", errors="ignore")
    for i in range(len(whole)):
        try:
            samples = load_waveform(whole.iloc[i])
        except RecordingError:  # whoever needs the recording says what is wrong with it
            found.append(None)
            continue
        found.append(hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()[:32])
    return found


def training_patients(facts: dict[str, Any], patients: Any) -> list[Any]:
    """Return those patients whose names were in a model's training set.

    Parameters
    ----------
    facts : dict
        See :func:`~sklearn_dysarthria.cli._model_file.describe_model`.
    patients : array-like
        Identifiers.

    Returns
    -------
    list
        In order of first appearance.
    """
    known = set(facts["patients_sha256"])
    return [patient for patient in pd.unique(np.asarray(patients)) if hash_of(patient) in known]


def renamed_patients(facts: dict[str, Any], X: pd.DataFrame) -> list[Any]:
    """Return those patients of whom a recording was trained on, whatever they are called here.

    Parameters
    ----------
    facts : dict
        See :func:`~sklearn_dysarthria.cli._model_file.describe_model`.
    X : pandas.DataFrame
        Table of recordings, whose audio is read.

    Returns
    -------
    list
        In order of first appearance.
    """
    known = set(facts["recordings_sha256"])
    met = np.array([found in known for found in recording_hashes(X)], dtype=bool)
    return list(pd.unique(patient_ids(X)[met]))


def named(patients: list[Any]) -> str:
    """Name the first five patients."""
    return ", ".join(map(str, patients[:5])) + (", …" if len(patients) > 5 else "")
