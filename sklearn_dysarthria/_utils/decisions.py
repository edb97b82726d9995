"""How probabilities become classes: one protocol for networks, wrappers, ensembles and votes.

A classifier that does not simply take its most probable class has a method ``_decision`` that
returns a `Decision`.  `decision_of` finds it inside Pipelines, searches and wrappers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Decision(ABC):
    """A way from probabilities to classes; equal to others of the same kind and parameters.

    Parameters
    ----------
    same_as_predict : bool, default=False
        Whether the model that decides so has a ``predict`` that gives exactly these classes.  Then
        a model that was asked for its probabilities need not be asked for its classes.
    """

    same_as_predict: bool = field(default=False, compare=False, kw_only=True)

    @abstractmethod
    def __call__(self, probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the position of each row's class.

        Parameters
        ----------
        probabilities : ndarray of shape (n_samples, n_classes)
            None of them is NaN.
        classes : ndarray of shape (n_classes,)
            Labels in order.

        Returns
        -------
        ndarray of int of shape (n_samples,)
            Positions in `classes`.
        """


@dataclass(frozen=True)
class MostProbable(Decision):
    """Take the most probable class, ties as in `winners`; decision values will do, too."""

    def __call__(self, probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the position of each row's largest entry."""
        return winners(probabilities, probabilities)


@dataclass(frozen=True)
class MedianClass(Decision):
    """Take the median of ordered classes.

    It counts the k for which P(y > k) exceeds a half, which is how the authors of CORAL and CORN
    predict.
    """

    def __call__(self, probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the position of each row's median."""
        above = probabilities[:, :0:-1].cumsum(axis=1)[:, ::-1]
        return (above > 0.5).sum(axis=1)


def decision_of(model: Any) -> Decision:
    """Return how a fitted model decides once it has probabilities.

    Parameters
    ----------
    model : estimator
        A fitted classifier; a Pipeline or a search decides as the model inside does.

    Returns
    -------
    Decision
        `MostProbable` for models that do not say.  ``same_as_predict`` is False for a subclass
        that redefines ``predict`` or ``predict_proba`` without ``_decision``.
    """
    if hasattr(model, "steps") or hasattr(model, "best_estimator_"):
        inner = model.steps[-1][1] if hasattr(model, "steps") else model.best_estimator_
        decision, is_its_own = decision_of(inner), answers_through_its_parts(model)
    elif hasattr(model, "_decision"):
        answers = {"predict", "predict_proba", "_decision"}
        author = next(kind for kind in type(model).__mro__ if answers & vars(kind).keys())
        decision, is_its_own = model._decision(), "_decision" in vars(author)
    else:
        return MostProbable()
    return decision if is_its_own else replace(decision, same_as_predict=False)


def common_decision(models: Iterable[Any]) -> Decision:
    """Return how all of these models decide; `MostProbable` if they differ."""
    first, *others = (decision_of(model) for model in models)
    return first if all(other == first for other in others) else MostProbable()


def answers_through_its_parts(estimator: Any) -> bool:
    """Return whether a Pipeline or search has the methods of its library, not a subclass's."""
    for method in ("predict", "predict_proba", "decision_function"):
        author = next((kind for kind in type(estimator).__mro__ if method in vars(kind)), None)
        if author and author.__module__.partition(".")[0] not in ("sklearn", "imblearn"):
            return False
    return True


def winners(votes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the class with most votes; ties by score, then by closeness to the middle.

    Parameters
    ----------
    votes, scores : ndarray of shape (n_samples, n_classes)
        Votes for each of the ordered classes, and what breaks a tie between them.

    Returns
    -------
    ndarray of int of shape (n_samples,)
        Position of each row's class; the lower of two that are equally extreme.
    """
    tied = _equal(votes, votes.max(axis=1, keepdims=True))
    best = np.where(tied, scores, -np.inf).max(axis=1, keepdims=True)
    tied &= _equal(scores, best)
    n_classes = votes.shape[1]
    from_the_middle = np.argsort(np.abs(np.arange(n_classes) - (n_classes - 1) / 2), kind="stable")
    return from_the_middle[tied[:, from_the_middle].argmax(axis=1)]


def at_least(values: np.ndarray, bound: float) -> np.ndarray:
    """Return which values reach a bound; one that rounding has put just below it does."""
    return (values >= bound) | _equal(values, bound)


def _equal(values: np.ndarray, others: Any) -> np.ndarray:
    return np.isclose(values, others, rtol=1e-9, atol=1e-12)
