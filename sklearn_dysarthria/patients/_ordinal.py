"""Metrics for classes with an order: how far off, not only whether."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length, column_or_1d


def quadratic_kappa(y_true: Any, y_pred: Any, classes: Any = None) -> float:
    """Agreement beyond chance, where a mistake counts by its squared distance in classes.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels.
    classes : array-like of shape (n_classes,), optional
        All labels, from one end of the scale to the other.  None takes the numbers that occur,
        in ascending order; strings have no order and need `classes`.

    Returns
    -------
    float
        1 for perfect agreement, 0 for what chance would reach, negative below that [1]_.  NaN
        if both hold nothing but the same single class, where chance agrees too.

    Raises
    ------
    ValueError
        There are no samples, a label is missing or not among `classes`, or the order is unknown.

    References
    ----------
    .. [1] J. Cohen, "Weighted kappa: Nominal scale agreement provision for scaled disagreement or
       partial credit", Psychological Bulletin 70 (1968), 213-220.

    Examples
    --------
    >>> from sklearn_dysarthria import quadratic_kappa
    >>> quadratic_kappa([1, 2, 3, 4, 5], [1, 2, 3, 4, 4])
    0.941...
    """
    true, predicted, n_classes = _ranks(y_true, y_pred, classes)
    # In whole numbers, so that what is exactly 0 or -1 comes out as that.
    observed = len(true) * int(np.sum((true - predicted) ** 2))
    counts = [np.bincount(ranks, minlength=n_classes) for ranks in (true, predicted)]
    distance = np.subtract.outer(np.arange(n_classes), np.arange(n_classes)) ** 2
    expected = int(counts[0] @ distance @ counts[1])
    return 1 - observed / expected if expected else float("nan")


def mae_in_classes(y_true: Any, y_pred: Any, classes: Any = None) -> float:
    """Mean distance between true and predicted class, in steps of the ordered classes.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels.
    classes : array-like of shape (n_classes,), optional
        As in :func:`quadratic_kappa`.  Give them where a class in the middle may not occur: the
        step over it would be lost.

    Returns
    -------
    float
        0 for no mistakes, number of classes less 1 at worst.

    Raises
    ------
    ValueError
        As in :func:`quadratic_kappa`.

    Examples
    --------
    >>> from sklearn_dysarthria import mae_in_classes
    >>> mae_in_classes(["mild", "severe"], ["mild", "mild"], classes=["mild", "moderate", "severe"])
    1.0
    """
    true, predicted, _ = _ranks(y_true, y_pred, classes)
    return float(np.mean(np.abs(true - predicted)))


def within_one_class(y_true: Any, y_pred: Any, classes: Any = None) -> float:
    """Share of predictions that are right or one class off.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels.
    classes : array-like of shape (n_classes,), optional
        As in :func:`mae_in_classes`.

    Returns
    -------
    float
        Between 0 and 1; always 1 for two classes, and easily high for three.

    Raises
    ------
    ValueError
        As in :func:`quadratic_kappa`.

    Examples
    --------
    >>> from sklearn_dysarthria import within_one_class
    >>> within_one_class([1, 2, 3, 4], [2, 2, 1, 4])
    0.75
    """
    true, predicted, _ = _ranks(y_true, y_pred, classes)
    return float(np.mean(np.abs(true - predicted) <= 1))


def _ranks(y_true: Any, y_pred: Any, classes: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the position of every label on the scale, and how many positions there are."""
    given = {"y_true": _labels(y_true, "y_true"), "y_pred": _labels(y_pred, "y_pred")}
    check_consistent_length(*given.values())
    if not len(given["y_true"]):
        raise ValueError("There are no predictions to score.")
    if classes is None:
        for name, labels in given.items():
            if labels.dtype.kind not in "biuf":
                raise ValueError(
                    f"{name} holds labels such as {labels[0]!r}, which have no order; give "
                    "classes, all labels from one end of the scale to the other."
                )
        scale = np.unique(np.concatenate(list(given.values()))).tolist()
    else:
        scale = _scale(classes)
        if len(set(scale)) < len(scale):
            raise ValueError(f"classes={scale} names a class twice.")
    position = {label: rank for rank, label in enumerate(scale)}
    ranks = []
    for name, labels in given.items():
        unknown = [label for label in labels.tolist() if label not in position]
        if unknown:
            raise ValueError(f"{name} holds {unknown[0]!r}, which is not among classes {scale}.")
        ranks.append(np.array([position[label] for label in labels.tolist()], dtype=int))
    return ranks[0], ranks[1], len(scale)


def _scale(classes: Any) -> list[Any]:
    if isinstance(classes, list):
        return classes
    ordered = np.asarray(classes)
    if ordered.ndim != 1 or isinstance(classes, (str, bytes)):
        # A set, which has no order, has no dimension to numpy.
        raise ValueError(
            f"classes={classes!r} must be a list of all labels, from one end of the scale to the "
            "other."
        )
    return ordered.tolist()


def _labels(labels: Any, name: str) -> np.ndarray:
    labels = column_or_1d(labels)
    missing = np.flatnonzero(pd.isna(labels))
    if len(missing):
        raise ValueError(f"{name} has no label at positions {missing[:5].tolist()} (from 0).")
    # Numbers kept as objects are numbers, as from a column of a table.
    return np.array(labels.tolist()) if labels.dtype.kind == "O" else labels
