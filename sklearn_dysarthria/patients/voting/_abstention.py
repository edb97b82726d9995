"""The answer about patients of whom a model is not sure enough."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from sklearn_dysarthria._utils.decisions import at_least
from sklearn_dysarthria.patients._leaks import AROUND_THE_PIPELINE


def is_unsure(confidence: np.ndarray, abstain_below: float) -> np.ndarray:
    """Return which confidences are too low; one that rounding has put just below is not."""
    return ~at_least(confidence, abstain_below)


def withhold(
    predicted: np.ndarray, unsure: np.ndarray, label: Any, classes: np.ndarray
) -> np.ndarray:
    """Put ``abstain_label`` in place of the answers that a model is not sure of."""
    return np.where(unsure, check_abstain_label(label, classes), predicted)


def check_abstention(
    abstain_below: float, label: Any, classes: np.ndarray, has_confidence: bool
) -> None:
    """Raise ValueError unless a model can abstain.

    Parameters
    ----------
    abstain_below : float
        Least confidence.
    label : object
        Parameter ``abstain_label``; see `check_abstain_label`.
    classes : ndarray of shape (n_classes,)
        Labels.
    has_confidence : bool
        Whether the model gives probabilities or counts votes.
    """
    check_abstain_label(label, classes)
    if not has_confidence:
        raise ValueError(
            f"abstain_below={abstain_below!r} needs probabilities, which this model does not give: "
            f"let it have predict_proba ({AROUND_THE_PIPELINE}), or vote hard."
        )


def check_abstain_label(label: Any, classes: np.ndarray) -> np.ndarray:
    """Return the answer that means "none", in a type that holds the classes too.

    Parameters
    ----------
    label : object
        Parameter ``abstain_label``.
    classes : ndarray of shape (n_classes,)
        Labels.

    Returns
    -------
    ndarray of shape (1,)
        The label.

    Raises
    ------
    ValueError
        There is none, it is one of the classes, or of another type than they are.
    """
    if label is None:
        raise ValueError(
            "abstain_below needs abstain_label, what predict answers about a patient it is not "
            "sure of."
        )
    if not _is_of_type(label, classes.dtype, classes):
        raise ValueError(
            f"abstain_label={label!r} must be of the labels' type, {classes.dtype}, to stand "
            "among them (two booleans leave no room: encode them as numbers or strings)."
        )
    answer = np.array([label], dtype=object if classes.dtype == object else None)
    if answer[0] in classes.tolist():
        raise ValueError(f"abstain_label={label!r} is one of the classes {classes.tolist()}.")
    if classes.dtype.kind in "iuf":
        return answer.astype(classes.dtype)
    return answer


def _is_of_type(label: Any, dtype: np.dtype, classes: np.ndarray) -> bool:
    if dtype.kind in "US":
        return isinstance(label, (str, bytes)) and np.array([label]).dtype.kind == dtype.kind
    if dtype.kind == "O":
        return type(label) is type(classes[0])
    if dtype.kind == "b" or not isinstance(label, Real) or isinstance(label, (bool, np.bool_)):
        return False
    number = float(label)
    if dtype.kind == "f":
        return bool(np.isfinite(number))
    limits = np.iinfo(dtype)
    return number.is_integer() and limits.min <= number <= limits.max
