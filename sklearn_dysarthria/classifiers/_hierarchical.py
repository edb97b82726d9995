"""Healthy or patient first, severity among the patients second."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils import _safe_indexing, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.decisions import Decision, MostProbable, at_least, decision_of
from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria.classifiers._failed_rows import check_none_failed
from sklearn_dysarthria.classifiers._labels import check_labels, check_patients
from sklearn_dysarthria.classifiers._wrapper import ClassifierWrapper, parts_have


@dataclass(frozen=True)
class HealthyFirst(Decision):
    """Decide on healthy or not by P(healthy), then between the other classes by `grades`.

    From a probability of `threshold` of being a patient on, a sample is graded.
    """

    healthy: Any
    threshold: float
    grades: Decision

    def __call__(self, probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the position of each row's class."""
        is_healthy = classes == self.healthy
        codes = np.repeat(np.flatnonzero(is_healthy), len(probabilities))
        ill = at_least(1 - probabilities[:, is_healthy][:, 0], self.threshold)
        graded = probabilities[np.ix_(ill, ~is_healthy)]
        total = graded.sum(axis=1, keepdims=True)
        # With threshold=0, all grades may have probability 0.
        graded = np.divide(graded, total, out=np.zeros_like(graded), where=total > 0)
        codes[ill] = np.flatnonzero(~is_healthy)[self.grades(graded, classes[~is_healthy])]
        return codes


class HierarchicalClassifier(ClassifierWrapper):
    """Decide between healthy and ill first, and on severity among the ill only.

    Severity grades are steps of one scale; "healthy" is no step of it: a patient without
    dysarthria and a healthy speaker may sound the same, and yet only one is ill.  So a
    `detector` learns healthy against everything else, and a `grader` learns the other classes
    from samples of patients alone.

    Parameters
    ----------
    detector : estimator
        Classifier of healthy (0) against patient (1), which are the labels it is given, for
        ``class_weight`` and the like.
    grader : estimator, optional
        Classifier of the labels other than `healthy`; None takes another clone of `detector`.
    healthy : label
        The label of healthy speakers (5 in SAND).
    threshold : float, default=0.5
        Probability of being a patient from which on a sample is graded.

    Attributes
    ----------
    detector_ : estimator
        The fitted detector.
    grader_ : estimator or None
        The fitted grader; None if the patients have one label only.
    classes_ : ndarray of shape (n_classes,)
        Labels in order.

    Notes
    -----
    ``predict`` returns `healthy` where P(patient) is below `threshold`, and the grader's class
    otherwise.  ``predict_proba`` gives P(healthy) and, for the other classes,
    P(patient) · P(class | patient), in the order of `classes_`.  Its largest entry need not be
    the predicted class: with P(patient) = 0.6 divided evenly among four grades, healthy has the
    largest.  :class:`~sklearn_dysarthria.PatientVotingClassifier` counts the decisions with
    ``voting="hard"``; with ``"soft"`` and ``"weighted"`` it averages the probabilities and decides
    on the mean as here: 1 - P(healthy) against `threshold`, then the grader's rule on the
    other classes.  :class:`~sklearn_dysarthria.SeedEnsembleClassifier` does the same.

    A detector without ``predict_proba`` decides by its own ``predict``, and `threshold` must stay
    at 0.5; there is no ``predict_proba`` then.

    X may be anything that `detector` and `grader` take: features, images, or a table of
    recordings, if they are Pipelines that begin with it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_dysarthria import HierarchicalClassifier
    >>> X, y = np.array([[0.0], [0.5], [4.0], [4.5], [7.0], [7.5]]), [5, 5, 2, 2, 1, 1]
    >>> model = HierarchicalClassifier(LogisticRegression(), healthy=5).fit(X, y)
    >>> model.predict([[0.0], [4.0], [8.0]])
    array([5, 2, 1])
    """

    _parameter_constraints = {
        "detector": [HasMethods(["fit", "get_params"])],
        "grader": [HasMethods(["fit", "get_params"]), None],
        "healthy": "no_validation",
        "threshold": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(self, detector, grader=None, *, healthy, threshold=0.5):
        self.detector = detector
        self.grader = grader
        self.healthy = healthy
        self.threshold = threshold

    _holds = ("detector", "grader")

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None):
        """Fit the detector on all samples and the grader on those of patients.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or table of recordings
            Whatever `detector` and `grader` take.
        y : array-like of shape (n_samples,)
            Labels, `healthy` among them.
        groups : array-like of shape (n_samples,), optional
            Patient of every sample, handed on to parts that take it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            `healthy` is not among the labels (True is not 1), or all there is; a `threshold` other
            than 0.5 for a detector without ``predict_proba``.
        """
        forget_fit(self)
        y = check_labels(y)
        check_consistent_length(X, y, groups)
        if groups is not None:
            groups = check_patients(groups)
        classes = np.unique(y)
        # True would pass for 1.
        same_kind = isinstance(self.healthy, (bool, np.bool_)) == (classes.dtype.kind == "b")
        if self.healthy not in classes.tolist() or not same_kind:
            raise ValueError(
                f"healthy={self.healthy!r} is not among the labels {classes.tolist()}."
            )
        if len(classes) < 2:
            raise ValueError(f"All labels are healthy={self.healthy!r}: there are no patients.")
        ill = y != self.healthy
        detector = clone(self.detector)
        self._check_threshold(detector)
        detector.fit(X, ill.astype(int), **groups_for_fit(detector, groups))
        self._check_threshold(detector)
        self.detector_ = detector
        self.grader_ = None
        if len(classes) > 2:
            grader = clone(self.detector if self.grader is None else self.grader)
            rows = np.flatnonzero(ill)
            patients = None if groups is None else groups[rows]
            graded = _safe_indexing(X, rows)
            self.grader_ = grader.fit(graded, y[rows], **groups_for_fit(grader, patients))
        self._take_attributes(detector)
        self.classes_ = classes
        return self

    def _check_threshold(self, detector: Any) -> None:
        # Some, such as StackingClassifier, have their methods only after the fit.
        lacking = hasattr(detector, "predict") and not hasattr(detector, "predict_proba")
        if self.threshold != 0.5 and lacking:
            raise ValueError(
                f"threshold={self.threshold!r} needs a detector with predict_proba; "
                f"{type(detector).__name__} has none."
            )

    def predict(self, X):
        """Predict the class of every sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or table of recordings
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            `healthy`, or the grader's class.

        Raises
        ------
        ValueError
            A row is NaN: there is no recording to decide on.
        """
        check_is_fitted(self, "classes_")
        of_patient = self._probability_of_patient(X)
        check_none_failed(np.isnan(of_patient), "predict")
        # 1 - P(healthy), as in HealthyFirst: both must decide the same.
        ill = at_least(1 - (1 - of_patient), self.threshold)
        # Not np.full: a type that holds all labels, strings of any length too.
        predicted = np.repeat(self.classes_[self.classes_ == self.healthy], len(ill))
        rows = np.flatnonzero(ill)
        if not len(rows):
            return predicted
        decision = self._decision()
        if self.grader_ is None:
            predicted[rows] = self.classes_[self.classes_ != self.healthy]
        elif decision.same_as_predict:
            graded = self.grader_.predict_proba(_safe_indexing(X, rows))
            joint = self._joint(of_patient[rows], graded)
            failed = np.zeros(len(ill), dtype=bool)
            failed[rows] = np.isnan(joint).any(axis=1)
            check_none_failed(failed, "predict")
            predicted[rows] = self.classes_[decision(joint, self.classes_)]
        else:
            predicted[rows] = self.grader_.predict(_safe_indexing(X, rows))
        return predicted

    def _probability_of_patient(self, X: Any) -> np.ndarray:
        if not hasattr(self.detector_, "predict_proba"):
            return (np.asarray(self.detector_.predict(X)) == 1).astype(np.float64)
        probabilities = np.asarray(self.detector_.predict_proba(X), dtype=np.float64)
        return probabilities[:, 1] / probabilities.sum(axis=1)

    def _decision(self) -> Decision:
        if not hasattr(self, "predict_proba"):
            return MostProbable()
        if self.grader_ is None:
            grades: Decision = MostProbable(same_as_predict=True)
        else:
            grades = decision_of(self.grader_)
        # Near threshold=0, a detector that is certain of "healthy" makes all grades 0.
        same_as_predict = self.threshold >= 1e-6 and grades.same_as_predict
        return HealthyFirst(self.healthy, self.threshold, grades, same_as_predict=same_as_predict)

    def _joint(self, of_patient: np.ndarray, graded: Any) -> np.ndarray:
        """Return P(healthy), and P(patient) · P(class | patient) for the other classes."""
        out = np.empty((len(of_patient), len(self.classes_)))
        healthy = self.classes_ == self.healthy
        out[:, healthy] = 1 - of_patient[:, None]
        graded = np.asarray(graded, dtype=np.float64)
        out[:, ~healthy] = of_patient[:, None] * (graded / graded.sum(axis=1, keepdims=True))
        return out

    @available_if(parts_have("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities; NaN for rows that are NaN.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or table of recordings
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`.
        """
        check_is_fitted(self, "classes_")
        of_patient = self._probability_of_patient(X)
        alone = np.ones((len(of_patient), 1))
        graded = alone if self.grader_ is None else self.grader_.predict_proba(X)
        out = self._joint(of_patient, graded)
        # A row that is NaN for one part is NaN as a whole.
        out[np.isnan(out).any(axis=1)] = np.nan
        return out
