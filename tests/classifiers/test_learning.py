"""Each classifier learns what is easy to learn; AlexNet itself takes part here."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import make_blobs

from sklearn_dysarthria import Backbone, HyperAlexNetClassifier, HyperHead, HyperLinearClassifier


@pytest.fixture(scope="module")
def alexnet(make_images):
    X, y = make_images(16, size=64, labels=["ALS", "HC"])
    model = HyperAlexNetClassifier(
        backbone=Backbone("alexnet", weights=None), lr=3e-4, max_epochs=5, random_state=0
    )
    return model.fit(X, y), X, y


def test_alexnet_learns(alexnet, make_images):
    model, X, y = alexnet
    assert model.score(X, y) >= 0.9
    other, other_y = make_images(8, size=64, labels=["ALS", "HC"], seed=1)
    assert model.score(other, other_y) >= 0.85


def test_alexnets_sizes(alexnet):
    model, _, _ = alexnet
    module = model.net_.module_
    assert module.backbone.name == "alexnet"
    assert module.embedding.weight.shape == (768, 4096)
    assert module.head.generated.weight.shape == (768 * 2 + 2, 512)
    assert module.head.contexts.shape == (32, 128)


def test_alexnets_pickle_is_as_large_as_its_weights(alexnet):
    model, X, _ = alexnet
    n_bytes = sum(t.nbytes for t in model.net_.module_.state_dict().values())
    pickled = pickle.dumps(model)
    assert len(pickled) < 1.01 * n_bytes
    assert_array_equal(pickle.loads(pickled).predict(X[:4]), model.predict(X[:4]))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_every_classifier_of_images_learns(case, make_images, n_classes):
    X, y = make_images(32, n_classes=n_classes)
    model = case.model(max_epochs=10, lr=3e-3, augment__spec=0.3).fit(case.wrap(X), y)
    other, other_y = make_images(16, n_classes=n_classes, seed=1)
    assert model.score(case.wrap(other), other_y) > 0.85
    assert model.history_["train_loss"].iloc[-1] < 0.5 * model.history_["train_loss"].iloc[0]


def test_data_context_is_used(make_images):
    """Images say nothing here; only the vectors beside them do."""
    rng = np.random.default_rng(0)
    images, y = make_images(32)
    images = np.broadcast_to(images[:1], images.shape)
    X = np.zeros(32, dtype=[("image", "f4", images.shape[1:]), ("context", "f4", (2,))])
    X["image"] = images
    X["context"] = rng.normal(size=(32, 2)) + 6 * y[:, None] - 3
    model = HyperAlexNetClassifier(
        backbone=Backbone("convnext_femto", weights=None, freeze="all"),
        head=HyperHead(context="data"),
        lr=1e-3,
        batch_size=8,
        max_epochs=15,
        random_state=0,
    )
    assert model.fit(X, y).score(X, y) > 0.9


def test_linear_classifier_learns_features():
    X, y = make_blobs(90, centers=3, n_features=5, random_state=0)
    model = HyperLinearClassifier(max_epochs=30, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95


def test_nan_inside_a_row_of_features_is_an_error():
    X, y = make_blobs(20, centers=2, random_state=0)
    X[3, 0] = np.nan
    with pytest.raises(ValueError, match=r"contains NaN inside rows \[3\]"):
        HyperLinearClassifier().fit(X, y)
