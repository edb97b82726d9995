"""Cross-validate several models on the same patients."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import column_or_1d

from sklearn_dysarthria._utils.progress import progress_bar
from sklearn_dysarthria._utils.workers import one_by_one
from sklearn_dysarthria.exceptions import PatientError, SmallClassWarning
from sklearn_dysarthria.patients import RepeatedStratifiedPatientKFold, patient_bootstrap
from sklearn_dysarthria.patients._bootstrap import check_draws, warn_about_small_classes
from sklearn_dysarthria.patients._class_scores import class_columns
from sklearn_dysarthria.patients._scores import DecidedPatients
from sklearn_dysarthria.patients._splits import check_no_missing_labels
from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids
from sklearn_dysarthria.report._comparison import Comparison
from sklearn_dysarthria.report._methods import (
    METHODS,
    MajorityOfPatients,
    build_methods,
    check_methods,
)
from sklearn_dysarthria.report._metrics import CHANCE, METRICS, PatientMetrics, chance_level

MAJORITY = "majority class"
_HEALTHY = {"hc", "healthy", "healthy control", "control", "ct", "no", "normal", "false"}


def compare(
    X: Any,
    y: Any,
    *,
    methods: Sequence[str] | Mapping[str, Any] = METHODS,
    preset: str = "quick",
    n_splits: int = 5,
    n_repeats: int = 1,
    cv: Any = None,
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
        :class:`~sklearn_dysarthria.PatientFeaturesClassifier`, a grid search over either), and
        about every patient: ``abstain_below`` is refused.
    preset : {"quick", "paper"}, default="quick"
        Size of the named methods; see :mod:`sklearn_dysarthria.pipelines`.
    n_splits, n_repeats : int, default=5, 1
        Folds, and repetitions of them with other shufflings.
    cv : splitter or iterable of (train, test), optional
        Other splits than those, over the rows of ``X``: the official split of a corpus
        (:class:`~sklearn.model_selection.PredefinedSplit`), say.  Patients outside every test part
        are not decided about.
    positive : label, optional
        Which of two classes sensitivity and specificity speak of.  By default the larger of two
        numbers, or the one that does not mean "healthy".
    weights : mapping of str to str or path, optional
        Pretrained weights for named methods, instead of the preset's.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_resamples : int, default=1000
        Draws of the patient bootstrap.
    cache : str, path, RecordingCache or joblib.Memory, optional
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
        A patient carries two labels, or is on both sides of a split of ``cv``.
    MissingColumnError
        The table does not name patients.
    ValueError
        Unknown methods, a model that may abstain, a class with a single patient, or it is not
        clear which class is the positive one.

    Warns
    -----
    SmallClassWarning
        A class has fewer than five patients: its figures and their intervals say little.

    Notes
    -----
    Each patient is in the test fold once per repetition.  Metrics are computed over patients,
    within each repetition, and averaged over repetitions (with ``cv``, the k-th time that a patient
    is tested belongs to repetition k); intervals come from
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
    check_draws(confidence, n_resamples)
    table = as_table(X)
    y = column_or_1d(y)
    check_no_missing_labels(y)
    label_of = one_label_per_patient(patient_ids(table), y)
    classes = np.unique(y)
    positive = _positive_class(classes, positive)
    _refuse_lonely_patients(label_of)
    own = isinstance(methods, Mapping)
    names = [methods] if isinstance(methods, str) else list(methods)
    if own:
        _check_names(names, weights)
    else:
        check_methods(names, preset, weights)
    warn_about_small_classes(label_of, stacklevel=3)
    splits = _splits(table, y, n_splits, n_repeats, cv, random_state)
    with ExitStack() as stack:
        if cache is None:
            cache = stack.enter_context(tempfile.TemporaryDirectory())
        if isinstance(methods, Mapping):
            models = dict(methods)
            for name, model in models.items():
                _refuse_abstention(name, model)
        else:
            models = build_methods(
                names,
                table,
                preset=preset,
                cache=cache,
                random_state=random_state,
                weights=weights,
                verbose=verbose,
            )
        models[MAJORITY] = MajorityOfPatients()
        jobs = [(name, i) for i in range(len(splits)) for name in models]
        answers = Parallel(n_jobs=n_jobs, return_as=one_by_one())(
            delayed(_decide_fold)(name, models[name], table, y, *splits[i]) for name, i in jobs
        )
        bar = progress_bar(answers, total=len(jobs), desc="comparing", verbose=verbose)
        decided = [
            answer.assign(method=name, fold=i % n_splits if cv is None else i)
            for (name, i), answer in zip(jobs, bar, strict=True)
        ]
    predictions = _tidy(pd.concat(decided), label_of.astype(classes.dtype), list(models))
    scores = _score(
        predictions,
        classes,
        positive,
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
    )
    settings = {
        "preset": "none: models given by the caller" if own else preset,
        "patients": ", ".join(f"{label}: {(label_of == label).sum()}" for label in classes),
        "recordings": len(table),
        "cross-validation": f"{n_splits} folds of patients, {n_repeats} repetition(s), "
        f"seed {random_state}"
        if cv is None
        else _described(splits, table),
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
        # The label itself: 1 equals 1.0 and True, but columns are named by how it is written.
        return classes.tolist()[classes.tolist().index(positive)]
    if len(classes) > 2:
        return None
    if all(isinstance(label, Real) for label in classes.tolist()):
        return classes.tolist()[1]
    ill = [label for label in classes.tolist() if str(label).strip().lower() not in _HEALTHY]
    if len(ill) != 1:
        raise ValueError(
            f"Say which of {classes.tolist()} is the positive class: positive=…, "
            "on the command line --positive."
        )
    return ill[0]


def _refuse_lonely_patients(label_of: pd.Series) -> None:
    sizes = label_of.value_counts()
    lonely = sorted(str(label) for label in sizes.index[sizes < 2])
    if lonely:
        raise ValueError(
            f"Class {', '.join(lonely)} has a single patient, who cannot be in training and test."
        )


def _splits(
    table: pd.DataFrame, y: np.ndarray, n_splits: int, n_repeats: int, cv: Any, random_state: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the splits as row positions, none of which divides a patient."""
    if cv is None:
        cv = RepeatedStratifiedPatientKFold(
            n_splits, n_repeats=n_repeats, random_state=random_state
        )
    splits = list(cv.split(table, y) if hasattr(cv, "split") else cv)
    patients = patient_ids(table)
    for number, (train, test) in enumerate(splits):
        torn = sorted(map(str, set(patients[train]) & set(patients[test])))
        if torn:
            raise PatientError(
                f"split {number} of cv has patients on both sides: {', '.join(torn[:5])}.",
                remedy="Split by patient: StratifiedPatientKFold.",
            )
    return splits


def _described(splits: list[tuple[np.ndarray, np.ndarray]], table: pd.DataFrame) -> str:
    tested = pd.unique(patient_ids(table)[np.concatenate([test for _, test in splits])])
    return f"{len(splits)} given split(s) of patients, {len(tested)} patients tested"


def _check_names(names: list[Any], weights: Any) -> None:
    taken = [name for name in names if name in (MAJORITY, CHANCE)]
    if taken or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"methods={names} must name at least one model; {MAJORITY!r} and {CHANCE!r} are "
            "names of rows that are added."
        )
    if weights:
        raise ValueError("weights are for named methods; give your own models theirs yourself.")


def _refuse_abstention(name: str, model: Any) -> None:
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    abstains = [
        value
        for parameter, value in parameters.items()
        if parameter.rpartition("__")[2] == "abstain_below" and value is not None
    ]
    if abstains:
        raise ValueError(
            f"method {name!r} may abstain (abstain_below={abstains[0]!r}), and the figures of a "
            "comparison are about all patients: set abstain_below=None, and score abstention by "
            "patient_scorer('selective_accuracy') beside patient_scorer('coverage')."
        )


def _decide_fold(
    name: str,
    model: Any,
    table: pd.DataFrame,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> pd.DataFrame:
    """Fit on the training patients and decide about the test patients."""
    fitted = clone(model).fit(table.iloc[train], y[train])
    fitted = getattr(fitted, "best_estimator_", fitted)
    _refuse_abstention(name, fitted)  # a search may have chosen to
    if hasattr(fitted, "predict_patients"):
        made = fitted.predict_patients(table.iloc[test])
        names = [name for name in fitted._score_columns() if name in made.columns]
        predicted, scores = made["prediction"].to_numpy(), made[names].to_numpy(dtype=float)
        patients = made.index
    else:
        patients, predicted, scores = _answers_by_patient(fitted, table.iloc[test])
    if not scores.shape[1]:  # a model without scores: its decision is all that ranks patients
        scores = (predicted[:, None] == fitted.classes_).astype(float)
    columns = [f"score_{label}" for label in fitted.classes_]
    decided = pd.DataFrame(scores, columns=columns, index=pd.Index(patients, name="patient"))
    decided.insert(0, "prediction", predicted)
    return decided


def _answers_by_patient(
    fitted: Any, table: pd.DataFrame
) -> tuple[pd.Index, np.ndarray, np.ndarray]:
    """Ask a model that has only scikit-learn's methods, row by row."""
    patients = patient_ids(table)
    names = pd.Index(pd.unique(patients), dtype=object)
    codes = names.get_indexer(pd.Index(patients, dtype=object))
    first_rows = np.unique(codes, return_index=True)[1]
    decided = DecidedPatients(fitted, table, first_rows, codes)
    scores = np.empty((len(names), 0))
    for method in ("predict_proba", "decision_function"):
        if hasattr(decided, method):
            scores = class_columns(getattr(decided, method)(table), len(fitted.classes_))
            break
    return names, decided.predict(table), scores


def _tidy(decided: pd.DataFrame, label_of: pd.Series, methods: list[str]) -> pd.DataFrame:
    predictions = decided.reset_index()
    predictions["truth"] = label_of.reindex(predictions["patient"]).to_numpy()
    order = pd.Categorical(predictions["method"], categories=methods, ordered=True)
    predictions["repeat"] = predictions.groupby(["method", "patient"]).cumcount()
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
        scores = made.reindex(columns=[f"score_{label}" for label in classes]).to_numpy(float)
        # A class that a fold's training part lost gets no score: it is the least likely one.
        scores = np.where(np.isnan(scores), -np.inf, scores)
        answers = np.column_stack([made["prediction"].map(codes), made["fold"], scores])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SmallClassWarning)  # said once, for all methods
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
