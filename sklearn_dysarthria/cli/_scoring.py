"""Figures of a study beyond those of every comparison, and models on patients held out."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import column_or_1d

from sklearn_dysarthria.cli._checks import StudyError, did_you_mean
from sklearn_dysarthria.exceptions import SmallClassWarning
from sklearn_dysarthria.patients import patient_bootstrap, patient_scorer
from sklearn_dysarthria.patients._bootstrap import check_draws, warn_about_small_classes
from sklearn_dysarthria.patients._scores import NAMED_SCORES
from sklearn_dysarthria.recordings import one_label_per_patient, patient_ids
from sklearn_dysarthria.report import Comparison
from sklearn_dysarthria.report._compare import _positive_class, _score


class _Answers(ClassifierMixin, BaseEstimator):
    """A fitted classifier of rows that hold its answers: the class code, then scores."""

    def __init__(self, classes: np.ndarray) -> None:
        self.classes_ = classes
        self.is_fitted_ = True

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[X[:, 0].astype(int)]


class _Probabilities(_Answers):
    def predict_proba(self, X: Any) -> np.ndarray:
        return X[:, 1:]


class _Decisions(_Answers):
    def decision_function(self, X: Any) -> np.ndarray:
        return X[:, 2] if X.shape[1] == 3 else X[:, 1:]


_OF_ABSTENTION = ("coverage", "selective_accuracy", "selective_balanced_accuracy")


def check_scoring(names: str | Sequence[str]) -> dict[str, Any]:
    """Look scorers up before any work.

    Parameters
    ----------
    names : str or sequence of str
        Names that :func:`~sklearn_dysarthria.patient_scorer` takes.

    Returns
    -------
    dict of str to scorer
        scikit-learn's scorers of patients.

    Raises
    ------
    StudyError
        A name is unknown.
    """
    from sklearn.metrics import get_scorer_names

    scorers = {}
    for name in [names] if isinstance(names, str) else names:
        if name in _OF_ABSTENTION:
            raise StudyError(
                f"evaluation.scoring: {name!r} is for models that abstain; here every patient "
                "gets a class."
            )
        try:
            scorers[name] = patient_scorer(name).scorer
        except ValueError:
            hint = did_you_mean(name, {*get_scorer_names(), *NAMED_SCORES}, listed=False)
            raise StudyError(f"evaluation.scoring: there is no scorer {name!r}.{hint}") from None
    return scorers


def try_scorers(scorers: dict[str, Any], y: Any) -> None:
    """Refuse scorers that these labels are not for, before any work.

    Parameters
    ----------
    scorers : dict of str to scorer
        See `check_scoring`.
    y : array-like
        Labels.

    Raises
    ------
    StudyError
        Such as a scorer of two classes where there are three, or of ordered classes for text.
    """
    labels = np.unique(np.asarray(y))
    codes = np.arange(len(labels))
    answers = np.column_stack([np.zeros(len(labels)), codes, np.eye(len(labels))])
    for name, scorer in scorers.items():
        try:
            _metric(scorer, answers[:, 2:], labels)(codes, answers)
        except (ValueError, AttributeError) as error:
            told = str(error).split("\n")[0]
            raise StudyError(
                f"evaluation.scoring: {name!r} is not for the labels {labels.tolist()}: {told}"
            ) from None


def add_scores(
    result: Comparison,
    scorers: dict[str, Any],
    *,
    confidence: float,
    n_resamples: int,
    random_state: int,
) -> Comparison:
    """Compute further scores from out-of-fold decisions, with intervals.

    Parameters
    ----------
    result : Comparison
        Of any models.
    scorers : dict of str to scorer
        See `check_scoring`.  A scorer of predicted classes counts all patients of a repetition;
        one of probabilities or decision values is computed within each test fold, whose scores
        come from one model, and averaged.
    confidence, n_resamples, random_state
        As in :func:`~sklearn_dysarthria.compare`.

    Returns
    -------
    Comparison
        With more rows in ``scores``, and lines under the table.
    """
    # For two classes, scikit-learn's scorers speak of the second one.
    order = sorted(result.classes, key=lambda label: label == result.positive)
    codes = {label: code for code, label in enumerate(order)}
    columns = [f"score_{label}" for label in order]
    rows, notes = [], {}
    for name, scorer in scorers.items():
        told = []
        for method, made in result.predictions.groupby("method", sort=False):
            truth = made["truth"].map(codes).to_numpy()
            scores = made.reindex(columns=columns).to_numpy(dtype=float)
            metric = _metric(scorer, scores, np.array(order))
            # A class that a fold's training part lost has no score: it is the least likely one.
            lowest = min(0.0, np.nanmin(scores))
            scores = np.where(np.isnan(scores), lowest, scores)
            answers = np.column_stack([made["fold"], made["prediction"].map(codes), scores])
            with warnings.catch_warnings():
                # Small classes are warned about once, for all methods; a draw in which a
                # metric is undefined is no news.
                warnings.simplefilter("ignore", SmallClassWarning)
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                try:
                    figures = patient_bootstrap(
                        metric,
                        truth,
                        answers,
                        patients=made["patient"].to_numpy(),
                        repeats=made["repeat"].to_numpy(),
                        confidence=confidence,
                        n_resamples=n_resamples,
                        random_state=random_state,
                    )
                except AttributeError:  # probabilities are asked of a model that has none
                    told.append(f"{method} has no probabilities")
                    continue
            rows.append([method, name, *figures])
            told.append(f"{method} {figures[0]:.2f} [{figures[1]:.2f}, {figures[2]:.2f}]")
        notes[name] = "; ".join(told)
    more = pd.DataFrame(rows, columns=list(result.scores.columns))
    return dataclasses.replace(
        result,
        scores=pd.concat([result.scores, more], ignore_index=True) if rows else result.scores,
        settings={**result.settings, **notes},
    )


def _metric(scorer: Any, scores: np.ndarray, labels: np.ndarray) -> Any:
    """Return a metric of codes and of rows of fold, code and scores."""
    probable = np.nanmin(scores) >= 0 and np.allclose(np.nansum(scores, axis=1), 1)
    # Ours look at the order of the labels themselves; scikit-learn's take any labels for two
    # classes only if they are 0 and 1.
    theirs = isinstance(scorer, _BaseScorer)
    known = np.arange(len(labels)) if theirs else labels
    model = (_Probabilities if probable else _Decisions)(known)
    pooled = not theirs or scorer._response_method == "predict"

    def score(truth: np.ndarray, answers: np.ndarray) -> float:
        if pooled:
            return float(scorer(model, answers[:, 1:], known[truth]))
        values = []
        for fold in np.unique(answers[:, 0]):
            inside = answers[:, 0] == fold
            if len(np.unique(truth[inside])) == len(labels):
                values.append(scorer(model, answers[inside, 1:], known[truth[inside]]))
        return float(np.mean(values)) if values else np.nan

    return score


def evaluate_held_out(
    name: str,
    model: Any,
    X: Any,
    y: Any,
    *,
    positive: Any,
    confidence: float,
    n_resamples: int,
    random_state: int,
) -> Comparison:
    """Score a fitted model on patients whom it has not met.

    Parameters
    ----------
    name : str
        Of the model, in the table.
    model : estimator
        Fitted; decides per patient.
    X, y : table of recordings, array-like of shape (n_recordings,)
        The held-out corpus.
    positive, confidence, n_resamples, random_state
        As in :func:`~sklearn_dysarthria.compare`.

    Returns
    -------
    Comparison
        All patients in one fold.

    Raises
    ------
    ValueError
        The corpus has labels that the model does not know.
    """
    check_draws(confidence, n_resamples)
    y = column_or_1d(y)
    label_of = one_label_per_patient(patient_ids(X), y)
    classes = np.asarray(model.classes_)
    unknown = sorted(map(str, set(label_of) - set(classes.tolist())))
    if unknown:
        raise ValueError(
            f"The corpus has the labels {unknown}, which the model was not trained to tell: it "
            f"knows {classes.tolist()}."
        )
    positive = _positive_class(classes, positive)
    decided = model.predict_patients(X)
    warn_about_small_classes(label_of, stacklevel=2)
    scores = decided[[n for n in model._score_columns() if n in decided]].to_numpy(dtype=float)
    if not scores.shape[1]:
        scores = (decided["prediction"].to_numpy()[:, None] == classes).astype(float)
    predictions = pd.DataFrame(scores, columns=[f"score_{label}" for label in classes])
    head = {
        "method": name,
        "repeat": 0,
        "fold": 0,
        "patient": decided.index.to_numpy(),
        "truth": label_of.reindex(decided.index).to_numpy().astype(classes.dtype),
        "prediction": decided["prediction"].to_numpy(),
    }
    for place, (column, values) in enumerate(head.items()):
        predictions.insert(place, column, values)
    figures = _score(
        predictions,
        classes,
        positive,
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
    )
    settings = {
        "patients": ", ".join(f"{label}: {(label_of == label).sum()}" for label in classes),
        "recordings": len(X),
        "held out": "no patient has the name of a training patient, and no recording the samples "
        "of a training recording (not checked: the same people under other names, in other "
        "recordings)",
        "positive class": "mean over classes" if positive is None else positive,
        "intervals": f"{confidence:.0%}, patient bootstrap with {n_resamples} draws; for chance, "
        "the range of that share of random guessers",
    }
    return Comparison(figures, predictions, tuple(classes.tolist()), positive, settings)
