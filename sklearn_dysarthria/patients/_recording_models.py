"""The recording-level models behind a vote: one for all recordings, or one per task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing

from sklearn_dysarthria._utils.decisions import answers_through_its_parts, decision_of
from sklearn_dysarthria._utils.memory_maps import chunks, is_mapped
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria._utils.tasks import name_for_task
from sklearn_dysarthria.exceptions import UnknownTaskError
from sklearn_dysarthria.patients._base import score_method, scores_by_class
from sklearn_dysarthria.patients._failed_recordings import labelled
from sklearn_dysarthria.patients._leaks import AROUND_THE_PIPELINE, split_searches_by_patient
from sklearn_dysarthria.recordings import column, noted_failures

Models = dict[str | None, Any]
"""Models by the name of a task or group of tasks; None is the model of all other recordings."""


def model_of_each_row(models: Models, table: pd.DataFrame) -> np.ndarray:
    """Return the key of the model that each recording goes to.

    Parameters
    ----------
    models : dict
        Models by task or group; the entry None takes what no other entry does.
    table : pandas.DataFrame
        Recordings.

    Returns
    -------
    ndarray of shape (n_recordings,), dtype object
        Keys of `models`.

    Raises
    ------
    UnknownTaskError
        There is no model for a recording's task.
    MissingColumnError
        There is no column ``task``, and the models are by task.
    """
    keys = np.full(len(table), None, dtype=object)
    names = [name for name in models if name is not None]
    if not names:
        return keys
    for row, task in enumerate(column(table, "task", "to find the model of each task")):
        keys[row] = name_for_task(task, names)
        if keys[row] is None and None not in models:
            raise UnknownTaskError(
                f"task {task!r} has no model; there is one for {sorted(names)}.",
                row=table.index[row],
                remedy="Name the task or its group in task_estimators, or give estimator.",
            )
    return keys


def refuse_unused(parameter: str, names: Iterable[str], used: set[Any]) -> None:
    """Raise UnknownTaskError if a name stands for no task: misspelt, it would count for nothing."""
    for name in names:
        if name not in used:
            raise UnknownTaskError(
                f"{parameter} has {name!r}, but no recording is of that task or group.",
                remedy="Correct the name, or leave the entry out.",
            )


def check_models(models: Models, table: pd.DataFrame, voting: str) -> None:
    """Raise unless there is a fitting model for every recording.

    Parameters
    ----------
    models : dict
        See `model_of_each_row`.
    table : pandas.DataFrame
        Training recordings.
    voting : str
        Kind of vote; all but ``"hard"`` need scores that can be added up.

    Raises
    ------
    ValueError
        There is no model, an entry is none, or several models have no common score.
    UnknownTaskError
        A task has no model, or a model no task.
    """
    if not models:
        raise ValueError("Give estimator, task_estimators, or both.")
    for name, model in models.items():
        if name is not None and (not isinstance(name, str) or not name or "__" in name):
            raise ValueError(
                f"task_estimators has {name!r}, but must map names of tasks, or of groups of "
                "tasks, without a double underscore."
            )
        # StackingClassifier has no predict before it is fitted, and says what it is.
        if isinstance(model, type) or not (hasattr(model, "predict") or _says_classifier(model)):
            which = "estimator" if name is None else f"task_estimators[{name!r}]"
            raise ValueError(f"{which}={model!r} is no classifier.")
    used = set(model_of_each_row(models, table))
    refuse_unused("task_estimators", [name for name in models if name is not None], used)
    refuse_mixed_scores({name: model for name, model in models.items() if name in used}, voting)


def _says_classifier(model: Any) -> bool:
    return hasattr(model, "__sklearn_tags__") and is_classifier(model)


def refuse_mixed_scores(models: Models, voting: str) -> None:
    """Raise ValueError if a vote needs scores of several models that cannot be added up.

    Parameters
    ----------
    models : dict
        Models, fitted or not; those that know what they predict only once they are fitted, as
        StackingClassifier does, are passed over before.
    voting : str
        Kind of vote.
    """
    if voting == "hard" or len(models) < 2:
        return
    for name, model in models.items():
        if hasattr(model, "predict") and score_method(model) != "predict_proba":
            which = "estimator" if name is None else f"task_estimators[{name!r}]"
            raise ValueError(
                f"voting={voting!r} needs probabilities of every model, and {which} has no "
                f"predict_proba: give it one ({AROUND_THE_PIPELINE}), or vote hard."
            )


def fit_models(
    models: Models, table: pd.DataFrame, y: Any, patients: np.ndarray
) -> tuple[Models, np.ndarray]:
    """Fit each model on the recordings that go to it.

    Parameters
    ----------
    models : dict
        See `model_of_each_row`.  Clones are fitted.
    table : pandas.DataFrame
        Recordings; their index labels tell them apart.
    y : array-like of shape (n_recordings,)
        Labels.
    patients : ndarray of shape (n_recordings,)
        Patient of every recording.

    Returns
    -------
    fitted : dict
        The fitted models, of those that got recordings.
    failed : ndarray of shape (n_recordings,), dtype bool
        Recordings that a transformer could not use.
    """
    keys = model_of_each_row(models, table)
    failed = np.zeros(len(table), dtype=bool)
    fitted: Models = {}
    for key, model in models.items():
        rows = np.flatnonzero(keys == key)
        if not len(rows):
            continue
        chosen = _rows_of(rows, table, y, patients)
        if _numbers_rows_anew(model):
            # imbalanced-learn's over-samplers append copies and number all rows anew: only
            # positions still tell which of the first ones failed.
            chosen = (chosen[0].reset_index(drop=True), *chosen[1:])
        with noted_failures() as failed_labels:
            fitted[key] = _fit(model, *chosen)
        lost = labelled(chosen[0], failed_labels)
        failed[rows] = lost
        if lost.any() and not lost.all() and _searches(model):
            # A search scores rows, and has no score for a row without a recording: once more,
            # without them.
            fitted[key] = _fit(model, *_rows_of(rows[~lost], table, y, patients))
    return fitted, failed


def _rows_of(rows: np.ndarray, table: pd.DataFrame, y: Any, patients: np.ndarray) -> Any:
    if len(rows) == len(table):
        return table, y, patients
    return table.iloc[rows], _safe_indexing(y, rows), patients[rows]


def _fit(model: Any, table: pd.DataFrame, y: Any, patients: np.ndarray) -> Any:
    model = clone(model)
    split_searches_by_patient(model, stacklevel=5)
    return model.fit(table, y, **groups_for_fit(model, patients))


def _searches(estimator: Any) -> bool:
    return any(isinstance(part, BaseSearchCV) for part in _parts(estimator))


def _numbers_rows_anew(estimator: Any) -> bool:
    samplers = [part for part in _parts(estimator) if hasattr(part, "fit_resample")]
    if not samplers:
        return False
    from sklearn_dysarthria.preprocessing import RecordingOverSampler  # imbalanced-learn: slow

    return not all(isinstance(sampler, RecordingOverSampler) for sampler in samplers)


def _parts(estimator: Any) -> list[Any]:
    return [estimator, *estimator.get_params(deep=True).values()]


def common_score_method(models: Models) -> str | None:
    """Return which scores the models give that can be added up.

    Parameters
    ----------
    models : dict
        Models, fitted or not.

    Returns
    -------
    {"predict_proba", "decision_function", None}
        Decision values only of a single model: those of two are not on one scale.
    """
    methods = {score_method(model) for model in models.values()}
    if methods == {"predict_proba"}:
        return "predict_proba"
    return methods.pop() if len(models) == 1 else None


def known_classes(models: Models, y: Any) -> np.ndarray:
    """Return the classes that fitted models know; those of `y` for a model that does not tell."""
    if not all(hasattr(model, "classes_") for model in models.values()):
        return np.unique(np.asarray(y))
    classes = [model.classes_ for model in models.values()]
    return classes[0] if len(classes) == 1 else np.unique(np.concatenate(classes))


def recording_votes(
    models: Models, table: pd.DataFrame, classes: np.ndarray, method: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Ask the models about recordings.

    Parameters
    ----------
    models : dict
        Fitted models.
    table : pandas.DataFrame
        Recordings; their index labels tell them apart.
    classes : ndarray of shape (n_classes,)
        Labels in order, those of all models.
    method : {"predict_proba", "decision_function", None}
        What the scores are; None makes them the votes themselves.

    Returns
    -------
    codes : ndarray of shape (n_recordings,)
        Position of each recording's predicted class; -1 for recordings that could not be used.
    scores : ndarray of shape (n_recordings, n_classes)
        Their scores.
    """
    keys = model_of_each_row(models, table)
    codes = np.full(len(table), -1)
    scores = np.full((len(table), len(classes)), np.nan)
    for key, model in models.items():
        rows = np.flatnonzero(keys == key)
        if len(rows):
            asked = table if len(rows) == len(table) else table.iloc[rows]
            codes[rows], scores[rows] = _ask(model, asked, classes, method)
    return codes, scores


def _ask(
    model: Any, table: pd.DataFrame, classes: np.ndarray, method: str | None
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.zeros((len(table), len(classes)))
    with noted_failures() as failed_labels:
        ready, last = _up_to_classifier(model, table)
        if method is not None:
            scores = scores_for_classes(last, method, ready, classes)
    failed = labelled(table, failed_labels) | np.isnan(scores).any(axis=1)
    codes = np.full(len(table), -1)
    if failed.all():
        return codes, scores
    usable = np.flatnonzero(~failed)
    decision = decision_of(last)
    if method == "predict_proba" and decision.same_as_predict:
        # A network is asked once: its forward pass is nearly all of the work.
        own = np.searchsorted(classes, last.classes_)
        codes[usable] = own[decision(scores[np.ix_(usable, own)], last.classes_)]
        return codes, scores
    # The largest score will not do: tuned thresholds and Platt-scaled SVMs decide otherwise.
    with noted_failures() as failed_labels:
        if failed.any() and is_mapped(ready):
            for part in chunks(ready):  # the rest of a memory map is no smaller than the map
                rows = usable[(part.start <= usable) & (usable < part.stop)]
                if len(rows):
                    codes[rows] = np.searchsorted(classes, last.predict(ready[rows]))
        else:
            ready = _safe_indexing(ready, usable) if failed.any() else ready
            codes[usable] = np.searchsorted(classes, last.predict(ready))
    # Pipelines deeper inside compute their features only now.
    codes[labelled(table, failed_labels)] = -1
    # A model with nothing but predict: its votes are all that is known.
    return codes, np.eye(len(classes))[codes] if method is None else scores


def scores_for_classes(model: Any, method: str, X: Any, classes: np.ndarray) -> np.ndarray:
    """Return scores with a column for each of `classes`, the model's own or more."""
    known = getattr(model, "classes_", classes)
    scores = scores_by_class(model, method, X, len(known))
    if len(known) == len(classes):
        return scores
    if method != "predict_proba":
        missing = sorted(set(classes.tolist()) - set(known.tolist()))
        raise ValueError(
            f"a model of some of the recordings was not given classes {missing}, and has no "
            "decision values for them: use a model with predict_proba, or fewer folds."
        )
    out = np.zeros((len(scores), len(classes)))
    out[:, np.searchsorted(classes, known)] = scores
    return out


def _up_to_classifier(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return what the last step of a Pipeline is given, and that step.

    Its scores and its classes can then be had for the price of computing the features once.
    """
    if hasattr(estimator, "best_estimator_") and answers_through_its_parts(estimator):
        estimator = estimator.best_estimator_
    if not isinstance(estimator, Pipeline) or not answers_through_its_parts(estimator):
        return X, estimator
    for _, step in estimator.steps[:-1]:
        if hasattr(step, "transform"):  # unlike samplers and "passthrough"
            X = step.transform(X)
    return _up_to_classifier(estimator.steps[-1][1], X)
