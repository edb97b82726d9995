"""Ensembles: the same model from several seeds, and scikit-learn's own around our models."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dysarthria import (
    Backbone,
    ConvNeXtSeverityClassifier,
    EarlyStopping,
    EGeMAPSFeatures,
    HierarchicalClassifier,
    HyperHead,
    HyperLinearClassifier,
    PatientVotingClassifier,
    SeedEnsembleClassifier,
    SkipFailedRows,
    StratifiedPatientKFold,
    make_dysarthric_speech,
)
from sklearn_dysarthria.exceptions import PatientLeakWarning, RecordingWarning

TINY = {"max_epochs": 1, "head": HyperHead(context_dim=2, hidden_dim=2, n_contexts=1)}


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    import sklearn

    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.fixture
def features():
    def make(n=60, labels=("ALS", "HC", "X"), seed=0):
        rng = np.random.default_rng(seed)
        codes = np.arange(n) % len(labels)
        return rng.normal(size=(n, 4)) + codes[:, None] * 0.7, np.asarray(labels)[codes]

    return make


@pytest.fixture
def table(features):
    X, y = features(labels=("ALS", "HC"))
    patients = [f"P{number % 20}" for number in range(len(X))]
    columns = pd.DataFrame(X, columns=list("abcd"))
    return columns.assign(patient=patients, task="a", audio="never read.wav"), y


def columns(table):
    return table[list("abcd")].to_numpy()


def from_table(*steps):
    return make_pipeline(FunctionTransformer(columns), *steps)


@parametrize_with_checks(
    [
        SeedEnsembleClassifier(DecisionTreeClassifier(max_features=1), 3, random_state=0),
        SeedEnsembleClassifier(SGDClassifier(), 2, voting="hard", random_state=0),
        SeedEnsembleClassifier(
            make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")), 2, random_state=0
        ),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater:UserWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_against_a_loop(features, voting):
    X, y = features()
    tree = DecisionTreeClassifier(max_features=1, max_depth=3)
    model = SeedEnsembleClassifier(tree, 6, voting=voting, random_state=3).fit(X, y)
    seeds = [member.random_state for member in model.estimators_]
    assert len(set(seeds)) == 6
    members = [clone(tree).set_params(random_state=seed).fit(X, y) for seed in seeds]
    each = np.array([member.predict_proba(X) for member in members])
    assert_allclose(model.predict_proba(X), each.mean(axis=0))
    assert_allclose(model.predict_spread(X), each.std(axis=0))
    assert model.predict_spread(X).max() > 0
    if voting == "soft":
        assert_array_equal(model.predict(X), model.classes_[each.mean(axis=0).argmax(axis=1)])
        return
    said = np.array([member.predict(X) for member in members])
    for row, answer in enumerate(model.predict(X)):
        counts = {label: (said[:, row] == label).sum() for label in model.classes_}
        assert counts[answer] == max(counts.values())
        for i, label in enumerate(model.classes_):  # ties by mean probability
            if counts[label] == counts[answer]:
                winner = model.classes_.tolist().index(answer)
                assert each[:, row, winner].mean() >= each[:, row, i].mean() - 1e-9


def test_every_seed_inside_is_set(features):
    X, y = features()
    inner = make_pipeline(PCA(2, svd_solver="randomized"), DecisionTreeClassifier())
    nested = SeedEnsembleClassifier(SkipFailedRows(inner), 2)
    model = SeedEnsembleClassifier(nested, 2, random_state=0).fit(X, y)
    seeds = []
    for outer in model.estimators_:
        seeds.append(outer.random_state)
        seeds += [
            outer.estimator.estimator[0].random_state,
            outer.estimator.estimator[1].random_state,
        ]
    assert len(set(seeds)) == 6
    assert inner[0].random_state is None


def test_seeds_make_it_repeatable(features):
    X, y = features()
    tree = DecisionTreeClassifier(max_features=1)
    first = SeedEnsembleClassifier(tree, 3, random_state=1).fit(X, y)
    assert [m.random_state for m in clone(first).fit(X, y).estimators_] == [
        m.random_state for m in first.estimators_
    ]
    other = SeedEnsembleClassifier(tree, 3, random_state=2).fit(X, y)
    assert {m.random_state for m in other.estimators_}.isdisjoint(
        m.random_state for m in first.estimators_
    )
    parallel = SeedEnsembleClassifier(tree, 3, random_state=1, n_jobs=2).fit(X, y)
    assert_array_equal(parallel.predict_proba(X), first.predict_proba(X))
    again = pickle.loads(pickle.dumps(first))
    assert_array_equal(again.predict_proba(X), first.predict_proba(X))


def test_a_tie_goes_to_the_middle():
    class Fixed(ClassifierMixin, BaseEstimator):
        answers = iter([0, 4, 1, 3])

        def __init__(self, random_state=None):
            self.random_state = random_state

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            self.answer_ = next(Fixed.answers)
            return self

        def predict(self, X):
            return np.repeat(self.classes_[self.answer_], len(X))

    X = np.zeros((5, 1))
    model = SeedEnsembleClassifier(Fixed(), 4, voting="hard").fit(X, [1, 2, 3, 4, 5])
    assert model.predict(X[:1]).tolist() == [2]
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "predict_spread")


def test_what_cannot_be(features):
    X, y = features()
    from sklearn.neighbors import KNeighborsClassifier

    with pytest.raises(ValueError, match="nothing in Pipeline has a parameter random_state"):
        SeedEnsembleClassifier(make_pipeline(StandardScaler(), KNeighborsClassifier())).fit(X, y)
    with pytest.raises(ValueError, match="voting='soft' needs predict_proba, which SGDClassifier"):
        SeedEnsembleClassifier(SGDClassifier()).fit(X, y)
    for wrong in ({"n_estimators": 0}, {"voting": "loud"}, {"n_jobs": 0.5}):
        model = SeedEnsembleClassifier(DecisionTreeClassifier()).set_params(**wrong)
        with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' parameter"):
            model.fit(X, y)
        with pytest.raises(NotFittedError):
            model.predict(X)


def test_failed_rows(features):
    X, y = features()
    X[[2, 9]] = np.nan
    tree = SkipFailedRows(DecisionTreeClassifier(max_features=1))
    with pytest.warns(RecordingWarning):
        model = SeedEnsembleClassifier(tree, 2, random_state=0).fit(X, y)
    assert np.flatnonzero(np.isnan(model.predict_proba(X)).any(axis=1)).tolist() == [2, 9]
    with pytest.raises(ValueError, match=r"predict has no answer for rows \[2, 9\]"):
        model.predict(X)


class TestPatients:
    def test_groups_reach_every_member(self, features, routing):
        X, y = features(labels=("ALS", "HC"))
        patients = np.arange(len(X)) % 20
        net = HyperLinearClassifier(early_stopping=EarlyStopping(), **TINY)
        model = make_pipeline(StandardScaler(), SeedEnsembleClassifier(net, 3, random_state=0))
        model.fit(X, y, **{"groups" if routing else "seedensembleclassifier__groups": patients})
        held_out = [frozenset(m.validation_patients_) for m in model[-1].estimators_]
        assert all(held_out)
        assert len(set(held_out)) > 1  # another seed holds out other patients

    def test_searches_in_members_split_by_patient(self, table, routing):
        X, y = table
        search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2)
        model = from_table(SeedEnsembleClassifier(search, 2, random_state=0))
        voting = PatientVotingClassifier(model).fit(X, y)
        for member in voting.estimator_[-1].estimators_:
            assert isinstance(member.cv, StratifiedPatientKFold)

    @pytest.mark.parametrize("n_jobs", [None, 2])
    @pytest.mark.filterwarnings("ignore")
    def test_an_imputer_in_a_member_gives_no_vote(self, n_jobs):
        X, y = make_dysarthric_speech(n_patients=4, duration=(0.5, 0.6), random_state=0)
        tree = DecisionTreeClassifier()
        steps = make_pipeline(EGeMAPSFeatures(on_error="nan"), SimpleImputer(), tree)
        voting = PatientVotingClassifier(
            SeedEnsembleClassifier(steps, 2, random_state=0, n_jobs=n_jobs), voting="soft"
        ).fit(X, y)
        X.at[0, "audio"] = np.zeros(8000, dtype=np.float32)
        assert voting.predict_patients(X)["n_recordings"].tolist() == [1, 2, 2, 2]
        hard = PatientVotingClassifier(VotingClassifier([("a", steps), ("b", steps)]))
        hard.fit(*make_dysarthric_speech(n_patients=4, duration=(0.5, 0.6), random_state=0))
        assert hard.predict_patients(X)["n_recordings"].tolist() == [1, 2, 2, 2]
        X.at[1, "audio"] = np.zeros(8000, dtype=np.float32)
        with pytest.raises(ValueError, match=r"S001.*no usable recording"):
            voting.fit(X, y)


def test_on_images(make_images):
    X, y = make_images(12, labels=["ALS", "HC"])
    net = ConvNeXtSeverityClassifier(
        backbone=Backbone("convnext_femto", weights=None), max_epochs=1, batch_size=6
    )
    model = SeedEnsembleClassifier(net, 2, random_state=0).fit(X, y)
    each = [member.predict_proba(X) for member in model.estimators_]
    assert not np.allclose(each[0], each[1])
    assert_allclose(model.predict_proba(X), np.mean(each, axis=0), rtol=1e-6)
    again = clone(model).fit(X, y)
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


class Spy(ClassifierMixin, BaseEstimator):
    log: list = []

    def fit(self, X, y):
        self.patients_ = set(X["patient"])
        self.inner_ = LogisticRegression().fit(columns(X), y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        Spy.log.append((self.patients_, set(X["patient"])))
        return self.inner_.predict_proba(columns(X))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Late(ClassifierMixin, BaseEstimator):
    """Has no predict before it is fitted, and no probabilities after."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.predict = lambda X: np.repeat(self.classes_[:1], len(X))
        return self


class TestScikitLearnsEnsembles:
    """VotingClassifier and StackingClassifier take our models as they are."""

    def members(self):
        net = HyperLinearClassifier(random_state=0, **TINY)
        return [("tree", DecisionTreeClassifier(max_depth=2)), ("net", net)]

    @pytest.mark.parametrize("voting", ["soft", "hard"])
    def test_voting_over_pipelines_from_the_table(self, table, voting, routing):
        X, y = table
        named = [(name, from_table(model)) for name, model in self.members()]
        ensemble = VotingClassifier(named, voting=voting, weights=[2, 1])
        model = PatientVotingClassifier(ensemble, voting="soft").fit(X, y)
        fitted = model.estimator_.named_estimators_
        if voting == "soft":
            expected = (2 * fitted["tree"].predict_proba(X) + fitted["net"].predict_proba(X)) / 3
            by_patient = pd.DataFrame(expected).groupby(X["patient"].to_numpy()).transform("mean")
            assert_allclose(model.predict_proba(X), by_patient)
        assert model.score(X, y) > 0.5
        model.set_params(estimator__tree__decisiontreeclassifier__max_depth=1).fit(X, y)
        assert model.estimator_.named_estimators_["tree"][-1].get_depth() == 1

    def test_stacking_over_the_table_does_not_leak(self, table, routing):
        X, y = table
        Spy.log.clear()
        stack = StackingClassifier(
            [("spy", Spy()), ("tree", from_table(DecisionTreeClassifier(max_depth=2)))],
            final_estimator=LogisticRegression(),
            cv=StratifiedPatientKFold(4, random_state=0),
        )
        PatientVotingClassifier(stack).fit(X, y)
        assert len(Spy.log) == 4
        assert all(asked and not trained & asked for trained, asked in Spy.log)
        assert set().union(*(asked for _, asked in Spy.log)) == set(X["patient"])

    @pytest.mark.parametrize("cv", [None, 3])
    def test_stacking_with_a_number_of_folds_is_told(self, table, cv):
        X, y = table
        Spy.log.clear()
        stack = StackingClassifier([("spy", Spy())], final_estimator=LogisticRegression(), cv=cv)
        with pytest.warns(PatientLeakWarning, match=rf"StackingClassifier\(cv={cv}\)"):
            PatientVotingClassifier(stack).fit(X, y)
        assert any(trained & asked for trained, asked in Spy.log)

    def test_early_stopping_members_need_routing(self, table):
        import sklearn

        X, y = table
        net = HyperLinearClassifier(early_stopping=EarlyStopping(), random_state=0, **TINY)
        named = [("net", from_table(net)), ("tree", from_table(DecisionTreeClassifier()))]
        takes_patients = SkipFailedRows(LogisticRegression())
        folds = StratifiedPatientKFold(3, random_state=0)
        for ensemble in (
            VotingClassifier(named, voting="soft"),
            StackingClassifier(named, takes_patients, cv=folds),
        ):
            model = PatientVotingClassifier(ensemble)
            with pytest.raises(ValueError, match="early_stopping holds out patients"):
                model.fit(X, y)
            with sklearn.config_context(enable_metadata_routing=True):
                model.fit(X, y)
            member = model.estimator_.named_estimators_["net"][-1]
            assert 0 < len(member.validation_patients_) < 20
        # scikit-learn would hand the patients to LogisticRegression, too.
        model = PatientVotingClassifier(StackingClassifier(named, cv=folds))
        with sklearn.config_context(enable_metadata_routing=True):
            with pytest.raises(ValueError, match="early_stopping holds out patients"):
                model.fit(X, y)
            model.set_params(estimator__net__hyperlinearclassifier__early_stopping=None)
            assert len(model.fit(X, y).predict_patients(X)) == 20

    def test_a_stack_knows_what_it_predicts_once_it_is_fitted(self, table):
        X, y = table
        folds = StratifiedPatientKFold(2, random_state=0)
        stack = StackingClassifier([("tree", from_table(DecisionTreeClassifier()))], cv=folds)
        assert not hasattr(stack, "predict")
        models = [
            PatientVotingClassifier(stack, voting="soft"),
            PatientVotingClassifier(task_estimators={"a": stack}, voting="stacked", cv=2),
            PatientVotingClassifier(HierarchicalClassifier(stack, healthy="HC", threshold=0.4)),
            PatientVotingClassifier(SeedEnsembleClassifier(stack, 2)),
        ]
        for model in models:
            assert model.fit(X, y).predict_proba(X).shape == (60, 2)
            assert "StackingClassifier" in estimator_html_repr(model)
        rest = X.assign(task=np.where(X["patient"] == "P0", "b", "a"))
        rest = pd.concat([rest, rest.assign(task="b", audio="another.wav")])
        two = PatientVotingClassifier(task_estimators={"a": Late(), "b": stack}, voting="soft")
        with pytest.raises(ValueError, match=r"task_estimators\['a'\] has no predict_proba"):
            two.fit(rest, np.tile(y, 2))

    def test_on_images(self, make_images):
        X, y = make_images(12, labels=["ALS", "HC"])
        net = ConvNeXtSeverityClassifier(
            backbone=Backbone("convnext_femto", weights=None),
            max_epochs=1,
            batch_size=6,
            random_state=0,
        )
        named = [("a", net), ("b", clone(net).set_params(random_state=1))]
        soft = VotingClassifier(named, voting="soft").fit(X, y)
        each = [member.predict_proba(X) for member in soft.estimators_]
        assert_allclose(soft.predict_proba(X), np.mean(each, axis=0), rtol=1e-6)
        stack = StackingClassifier(named, cv=2).fit(X, y)
        assert stack.predict_proba(X).shape == (12, 2)
