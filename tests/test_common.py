"""What every estimator, splitter, scorer, metric and loader promises, asked of each of them."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import random
import re
import warnings
from functools import cache

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from instances import (
    ESTIMATORS,
    LOADERS,
    METRICS,
    PARAMETER_OBJECTS,
    SCORERS,
    SPLITTERS,
    patients,
)
from sklearn.base import BaseEstimator

import sklearn_dysarthria as sd
from sklearn_dysarthria.testing import recording_estimator_checks


@cache
def checks_of(number):
    case = ESTIMATORS[number]
    return dict(recording_estimator_checks(case.estimator, *case.data()))


def every_check():
    found = []
    for number, case in enumerate(ESTIMATORS):
        for name, _ in recording_estimator_checks(case.estimator):
            reason = case.failures.get(name)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason)]
            found.append(pytest.param(number, name, id=f"{case}-{name}", marks=marks))
    return found


@pytest.mark.parametrize(("number", "name"), every_check())
def test_estimator(number, name):
    checks_of(number)[name]()


@pytest.mark.parametrize("case", ESTIMATORS, ids=str)
def test_every_parameter_has_a_constraint(case):
    estimator = case.estimator
    # The networks share one table, which may name parameters that one of them does not have.
    assert set(estimator.get_params(deep=False)) <= set(estimator._parameter_constraints)


def test_every_estimator_has_an_instance():
    public = {getattr(sd, name) for name in sd.__all__}
    estimators = {kind for kind in public if inspect.isclass(kind)}
    estimators = {kind for kind in estimators if issubclass(kind, BaseEstimator)}
    instances = [*(case.estimator for case in ESTIMATORS), *PARAMETER_OBJECTS]
    assert {type(instance) for instance in instances} == estimators


def test_everything_else_has_an_instance():
    loaders = {name for name in sd.__all__ if name.startswith(("load_", "fetch_"))}
    # One recording and one model are not corpora; Minsk2020's files are known by their checksums.
    assert loaders - {"load_waveform", "load_model", "fetch_minsk2020_als"} == set(LOADERS)
    assert {type(splitter).__name__ for splitter in SPLITTERS} == {
        name for name in sd.__all__ if name.endswith("KFold")
    }


@pytest.fixture
def unchanged_process():
    """Fail a test that leaves the process in another state."""

    def state():
        _, keys, *position = np.random.get_state()  # noqa: NPY002
        generators = keys.tobytes(), position, random.getstate()
        settings = list(warnings.filters), np.geterr(), sklearn.get_config()
        environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
        return generators, settings, environment, os.getcwd()

    before = state()
    yield
    assert state() == before


# ------------------------------------------------------------------------ parameter objects


@pytest.mark.parametrize("name", ["check_init_only_stores", "check_clone", "check_documentation"])
@pytest.mark.parametrize("thing", PARAMETER_OBJECTS, ids=lambda thing: type(thing).__name__)
def test_parameter_object(thing, name):
    dict(recording_estimator_checks(thing))[name]()


@pytest.mark.parametrize("thing", PARAMETER_OBJECTS, ids=lambda thing: type(thing).__name__)
def test_parameter_objects_are_shown_and_copied(thing):
    assert repr(thing).startswith(f"{type(thing).__name__}(")
    assert repr(eval(repr(thing), vars(sd) | {type(thing).__name__: type(thing)})) == repr(thing)
    for other in (pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing)):
        assert repr(other) == repr(thing)


# -------------------------------------------------------------------------------- splitters


def folds_of(splitter, X, y):
    return [(train.tolist(), test.tolist()) for train, test in splitter.split(X, y)]


every_splitter = pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)


@every_splitter
@pytest.mark.usefixtures("unchanged_process")
def test_splitter(splitter):
    X, y = patients()
    before = joblib.hash((X, y))
    folds = folds_of(splitter, X, y)
    assert joblib.hash((X, y)) == before
    assert splitter.get_n_splits(X, y) == len(folds)
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(len(X)))
        assert not set(X["patient"].iloc[train]) & set(X["patient"].iloc[test])
        assert set(y[train]) == set(y[test]) == set(y)
    tested = np.bincount(np.concatenate([test for _, test in folds]))
    assert len(set(tested)) == 1


@every_splitter
def test_splitters_are_copied_and_repeat_themselves(splitter):
    X, y = patients()
    folds = folds_of(splitter, X, y)
    assert folds_of(splitter, X, y) == folds
    for other in (pickle.loads(pickle.dumps(splitter)), copy.deepcopy(splitter)):
        assert folds_of(other, X, y) == folds
        assert repr(other) == repr(splitter)


@every_splitter
def test_splitters_take_generators_and_none(splitter):
    X, y = patients()
    if getattr(splitter, "shuffle", True):
        folds = []
        for seed in (np.random.RandomState(3), np.random.RandomState(3), None):
            splitter = copy.copy(splitter)
            splitter.random_state = seed
            folds.append(folds_of(splitter, X, y))
        assert folds[0] == folds[1]
        assert len(folds[2]) == len(folds[0])


# ---------------------------------------------------------------------- scorers and metrics


@cache
def fitted_on_patients():
    case = next(c for c in ESTIMATORS if isinstance(c.estimator, sd.PatientVotingClassifier))
    return sklearn.clone(case.estimator).fit(*patients())


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
@pytest.mark.usefixtures("unchanged_process")
def test_scorer(scorer):
    X, y = patients()
    model = fitted_on_patients()
    before = joblib.hash((X, y))
    score = scorer(model, X, y)
    assert isinstance(score, float)
    assert scorer(model, X, y) == score
    assert joblib.hash((X, y)) == before
    assert score >= scorer(model, X, 1 - y)  # greater is better
    again = pickle.loads(pickle.dumps(scorer))
    assert repr(again) == repr(scorer)
    assert again(model, X, y) == score


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
@pytest.mark.usefixtures("unchanged_process")
def test_metric(metric):
    truth, guess = np.array([1, 2, 3, 4, 5, 5]), np.array([1, 2, 1, 4, 3, 5])
    before = joblib.hash((truth, guess))
    value = metric(truth, guess)
    assert type(value) is float
    assert joblib.hash((truth, guess)) == before
    order = np.array([3, 1, 5, 0, 2, 4])
    assert metric(truth[order], guess[order]) == pytest.approx(value)
    assert metric(pd.Series(truth), guess.tolist()) == value
    assert metric(guess, truth) == pytest.approx(value)  # all are symmetric
    perfect, wrong = metric(truth, truth), metric(truth, 6 - truth)
    assert abs(perfect - value) < abs(perfect - wrong)


# ---------------------------------------------------------------------------------- loaders


@pytest.fixture(scope="module", params=LOADERS)
def loader(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return folder, LOADERS[request.param](folder)


@pytest.mark.usefixtures("unchanged_process")
def test_loader(loader):
    folder, load = loader
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    corpus = load()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert len(corpus.data) == len(corpus.target) > 0
    assert list(corpus.data.columns) == corpus.feature_names
    assert corpus.DESCR
    assert all(os.path.isfile(path) for path in corpus.data["audio"])
    assert (
        pd.Series(corpus.target.to_numpy()).groupby(corpus.data["patient"]).nunique() == 1
    ).all()
    assert sorted(set(corpus.target)) == sorted(corpus.target_names)


def test_loaders_repeat_themselves_and_return_pairs(loader):
    _, load = loader
    corpus, again = load(), load()
    pd.testing.assert_frame_equal(corpus.data, again.data)
    pd.testing.assert_series_equal(corpus.target, again.target)
    X, y = load(return_X_y=True)
    pd.testing.assert_frame_equal(corpus.data, X)
    pd.testing.assert_series_equal(corpus.target, y)


def test_loaders_results_go_into_a_split(loader):
    X, y = loader[1](return_X_y=True)
    for train, test in sd.StratifiedPatientKFold(2, random_state=0).split(X, y):
        assert not set(X["patient"].iloc[train]) & set(X["patient"].iloc[test])


def test_unknown_options_of_loaders_are_named(loader):
    with pytest.raises(TypeError, match=re.escape("no_such_option")):
        loader[1](no_such_option=1)
