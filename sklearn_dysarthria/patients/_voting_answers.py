"""What a fitted vote answers: decisions about patients, and how sure it is of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.decisions import Decision, MostProbable, common_decision, winners
from sklearn_dysarthria.patients._abstention import check_abstention, is_unsure, withhold
from sklearn_dysarthria.patients._base import PatientClassifier, score_method
from sklearn_dysarthria.patients._failed_recordings import (
    check_on_unusable,
    refuse_lost_patients,
    told_apart,
    warn_lost,
    with_lost_patients,
)
from sklearn_dysarthria.patients._leaks import TrainingPatients
from sklearn_dysarthria.patients._patient_votes import PatientVotes, tasks_in_order
from sklearn_dysarthria.patients._recording_models import (
    Models,
    common_score_method,
    recording_votes,
    refuse_mixed_scores,
)
from sklearn_dysarthria.patients._stacking import decide_stacked, or_default, refuse_new_tasks
from sklearn_dysarthria.patients._task_weights import weight_of, weighted_means
from sklearn_dysarthria.recordings import as_table, column, patient_ids


class PatientVotingAnswers(PatientClassifier):
    """Base of :class:`~sklearn_dysarthria.PatientVotingClassifier`, which adds the fit."""

    estimator: Any
    voting: str
    task_estimators: Models | None
    final_estimator: Any
    abstain_below: float | None
    abstain_label: Any
    training_patients_: TrainingPatients

    def _models(self) -> Models:
        models: Models = dict(self.task_estimators or {})
        if self.estimator is not None:
            models[None] = self.estimator
        return models

    def _fitted_models(self) -> Models:
        models: Models = dict(self.task_estimators_)
        if hasattr(self, "estimator_"):
            models[None] = self.estimator_
        return models

    def predict_patients(self, X, on_unusable="raise"):
        """Decide about every patient.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.
        on_unusable : {"raise", "nan"}, default="raise"
            What to do about a patient none of whose recordings can be used.  With ``"nan"`` the
            patient's row has counts of 0 and is otherwise missing, and one
            :class:`~sklearn_dysarthria.exceptions.RecordingWarning` lists such patients.

        Returns
        -------
        pandas.DataFrame
            One row per patient, indexed by patient in order of appearance: ``prediction``, a
            class even for patients that ``predict`` abstains from; ``confidence`` (NaN for means
            of decision values) and ``abstained``; ``n_recordings``, the number that voted;
            ``votes_<class>``, their predicted classes; and ``proba_<class>``, what
            ``predict_proba`` gives (``decision_<class>`` for models without probabilities).

        Raises
        ------
        PatientError
            None of a patient's recordings could be used, and `on_unusable` is ``"raise"``.
        UnknownTaskError
            A recording's task has no model, no weight or no place in the stack.
        """
        check_is_fitted(self, "classes_")
        check_on_unusable(on_unusable)
        self._refuse_other_vote_than_fitted()
        table = told_apart(as_table(X))
        patients = patient_ids(table, "to decide per patient")
        self.training_patients_.warn_about(table, patients)
        models = self._fitted_models()
        codes, scores = recording_votes(models, table, self.classes_, common_score_method(models))
        if (codes < 0).any():
            if on_unusable == "raise":
                refuse_lost_patients(patients, codes < 0)
            warn_lost(table, patients, codes < 0, "have no vote", stacklevel=2)
        names = pd.Index(pd.unique(patients), name="patient", dtype=object)
        kept = pd.Index(patients, dtype=object).isin(patients[codes >= 0])
        if not kept.all():
            table, patients, codes, scores = table[kept], patients[kept], codes[kept], scores[kept]
        votes = PatientVotes(codes, scores, patients)
        codes, of_patients = self._decide(votes, table)
        confidence = self._confidence(votes, codes, of_patients)
        abstained = np.zeros(len(codes), dtype=bool)
        if self.abstain_below is not None:
            self._check_abstention(self.classes_)
            abstained = is_unsure(confidence, self.abstain_below)
        vote_columns = [f"votes_{label}" for label in self.classes_]
        # At once: a table that grows column by column costs as much as a small network.
        decided = pd.DataFrame(
            {
                "prediction": self.classes_[codes],
                "confidence": confidence,
                "abstained": abstained,
                "n_recordings": votes.votes.sum(axis=1),
                **dict(zip(vote_columns, votes.votes.T, strict=True)),
                **dict(zip(self._score_columns(), of_patients.T, strict=True)),
            },
            index=votes.names,
        )
        return with_lost_patients(decided, names)

    def _decide(self, votes: PatientVotes, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the position of each patient's class, and each patient's scores."""
        if self.voting == "stacked":
            tasks = column(table, "task", "to tell the tasks apart")
            refuse_new_tasks(table, tasks, self.tasks_)
            means = votes.task_means(tasks, self.tasks_)
            return decide_stacked(self.final_estimator_, self.imputer_, means, self.classes_)
        if self.voting == "weighted":
            tasks = column(table, "task", "to weigh the tasks")
            order = tasks_in_order(tasks)
            weights = np.array([weight_of(task, self.task_weights_) for task in order])
            scores = weighted_means(votes.task_means(tasks, order), weights, votes.names)
        else:
            scores = votes.summed / votes.votes.sum(axis=1, keepdims=True)
        if self.voting == "hard":
            return winners(votes.votes, votes.summed), scores
        return self._decision()(scores, self.classes_), scores

    def _decision(self) -> Decision:
        if self.voting == "hard":
            return MostProbable()
        stacked = self.voting == "stacked"
        models = [self.final_estimator_] if stacked else self._fitted_models().values()
        return replace(common_decision(models), same_as_predict=False)

    def _confidence(self, votes: PatientVotes, codes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        if self.voting == "hard":
            return votes.votes[np.arange(len(codes)), codes] / votes.votes.sum(axis=1)
        if self._score_method() == "predict_proba":
            return scores[np.arange(len(codes)), codes]
        return np.full(len(codes), np.nan)

    def predict(self, X):
        """Predict each recording's class, which is its patient's.

        Parameters
        ----------
        X : table of recordings with column ``patient``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        ndarray of shape (n_recordings,)
            The same answer for all recordings of a patient; `abstain_label` for patients whose
            confidence is below `abstain_below`.
        """
        if self.abstain_below is None:
            return super().predict(X)
        answers = self._by_row(X, ["prediction", "abstained"])
        predicted = answers[:, 0].astype(self.classes_.dtype)
        unsure = answers[:, 1].astype(bool)
        return withhold(predicted, unsure, self.abstain_label, self.classes_)

    def _refuse_other_vote_than_fitted(self) -> None:
        needed = {"weighted": "task_weights_", "stacked": "final_estimator_"}.get(self.voting)
        if needed is not None and not hasattr(self, needed):
            raise NotFittedError(f"voting={self.voting!r} was set after the fit: fit again.")
        if self.voting == "soft":
            refuse_mixed_scores(self._fitted_models(), self.voting)

    def _check_abstention(self, classes: np.ndarray) -> None:
        if self.abstain_below is not None:
            has_confidence = self.voting == "hard" or self._score_method() == "predict_proba"
            check_abstention(self.abstain_below, self.abstain_label, classes, has_confidence)

    def _score_method(self) -> str | None:
        if self.voting == "stacked":
            final = getattr(self, "final_estimator_", None)
            method = score_method(or_default(self.final_estimator) if final is None else final)
        else:
            fitted = hasattr(self, "classes_")
            method = common_score_method(self._fitted_models() if fitted else self._models())
        return method or "predict_proba"
