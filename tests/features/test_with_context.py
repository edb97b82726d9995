"""Images and feature vectors side by side."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing

from sklearn_dysarthria import EGeMAPSFeatures, ImagesWithContext, LogMelDeltaImages
from sklearn_dysarthria.exceptions import MissingColumnError, RecordingWarning


def small(**parameters):
    return LogMelDeltaImages(
        sample_rate=8000, n_fft=256, hop_length=128, n_mels=16, image_size=8, **parameters
    )


class Loudness(TransformerMixin, BaseEstimator):
    """Two numbers a recording, quickly; counts its calls."""

    calls = 0

    def fit(self, X, y=None):
        self.seen_ = len(X)
        return self

    def transform(self, X):
        type(self).calls += 1
        return np.array([[cell.std(), np.abs(cell).max()] for cell in X["audio"]])

    def get_feature_names_out(self, input_features=None):
        return np.array(["rms", "peak"], dtype=object)


class Majority(ClassifierMixin, BaseEstimator):
    """Takes structured arrays; remembers what it was given."""

    def fit(self, X, y):
        self.given_, self.classes_ = X, np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.fixture(name="X")
def table():
    rng = np.random.default_rng(0)
    audio = [scale * rng.uniform(-1, 1, size=4000) for scale in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)]
    return pd.DataFrame({"audio": pd.Series(audio, dtype=object), "sample_rate": 8000})


def both(**parameters):
    return ImagesWithContext(small(**parameters), make_pipeline(Loudness(), StandardScaler()))


def test_fields_are_what_the_parts_give(X):
    model = both().fit(X)
    out = model.transform(X)
    assert out.dtype["image"].shape == (3, 8, 8)
    assert out.dtype["context"].shape == (2,)
    assert out["image"].dtype == out["context"].dtype == np.float32
    assert out.shape == (6,)
    assert np.array_equal(out["image"], small().transform(X))
    scaled = StandardScaler().fit_transform(Loudness().transform(X))
    np.testing.assert_allclose(out["context"], scaled, rtol=1e-6)
    again = both().fit_transform(X)
    assert again.dtype == out.dtype
    assert np.array_equal(again, out)


def test_fit_transform_computes_the_context_once(X):
    Loudness.calls = 0
    both().fit_transform(X)
    assert Loudness.calls == 1


def test_rows_can_be_indexed_as_scikit_learn_does(X):
    out = both().fit_transform(X)
    for chosen in ([4, 0], np.array([4, 0]), np.array([1, 0, 0, 0, 1, 0], bool), slice(1, 3)):
        part = _safe_indexing(out, chosen)
        assert part.dtype == out.dtype
        rows = np.arange(6)[chosen]
        assert np.array_equal(part["image"], out["image"][rows])
        assert np.array_equal(part["context"], out["context"][rows])
    assert len(np.concatenate([out, part])) == 8


def test_scaler_sees_training_recordings_only(X):
    y = [0, 1] * 3
    scores = cross_validate(
        make_pipeline(both(), Majority()), X, y, cv=3, return_estimator=True, return_indices=True
    )
    for model, train in zip(scores["estimator"], scores["indices"]["train"], strict=True):
        scaler = model[0].context_[-1]
        np.testing.assert_allclose(scaler.mean_, Loudness().transform(X.iloc[train]).mean(axis=0))
        np.testing.assert_allclose(model[1].given_["context"].mean(axis=0), 0, atol=1e-6)
        assert model[0].context_[0].seen_ == len(train)


def test_nan_rows(X):
    X.at[3, "audio"] = np.zeros(4000)
    model = ImagesWithContext(
        small(on_error="nan"), make_pipeline(EGeMAPSFeatures(on_error="nan"), StandardScaler())
    )
    with pytest.warns(RecordingWarning, match="row 3") as caught:
        out = model.fit_transform(X)
    assert len(caught) == 2  # one for each part
    for name in ("image", "context"):
        missing = np.isnan(out[name]).reshape(6, -1)
        assert missing.all(axis=1).tolist() == [False, False, False, True, False, False]
        assert not missing[[0, 1, 2, 4, 5]].any()


def test_parameters_reach_the_parts(X):
    model = both().fit(X)
    model.set_params(context__standardscaler__with_mean=False, images__normalize=None)
    assert model.get_params()["context__standardscaler__with_mean"] is False
    copy = clone(model)
    assert not hasattr(copy, "images_")
    assert copy.images is not model.images
    assert copy.images.normalize is None
    before = model.context_[-1].with_mean
    assert before  # what is fitted does not change with the parameters
    out = copy.fit_transform(X)
    assert (out["context"] > 0).all()
    assert np.array_equal(out["image"], small(normalize=None).transform(X))


def test_parts_given_are_not_fitted(X):
    model = both().fit(X)
    assert not hasattr(model.context[-1], "mean_")
    assert model.context_ is not model.context


def test_pipeline_set_output(X):
    model = make_pipeline(both(), Majority()).set_output(transform="pandas")
    model.fit(X, [0, 1] * 3)
    assert model[0].transform(X).dtype.names == ("image", "context")
    part = ImagesWithContext(small(), Loudness().set_output(transform="pandas")).fit(X)
    assert part.transform(X)["context"].shape == (6, 2)


@pytest.mark.parametrize("routing", [False, True])
def test_metadata_routing(X, routing):
    with config_context(enable_metadata_routing=routing):
        make_pipeline(both(), Majority()).fit(X, [0, 1] * 3).predict(X)


def test_misuse(X):
    with pytest.raises(NotFittedError):
        both().transform(X)
    with pytest.raises(MissingColumnError):
        both().fit(X.drop(columns="audio"))
    for absurd in (None, "images", 3):
        for model in (ImagesWithContext(absurd, Loudness()), ImagesWithContext(small(), absurd)):
            for method in (model.fit, model.fit_transform):
                with pytest.raises(ValueError, match=r"images|context"):
                    method(X)
    with pytest.raises(ValueError, match="context"):
        ImagesWithContext(small(), small()).fit(X).transform(X)


def test_pickle_repr_and_table(X):
    model = both().fit(X)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.transform(X), model.transform(X))
    assert "LogMelDeltaImages" in model._repr_html_()
    assert "ImagesWithContext" in repr(model)
    assert list(X.columns) == ["audio", "sample_rate"]
