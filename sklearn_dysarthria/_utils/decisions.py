"""How a fitted model decides between classes once it has probabilities."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sklearn_dysarthria._utils.votes import winners


@dataclass(frozen=True)
class DecisionRule:
    """A way from probabilities to classes other than the most probable one.

    Parameters
    ----------
    key : hashable
        What the rule is; rules with the same key are equal.
    decide : callable
        ``decide(probabilities, classes)``: positions in `classes`, of shape (n_samples,), from
        probabilities of shape (n_samples, n_classes), none of them NaN.
    """

    key: Hashable
    decide: Callable[[np.ndarray, np.ndarray], np.ndarray] = field(compare=False)


def decision_rule(model: Any) -> DecisionRule | None:
    """Return how a fitted model decides from its probabilities.

    Parameters
    ----------
    model : estimator
        A fitted classifier; a Pipeline, a search and this package's wrappers decide as the model
        inside does.

    Returns
    -------
    DecisionRule or None
        None for the most probable class, and for models that do not say.

    Notes
    -----
    A model with a rule of its own has a method ``_decision_rule``, which returns it; networks keep
    what they were trained for in ``net_.objective``.
    """
    if hasattr(model, "_decision_rule"):
        return model._decision_rule()
    if hasattr(model, "best_estimator_"):
        return decision_rule(model.best_estimator_)
    if hasattr(model, "steps"):
        return decision_rule(model.steps[-1][1])
    objective = getattr(getattr(model, "net_", None), "objective", None)
    if objective is not None:
        return _median(objective) if objective.is_ordinal else None
    # Of scikit-learn's, some hold a model that they overrule, such as FixedThresholdClassifier.
    if type(model).__module__.startswith("sklearn_dysarthria.") and hasattr(model, "estimator_"):
        return decision_rule(model.estimator_)
    return None


def common_rule(models: Iterable[Any]) -> DecisionRule | None:
    """Return the `decision_rule` of all models; None where they differ."""
    rules = {decision_rule(model) for model in models}
    return rules.pop() if len(rules) == 1 else None


def decide(rule: DecisionRule | None, scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the position of each row's class.

    Parameters
    ----------
    rule : DecisionRule or None
        None for the largest score, ties as in `winners`.
    scores : ndarray of shape (n_samples, n_classes)
        Probabilities; without a rule, decision values will do.
    classes : ndarray of shape (n_classes,)
        Labels in order.

    Returns
    -------
    ndarray of shape (n_samples,)
        Positions in `classes`.
    """
    return winners(scores, scores) if rule is None else rule.decide(scores, classes)


Decision = Callable[[np.ndarray], np.ndarray]
"""From probabilities of shape (n_samples, n_classes), none of them NaN, to labels."""


def decision_from_probabilities(model: Any) -> Decision | None:
    """Return what makes the labels of ``model.predict(X)`` out of ``model.predict_proba(X)``.

    Whoever needs classes and probabilities then asks a network only once.

    Parameters
    ----------
    model : estimator
        A fitted classifier; a Pipeline or a search answers as the model inside does.

    Returns
    -------
    callable or None
        ``model._from_probabilities`` where one class defines it beside ``predict`` and
        ``predict_proba``: a subclass that has only some of them anew may answer something else.
        None where the classes are not known to follow from the probabilities.

    Notes
    -----
    Models that decide so only with some parameters, or around some models, tell by a method
    ``_decides_by_probabilities``.
    """
    if hasattr(model, "steps") or hasattr(model, "best_estimator_"):
        if not answers_through_its_parts(model):
            return None
        inner = model.steps[-1][1] if hasattr(model, "steps") else model.best_estimator_
        return decision_from_probabilities(inner)
    names = {"predict", "predict_proba", "_from_probabilities"}
    for owner in type(model).__mro__:
        defined = names & vars(owner).keys()
        if defined:
            if defined != names:
                return None
            depends = getattr(model, "_decides_by_probabilities", None)
            return model._from_probabilities if depends is None or depends() else None
    return None


def decides_as_its_estimator(model: Any) -> bool:
    """Tell whether a wrapper's classes follow from probabilities: ``_decides_by_probabilities``."""
    return decision_from_probabilities(model.estimator_) is not None


def decision_of_its_estimator(model: Any, probabilities: np.ndarray) -> np.ndarray:
    """Decide as the classifier that a wrapper holds: the wrapper's ``_from_probabilities``."""
    decision = decision_from_probabilities(model.estimator_)
    assert decision is not None  # see decides_as_its_estimator
    return decision(probabilities)


def answers_through_its_parts(estimator: Any) -> bool:
    """Tell whether a Pipeline or search answers as its library wrote it, not as a subclass does."""
    for method in ("predict", "predict_proba", "decision_function"):
        author = next((kind for kind in type(estimator).__mro__ if method in vars(kind)), None)
        if author and author.__module__.partition(".")[0] not in ("sklearn", "imblearn"):
            return False
    return True


def at_least(values: np.ndarray, bound: float) -> np.ndarray:
    """Tell which values reach a bound, whatever rounding has done to them."""
    return (values >= bound) | np.isclose(values, bound, rtol=1e-9, atol=1e-12)


def _median(objective: Any) -> DecisionRule:
    return DecisionRule("median", lambda probabilities, classes: objective.decide(probabilities))
