"""One feature vector per patient: the recordings' features side by side."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria._utils.failed_rows import failed_rows
from sklearn_dysarthria._utils.routing import groups_for_fit
from sklearn_dysarthria._utils.tasks import tasks_in_order
from sklearn_dysarthria.exceptions import RecordingWarning
from sklearn_dysarthria.patients._class_scores import score_method, scores_for_classes
from sklearn_dysarthria.patients._leaks import TrainingPatients, split_searches_by_patient
from sklearn_dysarthria.patients._patient_classifier import PatientClassifier
from sklearn_dysarthria.patients._unusable import (
    check_on_unusable,
    no_usable_recording,
    warn_unusable,
    with_lost_patients,
)
from sklearn_dysarthria.recordings import as_table, column, patient_ids


class PatientFeaturesClassifier(MetaEstimatorMixin, PatientClassifier):
    """Classify patients by the features of all their recordings, task after task.

    The features of a patient's recordings are averaged within each task and put side by side,
    one block per task of the training set, in alphabetical order.  A task that a patient lacks
    leaves its block NaN: let `classifier` begin with an imputer if that happens.

    Parameters
    ----------
    transformer : transformer
        From recordings to feature vectors, such as :class:`~sklearn_dysarthria.EGeMAPSFeatures`.
    classifier : estimator
        From feature vectors to classes; fitted on patients.

    Attributes
    ----------
    transformer_, classifier_ : estimator
        The fitted parts.
    classes_ : ndarray of shape (n_classes,)
        Labels in order.
    tasks_ : list of str
        Tasks in the order of their blocks.
    training_patients_ : object
        Hashes of the training patients and their recordings.

    See Also
    --------
    PatientVotingClassifier : Decides per recording and counts votes.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.svm import SVC
    >>> from sklearn_dysarthria import (
    ...     EGeMAPSFeatures, PatientFeaturesClassifier, make_dysarthric_speech)
    >>> X, y = make_dysarthric_speech(n_patients=6, random_state=0)
    >>> model = PatientFeaturesClassifier(
    ...     EGeMAPSFeatures(), make_pipeline(StandardScaler(), SVC())).fit(X, y)
    >>> len(model.predict_patients(X))
    6
    """

    _parameter_constraints = {
        "transformer": [HasMethods(["fit", "transform"])],
        "classifier": [HasMethods(["fit", "predict"])],
    }

    def __init__(self, transformer, classifier):
        self.transformer = transformer
        self.classifier = classifier

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit transformer and classifier.

        Parameters
        ----------
        X : table of recordings with columns ``patient`` and ``task``
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
            A row has no patient or no task.
        """
        forget_fit(self)
        table, patients, label_of = self._training_table(X, y)
        classes = np.unique(np.asarray(y))
        self.tasks_ = tasks_in_order(column(table, "task", "to put tasks side by side"))
        transformer = clone(self.transformer)
        split_searches_by_patient(transformer)
        # fit_transform, as a Pipeline does: some transformers treat training data differently.
        if hasattr(transformer, "fit_transform"):
            transformed = transformer.fit_transform(table, y)
        else:
            transformed = transformer.fit(table, y).transform(table)
        self.transformer_ = transformer
        features = self._patient_features(table, transformed)
        labels = label_of.reindex(features.index).to_numpy().astype(classes.dtype)
        classifier = clone(self.classifier)
        groups = groups_for_fit(classifier, features.index.to_numpy())
        classifier.fit(features.to_numpy(), labels, **groups)
        known = getattr(classifier, "classes_", None)
        self.classes_ = classes if known is None else known
        self.training_patients_ = TrainingPatients(table, patients)
        self.classifier_ = classifier  # last, since it makes the estimator a fitted one
        return self

    def predict_patients(self, X, on_unusable="raise"):
        """Decide about every patient.

        Parameters
        ----------
        X : table of recordings with columns ``patient`` and ``task``
            See :mod:`sklearn_dysarthria.recordings`; tasks that training did not have are
            passed over with a warning.
        on_unusable : {"raise", "nan"}, default="raise"
            What to do about a patient without a usable recording.  With ``"nan"`` the values of
            the patient's row are missing, and one
            :class:`~sklearn_dysarthria.exceptions.RecordingWarning` lists such patients.

        Returns
        -------
        pandas.DataFrame
            One row per patient, indexed by patient in order of appearance: ``prediction`` and
            ``proba_<class>`` (``decision_<class>`` for classifiers without probabilities).

        Raises
        ------
        PatientError
            None of a patient's recordings could be used, and `on_unusable` is ``"raise"``.
        """
        check_is_fitted(self, "classifier_")
        check_on_unusable(on_unusable)
        table = as_table(X)
        features = self._patient_features(table, self.transformer_.transform(table), on_unusable)
        self.training_patients_.warn_about(table, patient_ids(table))
        names = features.index
        features = features.dropna(how="all")
        values, method = features.to_numpy(), self._score_method()
        predicted, scores = self.classes_[:0], np.empty((0, len(self.classes_)))
        if len(values):  # scikit-learn's classifiers take no empty array
            predicted = self.classifier_.predict(values)
        if len(values) and method is not None:
            scores = scores_for_classes(self.classifier_, method, values, self.classes_)
        decided = pd.DataFrame({"prediction": predicted}, index=features.index)
        if method is not None:
            decided[self._score_columns()] = scores
        return with_lost_patients(decided, names)

    def _patient_features(
        self, table: pd.DataFrame, transformed: Any, on_unusable: str = "raise"
    ) -> pd.DataFrame:
        patients = patient_ids(table, "to decide per patient")
        tasks = column(table, "task", "to put tasks side by side")
        unknown = sorted(set(tasks) - set(self.tasks_), key=str)
        if unknown:
            warnings.warn(
                f"tasks {unknown} were not in the training set and are passed over.",
                RecordingWarning,
                stacklevel=4,
            )
        values = pd.DataFrame(np.asarray(transformed, dtype=np.float64))
        failed = failed_rows(values)
        if failed.any():
            consequence = "are missing from their patient's features"
            warn_unusable(table, patients, failed, consequence, stacklevel=4)
        blocks = values.groupby([patients, tasks], sort=False).mean()
        names = pd.Index(pd.unique(patients), name="patient", dtype=object)
        wanted = pd.MultiIndex.from_product([names, self.tasks_])
        wide = blocks.reindex(wanted).to_numpy().reshape(len(names), -1)
        empty = np.isnan(wide).all(axis=1)
        if empty.any() and on_unusable == "raise":
            raise no_usable_recording(names[empty][0])
        return pd.DataFrame(wide, index=names)

    def _score_method(self) -> str | None:
        return score_method(getattr(self, "classifier_", self.classifier))
