"""The part of a model that turns recordings into numbers, apart from what learns."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sklearn_dysarthria._utils.estimators import RecordingTransformer
from sklearn_dysarthria.exceptions import RecordingWarning
from sklearn_dysarthria.recordings import noted_failures


def recording_transformers(model: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield every transformer of recordings inside a model, fitted copies included.

    Parameters
    ----------
    model : estimator
        Any, nested as deep as one likes.
    seen : set of int, optional
        Objects that were visited already.

    Yields
    ------
    RecordingTransformer
        Each once.
    """
    seen = set() if seen is None else seen
    if id(model) in seen:
        return
    seen.add(id(model))
    if isinstance(model, RecordingTransformer):
        yield model
    if isinstance(model, (list, tuple)):
        inside: Any = model
    elif isinstance(model, dict):
        inside = model.values()
    elif hasattr(model, "get_params") and not isinstance(model, type):
        inside = vars(model).values()
    else:
        return
    for part in inside:
        if isinstance(part, (list, tuple, dict)) or hasattr(part, "get_params"):
            yield from recording_transformers(part, seen)


def configure(model: Any, **settings: Any) -> Any:
    """Set how the transformers of recordings work, which does not change their results.

    Parameters
    ----------
    model : estimator
        Changed in place.
    **settings : dict
        ``cache``, ``n_jobs``, ``on_error`` and ``verbose``, for those that have them.

    Returns
    -------
    estimator
        The model.
    """
    for transformer in recording_transformers(model):
        known = transformer.get_params(deep=False)
        transformer.set_params(**{k: v for k, v in settings.items() if k in known})
    return model


def front_end(model: Any) -> list[Any]:
    """Return the transformers that recordings pass first, in order.

    Parameters
    ----------
    model : estimator
        Decides per patient; fitted or not.

    Returns
    -------
    list of RecordingTransformer
        Steps that learn nothing; empty for a model of another build.
    """
    for name in ("transformer_", "estimator_", "transformer", "estimator"):
        inner = getattr(model, name, None)
        if inner is not None:
            break
    steps = [step for _, step in inner.steps] if isinstance(inner, Pipeline) else [inner]
    leading = []
    for step in steps:
        if not isinstance(step, RecordingTransformer):
            break
        leading.append(step)
    return leading


def compute(steps: list[Any], table: Any, *, fit: bool) -> tuple[Any, np.ndarray]:
    """Run the front end over recordings.

    Parameters
    ----------
    steps : list of RecordingTransformer
        See `front_end`.
    table : pandas.DataFrame
        Recordings, with an index that tells rows apart.
    fit : bool
        Fit copies first, which checks parameters and warns about bands that recordings do not
        reach.

    Returns
    -------
    values : ndarray or DataFrame
        What the last step returns.
    failed : ndarray of bool of shape (n_recordings,)
        Which recordings could not be used; any are only with ``on_error="nan"``.
    """
    values = table
    with noted_failures() as labels:
        for step in steps:
            ready = clone(step).fit(values) if fit else step
            with warnings.catch_warnings():
                if labels:  # said by the step before
                    warnings.simplefilter("ignore", RecordingWarning)
                values = ready.transform(values)
    failed = np.fromiter((label in labels for label in table.index), bool, len(table))
    return values, failed


def refuse_unusable_patients(
    model: Any, table: Any, *, n_jobs: int | None, verbose: int
) -> np.ndarray:
    """Run a model's front end before its training, and refuse patients who would be lost.

    Parameters
    ----------
    model : estimator
        With ``on_error="nan"``; it finds what is computed here in its cache.
    table : pandas.DataFrame
        Recordings, with an index that tells rows apart.
    n_jobs : int or None
        Processes.
    verbose : int
        1 shows progress.

    Returns
    -------
    ndarray of bool of shape (n_recordings,)
        Which recordings cannot be used.

    Raises
    ------
    ValueError
        A patient has none that can.
    """
    steps = [configure(clone(step), n_jobs=n_jobs, verbose=verbose) for step in front_end(model)]
    _, failed = compute(steps, table, fit=True)
    usable = set(table.loc[~failed, "patient"])
    lost = [str(patient) for patient in dict.fromkeys(table["patient"]) if patient not in usable]
    if lost:
        raise ValueError(
            f"{len(lost)} patient{' has' if len(lost) == 1 else 's have'} no usable recording: "
            f"{', '.join(lost)}; leave them out, or mend the recordings."
        )
    return failed
