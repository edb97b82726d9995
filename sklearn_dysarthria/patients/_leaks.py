"""Patients on both sides of a split: prevented where possible, told where not."""

from __future__ import annotations

import hashlib
import os
import warnings
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection._search import BaseSearchCV

from sklearn_dysarthria.exceptions import PatientLeakWarning
from sklearn_dysarthria.patients._splits import StratifiedPatientKFold


class TrainingPatients:
    """Who was trained on, and with which recordings; kept as hashes, so that no name is stored.

    Parameters
    ----------
    table : pandas.DataFrame
        The training set.
    patients : array-like of shape (n_recordings,)
        Patient of every row.
    """

    def __init__(self, table: pd.DataFrame, patients: Any) -> None:
        self.patients = {_hash(patient) for patient in patients}
        self.recordings = set(_recordings(table, patients))

    def warn_about(self, table: pd.DataFrame, patients: Any) -> None:
        """Warn if *other* recordings of training patients are about to be judged.

        Judging the training recordings themselves is nobody's mistake for a test.

        Parameters
        ----------
        table : pandas.DataFrame
            Recordings to be judged.
        patients : array-like of shape (n_recordings,)
            Patient of every row.
        """
        known = {patient for patient in pd.unique(patients) if _hash(patient) in self.patients}
        if not known or set(_recordings(table, patients)) <= self.recordings:
            return
        named = ", ".join(sorted(map(str, known))[:5])
        warnings.warn(
            f"{len(known)} of these patients were in the training set with other recordings "
            f"({named}{', …' if len(known) > 5 else ''}): a score on them flatters the model. "
            "Split by patient: cv=StratifiedPatientKFold().",
            PatientLeakWarning,
            stacklevel=4,
        )


def _recordings(table: pd.DataFrame, patients: Any) -> list[bytes]:
    return [_hash((p, _identity(a))) for p, a in zip(patients, table["audio"], strict=True)]


def _identity(audio: Any) -> Any:
    if isinstance(audio, (str, os.PathLike)):
        return os.fspath(audio)
    return hashlib.sha256(np.ascontiguousarray(audio).tobytes()).digest()


def _hash(value: Any) -> bytes:
    return hashlib.sha256(repr(value).encode()).digest()[:16]


def split_searches_by_patient(estimator: Any) -> None:
    """Make the searches inside a recording-level model split by patient.

    A search whose ``cv`` is a number (or left out) would split rows, and put recordings of one
    patient on both sides.  It gets as many folds of patients instead; a splitter that somebody
    chose is left alone.  Other estimators that split inside cannot be told the patients, so
    they draw a warning.

    Parameters
    ----------
    estimator : estimator
        About to be fitted on recordings; changed in place.
    """
    inside = {"": estimator, **estimator.get_params(deep=True)}
    for name, part in inside.items():
        if isinstance(part, type) or not hasattr(part, "get_params"):
            continue
        cv = part.get_params(deep=False).get("cv", "no cv here")
        if not (cv is None or isinstance(cv, Integral)):
            continue
        if isinstance(part, BaseSearchCV):
            folds = StratifiedPatientKFold(5 if cv is None else int(cv), shuffle=False)
            estimator.set_params(**{f"{name}__cv" if name else "cv": folds})
        else:
            warnings.warn(
                f"{type(part).__name__}(cv={cv}) splits recordings, not patients, while it is "
                "fitted: recordings of one patient may be on both sides. Give it one row per "
                "patient (PatientFeaturesClassifier), or a splitter of your own.",
                PatientLeakWarning,
                stacklevel=4,
            )
