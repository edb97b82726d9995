from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_dysarthria import SkipFailedRows
from sklearn_dysarthria.exceptions import RecordingWarning

NAN = np.nan


def failed_rows(X):
    """Rows without an answer, of a classifier that looks at nothing in them."""
    model = SkipFailedRows(DummyClassifier()).fit([[0.0], [1.0]], [0, 1])
    return np.isnan(model.predict_proba(X)).all(axis=1)


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        ([[NAN, NAN], [NAN, 1], [1, NAN], [0, 0]], [True, False, False, False]),
        ([[1, 2], [3, 4]], [False, False]),
        ([NAN, 1.0], [True, False]),
        (np.array([["a", "b"]]), [False]),
        (np.array([[None, NAN], [None, 1]], dtype=object), [True, False]),
        (pd.DataFrame({"a": [NAN, 1.0], "b": [NAN, NAN]}), [True, False]),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), [False, True]),
        (np.full((3, 0), NAN), [False] * 3),
        (np.full((0, 4), NAN), []),
        (csr_array([[NAN], [1.0]]), [False, False]),
        (np.array([np.full((3, 2, 2), NAN), np.ones((3, 2, 2))]), [True, False]),
    ],
)
def test_failed_rows(X, expected):
    assert failed_rows(X).tolist() == expected


def test_failed_rows_of_a_structured_array():
    X = np.zeros(3, dtype=[("image", "f4", (3, 2, 2)), ("context", "f4", (2,))])
    X["image"][0] = NAN
    X["context"][2] = NAN
    X["context"][1, 0] = NAN
    assert failed_rows(X).tolist() == [True, False, True]


def test_failed_rows_of_a_view_is_not_fooled_by_the_first_value():
    X = np.ones((4, 3, 4, 4), "f4")
    X[1, 0, 0, 0] = NAN
    X[2] = NAN
    assert failed_rows(X[:, :, ::2, ::-1]).tolist() == [False, False, True, False]


@pytest.fixture
def table():
    y = np.where(np.arange(20) % 2, "HC", "ALS")
    return np.random.default_rng(0).normal(size=(20, 3)) + (y == "HC")[:, None], y


def test_fit_equals_a_fit_on_the_rest(table):
    X, y = table
    broken = X.copy()
    broken[[1, 6]] = NAN
    with pytest.warns(RecordingWarning) as caught:
        model = SkipFailedRows(LogisticRegression()).fit(broken, y.tolist())
    assert len(caught) == 1
    assert "2 of 20 rows" in str(caught[0].message)
    assert "[1, 6]" in str(caught[0].message)
    assert caught[0].filename == __file__
    kept = np.delete(np.arange(20), [1, 6])
    plain = LogisticRegression().fit(X[kept], y[kept])
    assert_allclose(model.predict_proba(X), plain.predict_proba(X))
    assert_array_equal(model.predict(X), plain.predict(X))
    assert_array_equal(model.classes_, ["ALS", "HC"])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_nan_in_nan_out(table, n_classes):
    X, _ = table
    y = np.arange(20) % n_classes
    model = SkipFailedRows(LogisticRegression()).fit(X, y)
    broken = X.copy()
    broken[[0, 19]] = NAN
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in ("predict_proba", "decision_function"):
            expected = getattr(model, method)(X)
            found = getattr(model, method)(broken)
            assert found.shape == expected.shape
            assert np.isnan(found[[0, 19]]).all()
            assert_allclose(found[1:-1], expected[1:-1])
            alone = getattr(model, method)(broken[:1])
            assert alone.shape == expected[:1].shape
            assert np.isnan(alone).all()
    with pytest.raises(ValueError, match=r"predict has no answer for rows \[0, 19\]"):
        model.predict(broken)


def test_methods_follow_the_estimator():
    ridge = SkipFailedRows(RidgeClassifier())
    assert not hasattr(ridge, "predict_proba")
    assert hasattr(ridge, "decision_function")


def test_tables_keep_their_names(table):
    X, y = table
    frame = pd.DataFrame(X, columns=["f0", "jitter", "shimmer"], index=list("abcdefghijklmnopqrst"))
    frame.iloc[3] = NAN
    with pytest.warns(RecordingWarning, match=r"\[3\]"):
        model = SkipFailedRows(LogisticRegression()).fit(frame, pd.Series(y, index=frame.index))
    assert list(model.feature_names_in_) == list(frame.columns)
    assert model.n_features_in_ == 3
    assert np.isnan(model.predict_proba(frame)).sum() == 2


def test_sparse_rows_go_through(table):
    X, y = table
    model = SkipFailedRows(LogisticRegression()).fit(csr_array(X), y)
    assert_array_equal(model.predict(csr_array(X)), LogisticRegression().fit(X, y).predict(X))


def test_errors(table):
    X, y = table
    with pytest.raises(ValueError, match="Every row is NaN"):
        SkipFailedRows(SVC()).fit(np.full_like(X, NAN), y)
    X[2] = NAN
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SkipFailedRows(SVC()).fit(X, y[:-1])
    with pytest.raises(ValueError, match="'estimator' parameter"):
        SkipFailedRows(StandardScaler()).fit(X, y)
    X[2, 0] = 0
    with pytest.raises(ValueError, match="contains NaN"):
        SkipFailedRows(SVC()).fit(X, y)


def test_inside_searches_and_pickles(table):
    X, y = table
    pipeline = make_pipeline(StandardScaler(), SkipFailedRows(SVC(random_state=0)))
    search = GridSearchCV(pipeline, {"skipfailedrows__estimator__C": [0.1, 10]}, cv=2)
    X[5] = NAN
    with pytest.warns(RecordingWarning):
        search.set_params(scoring=lambda model, X, y: 0.0).fit(X, y)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_array_equal(again.decision_function(X), search.best_estimator_.decision_function(X))
    assert clone(pipeline).get_params()["skipfailedrows__estimator__C"] == 1.0
