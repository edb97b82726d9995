"""What models that decide per patient share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sklearn_dysarthria.classifiers._labels import check_labels
from sklearn_dysarthria.recordings._table import as_table, one_label_per_patient, patient_ids


def _scores_probabilities(model: PatientClassifier) -> bool:
    return model._score_method() == "predict_proba"


def _scores_decisions(model: PatientClassifier) -> bool:
    return model._score_method() == "decision_function"


class PatientClassifier(ClassifierMixin, BaseEstimator):
    """Base of classifiers that decide per patient and answer per recording.

    A subclass gives `predict_patients`, a table with one row per patient that has the column
    ``prediction`` and one score column per class (see `_score_columns`), and `_score_method`.
    """

    @abstractmethod
    def predict_patients(self, X):
        """Decide about every patient; see the subclass."""

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
        refuse_missing_labels(labels)
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

    @available_if(_scores_probabilities)
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

    @available_if(_scores_decisions)
    def decision_function(self, X):
        """Compute decision values of each recording's patient.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        ndarray of shape (n_recordings,) or (n_recordings, n_classes)
            For two classes, positive values speak for the second.
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


def refuse_missing_labels(y: np.ndarray) -> None:
    """Raise where a recording has no label; groups of patients would silently lose it."""
    missing = np.flatnonzero(pd.isna(y))
    if len(missing):
        raise ValueError(f"y has no label at positions {missing[:5].tolist()} (counted from 0).")


def score_method(model: Any) -> str | None:
    """Return which scores a classifier gives: probabilities, else decision values, else None."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            return method
    return None


def scores_by_class(model: Any, method: str, X: Any, n_classes: int) -> np.ndarray:
    """Return a model's scores as one column per class.

    Parameters
    ----------
    model : estimator
        A fitted classifier.
    method : {"predict_proba", "decision_function"}
        What to ask it.
    X : array-like of shape (n_samples, ...)
        What `model` takes.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        See `class_columns`.

    Raises
    ------
    ValueError
        The decision values are those of pairs of classes.
    """
    if method == "decision_function" and n_classes > 2 and _scores_pairs(model):
        # For three classes there are three pairs: the shape alone would not tell.
        raise ValueError(
            "decision values are those of pairs of classes; set decision_function_shape='ovr'."
        )
    answers = np.asarray(getattr(model, method)(X))
    scores = class_columns(answers, n_classes)
    if method == "predict_proba" and answers.dtype == np.float32:
        # Single-precision probabilities add up to 1 only nearly, which metrics complain about.
        scores = scores / scores.sum(axis=1, keepdims=True)
    return scores


def _scores_pairs(model: Any) -> bool:
    if hasattr(model, "best_estimator_"):
        return _scores_pairs(model.best_estimator_)
    if hasattr(model, "steps"):
        return _scores_pairs(model.steps[-1][1])
    if hasattr(model, "estimator_"):
        return _scores_pairs(model.estimator_)
    return getattr(model, "decision_function_shape", None) == "ovo"


def class_columns(scores: Any, n_classes: int) -> np.ndarray:
    """Return decision values as one column per class.

    Parameters
    ----------
    scores : array-like of shape (n_samples,) or (n_samples, n_classes)
        Output of a decision function.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        A single column of a two-class problem becomes ``(-s, s)``.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim == 1:
        scores = np.column_stack([-scores, scores])
    if scores.shape[1] != n_classes:
        raise ValueError(
            f"decision values have {scores.shape[1]} columns for {n_classes} classes; set "
            "decision_function_shape='ovr'."
        )
    return scores
