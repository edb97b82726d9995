"""The base of classifiers that hold other classifiers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.decisions import Decision, decision_of


def parts_have(method: str) -> Any:
    """Return the condition that all classifiers inside have a method, for ``available_if``."""

    def check(wrapper: ClassifierWrapper) -> bool:
        for part in wrapper._parts():
            getattr(part, method)  # its AttributeError says what is missing
        return True

    return check


class ClassifierWrapper(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Base of classifiers that hold others.

    A subclass lists in `_holds` the parameters that are classifiers, the most important one first;
    the fitted ones have the same names with an underscore.  It says in ``_decision`` how
    probabilities become classes (:mod:`sklearn_dysarthria._utils.decisions`), and its ``fit``
    calls `~sklearn_dysarthria._utils.estimators.forget_fit` first.
    """

    _holds: tuple[str, ...] = ("estimator",)
    # Patients for classifiers that hold some out; requested by default.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def _parts(self) -> list[Any]:
        """Return the classifiers inside: fitted ones after the fit, given ones before."""
        parts = [getattr(self, f"{name}_", getattr(self, name)) for name in self._holds]
        return [part for part in parts if part is not None]

    def _take_attributes(self, part: Any, names: tuple[str, ...] = ()) -> None:
        """Copy what a fitted part knows about its input, and the attributes named."""
        for name in ("n_features_in_", "feature_names_in_", *names):
            if hasattr(part, name):
                setattr(self, name, getattr(part, name))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(getattr(self, self._holds[0]))
        tags.input_tags = inner.input_tags
        tags.non_deterministic = inner.non_deterministic
        tags.no_validation = inner.no_validation
        return tags


class DelegatingClassifier(ClassifierWrapper):
    """Base of wrappers that change how one classifier is fitted, and then answer as it does."""

    def _answer(self, method: str, X: Any) -> np.ndarray:
        check_is_fitted(self, "estimator_")
        return getattr(self.estimator_, method)(X)

    def _decision(self) -> Decision:
        return decision_of(self.estimator_)

    def predict(self, X):
        """Predict the class of every row, as `estimator_` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the classifier takes.

        Returns
        -------
        ndarray of shape (n_samples,)
            Classes.
        """
        return self._answer("predict", X)

    @available_if(parts_have("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities, as `estimator_` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the classifier takes.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`.
        """
        return self._answer("predict_proba", X)

    @available_if(parts_have("decision_function"))
    def decision_function(self, X):
        """Compute decision values, as `estimator_` does.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            What the classifier takes.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Decision values of `estimator_`.
        """
        return self._answer("decision_function", X)

    def _take_fitted(self, estimator: Any) -> None:
        self._take_attributes(estimator, ("classes_",))
        self.estimator_ = estimator  # last, since it makes the wrapper a fitted one

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = get_tags(self.estimator).classifier_tags or tags.classifier_tags
        return tags
