"""Cross-validation that keeps every patient on one side."""

from __future__ import annotations

import inspect
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator, StratifiedKFold
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, column_or_1d

from sklearn_dysarthria.exceptions import PatientError
from sklearn_dysarthria.recordings import one_label_per_patient, patient_ids


def _patients(X: Any, groups: Any) -> np.ndarray:
    """Patient of every row, from the table or, for other inputs, from ``groups``."""
    if isinstance(X, pd.DataFrame) and "patient" in X.columns:
        # Patients are all that a split needs: a table of features beside them will do.
        return patient_ids(X if "audio" in X.columns else X[["patient"]].assign(audio=None))
    if groups is None:
        raise ValueError(
            "Splitting by patient needs a table with column 'patient', or groups with the "
            "patient of every row; inside a Pipeline the table is gone, so put what splits around "
            "the whole Pipeline."
        )
    groups = column_or_1d(np.asarray(groups, dtype=object))
    if len(groups) != _num_samples(X):
        raise ValueError(f"groups names {len(groups)} patients for {_num_samples(X)} rows.")
    missing = np.flatnonzero(pd.isna(groups))
    if len(missing):
        # They would end up in every training part and in no test part.
        raise PatientError(
            f"groups names no patient at positions {missing[:5].tolist()} (counted from 0).",
            remedy="Fill them in, or leave these rows out.",
        )
    return groups


def check_no_missing_labels(y: np.ndarray) -> None:
    """Raise ValueError if a recording has no label; pandas would silently drop it."""
    missing = np.flatnonzero(pd.isna(y))
    if len(missing):
        raise ValueError(f"y has no label at positions {missing[:5].tolist()} (counted from 0).")


class _PatientSplitter(BaseCrossValidator):
    # Column `patient` of X is enough; `groups` is used only if it is there.
    __metadata_request__split = {"groups": True}

    def __repr__(self) -> str:
        given = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        parameters = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"{type(self).__name__}({parameters})"


class StratifiedPatientKFold(_PatientSplitter):
    """K-fold cross-validation over patients, stratified by their class.

    The folds are those of :class:`sklearn.model_selection.StratifiedKFold` over the list of
    patients, so that class proportions among *patients* are kept for any number of
    recordings each of them made.  No patient is ever in both training and test part.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds; no more than the largest class has patients.
    shuffle : bool, default=True
        Shuffle patients within each class first.
    random_state : int, RandomState or None, default=None
        Seed of the shuffling.

    See Also
    --------
    RepeatedStratifiedPatientKFold : The same, several times.

    Examples
    --------
    >>> from sklearn_dysarthria import StratifiedPatientKFold, make_dysarthric_speech
    >>> X, y = make_dysarthric_speech(n_patients=10, random_state=0)
    >>> for train, test in StratifiedPatientKFold(5, random_state=0).split(X, y):
    ...     assert not set(X["patient"].iloc[train]) & set(X["patient"].iloc[test])
    """

    def __init__(self, n_splits=5, *, shuffle=True, random_state=None):
        if not isinstance(n_splits, Integral) or n_splits < 2:
            raise ValueError(f"n_splits={n_splits!r} must be an integer of 2 or more.")
        if not isinstance(shuffle, bool):
            raise TypeError(f"shuffle={shuffle!r} must be True or False.")
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : ignored
            Present for API consistency.

        Returns
        -------
        int
            The number of folds.
        """
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Yield training and test rows, patient by patient.

        Parameters
        ----------
        X : table of recordings, or anything with rows
            Column ``patient`` names the patients.
        y : array-like of shape (n_recordings,)
            Labels; one per patient.
        groups : array-like of shape (n_recordings,), optional
            Patients, for an `X` that does not name them.

        Yields
        ------
        train, test : ndarray of int
            Positions of rows.

        Raises
        ------
        MissingColumnError
            A row has no patient.
        PatientError
            A patient carries two labels.
        ValueError
            No patients are known, there is no `y` or not of every row, or no class has
            `n_splits` patients.
        """
        if y is None:
            raise ValueError("Splitting by patient needs y to stratify by.")
        patients = _patients(X, groups)
        labels = column_or_1d(y)
        check_no_missing_labels(labels)
        label_of = one_label_per_patient(patients, labels)
        row_patient = label_of.index.get_indexer(pd.Index(patients, dtype=object))
        seed = self.random_state if self.shuffle else None
        folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=seed)
        codes = np.unique(label_of.to_numpy().astype(labels.dtype), return_inverse=True)[1]
        for _, test_patients in folds.split(np.zeros(len(label_of)), codes):
            in_test = np.isin(row_patient, test_patients)
            yield np.flatnonzero(~in_test), np.flatnonzero(in_test)


class RepeatedStratifiedPatientKFold(_PatientSplitter):
    """Repeat :class:`StratifiedPatientKFold` with another shuffling each time.

    Parameters
    ----------
    n_splits : int, default=5
        Folds per repetition.
    n_repeats : int, default=10
        Repetitions.
    random_state : int, RandomState or None, default=None
        Seed of all shufflings.

    Examples
    --------
    >>> from sklearn_dysarthria import RepeatedStratifiedPatientKFold
    >>> RepeatedStratifiedPatientKFold(n_splits=5, n_repeats=3).get_n_splits()
    15
    """

    def __init__(self, n_splits=5, *, n_repeats=10, random_state=None):
        StratifiedPatientKFold(n_splits)  # checks n_splits
        if not isinstance(n_repeats, Integral) or n_repeats < 1:
            raise ValueError(f"n_repeats={n_repeats!r} must be an integer of 1 or more.")
        self.n_splits = n_splits
        self.n_repeats = n_repeats
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds of all repetitions.

        Parameters
        ----------
        X, y, groups : ignored
            Present for API consistency.

        Returns
        -------
        int
            ``n_splits * n_repeats``.
        """
        return self.n_splits * self.n_repeats

    def split(self, X, y=None, groups=None):
        """Yield training and test rows, repetition by repetition.

        Parameters
        ----------
        X, y, groups
            As in :meth:`StratifiedPatientKFold.split`.

        Yields
        ------
        train, test : ndarray of int
            Positions of rows; the first `n_splits` pairs are the first repetition.
        """
        rng = check_random_state(self.random_state)
        for _ in range(self.n_repeats):
            seed = int(rng.randint(2**31 - 1))
            yield from StratifiedPatientKFold(self.n_splits, random_state=seed).split(X, y, groups)
