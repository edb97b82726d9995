"""One decision per patient, voted over the patient's recordings."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria.exceptions import PatientError, RecordingWarning
from sklearn_dysarthria.patients._base import PatientClassifier, scores_by_class
from sklearn_dysarthria.patients._leaks import TrainingPatients, split_searches_by_patient
from sklearn_dysarthria.recordings import as_table, noted_failures, patient_ids


class PatientVotingClassifier(MetaEstimatorMixin, PatientClassifier):
    """Decide about a patient by a vote over the patient's recordings.

    Wraps any recording-level model.  Column ``patient`` of the table says which recordings belong
    together, in training (where it is also handed to inner validation splits) and prediction.
    Patients with fewer recordings than others still get a decision.

    Parameters
    ----------
    estimator : estimator
        Classifier of recordings, usually a Pipeline from the table to classes.
    voting : {"hard", "soft"}, default="hard"
        ``"hard"`` counts the recordings' predicted classes; ``"soft"`` averages their
        probabilities (decision values, where `estimator` has no ``predict_proba``).

    Attributes
    ----------
    estimator_ : estimator
        The fitted recording-level model.
    classes_ : ndarray of shape (n_classes,)
        Labels in order.
    training_patients_ : object
        Hashes of the training patients and their recordings.

    See Also
    --------
    PatientFeaturesClassifier : Puts the features of a patient's recordings side by side.
    StratifiedPatientKFold : Splits for such models.

    Notes
    -----
    A tied vote goes to the class with the larger summed probability (or decision value), then
    to the less extreme class, the one nearer the middle of the ordered classes, then to the
    lower of two equally extreme ones.

    ``predict_proba`` is the mean probability over the patient's recordings for both kinds of
    vote, so that its ranking of patients is not limited to a few shares of votes; after a hard
    vote its largest entry need not be the predicted class.  An `estimator` with nothing but
    ``predict`` yields shares of votes instead.

    A search inside `estimator` whose ``cv`` is a number, or left out, gets as many folds of
    patients (:class:`~sklearn_dysarthria.StratifiedPatientKFold`).  Predicting for a training
    patient from other recordings than those trained on, as a cross-validation by rows does,
    draws a :class:`~sklearn_dysarthria.exceptions.PatientLeakWarning`.

    Recordings that could not be used (rows of NaN, from ``on_error="nan"``) have no vote, with
    one warning that lists them; a patient left without any is an error.

    Examples
    --------
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn_dysarthria import (
    ...     PatientVotingClassifier, StratifiedPatientKFold, egemaps_svm_pipeline,
    ...     make_dysarthric_speech)
    >>> X, y = make_dysarthric_speech(n_patients=12, difficulty="easy", random_state=0)
    >>> model = PatientVotingClassifier(egemaps_svm_pipeline())
    >>> scores = cross_val_score(model, X, y, cv=StratifiedPatientKFold(3, random_state=0))
    >>> scores.shape
    (3,)
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"])],
        "voting": [StrOptions({"hard", "soft"})],
    }

    def __init__(self, estimator, voting="hard"):
        self.estimator = estimator
        self.voting = voting

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit the recording-level model.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.
        y : array-like of shape (n_recordings,)
            Labels; the same for all recordings of a patient.

        Returns
        -------
        self

        Raises
        ------
        PatientError
            A patient carries two labels, or has no usable recording.
        MissingColumnError
            A row has no patient.
        """
        table, patients, _ = self._training_table(X, y)
        table = _told_apart(table)
        with noted_failures() as failed_labels:
            estimator = self._fit_recordings(table, y, patients)
        failed = _labelled(table, failed_labels)
        _refuse_lost_patients(patients, failed)
        if failed.any() and _searches(estimator):
            # A search scores rows, and has no score for a row without a recording: once more,
            # without them.
            usable = np.flatnonzero(~failed)
            rest = _safe_indexing(y, usable)
            estimator = self._fit_recordings(table.iloc[usable], rest, patients[usable])
        self.estimator_ = estimator
        # A model that left failed recordings out may know fewer classes than there are labels.
        known = getattr(self.estimator_, "classes_", None)
        self.classes_ = np.unique(np.asarray(y)) if known is None else known
        self.training_patients_ = TrainingPatients(table, patients)
        return self

    def _fit_recordings(self, table: pd.DataFrame, y: Any, patients: np.ndarray) -> Any:
        estimator = clone(self.estimator)
        split_searches_by_patient(estimator)
        return estimator.fit(table, y, **groups_for_fit(estimator, patients))

    def predict_patients(self, X):
        """Decide about every patient.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        pandas.DataFrame
            One row per patient, indexed by patient in order of appearance: ``prediction``;
            ``n_recordings``, the number that voted; ``votes_<class>``, their predicted classes;
            and ``proba_<class>``, the mean probability (``decision_<class>``, the mean decision
            value, for models without probabilities).

        Raises
        ------
        PatientError
            None of a patient's recordings could be used.
        """
        check_is_fitted(self, "estimator_")
        table = _told_apart(as_table(X))
        patients = patient_ids(table, "to decide per patient")
        self.training_patients_.warn_about(table, patients)
        predicted, scores = self._recording_votes(table, patients)
        names = pd.unique(patients)
        rows = [self._decide(predicted[patients == p], scores[patients == p]) for p in names]
        return pd.DataFrame(rows, index=pd.Index(names, name="patient", dtype=object))

    def _recording_votes(self, table: pd.DataFrame, patients: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return each recording's class code (-1: no vote) and scores, by class."""
        with noted_failures() as failed_labels:
            ready, model = _up_to_classifier(self.estimator_, table)
        method = _recording_score(model)
        n_classes = len(self.classes_)
        failed = _labelled(table, failed_labels)
        if method is not None:
            scores = scores_by_class(model, method, ready, n_classes)
            failed |= np.isnan(scores).any(axis=1)
        if failed.any():
            _report_lost_votes(table, patients, failed)
            ready = _safe_indexing(ready, np.flatnonzero(~failed))
        # The largest score will not do: tuned thresholds and Platt-scaled SVMs decide otherwise.
        codes = np.full(len(table), -1)
        codes[~failed] = np.searchsorted(self.classes_, model.predict(ready))
        # A model with nothing but predict: its votes are all that is known.
        return codes, np.eye(n_classes)[codes] if method is None else scores

    def _decide(self, predicted: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
        voting = predicted >= 0
        votes = np.bincount(predicted[voting], minlength=len(self.classes_))
        summed = scores[voting].sum(axis=0)
        n_voting = int(voting.sum())
        winner = _winner(votes, summed) if self.voting == "hard" else _winner(summed, summed)
        row: dict[str, Any] = {"prediction": self.classes_[winner], "n_recordings": n_voting}
        row |= {f"votes_{label}": n for label, n in zip(self.classes_, votes, strict=True)}
        return row | dict(zip(self._score_columns(), summed / n_voting, strict=True))

    def _score_method(self) -> str | None:
        inner = _recording_score(getattr(self, "estimator_", self.estimator))
        return inner or "predict_proba"

    def get_metadata_routing(self):
        """Return what the wrapped estimator requests.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            ``fit`` takes no metadata of its own: patients travel in the table.
        """
        return MetadataRouter(owner=self).add(
            estimator=self.estimator, method_mapping=MethodMapping()
        )


def _up_to_classifier(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return what the last step of a Pipeline is given, and that step.

    Its scores and its classes can then be had for the price of computing the features once.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return X, estimator
    for _, step in estimator.steps[:-1]:
        if hasattr(step, "transform"):  # unlike samplers and "passthrough"
            X = step.transform(X)
    return _up_to_classifier(estimator.steps[-1][1], X)


def _recording_score(estimator: Any) -> str | None:
    for method in ("predict_proba", "decision_function"):
        if hasattr(estimator, method):
            return method
    return None


def _winner(votes: np.ndarray, scores: np.ndarray) -> int:
    """Return the class with most votes; ties by score, then by closeness to the middle."""
    middle = (len(votes) - 1) / 2
    tied = np.flatnonzero(np.isclose(votes, votes.max(), rtol=1e-9, atol=1e-12))
    best = scores[tied].max()
    tied = tied[np.isclose(scores[tied], best, rtol=1e-9, atol=1e-12)]
    return int(min(tied, key=lambda code: (abs(code - middle), code)))


def _told_apart(table: pd.DataFrame) -> pd.DataFrame:
    """Give rows numbers where their labels do not tell them apart."""
    return table if table.index.is_unique else table.reset_index(drop=True)


def _labelled(table: pd.DataFrame, labels: set[Any]) -> np.ndarray:
    """Tell which rows carry one of these labels."""
    return np.fromiter((label in labels for label in table.index), bool, len(table))


def _searches(estimator: Any) -> bool:
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(isinstance(part, BaseSearchCV) for part in parts)


def _refuse_lost_patients(patients: np.ndarray, failed: np.ndarray) -> None:
    for patient in pd.unique(patients[failed]):
        if failed[patients == patient].all():
            raise PatientError(
                f"patient {patient!r} has no usable recording.",
                remedy="Leave the patient out, or mend the recordings.",
            )


def _report_lost_votes(table: pd.DataFrame, patients: Any, failed: np.ndarray) -> None:
    _refuse_lost_patients(patients, failed)
    lost = [
        f"{label!r} (patient {patient!r})"
        for label, patient in zip(table.index[failed], patients[failed], strict=True)
    ]
    warnings.warn(
        f"{failed.sum()} of {len(table)} recordings could not be used and have no vote: "
        f"rows {', '.join(lost)}.",
        RecordingWarning,
        stacklevel=4,
    )
