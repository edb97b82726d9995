"""How the patients of the training rows reach an estimator's fit."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.metadata_routing import get_routing_for_object


def groups_for_fit(estimator: Any, groups: Any) -> dict[str, Any]:
    """Return the keyword arguments that hand ``groups`` to whoever in ``estimator`` takes them.

    Parameters
    ----------
    estimator : estimator
        A classifier, a Pipeline, or a search over either, nested as deep as one likes.
    groups : array-like of shape (n_samples,)
        Patients.

    Returns
    -------
    dict
        Arguments for ``estimator.fit``: with metadata routing enabled plain ``groups`` where
        somebody requests it, otherwise names such as ``clf__groups``, as Pipelines take them.
        Empty where nobody is interested.
    """
    from sklearn import get_config

    if get_config()["enable_metadata_routing"]:
        consumed = get_routing_for_object(estimator).consumes("fit", {"groups"})
        return {"groups": groups} if consumed else {}
    return dict.fromkeys(_argument_names(estimator), groups)


def _argument_names(estimator: Any) -> list[str]:
    if hasattr(estimator, "steps"):
        name, last = estimator.steps[-1]
        if last is None or isinstance(last, str):
            return []
        return [f"{name}__{inner}" for inner in _argument_names(last)]
    if isinstance(estimator, BaseSearchCV):
        # A search keeps `groups` for its splitter and hands everything else to its estimator.
        return ["groups", *(n for n in _argument_names(estimator.estimator) if n != "groups")]
    return ["groups"] if "groups" in inspect.signature(estimator.fit).parameters else []
