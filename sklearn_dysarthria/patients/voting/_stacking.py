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
    """Fit a classifier of patients.

    Parameters
    ----------
    final_estimator : estimator or None
        See `or_default`; a clone is fitted.
    means : ndarray of shape (n_patients, n_tasks, n_classes)
        Out-of-fold scores from `PatientVotes.task_means`.
    labels, patients : ndarray of shape (n_patients,)
        Class and name of every patient.

    Returns
    -------
    final_estimator, imputer : estimator
        Fitted on the patients with any score; the imputer fills in the training means for tasks
        that a patient lacks.
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
    """Decide about patients from the means of their tasks.

    Parameters
    ----------
    final_estimator, imputer : estimator
        From `fit_stack`.
    means : ndarray of shape (n_patients, n_tasks, n_classes)
        From `PatientVotes.task_means`.
    classes : ndarray of shape (n_classes,)
        Labels in order.

    Returns
    -------
    codes : ndarray of shape (n_patients,)
        Position of each patient's class.
    scores : ndarray of shape (n_patients, n_classes)
        Scores of `final_estimator`; for one with nothing but ``predict``, 1 for its class.
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
