"""A patient's decision from several tasks: by weights, given or learned, or by stacking.

Scores arrive as means of shape (n_patients, n_tasks, n_classes), from `PatientVotes.task_means`:
out of fold where something is learned, NaN where a patient lacks a task.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from sklearn_dysarthria._utils.decisions import Decision
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria._utils.tasks import name_for_task
from sklearn_dysarthria.exceptions import RecordingWarning, UnknownTaskError
from sklearn_dysarthria.patients._class_scores import score_method, scores_for_classes
from sklearn_dysarthria.patients.voting._recording_models import check_all_used


def weighted_means(means: np.ndarray, weights: np.ndarray, names: Iterable[Any]) -> np.ndarray:
    """Average the tasks that each patient has by their weights, which are not negative.

    `means` are from `PatientVotes.task_means`; the result has shape (n_patients, n_classes).  If
    all tasks of a patient have weight 0, they count equally, with one warning that lists these
    patients by `names`.
    """
    present = ~np.isnan(means[:, :, 0])
    effective = present * weights
    weightless = effective.sum(axis=1) == 0
    if weightless.any():
        listed = [str(name) for name, lost in zip(names, weightless, strict=True) if lost]
        warnings.warn(
            f"{len(listed)} patients have only recordings of tasks with weight 0, which count "
            f"equally for them: {', '.join(listed)}.",
            RecordingWarning,
            stacklevel=4,
        )
        effective[weightless] = present[weightless]
    shares = effective / effective.sum(axis=1, keepdims=True)
    return np.einsum("pt,ptc->pc", shares, np.where(present[:, :, None], means, 0.0))


def check_task_weights(task_weights: Mapping[str, Any], tasks: Iterable[Any]) -> dict[str, float]:
    """Return given weights by task or group of tasks as numbers, if they fit the training tasks.

    Raises ValueError if a weight is no number, negative or infinite, or all are 0, and
    :class:`UnknownTaskError` if a task has no weight, or a weight no task.
    """
    weights = {}
    for name, weight in task_weights.items():
        number = float(weight) if isinstance(weight, Real) else np.nan
        if isinstance(weight, bool) or not 0 <= number < np.inf:
            raise ValueError(f"task_weights[{name!r}]={weight!r} must be a number of 0 or more.")
        weights[name] = number
    if not any(weights.values()):
        raise ValueError("task_weights must have a weight above 0.")
    used = {_entry(task, weights) for task in tasks}
    check_all_used("task_weights", weights, used)
    return weights


def weight_of(task: Any, weights: Mapping[str, float]) -> float:
    """Return the weight of a task or its group, or raise UnknownTaskError."""
    return weights[_entry(task, weights)]


def _entry(task: Any, weights: Mapping[str, float]) -> str:
    name = name_for_task(task, weights)
    if name is None:
        raise UnknownTaskError(
            f"task {task!r} has no weight; known are {sorted(weights)}.",
            remedy="Leave its recordings out, or name it or its group in task_weights.",
        )
    return name


def learn_task_weights(
    means: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
    order: list[Any],
    decision: Decision,
) -> dict[Any, float]:
    """Weigh each task by how far its out-of-fold decisions are better than chance.

    `means` are from `PatientVotes.task_means`, with the tasks of `order`; `labels` are the
    patients' classes; `decision` turns scores into positions in `classes`.  The weights, by task,
    add up to 1.  A task whose balanced accuracy over its patients does not exceed chance has weight
    0; if no task does, all have the same weight, with a warning.
    """
    excess = np.array(
        [_excess_over_chance(means[:, t], labels, classes, decision) for t in range(len(order))]
    )
    if not excess.any():
        warnings.warn(
            "No task decides better than chance on patients it was not trained on: all get the "
            "same weight.",
            UserWarning,
            stacklevel=5,
        )
        excess = np.ones(len(order))
    return dict(zip(order, (excess / excess.sum()).tolist(), strict=True))


def _excess_over_chance(
    scores: np.ndarray, labels: np.ndarray, classes: np.ndarray, decision: Decision
) -> float:
    recorded = ~np.isnan(scores[:, 0])
    scores, labels = scores[recorded], labels[recorded]
    if not len(labels):
        return 0.0
    correct = classes[decision(scores, classes)] == labels
    occurring = np.unique(labels)
    recalls = [correct[labels == label].mean() for label in occurring]
    return max(0.0, float(np.mean(recalls)) - 1 / len(occurring))


# ------------------------------------------------------------------------ stacking


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
