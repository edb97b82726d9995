"""Weights of the classes in the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject


class ClassWeight(ParameterObject):
    """Base of the ways to weight classes by the number of their rows."""

    kind = "an object"
    is_optional = True
    plain_types = (Mapping,)

    def _proportions(self, counts: np.ndarray) -> np.ndarray:
        """Return what the weights of classes with so many rows, 1 or more, are proportional to."""
        raise NotImplementedError

    def _weights(self, counts: np.ndarray) -> np.ndarray:
        """Return weights of classes with so many rows, 1 or more; their mean over the rows is 1."""
        weights = self._proportions(counts)
        return weights * (counts.sum() / (weights * counts).sum())


class Balanced(ClassWeight):
    """Weights inverse to the number of rows."""

    def _proportions(self, counts: np.ndarray) -> np.ndarray:
        """Return 1 / n, over the number of classes and times the number of rows."""
        return counts.sum() / (len(counts) * counts)

    _weights = _proportions


class InverseSqrt(ClassWeight):
    """Weights inverse to the square root of the number of rows."""

    def _proportions(self, counts: np.ndarray) -> np.ndarray:
        """Return 1 / √n."""
        return 1 / np.sqrt(counts)


class EffectiveNumber(ClassWeight):
    """Weights inverse to the effective number of rows, (1 - β) / (1 - β**n) for n rows.

    Parameter object of the classifiers, ``class_weight=EffectiveNumber(beta=0.99)``;
    ``"effective_number"`` is ``EffectiveNumber()``.

    Parameters
    ----------
    beta : float, default=0.999
        β; 0 is no weighting, and towards 1 it becomes the balanced one.

    References
    ----------
    Y. Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
    arXiv:1901.05555, equation 4.

    Examples
    --------
    >>> from sklearn_dysarthria import EffectiveNumber
    >>> EffectiveNumber(beta=0.99)
    EffectiveNumber(beta=0.99)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "beta": [Interval(Real, 0, 1, closed="left")]
    }

    def __init__(self, *, beta=0.999):
        self.beta = beta

    def _proportions(self, counts: np.ndarray) -> np.ndarray:
        """Return (1 - β) / (1 - β**n)."""
        if not self.beta:
            return np.ones(len(counts))
        # 1 - β**n keeps its digits for a β near 1, where it is nearly n · (1 - β).
        return (1 - self.beta) / -np.expm1(counts * math.log(self.beta))


ClassWeight.named = {
    "balanced": Balanced,
    "effective_number": EffectiveNumber,
    "inverse_sqrt": InverseSqrt,
}


def class_weights(
    class_weight: ClassWeight | Mapping[Any, float], classes: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """Return one weight per class, of shape (n_classes,); 1 for a class without rows.

    A mapping of labels to weights is taken as it is, and labels that it leaves out weigh 1;
    ValueError if it names labels that are no classes, or a weight is not a finite number of 0 or
    more.  `codes` are class numbers of the rows as trained on.
    """
    if isinstance(class_weight, Mapping):
        return _given_weights(class_weight, classes)
    counts = np.bincount(codes, minlength=len(classes))
    present = counts > 0
    weights = np.ones(len(classes))
    weights[present] = class_weight._weights(counts[present])
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
