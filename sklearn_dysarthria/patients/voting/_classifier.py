"""One decision per patient, voted over the patient's recordings."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import MetaEstimatorMixin, _fit_context
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.decisions import (
    Decision,
    MostProbable,
    at_least,
    common_decision,
    winners,
)
from sklearn_dysarthria._utils.estimators import DictParameters, forget_fit
from sklearn_dysarthria._utils.tasks import tasks_in_order
from sklearn_dysarthria.patients._class_scores import score_method
from sklearn_dysarthria.patients._leaks import AROUND_THE_PIPELINE, TrainingPatients
from sklearn_dysarthria.patients._patient_classifier import PatientClassifier
from sklearn_dysarthria.patients._unusable import (
    check_no_patient_lost,
    check_on_unusable,
    warn_unusable,
    with_lost_patients,
    with_unique_labels,
)
from sklearn_dysarthria.patients.voting._across_tasks import (
    check_known_tasks,
    check_task_weights,
    decide_stacked,
    fit_stack,
    learn_task_weights,
    or_default,
    weight_of,
    weighted_means,
)
from sklearn_dysarthria.patients.voting._recording_models import (
    Models,
    check_common_scores,
    check_models,
    common_score_method,
    fit_models,
    known_classes,
    out_of_fold_votes,
    recording_votes,
)
from sklearn_dysarthria.recordings import as_table, column, patient_ids


class PatientVotingClassifier(DictParameters, MetaEstimatorMixin, PatientClassifier):
    """Decide about a patient by a vote over the patient's recordings.

    Wraps any recording-level model, or one model per task.  Column ``patient`` of the table groups
    the recordings, in training (where inner validation splits get it, too) and in prediction.
    Patients with fewer recordings than others still get a decision.

    Parameters
    ----------
    estimator : estimator, optional
        Classifier of recordings, usually a Pipeline from the table to classes.  Beside
        `task_estimators` it takes the recordings of all other tasks.
    voting : {"hard", "soft", "weighted", "stacked"}, default="hard"
        ``"hard"`` counts the recordings' predicted classes; ``"soft"`` averages their
        probabilities (decision values, where `estimator` has no ``predict_proba``).
        ``"weighted"`` averages within each task and then over the tasks, by their weights;
        ``"stacked"`` gives the averages of each task to `final_estimator`, which decides.  The
        last two need column ``task``.
    task_estimators : dict of str to estimator, optional
        Classifiers by task, or by group of tasks (``"phonation"`` for ``"phonationA"``); an exact
        name wins.  Each is fitted on its recordings only.
    task_weights : dict of str to float, optional
        Of ``voting="weighted"``: weights by task or group.  None learns them from out-of-fold
        decisions on the training patients.
    final_estimator : estimator, optional
        Of ``voting="stacked"``: classifier of patients; None is a logistic regression with
        balanced classes.
    cv : int or splitter, default=5
        Inner folds behind learned weights and stacking; a number makes folds of the patients in
        sorted order (:class:`~sklearn_dysarthria.StratifiedPatientKFold`, not shuffled), so that
        the order of the rows does not matter.
    abstain_below : float, optional
        Confidence below which ``predict`` returns `abstain_label` instead of a class.
    abstain_label : label, optional
        Of the labels' type, and none of them.

    Attributes
    ----------
    estimator_ : estimator
        The fitted recording-level model; absent if all recordings belong to `task_estimators`.
    task_estimators_ : dict of str to estimator
        The fitted models by task or group.
    classes_ : ndarray of shape (n_classes,)
        Labels in order.
    task_weights_ : dict of str to float
        Of ``voting="weighted"``: weight by task or group; learned ones add up to 1.
    final_estimator_, imputer_ : estimator
        Of ``voting="stacked"``: the fitted classifier of patients, and the imputer of the scores of
        tasks that a patient lacks.
    tasks_ : list of str
        Of ``voting="stacked"``: tasks in the order of their columns.
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

    Soft and weighted votes decide on the mean by the model's own rule, so that a single recording
    gets the class that the model predicts: the median class for networks with an ordinal loss,
    P(healthy) first for :class:`~sklearn_dysarthria.HierarchicalClassifier`, the largest mean
    otherwise and if the rules of `task_estimators` differ.  Thresholds of scikit-learn's
    classifiers count in hard votes only.

    ``predict_proba`` is the mean probability over the patient's recordings for hard and soft
    votes, so that its ranking of patients is not limited to a few shares of votes; after a hard
    vote its largest entry need not be the predicted class.  An `estimator` with nothing but
    ``predict`` yields shares of votes instead.  After a weighted vote it is the weighted mean,
    after stacking that of `final_estimator`.  Several models need ``predict_proba`` for all but
    hard votes, since decision values of two models are not on one scale.

    A learned weight is the task's balanced accuracy over training patients, from models that
    were fitted on other patients, less that of chance, and 0 if that is negative.  Stacking
    fits `final_estimator` on the same out-of-fold scores, one row per patient; a task that a
    patient lacks takes the mean of the training patients.

    Confidence is the share of votes for the predicted class after a hard vote, otherwise its
    probability.  ``predict_proba`` does not abstain.

    Every parameter inside can be set by its name: ``task_estimators__phonation__svc__C``,
    ``task_weights__rhythm``, ``final_estimator__C``.  Parameters of other kinds of vote than
    the chosen one are ignored.

    A search inside a model of recordings whose ``cv`` is a number, or left out, gets as many
    folds of patients (:class:`~sklearn_dysarthria.StratifiedPatientKFold`).  Predicting for a
    training patient from other recordings than those trained on, as a cross-validation by rows
    does, draws a :class:`~sklearn_dysarthria.exceptions.PatientLeakWarning`.

    Recordings that could not be used (rows of NaN, from ``on_error="nan"``) have no vote, with
    one warning that lists them; a patient left without any is an error, unless
    ``predict_patients(X, on_unusable="nan")`` is called.

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
        "estimator": [HasMethods(["fit", "get_params"]), None],
        "voting": [StrOptions({"hard", "soft", "weighted", "stacked"})],
        "task_estimators": [dict, None],
        "task_weights": [dict, None],
        "final_estimator": [HasMethods(["fit", "predict"]), None],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split"])],
        "abstain_below": [Interval(Real, 0, 1, closed="both"), None],
        "abstain_label": "no_validation",
    }
    _dict_parameters = ("task_estimators", "task_weights")

    def __init__(
        self,
        estimator=None,
        voting="hard",
        *,
        task_estimators=None,
        task_weights=None,
        final_estimator=None,
        cv=5,
        abstain_below=None,
        abstain_label=None,
    ):
        self.estimator = estimator
        self.voting = voting
        self.task_estimators = task_estimators
        self.task_weights = task_weights
        self.final_estimator = final_estimator
        self.cv = cv
        self.abstain_below = abstain_below
        self.abstain_label = abstain_label

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit the recording-level models, and what is learned about tasks.

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
            A row has no patient, or no task where it is needed.
        UnknownTaskError
            A task has no model or no weight, or a model or weight no task.
        ValueError
            There is no model, or `abstain_label` does not fit the labels.
        """
        forget_fit(self)
        table, patients, _ = self._training_table(X, y)
        table = with_unique_labels(table)
        models = self._models()
        check_models(models, table, self.voting)
        if self.abstain_below is not None:
            _abstain_label(self.abstain_label, np.unique(np.asarray(y)))  # before the work
        fitted, failed = fit_models(models, table, y, patients)
        check_common_scores(fitted, self.voting)
        check_no_patient_lost(patients, failed)
        # A model that left failed recordings out may know fewer classes than there are labels.
        classes = known_classes(fitted, y)
        if self.voting in ("weighted", "stacked"):
            used = np.flatnonzero(~failed)
            labels, method = np.asarray(y)[used], common_score_method(fitted)
            self._learn_about_tasks(
                models, table.iloc[used], labels, patients[used], classes, method, fitted
            )
        self._check_abstention(classes)
        if None in fitted:
            self.estimator_ = fitted.pop(None)
        self.task_estimators_ = fitted
        self.training_patients_ = TrainingPatients(table, patients)
        self.classes_ = classes
        return self

    def _learn_about_tasks(
        self,
        models: Models,
        table: pd.DataFrame,
        labels: np.ndarray,
        patients: np.ndarray,
        classes: np.ndarray,
        method: str | None,
        fitted: Models,
    ) -> None:
        tasks = column(table, "task", f"for voting={self.voting!r}")
        order = tasks_in_order(tasks)
        if self.voting == "weighted" and self.task_weights is not None:
            self.task_weights_ = check_task_weights(self.task_weights, tasks)
            return
        codes, scores = out_of_fold_votes(models, table, labels, patients, classes, method, self.cv)
        votes = PatientVotes(codes, scores, patients)
        means = votes.task_means(tasks, order)
        # Recordings of a patient carry one label: the first will do.
        labels = labels[~pd.Index(patients, dtype=object).duplicated()]
        if self.voting == "weighted":
            decision = common_decision(fitted.values())
            self.task_weights_ = learn_task_weights(means, labels, classes, order, decision)
        else:
            self.tasks_ = order
            names = votes.names.to_numpy()
            self.final_estimator_, self.imputer_ = fit_stack(
                self.final_estimator, means, labels, names
            )

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
            What to do about a patient without a usable recording.  With ``"nan"`` the
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
        self._check_same_vote_as_fitted()
        table = with_unique_labels(as_table(X))
        patients = patient_ids(table, "to decide per patient")
        self.training_patients_.warn_about(table, patients)
        models = self._fitted_models()
        codes, scores = recording_votes(models, table, self.classes_, common_score_method(models))
        names = pd.Index(pd.unique(patients), name="patient", dtype=object)
        failed = codes < 0
        if failed.any():
            if on_unusable == "raise":
                check_no_patient_lost(patients, failed)
            warn_unusable(table, patients, failed, "have no vote", stacklevel=2)
            kept = pd.Index(patients, dtype=object).isin(patients[~failed])
            table, patients, codes, scores = table[kept], patients[kept], codes[kept], scores[kept]
        votes = PatientVotes(codes, scores, patients)
        codes, of_patients = self._decide(votes, table)
        confidence = self._confidence(votes, codes, of_patients)
        abstained = np.zeros(len(codes), dtype=bool)
        if self.abstain_below is not None:
            self._check_abstention(self.classes_)
            abstained = ~at_least(confidence, self.abstain_below)
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
            tasks = column(table, "task", "to find the place of each task")
            check_known_tasks(table, tasks, self.tasks_)
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
            The same class for all recordings of a patient; `abstain_label` for patients with a
            confidence below `abstain_below`.
        """
        if self.abstain_below is None:
            return super().predict(X)
        answers = self._by_row(X, ["prediction", "abstained"])
        predicted = answers[:, 0].astype(self.classes_.dtype)
        unsure = answers[:, 1].astype(bool)
        return np.where(unsure, _abstain_label(self.abstain_label, self.classes_), predicted)

    def _check_same_vote_as_fitted(self) -> None:
        needed = {"weighted": "task_weights_", "stacked": "final_estimator_"}.get(self.voting)
        if needed is not None and not hasattr(self, needed):
            raise NotFittedError(f"voting={self.voting!r} was set after the fit: fit again.")
        if self.voting == "soft":
            check_common_scores(self._fitted_models(), self.voting)

    def _check_abstention(self, classes: np.ndarray) -> None:
        """Raise ValueError if the model is to abstain but cannot."""
        if self.abstain_below is None:
            return
        _abstain_label(self.abstain_label, classes)
        if self.voting != "hard" and self._score_method() != "predict_proba":
            raise ValueError(
                f"abstain_below={self.abstain_below!r} needs probabilities, which this model does "
                f"not give: let it have predict_proba ({AROUND_THE_PIPELINE}), or vote hard."
            )

    def _score_method(self) -> str | None:
        if self.voting == "stacked":
            final = getattr(self, "final_estimator_", None)
            method = score_method(or_default(self.final_estimator) if final is None else final)
        else:
            fitted = hasattr(self, "classes_")
            method = common_score_method(self._fitted_models() if fitted else self._models())
        return method or "predict_proba"

    def get_metadata_routing(self):
        """Return what the wrapped models request.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            ``fit`` takes no metadata of its own: patients travel in the table.
        """
        router = MetadataRouter(owner=self)
        if self.estimator is not None:
            router.add(estimator=self.estimator, method_mapping=MethodMapping())
        return router


class PatientVotes:
    """The votes and scores of recordings, by patient.

    `codes` are the positions of the recordings' predicted classes, -1 for those without a vote;
    `scores`, of shape (n_recordings, n_classes), and `patients` are theirs, too.  `names` are the
    patients in order of first appearance; `votes` and `summed`, of shape (n_patients, n_classes),
    the numbers of votes and the sums of the scores of the recordings that vote.
    """

    def __init__(self, codes: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> None:
        self.names = pd.Index(pd.unique(patients), name="patient", dtype=object)
        self.voting = codes >= 0
        numbers = self.names.get_indexer(pd.Index(patients, dtype=object))
        self.numbers = numbers[self.voting]
        self.scores = scores[self.voting]
        shape = len(self.names), scores.shape[1]
        self.votes = np.zeros(shape, dtype=int)
        self.summed = np.zeros(shape)
        np.add.at(self.votes, (self.numbers, codes[self.voting]), 1)
        np.add.at(self.summed, self.numbers, self.scores)

    def task_means(self, tasks: np.ndarray, order: list[Any]) -> np.ndarray:
        """Average the scores of each patient's recordings within each task of `order`.

        `tasks` names the task of every recording.  The means have shape (n_patients, n_tasks,
        n_classes); they are NaN where a patient has no vote of a task.
        """
        by_task = [self.numbers, tasks[self.voting]]
        means = pd.DataFrame(self.scores).groupby(by_task, sort=False).mean()
        wanted = pd.MultiIndex.from_product([range(len(self.names)), order])
        shape = len(self.names), len(order), self.scores.shape[1]
        if not len(self.names):
            return np.empty(shape)
        return means.reindex(wanted).to_numpy().reshape(shape)


def _abstain_label(label: Any, classes: np.ndarray) -> np.ndarray:
    """Return ``abstain_label`` in an array of shape (1,) of a type that holds the classes too.

    Raises ValueError if it is None, one of the classes, or of another type than they are.
    """
    if label is None:
        raise ValueError(
            "abstain_below needs abstain_label, what predict answers about a patient it is not "
            "sure of."
        )
    if not _is_of_type(label, classes.dtype, classes):
        raise ValueError(
            f"abstain_label={label!r} must be of the labels' type, {classes.dtype}, to stand "
            "among them (two booleans leave no room: encode them as numbers or strings)."
        )
    answer = np.array([label], dtype=object if classes.dtype == object else None)
    if answer[0] in classes.tolist():
        raise ValueError(f"abstain_label={label!r} is one of the classes {classes.tolist()}.")
    return answer.astype(classes.dtype) if classes.dtype.kind in "iuf" else answer


def _is_of_type(label: Any, dtype: np.dtype, classes: np.ndarray) -> bool:
    if dtype.kind in "US":
        return isinstance(label, (str, bytes)) and np.array([label]).dtype.kind == dtype.kind
    if dtype.kind == "O":
        return type(label) is type(classes[0])
    if dtype.kind == "b" or not isinstance(label, Real) or isinstance(label, (bool, np.bool_)):
        return False
    number = float(label)
    if dtype.kind == "f":
        return bool(np.isfinite(number))
    limits = np.iinfo(dtype)
    return number.is_integer() and limits.min <= number <= limits.max
