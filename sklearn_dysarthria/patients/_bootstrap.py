"""Confidence intervals from resampling patients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils._param_validation import (
    Interval,
    validate_parameter_constraints,
    validate_params,
)

from sklearn_dysarthria.exceptions import SmallClassWarning
from sklearn_dysarthria.recordings import one_label_per_patient

FEW_PATIENTS = 5
_DRAWS = {
    "confidence": [Interval(Real, 0, 1, closed="neither")],
    "n_resamples": [Interval(Integral, 1, None, closed="left")],
}


class BootstrapResult(NamedTuple):
    """A metric and its interval."""

    value: Any
    """Metric on the data as they are: a float, or an array if the metric returns several."""
    low: Any
    """Lower end of the interval."""
    high: Any
    """Upper end of the interval."""


@validate_params(
    {"metric": [callable], **_DRAWS, "random_state": ["random_state"]},
    prefer_skip_nested_validation=True,
)
def patient_bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], Any],
    y_true: Any,
    y_pred: Any,
    *,
    patients: Any = None,
    repeats: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    random_state: Any = None,
) -> BootstrapResult:
    """Compute a metric and its patient-bootstrap confidence interval.

    Patients are drawn with replacement within each class, all rows of a patient together; the
    interval is between percentiles of the metric over the draws [1]_.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred)`` returns a float, or an array of several metrics at once.
    y_true : array-like of shape (n_samples,)
        True labels; one per patient.
    y_pred : array-like of shape (n_samples, ...)
        Predictions or scores, as `metric` takes them.
    patients : array-like of shape (n_samples,), optional
        Patient of each row.  None means that each row is another patient; with `repeats`, the
        first row of every repetition is then the first patient, and so on.
    repeats : array-like of shape (n_samples,), optional
        Repetition of cross-validation that each row comes from.  The metric is then computed
        within each repetition and averaged, on the same drawn patients, so that repetitions do
        not pass for more patients.
    confidence : float, default=0.95
        Coverage of the interval.
    n_resamples : int, default=2000
        Number of draws.  Those in which `metric` is NaN (a class missing from a fold, say) do
        not count.
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Returns
    -------
    BootstrapResult
        ``(value, low, high)``.

    Warns
    -----
    SmallClassWarning
        A class has fewer than five patients: resampling so few means little.

    References
    ----------
    .. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Examples
    --------
    >>> from sklearn.metrics import accuracy_score
    >>> from sklearn_dysarthria import patient_bootstrap
    >>> y_true, y_pred = [0] * 10 + [1] * 10, [0] * 8 + [1] * 12
    >>> result = patient_bootstrap(accuracy_score, y_true, y_pred, random_state=0)
    >>> result.value, bool(result.low < 0.9 < result.high)
    (0.9, True)
    """
    y_true, y_pred = column_or_1d(y_true), np.asarray(y_pred)
    rounds = np.zeros(len(y_true), int) if repeats is None else column_or_1d(repeats)
    if patients is None:
        patients = np.empty(len(y_true), int)
        for repeat in np.unique(rounds):
            patients[rounds == repeat] = np.arange((rounds == repeat).sum())
    patients = column_or_1d(patients)
    check_consistent_length(y_true, y_pred, patients, rounds)
    if not len(y_true):
        raise ValueError("There are no predictions to score.")
    for name, values in {"y_true": y_true, "patients": patients, "repeats": rounds}.items():
        if pd.isna(values).any():
            raise ValueError(f"{name} has missing values.")

    blocks = _rows_by_patient(patients, rounds)
    label_of = one_label_per_patient(patients, y_true)
    members = [np.flatnonzero(label_of == label) for label in np.unique(y_true)]
    warn_about_small_classes(label_of, stacklevel=4)

    rng = check_random_state(random_state)
    drawn = [
        np.concatenate([rng.choice(group, len(group)) for group in members])
        for _ in range(n_resamples)
    ]
    drawn.append(np.arange(len(label_of)))  # last, every patient once: the value itself
    rows = [np.concatenate([block[i] for i in some]) for some in drawn for block in blocks]
    scores = np.asarray([metric(y_true[index], y_pred[index]) for index in rows], dtype=float)
    *draws, value = scores.reshape(len(drawn), len(blocks), *scores.shape[1:]).mean(axis=1)
    tail = (1 - confidence) / 2
    with warnings.catch_warnings():
        # A metric that no draw defines has NaN for an interval.
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        low, high = np.nanquantile(np.asarray(draws), [tail, 1 - tail], axis=0)
    if np.ndim(value) == 0:
        return BootstrapResult(float(value), float(low), float(high))
    return BootstrapResult(value, low, high)


def _rows_by_patient(patients: np.ndarray, rounds: np.ndarray) -> list[list[np.ndarray]]:
    """Rows of every patient (in order of first appearance), repetition by repetition."""
    names = list(dict.fromkeys(patients.tolist()))
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.array([code_of[name] for name in patients.tolist()])
    blocks = []
    for repeat in np.unique(rounds):
        rows = np.flatnonzero(rounds == repeat)
        ordered = rows[np.argsort(codes[rows], kind="stable")]
        starts = np.searchsorted(codes[ordered], np.arange(1, len(names)))
        blocks.append(np.split(ordered, starts))
    return blocks


def check_draws(confidence: Any, n_resamples: Any, caller_name: str = "patient_bootstrap") -> None:
    """Raise ValueError unless an interval of this coverage can be drawn this often."""
    given = {"confidence": confidence, "n_resamples": n_resamples}
    validate_parameter_constraints(_DRAWS, given, caller_name=caller_name)


def warn_about_small_classes(label_of: pd.Series, stacklevel: int) -> None:
    """Warn about classes in which figures mean little; `label_of` is the label by patient."""
    sizes = label_of.value_counts(sort=False)
    few = sorted((str(label), n) for label, n in sizes.items() if n < FEW_PATIENTS)
    if few:
        listed = ", ".join(f"{label}: {n}" for label, n in few)
        warnings.warn(
            f"Fewer than {FEW_PATIENTS} patients in a class ({listed}); its figures and their "
            "intervals mean little.",
            SmallClassWarning,
            stacklevel=stacklevel,
        )
