"""Weights of tasks in a patient's decision: given, or learned out of fold."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from sklearn_dysarthria._utils.decisions import Decision
from sklearn_dysarthria._utils.tasks import name_for_task
from sklearn_dysarthria.exceptions import RecordingWarning, UnknownTaskError
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
