"""Scores of any classifier, as one column for each class."""

from __future__ import annotations

from typing import Any

import numpy as np


def score_method(model: Any) -> str | None:
    """Return which scores a classifier gives: probabilities, else decision values, else None."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            return method
    return None


def scores_for_classes(model: Any, method: str, X: Any, classes: np.ndarray) -> np.ndarray:
    """Return the scores that a fitted classifier's `method` gives `X`, one column per class.

    `classes` are the model's own or more; the scores have shape (n_samples, n_classes), see
    `class_columns`.  Raises ValueError if the decision values are those of pairs of classes, or if
    there are none for some of `classes`.
    """
    known = getattr(model, "classes_", classes)
    if method == "decision_function" and len(known) > 2 and _scores_pairs(model):
        # For three classes there are three pairs: the shape alone does not show it.
        raise ValueError(
            "decision values are those of pairs of classes; set decision_function_shape='ovr'."
        )
    answers = np.asarray(getattr(model, method)(X))
    scores = class_columns(answers, len(known))
    if method == "predict_proba" and answers.dtype == np.float32:
        # Single-precision probabilities add up to 1 only nearly, which metrics complain about.
        scores = scores / scores.sum(axis=1, keepdims=True)
    if len(known) == len(classes):
        return scores
    if method != "predict_proba":
        missing = sorted(set(classes.tolist()) - set(known.tolist()))
        raise ValueError(
            f"a model of some of the recordings was not given classes {missing}, and has no "
            "decision values for them: use a model with predict_proba, or fewer folds."
        )
    out = np.zeros((len(scores), len(classes)))
    out[:, np.searchsorted(classes, known)] = scores
    return out


def _scores_pairs(model: Any) -> bool:
    if hasattr(model, "best_estimator_"):
        return _scores_pairs(model.best_estimator_)
    if hasattr(model, "steps"):
        return _scores_pairs(model.steps[-1][1])
    if hasattr(model, "estimator_"):
        return _scores_pairs(model.estimator_)
    return getattr(model, "decision_function_shape", None) == "ovo"


def class_columns(scores: Any, n_classes: int) -> np.ndarray:
    """Return the output of a decision function as one column per class.

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
