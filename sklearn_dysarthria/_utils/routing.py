"""Hand the patients of the training rows to the parts of a model that need them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from sklearn import get_config
from sklearn.base import MetaEstimatorMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.metadata_routing import get_routing_for_object


def groups_for_fit(estimator: Any, groups: Any) -> dict[str, Any]:
    """Return the keyword arguments that hand ``groups`` to the parts that take them.

    Parameters
    ----------
    estimator : estimator
        A classifier, a Pipeline, a search over either, or a meta-estimator whose ``fit`` takes
        ``groups``, nested to any depth.  With metadata routing enabled, requests behind
        a sampler, or in a StackingClassifier that cannot serve them, are withdrawn in place.
    groups : array-like of shape (n_samples,) or None
        Patients.

    Returns
    -------
    dict
        Arguments for ``estimator.fit``: with metadata routing enabled plain ``groups`` if any
        part requests it, otherwise names such as ``clf__groups``, as Pipelines take them.
        Empty without `groups`, or if no part takes them.

    Notes
    -----
    A sampler of imbalanced-learn changes the rows but not the metadata, so that patients and
    rows no longer belong together behind it: no part there gets any.

    scikit-learn's VotingClassifier and StackingClassifier hand patients to their members only with
    metadata routing enabled.  StackingClassifier then hands all it gets to its final estimator,
    too, which few can take: its members get patients only if the final one requests them.
    """
    if groups is None:
        return {}
    if get_config()["enable_metadata_routing"]:
        _withdraw_unanswerable_requests(estimator)
        return {"groups": groups} if _consumes_groups(estimator) else {}
    return dict.fromkeys(_argument_names(estimator), groups)


def parts_given_groups(estimator: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the parts that `groups_for_fit` can hand patients to, from the outside in.

    Parameters
    ----------
    estimator : estimator
        Where to begin.
    path : str, default=""
        Its name in the parameters of the whole.

    Yields
    ------
    path, part : str, estimator
        Name as in ``get_params``, and the part itself.

    Notes
    -----
    A meta-estimator that takes ``groups`` itself, as the wrappers of this package do, is assumed to
    hand them to every estimator among its parameters.
    """
    yield path, estimator
    prefix = f"{path}__" if path else ""
    for name, part in _children_given_groups(estimator):
        yield from parts_given_groups(part, prefix + name)


def _children_given_groups(estimator: Any) -> list[tuple[str, Any]]:
    """Return the estimators that this one hands ``groups`` to, by the name of the parameter."""
    if hasattr(estimator, "steps"):
        parts = [] if _has_sampler(estimator) else [estimator.steps[-1]]
    elif isinstance(estimator, BaseSearchCV):
        parts = [("estimator", estimator.estimator)]
    elif isinstance(estimator, MetaEstimatorMixin) and _takes_groups(estimator):
        parts = list(estimator.get_params(deep=False).items())
    else:
        parts = []
    return [(name, part) for name, part in parts if _is_estimator(part) and hasattr(part, "fit")]


def _argument_names(estimator: Any) -> list[str]:
    if hasattr(estimator, "steps"):
        name, last = estimator.steps[-1]
        if not hasattr(last, "fit") or _has_sampler(estimator):
            return []
        return [f"{name}__{inner}" for inner in _argument_names(last)]
    if isinstance(estimator, BaseSearchCV):
        # A search keeps `groups` for its splitter and passes everything else to its estimator.
        return ["groups", *(n for n in _argument_names(estimator.estimator) if n != "groups")]
    return ["groups"] if _takes_groups(estimator) else []


def _takes_groups(estimator: Any) -> bool:
    return "groups" in inspect.signature(estimator.fit).parameters


def _has_sampler(pipeline: Any) -> bool:
    return any(hasattr(step, "fit_resample") for _, step in pipeline.steps)


def _withdraw_unanswerable_requests(estimator: Any) -> None:
    from sklearn.ensemble import StackingClassifier  # slow, and not for predictions

    for part in {"": estimator, **estimator.get_params(deep=True)}.values():
        if not _is_estimator(part):
            continue
        if hasattr(part, "steps") and _has_sampler(part):
            _withdraw_requests(step for _, step in part.steps)
        elif isinstance(part, StackingClassifier) and not _consumes_groups(part.final_estimator):
            _withdraw_requests(member for _, member in part.estimators)


def _withdraw_requests(parts: Iterable[Any]) -> None:
    for part in parts:
        for inner in [part, *part.get_params(deep=True).values()] if _is_estimator(part) else []:
            if _is_estimator(inner) and hasattr(inner, "fit") and _takes_groups(inner):
                inner.set_fit_request(groups=False)
            elif hasattr(inner, "set_split_request"):
                inner.set_split_request(groups=False)


def _consumes_groups(estimator: Any) -> bool:
    return bool(get_routing_for_object(estimator).consumes("fit", {"groups"}))


def _is_estimator(part: Any) -> bool:
    return hasattr(part, "get_params") and not isinstance(part, type)
