from __future__ import annotations

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_dysarthria import EarlyStopping, HyperHead, HyperLinearClassifier


def half(X):
    return X / 2


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(12), 4)
    y = np.where(patients % 2, "HC", "ALS")
    return rng.normal(size=(48, 4)) + (y == "HC")[:, None], y, patients


@pytest.fixture
def given(monkeypatch):
    """Patients that reached the inner split."""
    seen = []
    original = EarlyStopping.hold_out

    def hold_out(self, labels, patients, seed):
        if patients is not None:
            seen.append(np.asarray(patients))
        return original(self, labels, patients, seed)

    monkeypatch.setattr(EarlyStopping, "hold_out", hold_out)
    return seen


def small(**changes):
    head = HyperHead(hidden_dim=8)
    return HyperLinearClassifier(
        **{"head": head, "max_epochs": 3, "lr": 0.01, "random_state": 0} | changes
    )


def stopping_pipeline():
    return make_pipeline(StandardScaler(), small(early_stopping=EarlyStopping()))


def test_grid_search_over_nested_parameters_does_not_depend_on_n_jobs(convnext, make_images):
    X, y = make_images(24, labels=["ALS", "HC"])
    pipeline = Pipeline(
        [("scale", FunctionTransformer(half)), ("net", convnext.model(max_epochs=1))]
    )
    grid = {"net__lr": [1e-4, 3e-3], "net__oversample": [None, {"ALS": 2}]}
    results = [
        GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs, scoring="neg_log_loss").fit(X, y)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in results]
    assert_allclose(scores[0], scores[1], rtol=1e-6)
    assert len(set(scores[0])) == 4
    assert results[0].best_params_ == results[1].best_params_
    assert set(results[0].predict(X)) <= {"ALS", "HC"}


def test_cross_val_score(case, make_images):
    X, y = make_images(24)
    X = case.wrap(X)
    first = cross_val_score(case.model(), X, y, cv=2, error_score="raise")
    assert first.shape == (2,)
    assert_allclose(cross_val_score(case.model(), X, y, cv=2), first)


def test_groups_reach_fit_without_routing(table, given):
    X, y, patients = table
    stopping_pipeline().fit(X, y, hyperlinearclassifier__groups=patients)
    cross_val_score(
        stopping_pipeline(),
        X,
        y,
        groups=patients,
        cv=GroupKFold(3),
        params={"hyperlinearclassifier__groups": patients},
        error_score="raise",
    )
    assert [len(set(seen)) for seen in given] == [12, 8, 8, 8]
    assert not sklearn.get_config()["enable_metadata_routing"]


def test_groups_reach_fit_with_routing(table, given):
    X, y, patients = table
    with sklearn.config_context(enable_metadata_routing=True):
        small(early_stopping=EarlyStopping()).fit(X, y, groups=patients)
        stopping_pipeline().fit(X, y, groups=patients)
        cross_validate(
            stopping_pipeline(),
            X,
            y,
            cv=GroupKFold(3),
            params={"groups": patients},
            error_score="raise",
        )
        search = GridSearchCV(
            stopping_pipeline(), {"hyperlinearclassifier__lr": [0.01]}, cv=GroupKFold(3)
        )
        search.fit(X, y, groups=patients)
    assert [len(set(seen)) for seen in given] == [12, 12, 8, 8, 8, 8, 8, 8, 12]


def test_plain_fits_work_with_routing(case, make_images):
    X, y = make_images(8)
    X = case.wrap(X)
    expected = case.model(max_epochs=1).fit(X, y).predict_proba(X)
    with sklearn.config_context(enable_metadata_routing=True):
        model = case.model(max_epochs=1).fit(X, y)
        assert_allclose(model.predict_proba(X), expected)
        cross_val_score(case.model(max_epochs=1), X, y, cv=2, error_score="raise")


def test_routing_can_be_declined(table):
    X, y, patients = table
    with sklearn.config_context(enable_metadata_routing=True):
        model = small().set_fit_request(groups=False)
        with pytest.raises(TypeError, match="groups"):
            make_pipeline(StandardScaler(), model).fit(X, y, groups=patients)


def test_early_stopping_needs_groups_in_cross_validation(table):
    X, y, _ = table
    with pytest.raises(ValueError, match="needs to know them"):
        cross_val_score(stopping_pipeline(), X, y, error_score="raise")
