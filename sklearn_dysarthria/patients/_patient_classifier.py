"""The base of models that decide per patient."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sklearn_dysarthria.classifiers._labels import check_labels
from sklearn_dysarthria.patients._splits import check_no_missing_labels
from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids


def _scores_are(method: str) -> Callable[[PatientClassifier], bool]:
    return lambda model: model._score_method() == method


class PatientClassifier(ClassifierMixin, BaseEstimator):
    """Base of classifiers that decide per patient and predict per recording.

    A subclass gives `predict_patients`, a table with one row per patient that has the column
    ``prediction`` and one score column per class (see `_score_columns`), and `_score_method`.
    """

    @abstractmethod
    def predict_patients(self, X):
        """Decide about every patient, as the subclass describes."""

    @abstractmethod
    def _score_method(self) -> str | None:
        """Return which of predict_proba and decision_function the scores are, if any."""

    def _training_table(self, X: Any, y: Any) -> tuple[pd.DataFrame, np.ndarray, pd.Series]:
        """Check a training set; return its table, patients by row, and labels by patient."""
        if y is None:
            raise ValueError(f"{type(self).__name__} needs y, the label of every recording.")
        table = as_table(X)
        if not len(table):
            raise ValueError("There are no recordings to fit on.")
        patients = patient_ids(table, "to decide per patient")
        if isinstance(y, (list, tuple)) and np.asarray(y).dtype.kind in "US":
            y = np.array(y, dtype=object)  # numpy has made strings of any numbers among strings
        labels = column_or_1d(y)
        check_no_missing_labels(labels)
        check_labels(labels)
        return table, patients, one_label_per_patient(patients, labels)

    def predict(self, X):
        """Predict each recording's class, which is its patient's.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        ndarray of shape (n_recordings,)
            The same answer for all recordings of a patient.
        """
        return self._by_row(X, ["prediction"])[:, 0].astype(self.classes_.dtype)

    @available_if(_scores_are("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities of each recording's patient.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        ndarray of shape (n_recordings, n_classes)
            The same row for all recordings of a patient.
        """
        return self._by_row(X, self._score_columns()).astype(np.float64)

    @available_if(_scores_are("decision_function"))
    def decision_function(self, X):
        """Compute decision values of each recording's patient.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        ndarray of shape (n_recordings,) or (n_recordings, n_classes)
            For two classes, positive values favour the second.
        """
        scores = self._by_row(X, self._score_columns()).astype(np.float64)
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def _score_columns(self) -> list[str]:
        check_is_fitted(self, "classes_")
        prefix = "proba" if self._score_method() == "predict_proba" else "decision"
        return [f"{prefix}_{label}" for label in self.classes_]

    def _by_row(self, X: Any, columns: list[str]) -> np.ndarray:
        decided = self.predict_patients(X)
        rows = decided.index.get_indexer(pd.Index(patient_ids(as_table(X)), dtype=object))
        # One by one: to look several labels up together takes pandas longer than all of the vote.
        answers = [decided[column].to_numpy(dtype=object) for column in columns]
        return np.column_stack(answers)[rows]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.no_validation = True
        return tags
