"""Cross-validate several models on the same patients."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted

from sklearn_dysarthria._utils.parallel import one_by_one
from sklearn_dysarthria._utils.progress import progress_bar
from sklearn_dysarthria.exceptions import PatientError
from sklearn_dysarthria.patients import RepeatedStratifiedPatientKFold
from sklearn_dysarthria.patients._bootstrap import check_draws, warn_about_small_classes
from sklearn_dysarthria.patients._patient_classifier import PatientClassifier
from sklearn_dysarthria.patients._splits import check_no_missing_labels
from sklearn_dysarthria.recordings import as_table, one_label_per_patient, patient_ids
from sklearn_dysarthria.report._comparison import Comparison
from sklearn_dysarthria.report._evaluation import (
    comparison_of,
    decide,
    patients_per_class,
    positive_class,
)
from sklearn_dysarthria.report._methods import METHODS, build_methods, check_methods
from sklearn_dysarthria.report._metrics import CHANCE
from sklearn_dysarthria.report._scorers import check_scoring

MAJORITY = "majority class"


def compare(
    X: Any,
    y: Any,
    *,
    methods: Sequence[str] | Mapping[str, Any] = METHODS,
    preset: str = "quick",
    n_splits: int = 5,
    n_repeats: int = 1,
    cv: Any = None,
    positive: Any = None,
    weights: Mapping[str, Any] | None = None,
    scoring: str | Sequence[str] = (),
    confidence: float = 0.95,
    n_resamples: int = 1000,
    cache: Any = None,
    n_jobs: int | None = None,
    random_state: int = 0,
    verbose: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Comparison:
    """Cross-validate models on the same folds of patients and tabulate their figures.

    Parameters
    ----------
    X : table of recordings with columns ``patient`` and ``task``
        See :mod:`sklearn_dysarthria.recordings`.
    y : array-like of shape (n_recordings,)
        Labels; the same for all recordings of a patient.
    methods : sequence of str, or mapping of str to estimator
        Names out of `METHODS`, or your own models by name; they must decide per patient
        (:class:`~sklearn_dysarthria.PatientVotingClassifier`,
        :class:`~sklearn_dysarthria.PatientFeaturesClassifier`, a grid search over either), and
        about every patient: ``abstain_below`` is refused.
    preset : {"quick", "paper"}, default="quick"
        Size of the named methods; see :mod:`sklearn_dysarthria.pipelines`.
    n_splits, n_repeats : int, default=5, 1
        Folds, and repetitions of them with other shufflings.
    cv : splitter or iterable of (train, test), optional
        Other splits than those, over the rows of ``X``: the official split of a corpus
        (:class:`~sklearn.model_selection.PredefinedSplit`), say.  Patients outside every test part
        are not decided about.
    positive : label, optional
        Which of two classes sensitivity and specificity speak of.  By default the larger of two
        numbers, or the one that does not mean "healthy".
    weights : mapping of str to str or path, optional
        Pretrained weights for named methods, instead of the preset's.
    scoring : str or sequence of str, default=()
        Further scorers of :func:`~sklearn_dysarthria.patient_scorer`, by name.  Those of predicted
        classes count all patients of a repetition; those of probabilities or decision values are
        computed within each test fold, whose scores come from one model, and averaged.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_resamples : int, default=1000
        Draws of the patient bootstrap.
    cache : str, path, RecordingCache or joblib.Memory, optional
        Folder that keeps features and images; by default a temporary one shared by all folds.
    n_jobs : int, optional
        Processes; each takes one fit at a time.
    random_state : int, default=0
        Seed of folds, networks and bootstrap.
    verbose : int, default=0
        1 shows a progress bar.
    settings : mapping, optional
        What the result records beside, or instead of, its own settings: the corpus, say.

    Returns
    -------
    Comparison
        Its ``table`` has a row per method, and rows for the majority class and for chance.

    Raises
    ------
    PatientError
        A patient carries two labels, or is on both sides of a split of ``cv``.
    MissingColumnError
        The table does not name patients.
    ValueError
        Unknown methods or scorers, a model that may abstain, a class with a single patient, or it
        is not clear which class is the positive one.

    Warns
    -----
    SmallClassWarning
        A class has fewer than five patients: its figures and their intervals say little.

    Notes
    -----
    Each patient is in the test fold once per repetition.  Metrics are computed over patients,
    within each repetition, and averaged over repetitions (with ``cv``, the k-th time that a patient
    is tested belongs to repetition k); intervals come from
    :func:`~sklearn_dysarthria.patient_bootstrap` on the out-of-fold decisions and do not include
    the variation from training on other patients.  The chance row gives the mean of random
    guessers who know the class proportions, and the range of 95 % of them.

    Examples
    --------
    >>> from sklearn_dysarthria import compare, make_dysarthric_speech
    >>> X, y = make_dysarthric_speech(n_patients=12, random_state=0)
    >>> result = compare(X, y, methods=["egemaps-svm-vote"], n_splits=3, n_resamples=20)
    >>> list(result.table.index)
    ['egemaps-svm-vote', 'majority class', 'chance']
    """
    check_draws(confidence, n_resamples)
    table = as_table(X)
    y = column_or_1d(y)
    check_no_missing_labels(y)
    label_of = one_label_per_patient(patient_ids(table), y)
    classes = np.unique(y)
    positive = positive_class(classes, positive)
    _check_two_patients_per_class(label_of)
    scorers = check_scoring(scoring, classes)
    own = dict(methods) if isinstance(methods, Mapping) else None
    names = [methods] if isinstance(methods, str) else list(methods)
    if own is None:
        check_methods(names, preset, weights)
    else:
        _check_models(own, weights)
    warn_about_small_classes(label_of, stacklevel=3)
    splits = _splits(table, y, n_splits, n_repeats, cv, random_state)
    with tempfile.TemporaryDirectory() as shared:
        models = own
        if models is None:
            models = build_methods(
                names,
                table,
                preset=preset,
                cache=shared if cache is None else cache,
                random_state=random_state,
                weights=weights,
                verbose=verbose,
            )
        models[MAJORITY] = MajorityOfPatients()
        jobs = [(name, i) for i in range(len(splits)) for name in models]
        answers = Parallel(n_jobs=n_jobs, return_as=one_by_one())(
            delayed(_decide_fold)(name, models[name], table, y, *splits[i]) for name, i in jobs
        )
        bar = progress_bar(answers, total=len(jobs), desc="comparing", verbose=verbose)
        decided = [
            answer.assign(method=name, fold=i % n_splits if cv is None else i)
            for (name, i), answer in zip(jobs, bar, strict=True)
        ]
    predictions = _in_order(pd.concat(decided), list(models))
    if cv is None:
        described = f"{n_splits} folds of patients, {n_repeats} repetition(s), seed {random_state}"
    else:
        n_tested = predictions["patient"].nunique()
        described = f"{len(splits)} given split(s) of patients, {n_tested} patients tested"
    facts = {
        "preset": preset if own is None else "none: models given by the caller",
        "patients": patients_per_class(label_of, classes),
        "recordings": len(table),
        "cross-validation": described,
    }
    return comparison_of(
        predictions,
        label_of,
        classes,
        positive,
        scorers,
        facts,
        settings,
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
    )


class MajorityOfPatients(PatientClassifier):
    """Give every patient the class that most training patients have, the lower one of a tie.

    scikit-learn's DummyClassifier would count recordings.
    """

    def fit(self, X, y):
        """Count the patients of every class."""
        label_of = self._training_table(X, y)[2]
        self.classes_, n_patients = np.unique(
            label_of.to_numpy().astype(np.asarray(y).dtype), return_counts=True
        )
        self.winner_ = int(n_patients.argmax())
        return self

    def predict_patients(self, X):
        """Give every patient the same class, and the same scores."""
        check_is_fitted(self, "winner_")
        names = pd.unique(patient_ids(as_table(X)))
        decided = pd.DataFrame(index=pd.Index(names, name="patient", dtype=object))
        decided["prediction"] = self.classes_[np.full(len(names), self.winner_)]
        share = np.eye(len(self.classes_))[self.winner_]
        decided[self._score_columns()] = np.tile(share, (len(names), 1))
        return decided

    def _score_method(self) -> str:
        return "predict_proba"


def _check_two_patients_per_class(label_of: pd.Series) -> None:
    sizes = label_of.value_counts()
    single = sorted(str(label) for label in sizes.index[sizes < 2])
    if single:
        raise ValueError(
            f"Class {', '.join(single)} has a single patient, who cannot be in training and test."
        )


def _splits(
    table: pd.DataFrame, y: np.ndarray, n_splits: int, n_repeats: int, cv: Any, random_state: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the splits as row positions, none of which divides a patient."""
    if cv is None:
        cv = RepeatedStratifiedPatientKFold(
            n_splits, n_repeats=n_repeats, random_state=random_state
        )
    splits = list(cv.split(table, y) if hasattr(cv, "split") else cv)
    patients = patient_ids(table)
    for number, (train, test) in enumerate(splits):
        divided = sorted(map(str, set(patients[train]) & set(patients[test])))
        if divided:
            raise PatientError(
                f"split {number} of cv has patients on both sides: {', '.join(divided[:5])}.",
                remedy="Split by patient: StratifiedPatientKFold.",
            )
    return splits


def _check_models(models: Mapping[str, Any], weights: Any) -> None:
    names = list(models)
    taken = [name for name in names if name in (MAJORITY, CHANCE)]
    if taken or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"methods={names} must name at least one model; {MAJORITY!r} and {CHANCE!r} are "
            "names of rows that are added."
        )
    if weights:
        raise ValueError("weights are for named methods; give your own models theirs yourself.")
    for name, model in models.items():
        _check_decides_about_all(name, model)


def _check_decides_about_all(name: str, model: Any) -> None:
    parameters = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    abstains = [
        value
        for parameter, value in parameters.items()
        if parameter.rpartition("__")[2] == "abstain_below" and value is not None
    ]
    if abstains:
        raise ValueError(
            f"method {name!r} may abstain (abstain_below={abstains[0]!r}), and the figures of a "
            "comparison are about all patients: set abstain_below=None, and score abstention by "
            "patient_scorer('selective_accuracy') beside patient_scorer('coverage')."
        )


def _decide_fold(
    name: str,
    model: Any,
    table: pd.DataFrame,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> pd.DataFrame:
    """Fit on the training patients and decide about the test patients."""
    fitted = clone(model).fit(table.iloc[train], y[train])
    fitted = getattr(fitted, "best_estimator_", fitted)
    _check_decides_about_all(name, fitted)  # a search may have chosen a model that abstains
    return decide(fitted, table.iloc[test])


def _in_order(decided: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Count repetitions, and put decisions in the order of methods and repetitions."""
    predictions = decided.reset_index()
    order = pd.Categorical(predictions["method"], categories=methods, ordered=True)
    predictions["repeat"] = predictions.groupby(["method", "patient"]).cumcount()
    return predictions.iloc[np.lexsort((predictions["repeat"], order.codes))]
