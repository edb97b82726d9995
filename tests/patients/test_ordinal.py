"""Metrics and scorers for ordered classes, against scikit-learn and against loops."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, make_scorer, mean_absolute_error
from sklearn.model_selection import cross_val_score

from sklearn_dysarthria import (
    PatientVotingClassifier,
    StratifiedPatientKFold,
    mae_in_classes,
    patient_bootstrap,
    patient_scorer,
    quadratic_kappa,
    within_one_class,
)

METRICS = [quadratic_kappa, mae_in_classes, within_one_class]
pairs = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(pairs)
def test_against_scikit_learn_and_loops(rows):
    true, predicted = map(list, zip(*rows, strict=True))
    scale = [1, 2, 3, 4, 5]
    if len(set(true + predicted)) > 1:
        expected = cohen_kappa_score(true, predicted, labels=scale, weights="quadratic")
        assert quadratic_kappa(true, predicted, scale) == pytest.approx(expected, abs=1e-12)
        expected = cohen_kappa_score(true, predicted, weights="quadratic")
        assert quadratic_kappa(true, predicted) == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(quadratic_kappa(true, predicted, scale))
    assert mae_in_classes(true, predicted, scale) == pytest.approx(
        mean_absolute_error(true, predicted)
    )
    near = [abs(a - b) <= 1 for a, b in rows]
    assert within_one_class(true, predicted, scale) == pytest.approx(sum(near) / len(near))
    assert within_one_class(true, predicted, scale) <= within_one_class(true, predicted)


def test_labels_are_ranks_not_numbers():
    true, predicted = [10, 20, 400], [20, 20, 10]
    assert mae_in_classes(true, predicted) == pytest.approx((1 + 0 + 2) / 3)
    assert within_one_class(true, predicted) == pytest.approx(2 / 3)
    ranks = cohen_kappa_score([0, 1, 2], [1, 1, 0], weights="quadratic")
    assert quadratic_kappa(true, predicted) == pytest.approx(ranks)


def test_a_class_that_nobody_has_is_still_a_step():
    assert mae_in_classes([1, 5], [5, 5]) == 0.5
    assert mae_in_classes([1, 5], [5, 5], classes=range(1, 6)) == 2
    assert within_one_class([1, 5], [5, 5]) == 1
    assert within_one_class([1, 5], [5, 5], classes=np.arange(1, 6)) == 0.5


def test_the_order_of_strings():
    order = ["none", "mild", "severe"]
    true, predicted = ["none", "severe", "mild"], ["severe", "severe", "none"]
    assert mae_in_classes(true, predicted, order) == 1
    assert mae_in_classes(true, predicted, order[::-1]) == 1
    assert mae_in_classes(true, predicted, ["mild", "none", "severe"]) == pytest.approx(2 / 3)
    assert mae_in_classes(np.array(true, dtype=object), predicted, np.array(order)) == 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("true", "predicted", "classes", "message"),
    [
        (["a", "b"], ["a", "b"], None, "y_true holds labels such as .*'a'.* give classes"),
        ([1, 2], ["a", "b"], None, "y_pred holds labels such as"),
        ([], [], None, "no predictions"),
        ([1, 2], [1], None, "inconsistent numbers of samples"),
        ([1, 2], [1, 9], [1, 2], "y_pred holds 9, which is not among classes"),
        ([1, 2], [1, 2], 5, "classes=5 must be a list of all labels"),
        ([1, 2], [1, 2], {1, 2}, r"classes=\{1, 2\} must be a list"),
        (["a", "b"], ["a", "b"], "ab", "classes='ab' must be a list"),
        ([1, 2], [1, 2], [1, 2, 1], "names a class twice"),
        ([1, np.nan], [1, 2], None, r"y_true has no label at positions \[1\]"),
        (np.array([1, None], dtype=object), [1, 2], None, "y_true has no label"),
        ([[1, 2]], [[1, 2]], None, "1d array"),
    ],
)
def test_what_cannot_be_scored(metric, true, predicted, classes, message):
    with pytest.raises(ValueError, match=message):
        metric(true, predicted, classes)


def test_degenerate_cases():
    assert np.isnan(quadratic_kappa([2, 2], [2, 2]))
    assert quadratic_kappa([2, 2], [2, 3]) == 0
    assert quadratic_kappa([1, 2, 3], [2, 2, 2]) == 0
    assert quadratic_kappa([1, 2, 3], [3, 2, 1]) == pytest.approx(-1, abs=1e-12)
    assert mae_in_classes([2, 2], [2, 2]) == 0
    assert within_one_class([2], [2]) == 1
    assert mae_in_classes(np.array([1, 2], dtype=object), [2, 2]) == 0.5
    assert mae_in_classes([True, False], [False, False]) == 0.5


def test_in_the_bootstrap():
    rng = np.random.default_rng(0)
    true = np.repeat([1, 2, 3, 4, 5], 12)
    predicted = np.clip(true + rng.integers(-1, 2, len(true)), 1, 5)
    for metric in METRICS:
        metric = partial(metric, classes=[1, 2, 3, 4, 5])
        value, low, high = patient_bootstrap(
            metric, true, predicted, n_resamples=200, random_state=0
        )
        assert value == metric(true, predicted)
        assert low <= value <= high


SCORERS = {
    "quadratic_kappa": quadratic_kappa,
    "neg_mae_classes": lambda *arguments: -mae_in_classes(*arguments),
    "within_one_class": within_one_class,
}


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_count_patients(cohort, on_features, name):
    X, y = cohort(n_patients=40, n_classes=4)
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    decided = model.predict_patients(X)
    truth = decided.index.map(dict(zip(X["patient"], y, strict=True)))
    expected = SCORERS[name](truth.to_numpy(), decided["prediction"].to_numpy(), [0, 1, 2, 3])
    scorer = patient_scorer(name)
    assert scorer(model, X, y) == pytest.approx(expected)
    assert repr(scorer) == f"patient_scorer({name!r})"
    folds = StratifiedPatientKFold(3, random_state=0)
    scores = cross_val_score(model, X, y, cv=folds, scoring=scorer, error_score="raise")
    assert np.isfinite(scores).all()
    assert pickle.loads(pickle.dumps(scorer))(model, X, y) == scorer(model, X, y)


def test_scorers_know_the_models_classes(cohort, on_features):
    X, y = cohort(n_patients=40, n_classes=4)
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    predicted = model.predict(X)
    rows = np.isin(y, [0, 3]) & np.isin(predicted, [0, 3])
    few = X[rows].copy()
    wrong = np.where(y[rows] == 0, 3, 0)
    patients = few["patient"].to_numpy()
    by_patient = dict(zip(patients, wrong, strict=True))
    truth = np.array([by_patient[patient] for patient in patients])
    # Classes 1 and 2 do not occur, but the model knows of them: three steps, not one.
    right = predicted[rows] == y[rows]
    assert patient_scorer("neg_mae_classes")(model, few[right], truth[right]) == -3


def test_scorers_refuse_classes_without_order(cohort, on_features):
    X, y = cohort(labels=["mild", "severe"])
    model = PatientVotingClassifier(on_features(LogisticRegression())).fit(X, y)
    for name in SCORERS:
        with pytest.raises(ValueError, match="have no order"):
            patient_scorer(name)(model, X, y)
    scorer = patient_scorer(make_scorer(quadratic_kappa, classes=["mild", "severe"]))
    assert 0 < scorer(model, X, y) <= 1


def test_scorers_refuse_abstentions(cohort, on_features):
    X, y = cohort(n_classes=3)
    model = PatientVotingClassifier(
        on_features(LogisticRegression()), "soft", abstain_below=1.0, abstain_label=-1
    ).fit(X, y)
    with pytest.raises(ValueError, match="y_pred holds -1, which is not among classes"):
        patient_scorer("quadratic_kappa")(model, X, y)
