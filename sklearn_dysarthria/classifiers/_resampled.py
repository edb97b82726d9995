"""A classifier that resamples its training set, and keeps rows and patients together."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import _num_samples, column_or_1d

from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria._utils.repeated_rows import RepeatedRows
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria.classifiers._wrapper import DelegatingClassifier


def _class_with_fit(estimator: Any) -> type:
    """Return the class whose `fit` an estimator has."""
    return next(kind for kind in type(estimator).__mro__ if "fit" in vars(kind))


def _can_repeat_by_position(sampler: Any, estimator: Any, X: Any) -> bool:
    """Return whether images need not be copied: our sampler looks at labels alone."""
    from sklearn_dysarthria.preprocessing import RecordingOverSampler  # imbalanced-learn: slow

    return (
        type(sampler) is RecordingOverSampler
        # Not where a subclass has a fit of its own, which does not take such rows.
        and "_takes_repeated_rows" in vars(_class_with_fit(estimator))
        and isinstance(X, np.ndarray)
        and X.ndim != 2  # vectors are small, and the sampler records their number of columns
    )


class ResampledClassifier(DelegatingClassifier):
    """Resample the training set of a classifier, patients included.

    A sampler as a step of :class:`imblearn.pipeline.Pipeline` changes the rows and the labels,
    but not the patients that a fit was given, which therefore cannot reach the steps behind it.
    This classifier, as the last step of any Pipeline, resamples all three, so that early stopping
    on whole patients works with over-sampled rows.

    Parameters
    ----------
    sampler : sampler
        Any sampler of imbalanced-learn, or :class:`~sklearn_dysarthria.RecordingOverSampler`.
    estimator : estimator
        Classifier that is fitted on the resampled rows.

    Attributes
    ----------
    sampler_, estimator_ : estimator
        The fitted parts.
    classes_ : ndarray of shape (n_classes,)
        Labels in order.

    See Also
    --------
    SkipFailedRows : Put it around this classifier if recordings may fail, for samplers that
        reject NaN.

    Notes
    -----
    Patients are known behind samplers that repeat or leave out rows and list the rows in
    ``sample_indices_``.  SMOTE and its variants make new rows between those of two patients; an
    `estimator` that needs patients then raises an error.

    A :class:`~sklearn_dysarthria.RecordingOverSampler` in front of one of the package's classifiers
    of images costs no memory: the images are not copied, only their positions are repeated.

    All copies of a patient's rows are the patient's: they stay on one side of an inner split, and
    the patients held out are resampled as well.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_dysarthria import RecordingOverSampler, ResampledClassifier
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 0, 0, 1]
    >>> sampler = RecordingOverSampler(multipliers={1: 3})
    >>> model = ResampledClassifier(sampler, LogisticRegression()).fit(X, y)
    >>> model.predict([[0.0], [3.0]])
    array([0, 1])
    """

    _parameter_constraints = {
        "sampler": [HasMethods(["fit_resample"])],
        "estimator": [HasMethods(["fit", "predict"])],
    }

    def __init__(self, sampler: Any, estimator: Any) -> None:
        self.sampler = sampler
        self.estimator = estimator

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, groups: Any = None) -> ResampledClassifier:
        """Resample the rows and fit the classifier on them.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the sampler and the classifier take.
        y : array-like of shape (n_samples,)
            Labels.
        groups : array-like of shape (n_samples,), optional
            Patient of every row; handed on if `estimator` takes it and the sampler lists
            the rows that it has drawn.

        Returns
        -------
        ResampledClassifier
            The estimator itself.

        Raises
        ------
        ValueError
            The lengths differ, or the sampler or classifier rejects the rows.
        """
        forget_fit(self)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y, groups)
        sampler, estimator = clone(self.sampler), clone(self.estimator)
        if _can_repeat_by_position(sampler, estimator, X):
            sampler.fit_resample(np.arange(len(X)), y)
            rows, labels = RepeatedRows(X, sampler.sample_indices_), y
        else:
            rows, labels = sampler.fit_resample(X, y)
            sampled = getattr(sampler, "sample_indices_", None)
            is_known = sampled is not None and len(sampled) == _num_samples(rows)
            if groups is not None:
                groups = _safe_indexing(groups, np.asarray(sampled)) if is_known else None
        self._take_fitted(estimator.fit(rows, labels, **groups_for_fit(estimator, groups)))
        self.sampler_ = sampler
        return self
