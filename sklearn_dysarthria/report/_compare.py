"""Cross-validate several models on the same patients."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.dummy import DummyClassifier

from sklearn_dysarthria._utils.progress import progress_bar
from sklearn_dysarthria.exceptions import BandwidthWarning
from sklearn_dysarthria.features._bands import task_group
from sklearn_dysarthria.patients import (
    PatientVotingClassifier,
    RepeatedStratifiedPatientKFold,
    patient_bootstrap,
)
from sklearn_dysarthria.pipelines import (
    SAND_BANDS,
    egemaps_svm_patient_model,
    egemaps_svm_pipeline,
    hyper_alexnet_pipeline,
    sand_convnext_pipeline,
)
from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids
from sklearn_dysarthria.report._comparison import Comparison
from sklearn_dysarthria.report._metrics import METRICS, PatientMetrics, chance_level

METHODS = ("egemaps-svm-vote", "egemaps-svm-side-by-side", "hyper-alexnet", "sand-convnext")
MAJORITY, CHANCE = "majority class", "chance"
_HEALTHY = {"hc", "healthy", "healthy control", "control", "ct", "no", "normal", "false"}


def build_methods(
    names: Sequence[str],
    X: Any,
    *,
    preset: str = "quick",
    cache: Any = None,
    random_state: int | None = None,
    weights: Mapping[str, Any] | None = None,
    verbose: int = 0,
) -> dict[str, Any]:
    """Build the models that :func:`compare` knows by name.

    Parameters
    ----------
    names : sequence of str
        Out of `METHODS`.
    X : table of recordings
        Its tasks decide whether the SAND entry's frequency ranges by task can be used; tasks of
        other groups are analysed from 50 to 6000 Hz, with a warning.
    preset : {"quick", "paper"}, default="quick"
        See :mod:`sklearn_dysarthria.pipelines`.
    cache : str, path or joblib.Memory, optional
        Folder that keeps features and images.
    random_state : int, optional
        Of the networks.
    weights : mapping of str to str or path, optional
        Pretrained weights by method, instead of the preset's.
    verbose : int, default=0
        2 shows a progress bar of epochs for every fit.

    Returns
    -------
    dict of str to estimator
        Models that decide per patient.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ValueError(f"Unknown methods {unknown}; known are {', '.join(METHODS)}.")
    net = {"classify__random_state": random_state, "classify__verbose": int(verbose > 1)}
    weights = weights or {}

    def arguments(name: str) -> dict[str, Any]:
        chosen = {"classify__weights": weights[name]} if name in weights else {}
        return {"preset": preset, "cache": cache, **net, **chosen}

    def convnext() -> Any:
        bands = _bands_for(as_table(X))
        pipeline = sand_convnext_pipeline(**arguments("sand-convnext"), **bands)
        return PatientVotingClassifier(pipeline, voting="hard")

    builders = {
        "egemaps-svm-vote": lambda: PatientVotingClassifier(
            egemaps_svm_pipeline(cache=cache), voting="soft"
        ),
        "egemaps-svm-side-by-side": lambda: egemaps_svm_patient_model(cache=cache),
        "hyper-alexnet": lambda: PatientVotingClassifier(
            hyper_alexnet_pipeline(**arguments("hyper-alexnet")), voting="soft"
        ),
        "sand-convnext": convnext,
    }
    return {name: builders[name]() for name in names}


def _bands_for(table: pd.DataFrame) -> dict[str, Any]:
    tasks = set(table["task"].astype(str)) if "task" in table.columns else set()
    other = sorted(task for task in tasks if task_group(task) not in SAND_BANDS)
    if tasks and not other:
        return {}
    warnings.warn(
        f"The SAND entry's frequency ranges are for tasks named phonation… and rhythm…; here "
        f"({', '.join(other) or 'no column task'}) all recordings are analysed from 50 to 6000 Hz.",
        BandwidthWarning,
        stacklevel=5,
    )
    return {"images__freq_ranges": None, "images__fmin": 50, "images__fmax": 6000}


def compare(
    X: Any,
    y: Any,
    *,
    methods: Sequence[str] | Mapping[str, Any] = METHODS,
    preset: str = "quick",
    n_splits: int = 5,
    n_repeats: int = 1,
    positive: Any = None,
    weights: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    cache: Any = None,
    n_jobs: int | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> Comparison:
    """Cross-validate models on the same folds of patients and tabulate their figures.

    Parameters
    ----------
    X : table of recordings with columns ``patient`` and ``task``
        See :mod:`sklearn_dysarthria.recordings`.
    y : array-like of shape (n_recordings,)
        Labels; the same for all recordings of a patient.
    methods : sequence of str, or mapping of str to estimator
        Names out of `METHODS`, or your own models by name; they must decide per patient
        (:class:`~sklearn_dysarthria.PatientVotingClassifier`,
        :class:`~sklearn_dysarthria.PatientFeaturesClassifier`).
    preset : {"quick", "paper"}, default="quick"
        Size of the named methods; see :mod:`sklearn_dysarthria.pipelines`.
    n_splits, n_repeats : int, default=5, 1
        Folds, and repetitions of them with other shufflings.
    positive : label, optional
        Which of two classes sensitivity and specificity speak of.  By default the larger of two
        numbers, or the one that does not mean "healthy".
    weights : mapping of str to str or path, optional
        Pretrained weights for named methods, instead of the preset's.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_resamples : int, default=1000
        Draws of the patient bootstrap.
    cache : str, path or joblib.Memory, optional
        Folder that keeps features and images; by default a temporary one shared by all folds.
    n_jobs : int, optional
        Processes; each takes one fit at a time.
    random_state : int, default=0
        Seed of folds, networks and bootstrap.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    Comparison
        Its ``table`` has a row per method, and rows for the majority class and for chance.

    Raises
    ------
    PatientError
        A patient carries two labels.
    MissingColumnError
        The table does not name patients.
    ValueError
        Unknown methods, or it is not clear which class is the positive one.

    Notes
    -----
    Each patient is in the test fold once per repetition.  Metrics are computed over patients,
    within each repetition, and averaged over repetitions; intervals come from
    :func:`~sklearn_dysarthria.patient_bootstrap` on the out-of-fold decisions and do not include
    the variation from training on other patients.  The chance row gives the mean of random
    guessers who know the class proportions, and the range of 95 % of them.

    Examples
    --------
    >>> from sklearn_dysarthria import compare, make_dysarthric_speech
    >>> X, y = make_dysarthric_speech(n_patients=12, random_state=0)
    >>> result = compare(X, y, methods=["egemaps-svm-vote"], n_splits=3, n_resamples=20)
    >>> list(result.table.index)
    ['egemaps-svm-vote', 'majority class', 'chance']
    """
    table = as_table(X)
    y = np.asarray(y)
    patients = patient_ids(table)
    label_of = one_label_per_patient(patients, y)
    classes = np.unique(y)
    positive = _positive_class(classes, positive)
    splitter = RepeatedStratifiedPatientKFold(
        n_splits, n_repeats=n_repeats, random_state=random_state
    )
    with ExitStack() as stack:
        if cache is None:
            cache = stack.enter_context(tempfile.TemporaryDirectory())
        if isinstance(methods, Mapping):
            models = dict(methods)
        else:
            models = build_methods(
                methods,
                table,
                preset=preset,
                cache=cache,
                random_state=random_state,
                weights=weights,
                verbose=verbose,
            )
        models[MAJORITY] = PatientVotingClassifier(DummyClassifier(strategy="most_frequent"))
        splits = list(splitter.split(table, y))
        jobs = [(name, i) for i in range(len(splits)) for name in models]
        answers = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(_decide_fold)(models[name], table, y, *splits[i]) for name, i in jobs
        )
        bar = progress_bar(answers, total=len(jobs), desc="comparing", verbose=verbose)
        decided = [
            answer.assign(method=name, repeat=i // n_splits, fold=i % n_splits)
            for (name, i), answer in zip(jobs, bar, strict=True)
        ]
    predictions = _tidy(pd.concat(decided), label_of, list(models))
    scores = _score(
        predictions,
        classes,
        positive,
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
    )
    settings = {
        "preset": preset
        if not isinstance(methods, Mapping)
        else "none: models given by the caller",
        "patients": ", ".join(f"{label}: {(label_of == label).sum()}" for label in classes),
        "recordings": len(table),
        "cross-validation": f"{n_splits} folds of patients, {n_repeats} repetition(s), "
        f"seed {random_state}",
        "positive class": "mean over classes" if positive is None else positive,
        "intervals": f"{confidence:.0%}, patient bootstrap with {n_resamples} draws; for chance, "
        "the range of that share of random guessers",
    }
    return Comparison(scores, predictions, tuple(classes.tolist()), positive, settings)


def _positive_class(classes: np.ndarray, positive: Any) -> Any:
    if len(classes) < 2:
        raise ValueError(f"y has only one class: {classes.tolist()}.")
    if positive is not None:
        if len(classes) > 2 or positive not in classes.tolist():
            raise ValueError(f"positive={positive!r} must be one of two classes; y has {classes}.")
        return positive
    if len(classes) > 2:
        return None
    if classes.dtype.kind in "iufb":
        return classes[1].item()
    ill = [label for label in classes.tolist() if str(label).strip().lower() not in _HEALTHY]
    if len(ill) != 1:
        raise ValueError(f"Say which of {classes.tolist()} is the positive class: positive=….")
    return ill[0]


def _decide_fold(
    model: Any, table: pd.DataFrame, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    """Fit on the training patients and decide about the test patients."""
    fitted = clone(model).fit(table.iloc[train], y[train])
    decided = fitted.predict_patients(table.iloc[test])
    columns = {name: f"score_{label}" for name, label in _score_names(fitted)}
    return decided[["prediction", *columns]].rename(columns=columns).rename_axis("patient")


def _score_names(fitted: Any) -> list[tuple[str, Any]]:
    return list(zip(fitted._score_columns(), fitted.classes_, strict=True))


def _tidy(decided: pd.DataFrame, label_of: pd.Series, methods: list[str]) -> pd.DataFrame:
    predictions = decided.reset_index()
    predictions["truth"] = label_of.loc[predictions["patient"]].to_numpy()
    order = pd.Categorical(predictions["method"], categories=methods, ordered=True)
    predictions = predictions.iloc[np.lexsort((predictions["repeat"], order.codes))]
    first = ["method", "repeat", "fold", "patient", "truth", "prediction"]
    rest = [name for name in predictions.columns if name not in first]
    return predictions[first + rest].reset_index(drop=True)


def _score(
    predictions: pd.DataFrame,
    classes: np.ndarray,
    positive: Any,
    *,
    confidence: float,
    n_resamples: int,
    random_state: int,
) -> pd.DataFrame:
    codes = {label: code for code, label in enumerate(classes.tolist())}
    metrics = PatientMetrics(len(classes), None if positive is None else codes[positive])
    rows = []

    def add(method: str, value: Any, low: Any, high: Any) -> None:
        for metric, *figures in zip(METRICS, value, low, high, strict=True):
            rows.append([method, metric, *figures])

    for method, made in predictions.groupby("method", sort=False):
        truth = made["truth"].map(codes).to_numpy()
        scores = made[[f"score_{label}" for label in classes]].to_numpy(dtype=float)
        answers = np.column_stack([made["prediction"].map(codes), made["fold"], scores])
        interval = patient_bootstrap(
            metrics,
            truth,
            answers,
            patients=made["patient"].to_numpy(),
            repeats=made["repeat"].to_numpy(),
            confidence=confidence,
            n_resamples=n_resamples,
            random_state=random_state,
        )
        add(str(method), *interval)
        first = made["repeat"].to_numpy() == 0
    guessing = chance_level(
        truth[first], answers[first, 1], metrics, confidence=confidence, random_state=random_state
    )
    add(CHANCE, *guessing)
    return pd.DataFrame(rows, columns=["method", "metric", "value", "low", "high"])
