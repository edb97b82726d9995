"""Stacking: a classifier of patients on the scores of recording-level models, task by task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria.exceptions import UnknownTaskError
from sklearn_dysarthria.patients._class_scores import score_method, scores_for_classes


def or_default(final_estimator: Any) -> Any:
    """Return the classifier of patients; for None a logistic regression with balanced classes."""
    if final_estimator is None:
        from sklearn.linear_model import LogisticRegression  # slow, and not for other votes

        return LogisticRegression(class_weight="balanced")
    return final_estimator


def fit_stack(
    final_estimator: Any, means: np.ndarray, labels: np.ndarray, patients: np.ndarray
) -> tuple[Any, Any]:
    """Fit a clone of `final_estimator` (see `or_default`) on the patients with any score.

    `means` are out-of-fold scores of shape (n_patients, n_tasks, n_classes), from
    `PatientVotes.task_means`; `labels` and `patients` are the class and the name of every patient.
    Return the classifier, and an imputer that fills in the training means for tasks that a patient
    lacks.
    """
    from sklearn.impute import SimpleImputer

    known = ~np.isnan(means).all(axis=(1, 2))
    # A task that no patient has out of fold leaves its columns 0, not away.
    imputer = SimpleImputer(keep_empty_features=True)
    features = imputer.fit_transform(_columns(means[known]))
    final_estimator = clone(or_default(final_estimator))
    groups = groups_for_fit(final_estimator, patients[known])
    return final_estimator.fit(features, labels[known], **groups), imputer


def decide_stacked(
    final_estimator: Any, imputer: Any, means: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Decide about patients from the means of their tasks, with what `fit_stack` returned.

    `means` are as there.  Return the position of each patient's class in `classes`, and scores of
    shape (n_patients, n_classes): those of `final_estimator`, or 1 for its class if it has nothing
    but ``predict``.
    """
    if not len(means):
        return np.empty(0, dtype=int), np.empty((0, len(classes)))
    features = imputer.transform(_columns(means))
    codes = np.searchsorted(classes, final_estimator.predict(features))
    method = score_method(final_estimator)
    if method is None:
        return codes, np.eye(len(classes))[codes]
    return codes, scores_for_classes(final_estimator, method, features, classes)


def check_known_tasks(table: pd.DataFrame, tasks: np.ndarray, known: list[Any]) -> None:
    """Raise UnknownTaskError for a task that has no column in the stack."""
    for row, task in zip(table.index, tasks, strict=True):
        if task not in known:
            raise UnknownTaskError(
                f"task {task!r} was not in the training set; known are {known}.",
                row=row,
                remedy="Leave its recordings out.",
            )


def _columns(means: np.ndarray) -> np.ndarray:
    # Of two classes, the score of the second determines the other.
    means = means[:, :, 1:] if means.shape[2] == 2 else means
    return means.reshape(len(means), -1)
