"""How the patients of the training rows reach whoever in a nested model wants them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from sklearn import get_config
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.metadata_routing import get_routing_for_object


def groups_for_fit(estimator: Any, groups: Any) -> dict[str, Any]:
    """Return the keyword arguments that hand ``groups`` to whoever in ``estimator`` takes them.

    Parameters
    ----------
    estimator : estimator
        A classifier, a Pipeline, or a search over either, nested as deep as one likes.  With
        metadata routing enabled, requests behind a sampler are withdrawn in place.
    groups : array-like of shape (n_samples,)
        Patients.

    Returns
    -------
    dict
        Arguments for ``estimator.fit``: with metadata routing enabled plain ``groups`` where
        somebody requests it, otherwise names such as ``clf__groups``, as Pipelines take them.
        Empty where nobody is interested.

    Notes
    -----
    A sampler of imbalanced-learn changes the rows but not the metadata, so that patients and
    rows would no longer belong together behind it: nobody there is handed any.
    """
    if get_config()["enable_metadata_routing"]:
        _withdraw_requests_behind_samplers(estimator)
        consumed = get_routing_for_object(estimator).consumes("fit", {"groups"})
        return {"groups": groups} if consumed else {}
    return dict.fromkeys(_argument_names(estimator), groups)


def reachable(estimator: Any, path: str = "") -> Iterator[tuple[str, Any]]:
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
    """
    yield path, estimator
    prefix = f"{path}__" if path else ""
    if hasattr(estimator, "steps"):
        name, last = estimator.steps[-1]
        if hasattr(last, "fit") and not _has_sampler(estimator):
            yield from reachable(last, prefix + name)
    elif isinstance(estimator, BaseSearchCV) or type(estimator).__name__ == "SkipFailedRows":
        yield from reachable(estimator.estimator, f"{prefix}estimator")


def _argument_names(estimator: Any) -> list[str]:
    if hasattr(estimator, "steps"):
        name, last = estimator.steps[-1]
        if not hasattr(last, "fit") or _has_sampler(estimator):
            return []
        return [f"{name}__{inner}" for inner in _argument_names(last)]
    if isinstance(estimator, BaseSearchCV):
        # A search keeps `groups` for its splitter and hands everything else to its estimator.
        return ["groups", *(n for n in _argument_names(estimator.estimator) if n != "groups")]
    return ["groups"] if _takes_groups(estimator) else []


def _takes_groups(estimator: Any) -> bool:
    return "groups" in inspect.signature(estimator.fit).parameters


def _has_sampler(pipeline: Any) -> bool:
    return any(hasattr(step, "fit_resample") for _, step in pipeline.steps)


def _withdraw_requests_behind_samplers(estimator: Any) -> None:
    for part in {"": estimator, **estimator.get_params(deep=True)}.values():
        if not (hasattr(part, "steps") and hasattr(part, "get_params") and _has_sampler(part)):
            continue
        for _, step in part.steps:
            for inner in (
                [step, *step.get_params(deep=True).values()] if _is_estimator(step) else []
            ):
                if _is_estimator(inner) and hasattr(inner, "fit") and _takes_groups(inner):
                    inner.set_fit_request(groups=False)
                elif hasattr(inner, "set_split_request"):
                    inner.set_split_request(groups=False)


def _is_estimator(part: Any) -> bool:
    return hasattr(part, "get_params") and not isinstance(part, type)
