"""Healthy or patient first, then severity among the patients."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_dysarthria import (
    Backbone,
    ConvNeXtSeverityClassifier,
    EarlyStopping,
    HierarchicalClassifier,
    HyperHead,
    HyperLinearClassifier,
    PatientVotingClassifier,
    SeedEnsembleClassifier,
    SkipFailedRows,
    StratifiedPatientKFold,
    patient_scorer,
)

HEAD = HyperHead(context_dim=2, hidden_dim=2, n_contexts=1)
TINY = {"max_epochs": 1, "head": HEAD, "random_state": 0}


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.fixture
def graded():
    """Features whose class 5 is far from the grades 1 to 4; three rows per patient."""

    def make(n=120, labels=(1, 2, 3, 4, 5), seed=0):
        rng = np.random.default_rng(seed)
        codes = (np.arange(n) // 3) % len(labels)
        X = rng.normal(size=(n, 3)) + np.column_stack([codes, codes**2 / 2, -codes])
        return X, np.asarray(labels)[codes], np.arange(n) // 3

    return make


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9])
@pytest.mark.parametrize("healthy", [5, 1, 3])
def test_against_two_models(graded, healthy, threshold):
    X, y, _ = graded()
    model = HierarchicalClassifier(
        LogisticRegression(C=0.05), LogisticRegression(C=2), healthy=healthy, threshold=threshold
    ).fit(X, y)
    detector = LogisticRegression(C=0.05).fit(X, y != healthy)
    ill = y != healthy
    grader = LogisticRegression(C=2).fit(X[ill], y[ill])
    of_patient = detector.predict_proba(X)[:, 1]
    for i, label in enumerate(model.classes_.tolist()):
        if label == healthy:
            expected = 1 - of_patient
        else:
            position = grader.classes_.tolist().index(label)
            expected = of_patient * grader.predict_proba(X)[:, position]
        assert_allclose(model.predict_proba(X)[:, i], expected, rtol=1e-6, atol=1e-9)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    expected = np.where(of_patient >= threshold, grader.predict(X), healthy)
    assert_array_equal(model.predict(X), expected)
    assert model.classes_.tolist() == [1, 2, 3, 4, 5]
    assert model.n_features_in_ == 3


def test_the_decision_is_not_the_largest_probability():
    class Half(LogisticRegression):
        def predict_proba(self, X):
            n = len(self.classes_)
            return np.tile([0.4, 0.6] if n == 2 else np.full(n, 1 / n), (len(X), 1))

    y = np.array([1, 2, 3, 4, 5])
    X = y[:, None] * 1.0
    model = HierarchicalClassifier(Half(), healthy=5).fit(X, y)
    assert (model.predict_proba(X).argmax(axis=1) == 4).all()
    assert (model.predict(X) != 5).all()


def test_the_grader_defaults_to_the_detector(graded):
    X, y, _ = graded()
    one = HierarchicalClassifier(LogisticRegression(C=0.3), healthy=5).fit(X, y)
    two = HierarchicalClassifier(
        LogisticRegression(C=0.3), LogisticRegression(C=0.3), healthy=5
    ).fit(X, y)
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    assert one.grader_.classes_.tolist() == [1, 2, 3, 4]
    assert one.detector_.classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("labels", "healthy"),
    [
        (["mild", "severe", "HC"], "HC"),
        (np.array(["moderate", "no"]), "no"),
        (np.array(["a", "a long label"], dtype=object), "a"),
        ([0.0, 1.0, 2.0], 0),
        ([True, False], False),
        (np.array([2, 1], dtype=np.int8), 1),
    ],
    ids=str,
)
def test_labels_of_any_type(graded, labels, healthy):
    X, y, _ = graded(labels=labels)
    model = HierarchicalClassifier(LogisticRegression(), healthy=healthy).fit(X, y)
    assert set(model.predict(X)) == set(y)
    assert model.score(X, y) > 0.6
    assert model.predict(X).dtype.kind == np.asarray(y).dtype.kind


def test_one_grade_only(graded):
    X, y, _ = graded(labels=["HC", "ALS"])
    model = HierarchicalClassifier(LogisticRegression(), healthy="HC").fit(X, y)
    plain = LogisticRegression().fit(X, y == "ALS")
    assert model.grader_ is None
    assert_allclose(model.predict_proba(X)[:, 0], plain.predict_proba(X)[:, 1])
    assert_array_equal(model.predict(X) == "ALS", plain.predict(X))


def test_without_probabilities(graded):
    X, y, _ = graded()
    model = HierarchicalClassifier(RidgeClassifier(), LogisticRegression(), healthy=5)
    assert not hasattr(model, "predict_proba")
    model.fit(X, y)
    assert not hasattr(model, "predict_proba")
    ill = RidgeClassifier().fit(X, y != 5).predict(X)
    assert_array_equal(model.predict(X) != 5, ill)
    with pytest.raises(ValueError, match=r"threshold=0.3 needs a detector with predict_proba"):
        model.set_params(threshold=0.3).fit(X, y)
    graders = HierarchicalClassifier(LogisticRegression(), SVC(), healthy=5, threshold=0.3)
    assert not hasattr(graders.fit(X, y), "predict_proba")
    assert graders.score(X, y) > 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"healthy": 9}, r"healthy=9 is not among the labels \[1, 2, 3, 4, 5\]"),
        ({"healthy": "5"}, "healthy='5' is not among"),
        ({"healthy": [5]}, "is not among"),
        ({"healthy": True}, "healthy=True is not among"),
        ({"threshold": 1.5}, "'threshold' parameter"),
        ({"grader": 3}, "'grader' parameter"),
    ],
)
def test_what_cannot_be(graded, changes, message):
    X, y, _ = graded()
    model = HierarchicalClassifier(LogisticRegression(), healthy=5)
    with pytest.raises(ValueError, match=message):
        model.set_params(**changes).fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_nobody_is_ill(graded):
    X, y, _ = graded(labels=[5])
    with pytest.raises(ValueError, match="there are no patients"):
        HierarchicalClassifier(LogisticRegression(), healthy=5).fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        HierarchicalClassifier(LogisticRegression(), healthy=5).fit(X, y[1:])


def test_extreme_thresholds(graded):
    X, y, _ = graded()
    model = HierarchicalClassifier(LogisticRegression(), healthy=5, threshold=0).fit(X, y)
    assert (model.predict(X) != 5).all()
    model = HierarchicalClassifier(LogisticRegression(C=1e-6), healthy=5, threshold=1).fit(X, y)
    assert (model.predict(X) == 5).all()


def test_failed_rows(graded):
    X, y, _ = graded()
    broken = X.copy()
    broken[[0, 7]] = np.nan
    model = HierarchicalClassifier(SkipFailedRows(LogisticRegression()), healthy=5)
    with pytest.warns(UserWarning, match="left out of the fit"):
        model.fit(broken, y)
    keep = np.delete(np.arange(len(X)), [0, 7])
    clean = HierarchicalClassifier(LogisticRegression(), healthy=5).fit(X[keep], y[keep])
    assert_allclose(model.predict_proba(X), clean.predict_proba(X))
    probabilities = model.predict_proba(broken)
    assert np.isnan(probabilities[[0, 7]]).all()
    assert_allclose(probabilities[keep], model.predict_proba(X[keep]))
    with pytest.raises(ValueError, match=r"predict has no answer for rows \[0, 7\]"):
        model.predict(broken)


@pytest.mark.parametrize(
    "grader", [SkipFailedRows(LogisticRegression()), HyperLinearClassifier(**TINY)]
)
def test_a_row_that_only_the_grader_refuses(grader, graded):
    X, y, _ = graded()
    tree = DecisionTreeClassifier(max_depth=2)  # takes NaN for a value
    model = HierarchicalClassifier(tree, grader, healthy=5, threshold=0.01).fit(X, y)
    X[3] = np.nan
    assert np.isnan(model.predict_proba(X)).any(axis=1).tolist() == [i == 3 for i in range(len(X))]
    assert np.isnan(model.predict_proba(X)[3]).all()
    with pytest.raises(ValueError, match="predict has no answer for rows"):
        model.predict(X)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("loss", ["cross_entropy", "corn"])
def test_networks_decide_as_the_two_alone(graded, loss, threshold):
    X, y, _ = graded()
    network = HyperLinearClassifier(max_epochs=8, lr=1e-2, random_state=0)
    grader = clone(network).set_params(loss=loss)
    model = HierarchicalClassifier(network, grader, healthy=5, threshold=threshold).fit(X, y)
    found = model.detector_.predict_proba(X)[:, 1] >= threshold
    expected = np.where(found, model.grader_.predict(X), 5)
    assert_array_equal(model.predict(X), expected)
    assert len(np.unique(expected)) > 2


class Constant(ClassifierMixin, BaseEstimator):
    """Gives every row the same probability of the second class."""

    def __init__(self, p):
        self.p = p

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[int(self.p >= 0.5)], len(X))

    def predict_proba(self, X):
        return np.tile([1 - self.p, self.p], (len(X), 1))


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("below", [0.0, 1e-16, 1e-12, 1e-3])
def test_both_ways_of_deciding_agree_at_the_threshold(graded, threshold, below):
    X, y, _ = graded()
    grader = HyperLinearClassifier(random_state=0, max_epochs=1)
    model = HierarchicalClassifier(
        Constant(threshold - below), grader, healthy=5, threshold=threshold
    ).fit(X, y)
    predicted = model.predict(X)
    assert (predicted == 5).all() == (below == 1e-3)
    # An ensemble of one decides from the probabilities alone.
    ensemble = SeedEnsembleClassifier(model, 1, random_state=0).fit(X, y)
    assert_array_equal(ensemble.predict(X), ensemble.estimators_[0].predict(X))


def test_scikit_learn_contract(graded):
    X, y, _ = graded()
    model = HierarchicalClassifier(
        make_pipeline(StandardScaler(), LogisticRegression()), healthy=5, threshold=0.4
    )
    before = model.get_params()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    copy = clone(model).fit(frame, y)
    assert copy.feature_names_in_.tolist() == ["a", "b", "c"]
    assert before.keys() == copy.get_params().keys()
    assert not hasattr(model.detector[-1], "coef_")
    again = pickle.loads(pickle.dumps(copy))
    assert_array_equal(again.predict_proba(frame), copy.predict_proba(frame))
    copy.set_params(detector__logisticregression__C=7.0)
    assert clone(copy).detector[-1].C == 7


class TestPatients:
    """Patients reach both parts, and searches inside split by patient."""

    @pytest.fixture
    def made(self, monkeypatch):
        seen = []
        genuine = EarlyStopping.hold_out

        def spy(self, labels, patients, seed):
            train, valid = genuine(self, labels, patients, seed)
            seen.append((set(patients[train]), set(patients[valid])))
            return train, valid

        monkeypatch.setattr(EarlyStopping, "hold_out", spy)
        return seen

    def test_groups_reach_both_parts(self, graded, made, routing):
        X, y, patients = graded()
        net = HyperLinearClassifier(early_stopping=EarlyStopping(), **TINY)
        model = make_pipeline(StandardScaler(), HierarchicalClassifier(net, healthy=5))
        model.fit(X, y, **{"groups" if routing else "hierarchicalclassifier__groups": patients})
        detecting, grading = made
        assert set().union(*detecting) == set(patients)
        assert set().union(*grading) == set(patients[y != 5])
        assert not detecting[0] & detecting[1]
        assert not grading[0] & grading[1]

    def test_in_a_vote_with_searches_inside(self, graded, made, routing):
        X, y, patients = graded()
        table = pd.DataFrame(X, columns=["a", "b", "c"])
        table = table.assign(patient=patients, audio="never read.wav")
        net = HyperLinearClassifier(early_stopping=EarlyStopping(), **TINY)
        search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2, error_score="raise")
        model = HierarchicalClassifier(search, net, healthy=5)
        columns = FunctionTransformer(np.asarray, kw_args={"dtype": float})
        steps = make_pipeline(FunctionTransformer(lambda t: t[["a", "b", "c"]]), columns, model)
        voting = PatientVotingClassifier(steps).fit(table, y)
        assert isinstance(voting.estimator_[-1].detector_.cv, StratifiedPatientKFold)
        ((train, valid),) = made
        assert valid
        assert not train & valid
        assert train | valid == set(patients[y != 5])
        assert search.cv == 2

    def test_searches_in_wrappers_split_by_patient(self, graded, routing):
        X, y, patients = graded(n=60, labels=(1, 3, 5))
        table = pd.DataFrame(X, columns=["a", "b", "c"])
        table = table.assign(patient=patients, audio="never read.wav")
        features = FunctionTransformer(lambda t: t[["a", "b", "c"]].to_numpy())
        tree = DecisionTreeClassifier(max_depth=3, random_state=0)
        search = GridSearchCV(tree, {"min_samples_leaf": [1, 2]}, cv=2, error_score="raise")
        inner = HierarchicalClassifier(search, SkipFailedRows(search), healthy=5)
        whole = make_pipeline(features, SeedEnsembleClassifier(inner, 1, random_state=0))
        fitted = PatientVotingClassifier(whole).fit(table, y).estimator_[-1].estimators_[0]
        for found in (fitted.detector_, fitted.grader_.estimator_):
            assert isinstance(found.cv, StratifiedPatientKFold)
            assert found.cv.n_splits == 2

    def test_in_a_search_over_patients(self, graded, routing):
        X, y, patients = graded(n=150)
        table = pd.DataFrame(X, columns=["a", "b", "c"])
        table = table.assign(patient=patients, audio="never read.wav")
        features = FunctionTransformer(lambda t: t[["a", "b", "c"]].to_numpy())
        # Around Pipelines that begin with the table, instead of inside one.
        model = HierarchicalClassifier(make_pipeline(features, LogisticRegression()), healthy=5)
        search = GridSearchCV(
            PatientVotingClassifier(model, voting="soft"),
            {"estimator__threshold": [0.3, 0.5], "voting": ["soft", "hard"]},
            cv=StratifiedPatientKFold(2, random_state=0),
            scoring=patient_scorer("quadratic_kappa"),
            error_score="raise",
        ).fit(table, y)
        assert search.best_score_ > 0.7
        assert set(search.predict(table)) == {1, 2, 3, 4, 5}


def test_on_images(make_images):
    X, y = make_images(18, n_classes=3, labels=["HC", "mild", "severe"])
    net = ConvNeXtSeverityClassifier(
        backbone=Backbone("convnext_femto", weights=None),
        max_epochs=1,
        batch_size=9,
        random_state=0,
    )
    model = Pipeline([("half", FunctionTransformer(np.asarray)), ("classify", net)])
    model.steps[-1] = ("classify", HierarchicalClassifier(net, healthy="HC"))
    model.fit(X, y)
    assert model.predict_proba(X).shape == (18, 3)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    assert set(model.predict(X)) <= {"HC", "mild", "severe"}
    assert model[-1].grader_.classes_.tolist() == ["mild", "severe"]
