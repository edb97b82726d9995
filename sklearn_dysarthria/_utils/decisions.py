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


def decides_by_its_probabilities(model: Any) -> bool:
    """Tell whether ``model.predict(X)`` is what ``model._from_probabilities`` makes of them.

    Whoever needs classes and probabilities then asks a network only once.

    Parameters
    ----------
    model : estimator
        A fitted classifier.

    Returns
    -------
    bool
        True where one class defines ``predict``, ``predict_proba`` and ``_from_probabilities``: a
        subclass that has only some of them anew may answer something else.
    """
    names = {"predict", "predict_proba", "_from_probabilities"}
    for owner in type(model).__mro__:
        defined = names & vars(owner).keys()
        if defined:
            return defined == names
    return False


def at_least(values: np.ndarray, bound: float) -> np.ndarray:
    """Tell which values reach a bound, whatever rounding has done to them."""
    return (values >= bound) | np.isclose(values, bound, rtol=1e-9, atol=1e-12)


def _median(objective: Any) -> DecisionRule:
    return DecisionRule("median", lambda probabilities, classes: objective.decide(probabilities))
