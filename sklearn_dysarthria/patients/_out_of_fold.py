"""What models say about patients they were not fitted on, inside a training set."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from sklearn_dysarthria.exceptions import PatientError, PatientLeakWarning, RecordingWarning
from sklearn_dysarthria.patients._leaks import heeds_patients
from sklearn_dysarthria.patients._recording_models import (
    Models,
    fit_models,
    model_of_each_row,
    recording_votes,
)
from sklearn_dysarthria.patients._splits import StratifiedPatientKFold
from sklearn_dysarthria.patients.fusion._items import sorted_patients


def out_of_fold_votes(
    models: Models,
    table: pd.DataFrame,
    y: np.ndarray,
    patients: np.ndarray,
    classes: np.ndarray,
    method: str | None,
    cv: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Ask models about each recording that were fitted on other patients.

    Parameters
    ----------
    models : dict
        Models to clone and fit in every fold.
    table : pandas.DataFrame
        Recordings.
    y : ndarray of shape (n_recordings,)
        Labels.
    patients : ndarray of shape (n_recordings,)
        Patient of every recording.
    classes : ndarray of shape (n_classes,)
        Labels in order.
    method : {"predict_proba", "decision_function", None}
        See `recording_votes`.
    cv : int or splitter
        Number of folds of patients, or what makes them.

    Returns
    -------
    codes, scores : ndarray
        As from `recording_votes`; code -1 also where a fold had training recordings of one class
        or none for the task's model.

    Raises
    ------
    PatientError
        A fold has a patient on both sides.
    ValueError
        The folds do not test every recording once.
    """
    codes = np.full(len(table), -1)
    scores = np.full((len(table), len(classes)), np.nan)
    for train, test in _folds(table, y, patients, cv):
        with warnings.catch_warnings():
            # The fit on all patients has told already.
            warnings.simplefilter("ignore", RecordingWarning)
            warnings.simplefilter("ignore", PatientLeakWarning)
            train = train[_can_be_learned(models, table.iloc[train], y[train])]
            fitted, _ = fit_models(models, table.iloc[train], y[train], patients[train])
            askable = test[_have_model(models, fitted, table.iloc[test])]
            codes[askable], scores[askable] = recording_votes(
                fitted, table.iloc[askable], classes, method
            )
    return codes, scores


def _folds(
    table: pd.DataFrame, y: np.ndarray, patients: np.ndarray, cv: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    numbers, names = pd.factorize(patients)
    if isinstance(cv, Integral):
        return _folds_of_sorted_patients(table, y, patients, int(cv))
    splitter = cv
    groups = {"groups": numbers} if heeds_patients(splitter) else {}
    folds = list(splitter.split(table, y, **groups))
    times_tested = np.zeros(len(table), dtype=int)
    for train, test in folds:
        both = np.intersect1d(numbers[train], numbers[test])
        if len(both):
            raise PatientError(
                f"cv={cv!r} puts patient {names[both[0]]!r} on both sides of an inner fold.",
                remedy="Give a number of folds, or StratifiedPatientKFold.",
            )
        times_tested[test] += 1
    if (times_tested != 1).any():
        raise ValueError(
            f"cv={cv!r} does not test every recording exactly once, which weights and stacking "
            "need; give a number of folds, or StratifiedPatientKFold."
        )
    return folds


def _folds_of_sorted_patients(
    table: pd.DataFrame, y: np.ndarray, patients: np.ndarray, n_splits: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Make folds that do not depend on the order of the rows."""
    rank = {patient: rank for rank, patient in enumerate(sorted_patients(patients))}
    order = np.argsort([rank[patient] for patient in patients], kind="stable")
    folds = StratifiedPatientKFold(n_splits, shuffle=False).split(table.iloc[order], y[order])
    return [(np.sort(order[train]), np.sort(order[test])) for train, test in folds]


def _can_be_learned(models: Models, table: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    """Tell which recordings go to a model that is given two classes or more."""
    keys = model_of_each_row(models, table)
    # Not pandas: the key of the model for all other tasks is None, which it takes for missing.
    classes = {key: set(y[keys == key].tolist()) for key in models}
    return np.fromiter((len(classes[key]) > 1 for key in keys), bool, len(table))


def _have_model(models: Models, fitted: Models, table: pd.DataFrame) -> np.ndarray:
    """Tell which recordings go to a model that this fold could fit."""
    # Asked of all models: a recording must not go to another one because its own is missing.
    keys = model_of_each_row(models, table)
    return np.fromiter((key in fitted for key in keys), bool, len(table))
