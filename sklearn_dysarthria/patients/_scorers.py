"""Any scikit-learn metric, counted by patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer
from sklearn.metrics._scorer import _BaseScorer

from sklearn_dysarthria.patients._named_scores import NAMED_SCORES
from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids


class DecidedPatients(ClassifierMixin, BaseEstimator):
    """A model whose answers, one per patient, are known already."""

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

    Parameters
    ----------
    scorer : callable
        ``scorer(model, X, y)``, such as a scikit-learn scorer.
    name : str
        For the representation.
    """

    def __init__(self, scorer: Any, name: str) -> None:
        self.scorer = scorer
        self.name = name

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the score over the patients of ``X``.

        Parameters
        ----------
        estimator : estimator
            A fitted model that answers alike for all recordings of a patient.
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.
        y : array-like of shape (n_recordings,)
            Labels.

        Returns
        -------
        float
            The score; greater is better.
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
    there are none; a class of which nobody gets an answer is left out of the balanced one).
    Other scores of predicted classes count an abstention as a mistake, or refuse it; those of
    probabilities and rankings (``"roc_auc"``, ``"neg_log_loss"``, …) do not know of it, since
    ``predict_proba`` does not abstain.  A search that chooses ``abstain_below`` by a selective
    score alone has nothing that keeps it from answering about hardly anybody.

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
