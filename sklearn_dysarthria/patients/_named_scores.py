"""Scores that scikit-learn has no name for: ordered classes, and models that may abstain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sklearn_dysarthria.patients._ordinal import (
    mae_in_classes,
    quadratic_kappa,
    within_one_class,
)


def _all_classes(model: Any, y: np.ndarray) -> list[Any]:
    """Return the classes that the model knows or the labels hold, in ascending order."""
    classes = np.unique(np.concatenate([model.classes_, y]))
    if classes.dtype.kind not in "biuf":
        raise ValueError(
            f"the classes {classes.tolist()} have no order: use numbers, or give the order to a "
            "metric, as in make_scorer(quadratic_kappa, classes=[...])."
        )
    return classes.tolist()


def _quadratic_kappa(model: Any, X: Any, y: np.ndarray) -> float:
    return quadratic_kappa(y, model.predict(X), _all_classes(model, y))


def _neg_mae_classes(model: Any, X: Any, y: np.ndarray) -> float:
    return -mae_in_classes(y, model.predict(X), _all_classes(model, y))


def _within_one_class(model: Any, X: Any, y: np.ndarray) -> float:
    return within_one_class(y, model.predict(X), _all_classes(model, y))


def _answered(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers, and which of them are classes."""
    answers = np.asarray(model.predict(X))
    classes = set(model.classes_.tolist())
    return answers, np.fromiter((answer in classes for answer in answers.tolist()), bool)


def _coverage(model: Any, X: Any, y: np.ndarray) -> float:
    return float(_answered(model, X)[1].mean())


def _selective_accuracy(model: Any, X: Any, y: np.ndarray) -> float:
    answers, answered = _answered(model, X)
    return float((answers == y)[answered].mean()) if answered.any() else float("nan")


def _selective_balanced_accuracy(model: Any, X: Any, y: np.ndarray) -> float:
    answers, answered = _answered(model, X)
    correct, labels = (answers == y)[answered], y[answered]
    recalls = [correct[labels == label].mean() for label in np.unique(labels)]
    return float(np.mean(recalls)) if recalls else float("nan")


NAMED_SCORES: dict[str, Callable[[Any, Any, np.ndarray], float]] = {
    "coverage": _coverage,
    "neg_mae_classes": _neg_mae_classes,
    "quadratic_kappa": _quadratic_kappa,
    "selective_accuracy": _selective_accuracy,
    "selective_balanced_accuracy": _selective_balanced_accuracy,
    "within_one_class": _within_one_class,
}
"""``score(model, X, y)`` by name; `model` answers one row per patient."""
