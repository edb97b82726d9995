"""Rows that a transformer could not compute, and how classifiers pass over them."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    _fit_context,
    clone,
)
from sklearn.utils import _safe_indexing, check_consistent_length, get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_is_fitted

from sklearn_dysarthria._utils.decisions import (
    decides_as_its_estimator,
    decision_of_its_estimator,
)
from sklearn_dysarthria._utils.failed_rows import failed_rows
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria.exceptions import RecordingWarning


def warn_left_out(failed: np.ndarray, stacklevel: int) -> None:
    """Warn once, listing the positions of the rows that a fit leaves out."""
    warnings.warn(
        f"{failed.sum()} of {len(failed)} rows are NaN (their recordings could not be used) and "
        f"are left out of the fit: {np.flatnonzero(failed).tolist()}.",
        RecordingWarning,
        stacklevel=stacklevel,
    )


def refuse_overflow(is_finite: np.ndarray, rows: np.ndarray) -> None:
    """Raise where a network's output is no number.

    As NaN probabilities such rows would pass for recordings that could not be used.

    Parameters
    ----------
    is_finite : ndarray of bool of shape (n_rows,)
        Whether the output is.
    rows : ndarray of int of shape (n_rows,)
        What the error calls them.

    Raises
    ------
    ValueError
        It is not for some row.
    """
    if not is_finite.all():
        raise ValueError(
            f"The network overflows on rows {rows[~is_finite].tolist()}: their values are too far "
            "from those it was trained on."
        )


def refuse_failed(failed: np.ndarray, method: str) -> None:
    """Raise where no answer without a recording would be honest."""
    if failed.any():
        raise ValueError(
            f"{method} has no answer for rows {np.flatnonzero(failed).tolist()}, which are NaN: "
            "their recordings could not be used. predict_proba answers NaN there, and "
            "PatientVotingClassifier leaves such rows out of the patient's vote."
        )


def spread(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Put the answers for usable rows back among NaN rows."""
    if usable.all():
        return values
    out = np.full((len(usable), *values.shape[1:]), np.nan, dtype=values.dtype)
    out[usable] = values
    return out


def _estimator_has(method: str) -> Any:
    def check(self: SkipFailedRows) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class SkipFailedRows(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Let any classifier live with recordings that could not be used.

    Transformers with ``on_error="nan"`` turn such a recording into a row of NaN, which most of
    scikit-learn's classifiers refuse.  This wrapper leaves wholly-NaN rows out of the fit, with
    one warning that lists them, and answers NaN for them in `predict_proba` and
    `decision_function`, so that :class:`~sklearn_dysarthria.PatientVotingClassifier` can leave
    them out of the vote.  The package's own classifiers do this by themselves.

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

    # Patients for an estimator that holds some out; asked for by default, as our classifiers do.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

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
        patients = {} if groups is None else groups_for_fit(estimator, groups)
        self.estimator_ = estimator.fit(X, y, **patients)
        self.classes_ = self.estimator_.classes_
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        return self

    def predict(self, X):
        """Predict the class of every row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes.

        Raises
        ------
        ValueError
            Some row is NaN.
        """
        check_is_fitted(self)
        refuse_failed(failed_rows(X), "predict")
        return self.estimator_.predict(X)

    _decides_by_probabilities = decides_as_its_estimator
    _from_probabilities = decision_of_its_estimator

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities; NaN for rows that are NaN.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        return self._answer("predict_proba", X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Compute decision values; NaN for rows that are NaN.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values of `estimator_`.
        """
        return self._answer("decision_function", X)

    def _answer(self, method: str, X: Any) -> np.ndarray:
        check_is_fitted(self)
        usable = ~failed_rows(X)
        ask = getattr(self.estimator_, method)
        if usable.all():
            return ask(X)
        if not usable.any():
            n_classes = len(self.classes_)
            binary = method == "decision_function" and n_classes == 2
            return np.full((_num_samples(X),) if binary else (_num_samples(X), n_classes), np.nan)
        return spread(ask(_safe_indexing(X, np.flatnonzero(usable))), usable)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        # allow_nan too: it speaks of NaN anywhere, and only wholly-NaN rows are dealt with here.
        tags.input_tags = inner.input_tags
        tags.classifier_tags = inner.classifier_tags or tags.classifier_tags
        tags.non_deterministic = inner.non_deterministic
        return tags
