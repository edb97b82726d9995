"""Rows of NaN, which transformers make of recordings that could not be used."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria._utils.failed_rows import failed_rows
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria.classifiers._wrapper import DelegatingClassifier
from sklearn_dysarthria.exceptions import RecordingWarning


def warn_left_out(failed: np.ndarray, stacklevel: int) -> None:
    """Warn once, listing the positions of the rows that a fit leaves out."""
    warnings.warn(
        f"{failed.sum()} of {len(failed)} rows are NaN (their recordings could not be used) and "
        f"are left out of the fit: {np.flatnonzero(failed).tolist()}.",
        RecordingWarning,
        stacklevel=stacklevel,
    )


def check_no_overflow(is_finite: np.ndarray, rows: np.ndarray) -> None:
    """Raise ValueError, naming the rows, where a network's output for them is not finite.

    As NaN probabilities such rows would pass for recordings that could not be used.
    """
    if not is_finite.all():
        raise ValueError(
            f"The network overflows on rows {rows[~is_finite].tolist()}: their values are too far "
            "from those it was trained on."
        )


def check_none_failed(failed: np.ndarray, method: str) -> None:
    """Raise ValueError for a method that needs a recording in every row, and lacks one."""
    if failed.any():
        raise ValueError(
            f"{method} has no answer for rows {np.flatnonzero(failed).tolist()}, which are NaN: "
            "their recordings could not be used. predict_proba answers NaN there, and "
            "PatientVotingClassifier leaves such rows out of the patient's vote."
        )


def with_nan_rows(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return one row per sample from the values of the usable ones; the others are NaN."""
    if usable.all():
        return values
    out = np.full((len(usable), *values.shape[1:]), np.nan, dtype=values.dtype)
    out[usable] = values
    return out


class SkipFailedRows(DelegatingClassifier):
    """Make any classifier skip recordings that could not be used.

    Transformers with ``on_error="nan"`` turn such a recording into a row of NaN, which most of
    scikit-learn's classifiers reject.  This wrapper leaves wholly-NaN rows out of the fit, with
    one warning that lists them, and returns NaN for them in `predict_proba` and
    `decision_function`, so that :class:`~sklearn_dysarthria.PatientVotingClassifier` can leave
    them out of the vote; `predict` raises ValueError.  The package's own classifiers do this by
    themselves.

    Parameters
    ----------
    estimator : estimator
        Any classifier on feature vectors.

    Attributes
    ----------
    estimator_ : estimator
        The fitted classifier.
    classes_ : ndarray of shape (n_classes,)
        Its classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_dysarthria import SkipFailedRows
    >>> X, y = np.array([[-1.0], [0.0], [1.0]]), [0, 0, 1]
    >>> model = SkipFailedRows(LogisticRegression()).fit(X, y)
    >>> np.isnan(model.predict_proba([[np.nan], [2.0]])).tolist()
    [[True, True], [False, False]]
    """

    _parameter_constraints = {"estimator": [HasMethods(["fit", "predict"])]}

    def __init__(self, estimator):
        self.estimator = estimator

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None):
        """Fit the classifier on the rows that are not NaN.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Labels.
        groups : array-like of shape (n_samples,), optional
            Patient of every sample, handed on to an `estimator` that takes it.

        Returns
        -------
        self
        """
        forget_fit(self)
        check_consistent_length(X, y, groups)
        failed = failed_rows(X)
        if failed.all() and len(failed):
            raise ValueError("Every row is NaN: none of the recordings could be used.")
        if failed.any():
            warn_left_out(failed, stacklevel=4)
            keep = np.flatnonzero(~failed)
            X, y = _safe_indexing(X, keep), _safe_indexing(y, keep)
            groups = None if groups is None else _safe_indexing(groups, keep)
        estimator = clone(self.estimator)
        self._take_fitted(estimator.fit(X, y, **groups_for_fit(estimator, groups)))
        return self

    def _answer(self, method: str, X: Any) -> np.ndarray:
        check_is_fitted(self, "estimator_")
        failed = failed_rows(X)
        if method == "predict":
            check_none_failed(failed, method)
        if not failed.any():
            return super()._answer(method, X)
        if failed.all():
            n_classes = len(self.classes_)
            binary = method == "decision_function" and n_classes == 2
            return np.full((_num_samples(X),) if binary else (_num_samples(X), n_classes), np.nan)
        usable = np.flatnonzero(~failed)
        return with_nan_rows(super()._answer(method, _safe_indexing(X, usable)), ~failed)
