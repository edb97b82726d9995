"""What a fitted fusion of tasks answers: decisions, weights of tasks, their contributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.decisions import Decision, decision_of
from sklearn_dysarthria.nn._fusion import FUSIONS_WITH_ABSENT_VECTOR, FUSIONS_WITH_WEIGHTS
from sklearn_dysarthria.patients._patient_classifier import PatientClassifier
from sklearn_dysarthria.patients._task_items import TaskItems, TaskRecordings
from sklearn_dysarthria.patients._task_recordings import recordings_of, warn_untrained_absence
from sklearn_dysarthria.patients._unusable import check_on_unusable, with_lost_patients
from sklearn_dysarthria.recordings import as_table, patient_ids


def _weights_tasks(model: TaskFusionAnswers) -> bool:
    fusion = model._fitted_fusion()
    if fusion in FUSIONS_WITH_WEIGHTS:
        return True
    raise AttributeError(
        f"task_weights needs a fusion that weights tasks, one of {FUSIONS_WITH_WEIGHTS}; this is "
        f"fusion={fusion!r}. task_contributions works with every fusion."
    )


class TaskFusionAnswers(PatientClassifier):
    """Base of :class:`~sklearn_dysarthria.TaskFusionClassifier`, which adds the fit."""

    fusion: Any
    tasks_: list[Any]
    _tasks_left_out: set[Any]

    def predict_patients(self, X, on_unusable="raise"):
        """Decide about every patient.

        Parameters
        ----------
        X : table of recordings with columns ``patient`` and ``task``
            See :mod:`sklearn_dysarthria.recordings`; tasks that training did not have are passed
            over with a warning, those that `tasks` left out of it without.
        on_unusable : {"raise", "nan"}, default="raise"
            What to do about a patient without a usable recording of any of the tasks.  With
            ``"nan"`` the patient's row has counts of 0 and is otherwise missing, and one
            :class:`~sklearn_dysarthria.exceptions.RecordingWarning` lists such patients.

        Returns
        -------
        pandas.DataFrame
            One row per patient, indexed by patient in order of appearance: ``prediction``;
            ``n_recordings`` and ``n_tasks``, which were used; and ``proba_<class>``, the mean
            over the patient's items.

        Raises
        ------
        PatientError
            A patient has no usable recording of any of the tasks, and `on_unusable` is
            ``"raise"``.
        """
        check_on_unusable(on_unusable)
        recordings, patients = self._ask(X, on_unusable)
        names = patients[patients.isin(recordings.patients)]
        probabilities = self._probabilities(recordings, names)
        decided = pd.DataFrame(index=names)
        decided["prediction"] = self.classes_[self._decision()(probabilities, self.classes_)]
        used = pd.DataFrame({"task": recordings.tasks}).groupby(recordings.patients)["task"]
        decided["n_recordings"] = used.size().reindex(names).to_numpy()
        decided["n_tasks"] = used.nunique().reindex(names).to_numpy()
        decided[self._score_columns()] = probabilities
        return with_lost_patients(decided, patients)

    @available_if(_weights_tasks)
    def task_weights(self, X):
        """Tell how much each task weighs in each patient's fused vector.

        For ``fusion="gmu"`` the weight of a task is the mean of its gates over the units, for
        ``fusion="attention"`` its attention; both are averaged over the patient's items.

        A weight says how much of the fused vector comes from the task, not how much of that
        helps; compare `task_contributions`.

        Parameters
        ----------
        X : table of recordings with columns ``patient`` and ``task``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        pandas.DataFrame of shape (n_patients, n_tasks)
            Rows sum to 1 over the tasks that the patient has, and are NaN for the others.

        Raises
        ------
        PatientError
            A patient has no usable recording of any of the tasks.
        """
        recordings, names = self._ask(X)
        items = self._items(recordings, names)
        weights = np.where(items.present, self.classifier_.task_weights(items), np.nan)
        return pd.DataFrame(
            items.mean_by_patient(weights, names), index=names, columns=self._task_columns()
        )

    def task_contributions(self, X):
        """Tell how each patient's probabilities change when a task is withheld.

        The contribution of a task is the probability that the patient's recordings yield, less
        the probability that they yield without those of the task: positive where the task
        speaks for the class.

        Parameters
        ----------
        X : table of recordings with columns ``patient`` and ``task``
            See :mod:`sklearn_dysarthria.recordings`.

        Returns
        -------
        pandas.DataFrame
            One row per patient.  For two classes one column per task, on the probability of
            ``classes_[1]``; for more, columns ``(class, task)``.  NaN where the patient does not
            have the task, or has no other.

        Raises
        ------
        PatientError
            A patient has no usable recording of any of the tasks.
        """
        recordings, names = self._ask(X)
        complete = self._probabilities(recordings, names)
        # (class, patient, task)
        changes = np.full((len(self.classes_), len(names), len(self.tasks_)), np.nan)
        for number, task in enumerate(self.tasks_):
            rest = recordings.tasks != task
            affected = names.isin(recordings.patients[~rest])
            affected &= names.isin(recordings.patients[rest])
            if affected.any():
                without = self._probabilities(recordings, names[affected], rest)
                changes[:, affected, number] = (complete[affected] - without).T
        if len(self.classes_) == 2:
            return pd.DataFrame(changes[1], index=names, columns=self._task_columns())
        tables = {
            label: pd.DataFrame(change, index=names, columns=self._task_columns())
            for label, change in zip(self.classes_.tolist(), changes, strict=True)
        }
        return pd.concat(tables, axis=1, names=["class", "task"])

    def _ask(self, X: Any, on_unusable: str = "raise") -> tuple[TaskRecordings, pd.Index]:
        check_is_fitted(self, "classifier_")
        table = as_table(X)
        patients = patient_ids(table, "to decide per patient")
        recordings = recordings_of(
            self.transformer_,
            table,
            self.tasks_,
            self._tasks_left_out,
            self.recording_shape_,
            on_unusable,
        )
        self.training_patients_.warn_about(table, patients)
        return recordings, pd.Index(pd.unique(patients), name="patient", dtype=object)

    def _items(
        self, recordings: TaskRecordings, names: pd.Index, chosen: np.ndarray | None = None
    ) -> TaskItems:
        items = recordings.pair(self.tasks_, names, chosen)
        if self._fitted_fusion() in FUSIONS_WITH_ABSENT_VECTOR:
            warn_untrained_absence(items, self.tasks_, self._absent_in_training)
        return items

    def _probabilities(
        self, recordings: TaskRecordings, names: pd.Index, chosen: np.ndarray | None = None
    ) -> np.ndarray:
        items = self._items(recordings, names, chosen)
        return items.mean_by_patient(self.classifier_.predict_proba(items), names)

    def _decision(self) -> Decision:
        return decision_of(self.classifier_)

    def _fitted_fusion(self) -> str:
        fitted = getattr(self, "classifier_", None)
        return self.fusion if fitted is None else fitted.module_options["fusion"]

    def _task_columns(self) -> pd.Index:
        return pd.Index(self.tasks_, name="task", dtype=object)

    def _score_method(self) -> str:
        return "predict_proba"
