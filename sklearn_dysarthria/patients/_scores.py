"""Scores of patients: metrics for ordered classes, and any scikit-learn metric by patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import cohen_kappa_score, get_scorer
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils import check_consistent_length, column_or_1d

from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids


def quadratic_kappa(y_true: Any, y_pred: Any, classes: Any = None) -> float:
    """Agreement beyond chance, where a mistake counts by its squared distance in classes.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels.
    classes : array-like of shape (n_classes,), optional
        All labels, from one end of the scale to the other.  None takes the numbers that occur,
        in ascending order; strings have no order and need `classes`.

    Returns
    -------
    float
        1 for perfect agreement, 0 for what chance would reach, negative below that [1]_.  NaN
        if both hold nothing but the same single class, where chance agrees too.

    Raises
    ------
    ValueError
        There are no samples, a label is missing or not among `classes`, or the order is unknown.

    References
    ----------
    .. [1] J. Cohen, "Weighted kappa: Nominal scale agreement provision for scaled disagreement or
       partial credit", Psychological Bulletin 70 (1968), 213-220.

    Examples
    --------
    >>> from sklearn_dysarthria import quadratic_kappa
    >>> quadratic_kappa([1, 2, 3, 4, 5], [1, 2, 3, 4, 4])
    0.941...
    """
    true, predicted, n_classes = _ranks(y_true, y_pred, classes)
    if len(np.union1d(true, predicted)) == 1:
        return float("nan")
    return cohen_kappa_score(true, predicted, labels=np.arange(n_classes), weights="quadratic")


def mae_in_classes(y_true: Any, y_pred: Any, classes: Any = None) -> float:
    """Mean distance between true and predicted class, in steps of the ordered classes.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels.
    classes : array-like of shape (n_classes,), optional
        As in :func:`quadratic_kappa`.  Give them where a class in the middle may not occur: the
        step over it would be lost.

    Returns
    -------
    float
        0 for no mistakes, number of classes less 1 at worst.

    Raises
    ------
    ValueError
        As in :func:`quadratic_kappa`.

    Examples
    --------
    >>> from sklearn_dysarthria import mae_in_classes
    >>> mae_in_classes(["mild", "severe"], ["mild", "mild"], classes=["mild", "moderate", "severe"])
    1.0
    """
    true, predicted, _ = _ranks(y_true, y_pred, classes)
    return float(np.mean(np.abs(true - predicted)))


def within_one_class(y_true: Any, y_pred: Any, classes: Any = None) -> float:
    """Share of predictions that are right or one class off.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        True and predicted labels.
    classes : array-like of shape (n_classes,), optional
        As in :func:`mae_in_classes`.

    Returns
    -------
    float
        Between 0 and 1; always 1 for two classes, and easily high for three.

    Raises
    ------
    ValueError
        As in :func:`quadratic_kappa`.

    Examples
    --------
    >>> from sklearn_dysarthria import within_one_class
    >>> within_one_class([1, 2, 3, 4], [2, 2, 1, 4])
    0.75
    """
    true, predicted, _ = _ranks(y_true, y_pred, classes)
    return float(np.mean(np.abs(true - predicted) <= 1))


def _ranks(y_true: Any, y_pred: Any, classes: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the position of every label on the scale, and how many positions there are."""
    given = {"y_true": _labels(y_true, "y_true"), "y_pred": _labels(y_pred, "y_pred")}
    check_consistent_length(*given.values())
    if not len(given["y_true"]):
        raise ValueError("There are no predictions to score.")
    if classes is None:
        for name, labels in given.items():
            if labels.dtype.kind not in "biuf":
                raise ValueError(
                    f"{name} holds labels such as {labels[0]!r}, which have no order; give "
                    "classes, all labels from one end of the scale to the other."
                )
        scale = np.unique(np.concatenate(list(given.values()))).tolist()
    else:
        scale = _scale(classes)
        if len(set(scale)) < len(scale):
            raise ValueError(f"classes={scale} names a class twice.")
    position = {label: rank for rank, label in enumerate(scale)}
    ranks = []
    for name, labels in given.items():
        unknown = [label for label in labels.tolist() if label not in position]
        if unknown:
            raise ValueError(f"{name} holds {unknown[0]!r}, which is not among classes {scale}.")
        ranks.append(np.array([position[label] for label in labels.tolist()], dtype=int))
    return ranks[0], ranks[1], len(scale)


def _scale(classes: Any) -> list[Any]:
    if isinstance(classes, list):
        return classes
    ordered = np.asarray(classes)
    if ordered.ndim != 1 or isinstance(classes, (str, bytes)):
        # A set, which has no order, becomes an array without dimensions.
        raise ValueError(
            f"classes={classes!r} must be a list of all labels, from one end of the scale to the "
            "other."
        )
    return ordered.tolist()


def _labels(labels: Any, name: str) -> np.ndarray:
    labels = column_or_1d(labels)
    missing = np.flatnonzero(pd.isna(labels))
    if len(missing):
        raise ValueError(f"{name} has no label at positions {missing[:5].tolist()} (from 0).")
    # Numbers kept as objects are numbers, as from a column of a table.
    return np.array(labels.tolist()) if labels.dtype.kind == "O" else labels


# ------------------------------------------------------------------------ by patient


def _all_classes(model: Any, y: np.ndarray) -> list[Any]:
    """Return the classes that the model knows or the labels hold, in ascending order."""
    classes = np.unique(np.concatenate([model.classes_, y]))
    if classes.dtype.kind not in "biuf":
        raise ValueError(
            f"the classes {classes.tolist()} have no order: use numbers, or give the order to a "
            "metric, as in make_scorer(quadratic_kappa, classes=[...])."
        )
    return classes.tolist()


def _quadratic_kappa(model: Any, X: Any, y: np.ndarray) -> float:
    return quadratic_kappa(y, model.predict(X), _all_classes(model, y))


def _neg_mae_classes(model: Any, X: Any, y: np.ndarray) -> float:
    return -mae_in_classes(y, model.predict(X), _all_classes(model, y))


def _within_one_class(model: Any, X: Any, y: np.ndarray) -> float:
    return within_one_class(y, model.predict(X), _all_classes(model, y))


def _answered(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers, and which of them are classes."""
    answers = np.asarray(model.predict(X))
    classes = set(model.classes_.tolist())
    return answers, np.fromiter((answer in classes for answer in answers.tolist()), bool)


def _coverage(model: Any, X: Any, y: np.ndarray) -> float:
    return float(_answered(model, X)[1].mean())


def _selective_accuracy(model: Any, X: Any, y: np.ndarray) -> float:
    answers, answered = _answered(model, X)
    return float((answers == y)[answered].mean()) if answered.any() else float("nan")


def _selective_balanced_accuracy(model: Any, X: Any, y: np.ndarray) -> float:
    answers, answered = _answered(model, X)
    correct, labels = (answers == y)[answered], y[answered]
    recalls = [correct[labels == label].mean() for label in np.unique(labels)]
    return float(np.mean(recalls)) if recalls else float("nan")


NAMED_SCORES: dict[str, Callable[[Any, Any, np.ndarray], float]] = {
    "coverage": _coverage,
    "neg_mae_classes": _neg_mae_classes,
    "quadratic_kappa": _quadratic_kappa,
    "selective_accuracy": _selective_accuracy,
    "selective_balanced_accuracy": _selective_balanced_accuracy,
    "within_one_class": _within_one_class,
}
"""``score(model, X, y)`` by name; `model` answers one row per patient."""


class DecidedPatients(ClassifierMixin, BaseEstimator):
    """A model that gives one answer per patient of a given table."""

    def __init__(self, model: Any, table: pd.DataFrame, first_rows: np.ndarray, codes: np.ndarray):
        self.model = model
        self.table = table
        self.first_rows = first_rows
        self.codes = codes
        self.classes_ = model.classes_
        self.is_fitted_ = True
        for method in ("predict", "predict_proba", "decision_function"):
            if hasattr(model, method):
                setattr(self, method, self._answerer(method))

    def _answerer(self, method: str) -> Any:
        def answer(X: Any) -> np.ndarray:
            answers = np.asarray(getattr(self.model, method)(self.table))
            by_patient = answers[self.first_rows]
            if not np.array_equal(by_patient[self.codes], answers):
                raise ValueError(
                    f"{type(self.model).__name__} gives the recordings of one patient different "
                    f"answers ({method}); wrap it in PatientVotingClassifier to score patients."
                )
            return by_patient

        answer.__name__ = method  # scikit-learn looks methods up by their name
        return answer


class PatientScorer:
    """Score a model with one row per patient; made by :func:`patient_scorer`.

    `scorer` is ``scorer(model, X, y)``, such as a scikit-learn scorer; `name` is for the
    representation.
    """

    def __init__(self, scorer: Any, name: str) -> None:
        self.scorer = scorer
        self.name = name

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the score, greater is better, over the patients of a table of recordings.

        The fitted model predicts the same for all recordings of a patient.
        """
        table = as_table(X)
        patients = patient_ids(table, "to score patients")
        label_of = one_label_per_patient(patients, y)
        codes = label_of.index.get_indexer(pd.Index(patients, dtype=object))
        _, first_rows = np.unique(codes, return_index=True)
        decided = DecidedPatients(estimator, table, first_rows, codes)
        labels = label_of.to_numpy().astype(np.asarray(y).dtype)
        return self.scorer(decided, table.iloc[first_rows], labels)

    def __repr__(self) -> str:
        return f"patient_scorer({self.name})"


def patient_scorer(scoring: Any) -> PatientScorer:
    """Turn a scikit-learn metric into one that counts patients instead of recordings.

    Parameters
    ----------
    scoring : str or callable
        Name of a scikit-learn scorer (``"balanced_accuracy"``, ``"roc_auc"``,
        ``"neg_log_loss"``, …), a scorer made by :func:`sklearn.metrics.make_scorer`, or one of
        the names below.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``, for ``scoring=`` in scikit-learn's cross-validation and
        searches.

    Raises
    ------
    ValueError
        The name is unknown; at scoring time, the model answers differently for two recordings of
        one patient, or its classes have no order and the metric needs one.

    Notes
    -----
    For ordered classes there are ``"quadratic_kappa"``, ``"neg_mae_classes"`` and
    ``"within_one_class"`` (see :func:`quadratic_kappa`, :func:`mae_in_classes`,
    :func:`within_one_class`), over the classes that the model knows or the labels hold, which
    must be numbers; ``make_scorer(quadratic_kappa, classes=[...])`` gives strings an order.

    For models that may abstain there are ``"coverage"``, the share of patients who get a class,
    and ``"selective_accuracy"`` and ``"selective_balanced_accuracy"`` over these patients (NaN if
    there are none; a class of which no patient gets a class is left out of the balanced one).
    Other scores of predicted classes count an abstention as a mistake, or raise an error; those of
    probabilities and rankings (``"roc_auc"``, ``"neg_log_loss"``, …) do not depend on it, since
    ``predict_proba`` does not abstain.  A search that chooses ``abstain_below`` by a selective
    score alone may choose a model that decides about hardly any patient.

    Examples
    --------
    >>> from sklearn_dysarthria import patient_scorer
    >>> patient_scorer("balanced_accuracy")
    patient_scorer('balanced_accuracy')
    """
    if isinstance(scoring, PatientScorer):
        return scoring
    if isinstance(scoring, str) and scoring in NAMED_SCORES:
        return PatientScorer(NAMED_SCORES[scoring], repr(scoring))
    if isinstance(scoring, str):
        return PatientScorer(get_scorer(scoring), repr(scoring))
    if not isinstance(scoring, _BaseScorer):
        raise ValueError(
            f"scoring={scoring!r} is neither the name of a scorer nor made by make_scorer; a "
            "metric function becomes a scorer by make_scorer(metric)."
        )
    return PatientScorer(scoring, repr(scoring))
