"""The average of one model trained from several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils import check_consistent_length, check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.decisions import (
    Decision,
    MostProbable,
    common_decision,
    decision_of,
    winners,
)
from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria.classifiers._failed_rows import check_none_failed
from sklearn_dysarthria.classifiers._labels import check_labels
from sklearn_dysarthria.classifiers._wrapper import ClassifierWrapper, parts_have
from sklearn_dysarthria.recordings import note_failures, noted_failures


class SeedEnsembleClassifier(ClassifierWrapper):
    """Train one model from several seeds and average the copies' probabilities.

    A network's prediction depends on its seed: initial weights, order of the batches, noise.  On a
    few dozen patients that dependence can be larger than the difference between two methods;
    averaging removes part of it and `predict_spread` shows how much there is.

    Parameters
    ----------
    estimator : estimator
        Classifier with a parameter ``random_state``, its own or inside: a Pipeline, another
        ensemble, any nesting.  The members are clones in which every one of these is set.
    n_estimators : int, default=5
        Number of members.
    voting : {"soft", "hard"}, default="soft"
        ``"soft"`` decides on the mean probabilities, by the members' own rule if they have one:
        the median class with an ordinal loss, P(healthy) first for
        :class:`~sklearn_dysarthria.HierarchicalClassifier`, otherwise, or where members differ
        (thresholds found by a search), the largest.  ``"hard"`` predicts the class that most
        members predict.
    random_state : int, RandomState or None, default=None
        Seed of the members' seeds.
    n_jobs : int, optional
        Members trained at the same time, in processes of their own.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted members.
    classes_ : ndarray of shape (n_classes,)
        Labels.

    Notes
    -----
    ``predict_proba`` is the mean over the members for both kinds of vote.  Ties go to the larger
    mean probability, then to the less extreme of the ordered classes, as in
    :class:`~sklearn_dysarthria.PatientVotingClassifier`.

    X may be anything that `estimator` takes: features, images, or a table of recordings.  Around
    a Pipeline every member computes its features anew, unless they are cached; as the last step
    of one, they share them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dysarthria import HyperLinearClassifier, SeedEnsembleClassifier
    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), [0, 0, 1, 1]
    >>> model = SeedEnsembleClassifier(
    ...     HyperLinearClassifier(max_epochs=2), n_estimators=3, random_state=0).fit(X, y)
    >>> len(model.estimators_), model.predict_spread(X).shape
    (3, (4, 2))
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "get_params"])],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "voting": [StrOptions({"soft", "hard"})],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(self, estimator, n_estimators=5, *, voting="soft", random_state=None, n_jobs=None):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.voting = voting
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _parts(self) -> list[Any]:
        return getattr(self, "estimators_", [self.estimator])

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None):
        """Fit the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or table of recordings
            Whatever `estimator` takes.
        y : array-like of shape (n_samples,)
            Labels.
        groups : array-like of shape (n_samples,), optional
            Patient of every sample, handed on to members that take it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Nothing in `estimator` has a seed, or it lacks what `voting` needs.
        """
        forget_fit(self)
        y = check_labels(y)
        check_consistent_length(X, y, groups)
        self._check_soft_vote(self.estimator)
        rng = check_random_state(self.random_state)
        members = [_reseeded(self.estimator, rng) for _ in range(self.n_estimators)]
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_member)(member, X, y, groups) for member in members
        )
        for _, failed in fitted:
            note_failures(failed)
        self._check_soft_vote(fitted[0][0])
        self.estimators_ = [member for member, _ in fitted]
        self._take_attributes(self.estimators_[0], ("classes_",))
        return self

    def _check_soft_vote(self, member: Any) -> None:
        # Some, such as StackingClassifier, have their methods only after the fit.
        lacking = hasattr(member, "predict") and not hasattr(member, "predict_proba")
        if self.voting == "soft" and lacking:
            raise ValueError(
                f"voting='soft' needs predict_proba, which {type(member).__name__} lacks; give "
                "voting='hard'."
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
            Labels out of `classes_`.

        Raises
        ------
        ValueError
            A row is NaN: there is no recording to decide on.
        """
        check_is_fitted(self, "estimators_")
        ties, by_member = None, [None] * len(self.estimators_)
        if hasattr(self, "predict_proba"):
            by_member = [member.predict_proba(X) for member in self.estimators_]
            ties = _normalized(by_member).mean(axis=0)
            check_none_failed(np.isnan(ties).any(axis=1), "predict")
            if self.voting == "soft":
                return self.classes_[self._decision()(ties, self.classes_)]
        answers = [
            np.searchsorted(self.classes_, _labels(member, X, probabilities))
            for member, probabilities in zip(self.estimators_, by_member, strict=True)
        ]
        votes = np.eye(len(self.classes_))[np.array(answers)].sum(axis=0)
        return self.classes_[winners(votes, votes if ties is None else ties)]

    def _decision(self) -> Decision:
        if self.voting == "hard":
            return MostProbable()  # of means; `predict` counts the members' classes
        return replace(common_decision(self.estimators_), same_as_predict=True)

    @available_if(parts_have("predict_proba"))
    def predict_proba(self, X):
        """Predict class probabilities: the mean over the members; NaN for rows that are NaN.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or table of recordings
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`.
        """
        return self._by_member(X).mean(axis=0)

    @available_if(parts_have("predict_proba"))
    def predict_spread(self, X):
        """Return how far the members are apart.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), or table of recordings
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Standard deviation of each class's probability over the members; 0 where all agree,
            0.5 at most.  It shows what depends on the seed, not what depends on the choice of
            the training patients.
        """
        return self._by_member(X).std(axis=0)

    def _by_member(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "estimators_")
        return _normalized([member.predict_proba(X) for member in self.estimators_])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).classifier_tags
        if inner is not None:
            tags.classifier_tags.poor_score = inner.poor_score
            tags.classifier_tags.multi_class = inner.multi_class
        return tags


def _reseeded(estimator: Any, rng: np.random.RandomState) -> Any:
    """Return a clone with every parameter ``random_state`` set."""
    member = clone(estimator)
    names = [
        name
        for name in member.get_params(deep=True)
        if name == "random_state" or name.endswith("__random_state")
    ]
    if not names:
        raise ValueError(
            f"nothing in {type(estimator).__name__} has a parameter random_state: its copies would "
            "all be the same. Average different models with VotingClassifier."
        )
    return member.set_params(**{name: int(rng.randint(2**31 - 1)) for name in sorted(names)})


def _fit_member(member: Any, X: Any, y: Any, groups: Any) -> tuple[Any, set[Any]]:
    # Collected here, since other processes do not share what is noted in this one.
    with noted_failures() as failed:
        member.fit(X, y, **groups_for_fit(member, groups))
    return member, failed


def _labels(member: Any, X: Any, probabilities: np.ndarray | None) -> np.ndarray:
    """Return a member's labels, without a second pass if they follow from its probabilities."""
    decision = decision_of(member)
    if probabilities is None or not decision.same_as_predict:
        return member.predict(X)
    return member.classes_[decision(probabilities, member.classes_)]


def _normalized(by_member: Sequence[Any]) -> np.ndarray:
    """Stack the members' probabilities, and bring each row's to a sum of 1."""
    probabilities = np.array(by_member, dtype=np.float64)
    return probabilities / probabilities.sum(axis=2, keepdims=True)
