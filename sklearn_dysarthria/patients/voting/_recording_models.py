"""The recording-level models behind a vote: one for all recordings, or one per task."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral
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
from sklearn_dysarthria.exceptions import (
    PatientError,
    PatientLeakWarning,
    RecordingWarning,
    UnknownTaskError,
)
from sklearn_dysarthria.patients._class_scores import score_method, scores_for_classes
from sklearn_dysarthria.patients._leaks import (
    AROUND_THE_PIPELINE,
    split_searches_by_patient,
    uses_groups,
)
from sklearn_dysarthria.patients._splits import StratifiedPatientKFold
from sklearn_dysarthria.patients._unusable import rows_labelled
from sklearn_dysarthria.patients.fusion._items import sorted_patients
from sklearn_dysarthria.recordings import column, noted_failures

Models = dict[str | None, Any]
"""Models by the name of a task or group of tasks; None is the model of all other recordings."""


def model_of_each_row(models: Models, table: pd.DataFrame) -> np.ndarray:
    """Return the key in `models` of the model that each recording goes to.

    The entry None takes what no other entry does.  Raises :class:`UnknownTaskError` if there is no
    model for a recording's task, and :class:`MissingColumnError` if there is no column ``task``,
    and the models are by task.
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


def check_all_used(parameter: str, names: Iterable[str], used: set[Any]) -> None:
    """Raise UnknownTaskError for a name of no task: a misspelt one would have no effect."""
    for name in names:
        if name not in used:
            raise UnknownTaskError(
                f"{parameter} has {name!r}, but no recording is of that task or group.",
                remedy="Correct the name, or leave the entry out.",
            )


def check_models(models: Models, table: pd.DataFrame, voting: str) -> None:
    """Raise unless there is a fitting model for every recording.

    ValueError: there is no model, an entry is none, or several models have no common score, which
    all kinds of `voting` but ``"hard"`` need.  :class:`UnknownTaskError`: a task has no model, or a
    model no task.
    """
    if not models:
        raise ValueError("Give estimator, task_estimators, or both.")
    for name, model in models.items():
        if name is not None and (not isinstance(name, str) or not name or "__" in name):
            raise ValueError(
                f"task_estimators has {name!r}, but must map names of tasks, or of groups of "
                "tasks, without a double underscore."
            )
        # StackingClassifier has no predict before it is fitted, but has tags.
        predicts = hasattr(model, "predict") or (
            hasattr(model, "__sklearn_tags__") and is_classifier(model)
        )
        if isinstance(model, type) or not predicts:
            which = "estimator" if name is None else f"task_estimators[{name!r}]"
            raise ValueError(f"{which}={model!r} is no classifier.")
    used = set(model_of_each_row(models, table))
    check_all_used("task_estimators", [name for name in models if name is not None], used)
    check_common_scores({name: model for name, model in models.items() if name in used}, voting)


def check_common_scores(models: Models, voting: str) -> None:
    """Raise ValueError if a vote needs scores of several models that cannot be added up.

    Models that know what they predict only once they are fitted, as StackingClassifier does, are
    passed over before.
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
    """Fit a clone of each model on the recordings that go to it.

    `table` has unique row labels; `patients` names the patient of every recording.  Return the
    fitted models, of those that got recordings, and a mask of the recordings that a transformer
    could not use.
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
            # positions still show which of the first ones failed.
            chosen = (chosen[0].reset_index(drop=True), *chosen[1:])
        with noted_failures() as failed_labels:
            fitted[key] = _fit(model, *chosen)
        lost = rows_labelled(chosen[0], failed_labels)
        failed[rows] = lost
        searches = any(isinstance(part, BaseSearchCV) for part in _parts(model))
        if lost.any() and not lost.all() and searches:
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


def _numbers_rows_anew(estimator: Any) -> bool:
    samplers = [part for part in _parts(estimator) if hasattr(part, "fit_resample")]
    if not samplers:
        return False
    from sklearn_dysarthria.preprocessing import RecordingOverSampler  # imbalanced-learn: slow

    return not all(isinstance(sampler, RecordingOverSampler) for sampler in samplers)


def _parts(estimator: Any) -> list[Any]:
    return [estimator, *estimator.get_params(deep=True).values()]


def common_score_method(models: Models) -> str | None:
    """Return which scores of models, fitted or not, can be added up: the name of a method or None.

    Decision values only of a single model: those of two are not on one scale.
    """
    methods = {score_method(model) for model in models.values()}
    if methods == {"predict_proba"}:
        return "predict_proba"
    return methods.pop() if len(models) == 1 else None


def known_classes(models: Models, y: Any) -> np.ndarray:
    """Return the classes that fitted models know; those of `y` if a model has no ``classes_``."""
    if not all(hasattr(model, "classes_") for model in models.values()):
        return np.unique(np.asarray(y))
    classes = [model.classes_ for model in models.values()]
    return classes[0] if len(classes) == 1 else np.unique(np.concatenate(classes))


def recording_votes(
    models: Models, table: pd.DataFrame, classes: np.ndarray, method: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the class and the scores of each recording by fitted models.

    `table` has unique row labels; `classes` are those of all models, in order.  The scores are
    those of `method`; None makes them the votes themselves.

    Return the position of each recording's predicted class, -1 for recordings that could not be
    used, and the scores, of shape (n_recordings, n_classes).
    """
    keys = model_of_each_row(models, table)
    codes = np.full(len(table), -1)
    scores = np.full((len(table), len(classes)), np.nan)
    for key, model in models.items():
        rows = np.flatnonzero(keys == key)
        if len(rows):
            chosen = table if len(rows) == len(table) else table.iloc[rows]
            codes[rows], scores[rows] = _predict(model, chosen, classes, method)
    return codes, scores


def _predict(
    model: Any, table: pd.DataFrame, classes: np.ndarray, method: str | None
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.zeros((len(table), len(classes)))
    with noted_failures() as failed_labels:
        ready, last = _up_to_classifier(model, table)
        if method is not None:
            scores = scores_for_classes(last, method, ready, classes)
    failed = rows_labelled(table, failed_labels) | np.isnan(scores).any(axis=1)
    codes = np.full(len(table), -1)
    if failed.all():
        return codes, scores
    usable = np.flatnonzero(~failed)
    decision = decision_of(last)
    if method == "predict_proba" and decision.same_as_predict:
        # One forward pass of a network suffices; it is nearly all of the work.
        own = np.searchsorted(classes, last.classes_)
        codes[usable] = own[decision(scores[np.ix_(usable, own)], last.classes_)]
        return codes, scores
    # The largest score need not be the class: tuned thresholds and Platt-scaled SVMs differ.
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
    codes[rows_labelled(table, failed_labels)] = -1
    # Of a model with nothing but predict, only its votes are known.
    return codes, np.eye(len(classes))[codes] if method is None else scores


def _up_to_classifier(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return what the last step of a Pipeline is given, and that step.

    Its scores and its classes then need the features only once.
    """
    if hasattr(estimator, "best_estimator_") and answers_through_its_parts(estimator):
        estimator = estimator.best_estimator_
    if not isinstance(estimator, Pipeline) or not answers_through_its_parts(estimator):
        return X, estimator
    for _, step in estimator.steps[:-1]:
        if hasattr(step, "transform"):  # unlike samplers and "passthrough"
            X = step.transform(X)
    return _up_to_classifier(estimator.steps[-1][1], X)


# ------------------------------------------------------------------------ out of fold


def out_of_fold_votes(
    models: Models,
    table: pd.DataFrame,
    y: np.ndarray,
    patients: np.ndarray,
    classes: np.ndarray,
    method: str | None,
    cv: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict each recording by models that were fitted on other patients.

    `models` are cloned and fitted in every fold of `cv`, a number of folds of patients or what
    makes them.  Return codes and scores as `recording_votes` does; the code is -1 also where a fold
    had training recordings of one class or none for the task's model.

    Raises :class:`PatientError` if a fold has a patient on both sides, and ValueError if the folds
    do not test every recording once.
    """
    codes = np.full(len(table), -1)
    scores = np.full((len(table), len(classes)), np.nan)
    for train, test in _folds(table, y, patients, cv):
        with warnings.catch_warnings():
            # The fit on all patients has warned already.
            warnings.simplefilter("ignore", RecordingWarning)
            warnings.simplefilter("ignore", PatientLeakWarning)
            train = train[_can_be_learned(models, table.iloc[train], y[train])]
            fitted, _ = fit_models(models, table.iloc[train], y[train], patients[train])
            # Among all models: a recording must not go to another one because its own is missing.
            keys = model_of_each_row(models, table.iloc[test])
            covered = test[np.fromiter((key in fitted for key in keys), bool, len(test))]
            codes[covered], scores[covered] = recording_votes(
                fitted, table.iloc[covered], classes, method
            )
    return codes, scores


def _folds(
    table: pd.DataFrame, y: np.ndarray, patients: np.ndarray, cv: Any
) -> list[tuple[np.ndarray, np.ndarray]]:
    if isinstance(cv, Integral):
        # In the order of the patients, so that the folds do not depend on that of the rows.
        rank = {patient: rank for rank, patient in enumerate(sorted_patients(patients))}
        order = np.argsort([rank[patient] for patient in patients], kind="stable")
        splitter = StratifiedPatientKFold(int(cv), shuffle=False)
        return [
            (np.sort(order[train]), np.sort(order[test]))
            for train, test in splitter.split(table.iloc[order], y[order])
        ]
    numbers, names = pd.factorize(patients)
    groups = {"groups": numbers} if uses_groups(cv) else {}
    folds = list(cv.split(table, y, **groups))
    times_tested = np.zeros(len(table), dtype=int)
    for train, test in folds:
        both = np.intersect1d(numbers[train], numbers[test])
        if len(both):
            raise PatientError(
                f"cv={cv!r} puts patient {names[both[0]]!r} on both sides of an inner fold.",
                remedy="Give a number of folds, or StratifiedPatientKFold.",
            )
        times_tested[test] += 1
    if (times_tested != 1).any():
        raise ValueError(
            f"cv={cv!r} does not test every recording exactly once, which weights and stacking "
            "need; give a number of folds, or StratifiedPatientKFold."
        )
    return folds


def _can_be_learned(models: Models, table: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    """Return which recordings go to a model that is given two classes or more."""
    keys = model_of_each_row(models, table)
    # Not pandas: the key of the model for all other tasks is None, which it takes for missing.
    classes = {key: set(y[keys == key].tolist()) for key in models}
    return np.fromiter((len(classes[key]) > 1 for key in keys), bool, len(table))
