"""The part of a model that turns recordings into numbers, apart from what learns."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklearn_dysarthria._utils.estimators import RecordingTransformer
from sklearn_dysarthria.exceptions import RecordingWarning
from sklearn_dysarthria.recordings import noted_failures


def recording_transformers(model: Any) -> list[Any]:
    """Find every transformer of recordings inside a model, fitted copies included.

    Parameters
    ----------
    model : estimator
        May contain other estimators at any depth.

    Returns
    -------
    list of transformer
        Such as :class:`~sklearn_dysarthria.LogMelDeltaImages`; each object once.

    Examples
    --------
    >>> from sklearn_dysarthria import egemaps_svm_pipeline
    >>> from sklearn_dysarthria.features import recording_transformers
    >>> recording_transformers(egemaps_svm_pipeline())
    [EGeMAPSFeatures()]
    """
    return [part for part in estimators_in(model) if isinstance(part, RecordingTransformer)]


def estimators_in(part: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield a model and the estimators inside it, at any depth; each object once."""
    seen = set() if seen is None else seen
    if id(part) in seen or isinstance(part, type):
        return
    seen.add(id(part))
    if hasattr(part, "get_params"):
        yield part
        inside: Any = vars(part).values()
    elif isinstance(part, dict):
        inside = part.values()
    else:
        inside = part if isinstance(part, (list, tuple)) else ()
    for inner in inside:
        yield from estimators_in(inner, seen)


def configure_transformers(model: Any, **settings: Any) -> Any:
    """Set how a model's transformers of recordings work, which does not change their results.

    Parameters
    ----------
    model : estimator
        Fitted or not; changed in place.
    **settings : dict
        ``cache``, ``n_jobs``, ``on_error``, ``verbose`` or ``mmap_folder``; each is set on the
        transformers that have it.

    Returns
    -------
    estimator
        The model.

    Examples
    --------
    >>> from sklearn_dysarthria import egemaps_svm_pipeline
    >>> from sklearn_dysarthria.features import configure_transformers
    >>> configure_transformers(egemaps_svm_pipeline(), n_jobs=2)[0]
    EGeMAPSFeatures(n_jobs=2)
    """
    for transformer in recording_transformers(model):
        known = transformer.get_params(deep=False)
        transformer.set_params(**{k: v for k, v in settings.items() if k in known})
    return model


def front_end(model: Any) -> list[Any]:
    """Return the transformers that recordings pass first.

    Parameters
    ----------
    model : estimator
        Decides per patient, such as :class:`~sklearn_dysarthria.PatientVotingClassifier`; fitted
        or not.

    Returns
    -------
    list of transformer
        In order.  They learn nothing from the recordings.  Empty if the model does not begin
        with one.

    Examples
    --------
    >>> from sklearn_dysarthria import PatientVotingClassifier, egemaps_svm_pipeline
    >>> from sklearn_dysarthria.features import front_end
    >>> front_end(PatientVotingClassifier(egemaps_svm_pipeline()))
    [EGeMAPSFeatures()]
    """
    for name in ("transformer_", "estimator_", "transformer", "estimator"):
        inner = getattr(model, name, None)
        if inner is not None:
            break
    steps = [step for _, step in inner.steps] if isinstance(inner, Pipeline) else [inner]
    return list(itertools.takewhile(lambda step: isinstance(step, RecordingTransformer), steps))


def run_front_end(steps: list[Any], X: pd.DataFrame) -> tuple[Any, np.ndarray]:
    """Compute what a model learns from, or decides by.

    Parameters
    ----------
    steps : list of transformer
        See `front_end`.  Copies are fitted, which checks their parameters and warns about
        frequency bands that the recordings do not reach.
    X : pandas.DataFrame
        Table of recordings whose index labels are unique.

    Returns
    -------
    values : ndarray or DataFrame of shape (n_recordings, ...)
        What the last step returns.
    failed : ndarray of bool of shape (n_recordings,)
        Which recordings could not be used; all False unless a step has ``on_error="nan"``.
    """
    values: Any = X
    with noted_failures() as labels:
        for step in steps:
            ready = clone(step).fit(values)
            with warnings.catch_warnings():
                if labels:  # the step before has warned
                    warnings.simplefilter("ignore", RecordingWarning)
                values = ready.transform(values)
    failed = np.fromiter((label in labels for label in X.index), bool, len(X))
    return values, failed


def find_unusable_recordings(
    model: Any, X: pd.DataFrame, *, n_jobs: int | None = None, verbose: int = 0
) -> np.ndarray:
    """Find the recordings that a model cannot use, before it is trained.

    Parameters
    ----------
    model : estimator
        Its front end has ``on_error="nan"``, and a cache, where the training finds what is
        computed here.
    X : pandas.DataFrame
        Table of recordings with column ``patient``, whose index labels are unique.
    n_jobs : int, optional
        Workers.
    verbose : int, default=0
        1 shows progress.

    Returns
    -------
    ndarray of bool of shape (n_recordings,)
        True for a recording that cannot be used.

    Raises
    ------
    ValueError
        A patient has no recording that can be used.
    """
    settings = {"n_jobs": n_jobs, "verbose": verbose}
    steps = [configure_transformers(clone(step), **settings) for step in front_end(model)]
    _, failed = run_front_end(steps, X)
    usable = set(X.loc[~failed, "patient"])
    lost = [str(patient) for patient in dict.fromkeys(X["patient"]) if patient not in usable]
    if lost:
        raise ValueError(
            f"{len(lost)} patient{' has' if len(lost) == 1 else 's have'} no usable recording: "
            f"{', '.join(lost)}; leave them out, or repair the recordings."
        )
    return failed
