"""One decision per patient, voted over the patient's recordings."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.base import MetaEstimatorMixin, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from sklearn_dysarthria._utils.decisions import common_decision
from sklearn_dysarthria._utils.dict_parameters import DictParameters
from sklearn_dysarthria._utils.estimators import forget_fit
from sklearn_dysarthria.patients._abstention import check_abstain_label
from sklearn_dysarthria.patients._failed_recordings import refuse_lost_patients, told_apart
from sklearn_dysarthria.patients._leaks import TrainingPatients
from sklearn_dysarthria.patients._out_of_fold import out_of_fold_votes
from sklearn_dysarthria.patients._patient_votes import PatientVotes, tasks_in_order
from sklearn_dysarthria.patients._recording_models import (
    Models,
    check_models,
    common_score_method,
    fit_models,
    known_classes,
    refuse_mixed_scores,
)
from sklearn_dysarthria.patients._stacking import fit_stack
from sklearn_dysarthria.patients._task_weights import check_task_weights, learn_task_weights
from sklearn_dysarthria.patients._voting_answers import PatientVotingAnswers
from sklearn_dysarthria.recordings import column


class PatientVotingClassifier(DictParameters, MetaEstimatorMixin, PatientVotingAnswers):
    """Decide about a patient by a vote over the patient's recordings.

    Wraps any recording-level model, or one model per task.  Column ``patient`` of the table says
    which recordings belong together, in training (where it is also handed to inner validation
    splits) and prediction.  Patients with fewer recordings than others still get a decision.

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
        Confidence below which ``predict`` answers `abstain_label` instead of a class.
    abstain_label : label, optional
        That answer; of the labels' type, and none of them.

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
        Of ``voting="stacked"``: the fitted classifier of patients, and what fills in for tasks
        that a patient lacks.
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

    Soft and weighted votes decide on the mean by the model's own rule, so that one recording
    gets the model's own answer: the median class for networks with an ordinal loss, P(healthy)
    first for :class:`~sklearn_dysarthria.HierarchicalClassifier`, the largest mean otherwise and
    where the rules of `task_estimators` differ.  Thresholds of scikit-learn's classifiers count
    in hard votes only.

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
    the chosen one are not looked at.

    A search inside a model of recordings whose ``cv`` is a number, or left out, gets as many
    folds of patients (:class:`~sklearn_dysarthria.StratifiedPatientKFold`).  Predicting for a
    training patient from other recordings than those trained on, as a cross-validation by rows
    does, draws a :class:`~sklearn_dysarthria.exceptions.PatientLeakWarning`.

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
        table = told_apart(table)
        models = self._models()
        check_models(models, table, self.voting)
        if self.abstain_below is not None:
            check_abstain_label(self.abstain_label, np.unique(np.asarray(y)))  # before the work
        fitted, failed = fit_models(models, table, y, patients)
        refuse_mixed_scores(fitted, self.voting)
        refuse_lost_patients(patients, failed)
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
            stack = fit_stack(self.final_estimator, means, labels, names)
            self.final_estimator_, self.imputer_ = stack

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
