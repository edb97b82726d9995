"""Weights of the classes in the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

CLASS_WEIGHTS = ("balanced", "effective_number", "inverse_sqrt")


def class_weights(
    class_weight: str | Mapping[Any, float], classes: np.ndarray, codes: np.ndarray, beta: float
) -> np.ndarray:
    """Compute one weight per class.

    Parameters
    ----------
    class_weight : {"balanced", "effective_number", "inverse_sqrt"} or mapping
        With n_k rows of class k, the weight is proportional to 1 / n_k, to
        (1 - β) / (1 - β**n_k) [1]_, or to 1 / √n_k, and scaled so that its mean over the rows is
        1.  A mapping of labels to weights is taken as it is; labels it leaves out weigh 1.
    classes : ndarray of shape (n_classes,)
        Labels, sorted.
    codes : ndarray of int
        Class numbers of the rows as trained on.
    beta : float
        β of the effective number, in [0, 1).

    Returns
    -------
    ndarray of shape (n_classes,)
        The weights; 1 for a class without rows.

    Raises
    ------
    ValueError
        A mapping names labels that are no classes, or gives one a weight that is not a finite
        number of 0 or more.

    References
    ----------
    .. [1] Y. Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
       arXiv:1901.05555, equation 4.
    """
    if isinstance(class_weight, Mapping):
        return _given_weights(class_weight, classes)
    counts = np.bincount(codes, minlength=len(classes))
    present = counts > 0
    weights = np.ones(len(classes))
    if class_weight == "effective_number":
        # 1 - β**n keeps its digits for a β near 1, where it is nearly n · (1 - β).
        unseen = -np.expm1(counts[present] * math.log(beta)) if beta else 1.0
        weights[present] = (1 - beta) / unseen
    elif class_weight == "inverse_sqrt":
        weights[present] = 1 / np.sqrt(counts[present])
    else:
        weights[present] = compute_class_weight(
            class_weight, classes=classes[present], y=classes[codes]
        )
        return weights
    weights[present] *= counts.sum() / (weights * counts).sum()
    return weights


def _given_weights(given: Mapping[Any, float], classes: np.ndarray) -> np.ndarray:
    # Not by scikit-learn, which takes text for a number where it reads as one.
    known = classes.tolist()
    for label, weight in given.items():
        if label not in known:
            raise ValueError(f"class_weight names {label!r}, which is not among {known}.")
        is_number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not is_number or not math.isfinite(weight) or weight < 0:
            raise ValueError(
                f"class_weight[{label!r}]={weight!r} must be a finite number of 0 or more."
            )
    return np.array([given.get(label, 1.0) for label in known], dtype=np.float64)
