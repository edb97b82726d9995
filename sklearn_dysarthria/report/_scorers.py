"""scikit-learn's and our scorers of patients, applied to decisions that were made already."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer_names
from sklearn.metrics._scorer import _BaseScorer

from sklearn_dysarthria.exceptions import SmallClassWarning
from sklearn_dysarthria.patients import patient_bootstrap, patient_scorer
from sklearn_dysarthria.patients._scores import NAMED_SCORES

_OF_ABSTENTION = ("coverage", "selective_accuracy", "selective_balanced_accuracy")


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


def check_scoring(scoring: str | Sequence[str], labels: Any = None) -> dict[str, Any]:
    """Look further scorers up, and try them on labels, before any work.

    Parameters
    ----------
    scoring : str or sequence of str
        Names that :func:`~sklearn_dysarthria.patient_scorer` takes.
    labels : array-like, optional
        Labels that they must fit.

    Returns
    -------
    dict of str to scorer
        Scorers by name.

    Raises
    ------
    ValueError
        A name is unknown, or a scorer is not for these labels, such as one of two classes where
        there are three.
    """
    scorers = {}
    for name in [scoring] if isinstance(scoring, str) else scoring:
        if name in _OF_ABSTENTION:
            raise ValueError(
                f"scoring: {name!r} is for models that abstain; here every patient gets a class."
            )
        try:
            scorers[name] = patient_scorer(name).scorer
        except ValueError:
            close = difflib.get_close_matches(name, {*get_scorer_names(), *NAMED_SCORES})
            hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise ValueError(f"scoring: there is no scorer {name!r}.{hint}") from None
    if labels is None:
        return scorers
    labels = np.unique(np.asarray(labels))
    codes = np.arange(len(labels))
    answers = np.column_stack([np.zeros(len(labels)), codes, np.eye(len(labels))])
    for name, scorer in scorers.items():
        try:
            _metric(scorer, answers[:, 2:], labels)(codes, answers)
        except (ValueError, AttributeError) as error:
            reason = str(error).split("\n")[0]
            raise ValueError(
                f"scoring: {name!r} is not for the labels {labels.tolist()}: {reason}"
            ) from None
    return scorers


def further_scores(
    predictions: pd.DataFrame,
    scorers: dict[str, Any],
    classes: np.ndarray,
    positive: Any,
    **bootstrap: Any,
) -> tuple[list[list[Any]], dict[str, str]]:
    """Score decisions by scorers of `check_scoring`, with intervals.

    `predictions` are those of a Comparison, and `bootstrap` are further arguments of
    `patient_bootstrap`.  A scorer of predicted classes counts all patients of a repetition; one of
    probabilities or decision values is computed within each test fold, whose scores come from one
    model, and averaged.  Returns rows of method, scorer, value and both ends of the interval, and
    one line about each scorer.
    """
    # For two classes, scikit-learn's scorers speak of the second one.
    order = sorted(classes.tolist(), key=lambda label: label == positive)
    codes = {label: code for code, label in enumerate(order)}
    columns = [f"score_{label}" for label in order]
    rows, notes = [], {}
    for name, scorer in scorers.items():
        figures_of = []
        for method, made in predictions.groupby("method", sort=False):
            truth = made["truth"].map(codes).to_numpy()
            scores = made.reindex(columns=columns).to_numpy(dtype=float)
            metric = _metric(scorer, scores, np.array(order))
            # A class that a fold's training part lost has no score: it is the least likely one.
            scores = np.where(np.isnan(scores), min(0.0, np.nanmin(scores)), scores)
            answers = np.column_stack([made["fold"], made["prediction"].map(codes), scores])
            try:
                figures = bootstrapped(metric, truth, answers, made, **bootstrap)
            except AttributeError:  # the scorer needs probabilities
                figures_of.append(f"{method} has no probabilities")
                continue
            rows.append([method, name, *figures])
            figures_of.append(f"{method} {figures[0]:.2f} [{figures[1]:.2f}, {figures[2]:.2f}]")
        notes[name] = "; ".join(figures_of)
    return rows, notes


def bootstrapped(
    metric: Any, truth: Any, answers: Any, made: pd.DataFrame, **bootstrap: Any
) -> Any:
    """Return a metric of one method's predictions `made`, and both ends of its interval."""
    with warnings.catch_warnings():
        # Small classes draw one warning for all methods; a draw in which a metric is undefined is
        # nothing unusual.
        warnings.simplefilter("ignore", SmallClassWarning)
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return patient_bootstrap(
            metric,
            truth,
            answers,
            patients=made["patient"].to_numpy(),
            repeats=made["repeat"].to_numpy(),
            **bootstrap,
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
