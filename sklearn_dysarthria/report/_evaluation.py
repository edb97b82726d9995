"""From decisions about patients to the figures of a comparison; fitted models on new patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d

from sklearn_dysarthria.patients._bootstrap import check_draws, warn_about_small_classes
from sklearn_dysarthria.patients._class_scores import class_columns
from sklearn_dysarthria.patients._scores import DecidedPatients
from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids
from sklearn_dysarthria.report._comparison import Comparison
from sklearn_dysarthria.report._metrics import CHANCE, METRICS, PatientMetrics, chance_level
from sklearn_dysarthria.report._scorers import bootstrapped, check_scoring, further_scores

_HEALTHY = {"hc", "healthy", "healthy control", "control", "ct", "no", "normal", "false"}


def evaluate_held_out(
    model: Any,
    X: Any,
    y: Any,
    *,
    name: str = "model",
    positive: Any = None,
    scoring: str | Sequence[str] = (),
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Comparison:
    """Score a fitted model on patients whom it was not trained on.

    Parameters
    ----------
    model : estimator
        Fitted; decides per patient.
    X : table of recordings with column ``patient``
        The held-out patients, which :func:`~sklearn_dysarthria.persistence.known_patients`
        compares with those of a saved model.
    y : array-like of shape (n_recordings,)
        Labels; the same for all recordings of a patient.
    name : str, default="model"
        Of the model, in the table.
    positive, scoring, confidence, n_resamples, random_state, settings
        As in :func:`~sklearn_dysarthria.compare`.

    Returns
    -------
    Comparison
        All patients in one fold.

    Raises
    ------
    ValueError
        The corpus has labels that the model does not know.

    Warns
    -----
    SmallClassWarning
        A class has fewer than five patients: its figures and their intervals say little.
    """
    check_draws(confidence, n_resamples)
    X, y = as_table(X), column_or_1d(y)
    label_of = one_label_per_patient(patient_ids(X), y)
    classes = np.asarray(model.classes_)
    unknown = sorted(map(str, set(label_of) - set(classes.tolist())))
    if unknown:
        raise ValueError(
            f"The corpus has the labels {unknown}, which the model was not trained on: it "
            f"knows {classes.tolist()}."
        )
    positive = positive_class(classes, positive)
    scorers = check_scoring(scoring, classes)
    decided = decide(model, X)
    warn_about_small_classes(label_of, stacklevel=3)
    return comparison_of(
        decided.reset_index().assign(method=name, repeat=0, fold=0),
        label_of,
        classes,
        positive,
        scorers,
        {
            "patients": patients_per_class(label_of, classes),
            "recordings": len(X),
            "held out": "no patient has the name of a training patient, and no recording the "
            "samples of a training recording (not checked: the same people under other names, "
            "in other recordings)",
        },
        settings,
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
    )


def positive_class(classes: np.ndarray, positive: Any = None) -> Any:
    """Return the class that sensitivity and specificity speak of.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Labels in order.
    positive : object, optional
        The wanted one.  By default the larger of two numbers, or the one that does not mean
        "healthy".

    Returns
    -------
    object
        One of the labels; None for more than two classes.

    Raises
    ------
    ValueError
        There is one class, `positive` is none of two classes, or it is not clear which it is.
    """
    labels = classes.tolist()
    if len(labels) < 2:
        raise ValueError(f"y has only one class: {labels}.")
    if positive is not None:
        if len(labels) > 2 or positive not in labels:
            raise ValueError(f"positive={positive!r} must be one of two classes; y has {classes}.")
        # The label itself: 1 equals 1.0 and True, but columns are named by how it is written.
        return labels[labels.index(positive)]
    if len(labels) > 2:
        return None
    if all(isinstance(label, Real) for label in labels):
        return labels[1]
    ill = [label for label in labels if str(label).strip().lower() not in _HEALTHY]
    if len(ill) != 1:
        raise ValueError(
            f"Say which of {labels} is the positive class: positive=…, "
            "on the command line --positive."
        )
    return ill[0]


def decide(fitted: Any, X: pd.DataFrame) -> pd.DataFrame:
    """Return ``prediction`` and ``score_<class>``, indexed by ``patient``.

    A model without ``predict_patients`` has scikit-learn's methods, and gives all recordings of a
    patient the same answer.
    """
    if hasattr(fitted, "predict_patients"):
        made = fitted.predict_patients(X)
        names = [name for name in fitted._score_columns() if name in made.columns]
        predicted, scores = made["prediction"].to_numpy(), made[names].to_numpy(dtype=float)
        patients = made.index
    else:
        patients, predicted, scores = _answers_by_patient(fitted, X)
    classes = np.asarray(fitted.classes_)
    if not scores.shape[1]:  # a model without scores: only its decision ranks patients
        scores = (predicted[:, None] == classes).astype(float)
    columns = [f"score_{label}" for label in classes]
    decided = pd.DataFrame(scores, columns=columns, index=pd.Index(patients, name="patient"))
    decided.insert(0, "prediction", predicted)
    return decided


def _answers_by_patient(fitted: Any, X: pd.DataFrame) -> tuple[pd.Index, np.ndarray, np.ndarray]:
    """Ask a model that has only scikit-learn's methods, row by row."""
    patients = patient_ids(X)
    names = pd.Index(pd.unique(patients), dtype=object)
    codes = names.get_indexer(pd.Index(patients, dtype=object))
    first_rows = np.unique(codes, return_index=True)[1]
    decided = DecidedPatients(fitted, X, first_rows, codes)
    scores = np.empty((len(names), 0))
    for method in ("predict_proba", "decision_function"):
        if hasattr(decided, method):
            scores = class_columns(getattr(decided, method)(X), len(fitted.classes_))
            break
    return names, decided.predict(X), scores


def patients_per_class(label_of: pd.Series, classes: np.ndarray) -> str:
    """Return the number of patients of each class on one line."""
    return ", ".join(f"{label}: {(label_of == label).sum()}" for label in classes)


def comparison_of(
    decided: pd.DataFrame,
    label_of: pd.Series,
    classes: np.ndarray,
    positive: Any,
    scorers: dict[str, Any],
    facts: dict[str, Any],
    settings: Mapping[str, Any] | None,
    **bootstrap: Any,
) -> Comparison:
    """Score decisions about patients, with a row of figures for each method and one for chance.

    `decided` has ``method``, ``repeat``, ``fold``, ``patient``, ``prediction`` and scores, and
    `label_of` the truth by patient.  `facts` say how the decisions came about; `settings` are what
    the caller adds to them, or replaces in them.  Scorers are those of `check_scoring`;
    `bootstrap` are ``confidence``, ``n_resamples`` and ``random_state``.
    """
    truth = label_of.reindex(decided["patient"]).to_numpy().astype(classes.dtype)
    first = ["method", "repeat", "fold", "patient", "truth", "prediction"]
    rest = [name for name in decided.columns if name not in first]
    predictions = decided.assign(truth=truth)[first + rest].reset_index(drop=True)
    rows = _figures(predictions, classes, positive, **bootstrap)
    further, notes = further_scores(predictions, scorers, classes, positive, **bootstrap)
    return Comparison(
        pd.DataFrame([*rows, *further], columns=["method", "metric", "value", "low", "high"]),
        predictions,
        tuple(classes.tolist()),
        positive,
        {
            **facts,
            "positive class": "mean over classes" if positive is None else positive,
            "intervals": f"{bootstrap['confidence']:.0%}, patient bootstrap with "
            f"{bootstrap['n_resamples']} draws; for chance, the range of that share of random "
            "guessers",
            **(settings or {}),
            **notes,
        },
    )


def _figures(
    predictions: pd.DataFrame, classes: np.ndarray, positive: Any, **bootstrap: Any
) -> list[list[Any]]:
    """Return method, metric, value and both ends of the interval, row by row."""
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
        add(str(method), *bootstrapped(metrics, truth, answers, made, **bootstrap))
        first = made["repeat"].to_numpy() == 0
    guessing = chance_level(
        truth[first],
        answers[first, 1],
        metrics,
        confidence=bootstrap["confidence"],
        random_state=bootstrap["random_state"],
    )
    add(CHANCE, *guessing)
    return rows
