"""Frozen stages that a callback changes in the middle of a training, and what few images cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_dysarthria import BackboneEmbeddings
from sklearn_dysarthria.classifiers import _frozen
from sklearn_dysarthria.classifiers._frozen import FrozenPart, FrozenState
from sklearn_dysarthria.classifiers._images import ImageClassifier
from sklearn_dysarthria.nn import Backbone, build_backbone
from sklearn_dysarthria.recordings import open_store

FREEZES = {"spec_augment": 0.0, "freeze": "all", "max_epochs": 3, "lr": 0.01}


class ChangesFrozenStages(Callback):
    """Freeze another number of stages at some batch, right after it has been fetched."""

    def __init__(self, freeze, at=3):
        self.freeze = freeze
        self.at = at

    def on_train_begin(self, net, **kwargs):
        self.batches_ = 0

    def on_batch_begin(self, net, training=False, **kwargs):
        self.batches_ += training
        if training and self.batches_ == self.at:
            net.module_.backbone.freeze(self.freeze)


class ChangesWeights(ChangesFrozenStages):
    """Scale frozen weights instead."""

    def on_batch_begin(self, net, training=False, **kwargs):
        self.batches_ += training
        if training and self.batches_ == self.at:
            with torch.no_grad():
                for weight in net.module_.backbone.stages[-1].parameters():
                    weight.mul_(0.7)


def train(case, callback, make_images, **options):
    X, y = make_images(n=20)
    y = np.random.default_rng(0).permutation(y)  # so that probabilities do not reach 0 and 1
    model = case.model(**FREEZES | options, callbacks=[callback])
    return model.fit(X, y, groups=np.arange(20)), X


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    ("before", "callback"),
    [
        ("all", ChangesFrozenStages(3)),
        ("all", ChangesFrozenStages(None, at=1)),
        (2, ChangesFrozenStages("all")),
        (3, ChangesFrozenStages(1)),
        ("all", ChangesWeights(None)),
    ],
    ids=["fewer", "none", "more", "fewer-of-some", "weights"],
)
def test_changes_at_a_batch_count_from_that_batch_on(
    convnext, before, callback, early_stopping, make_images, monkeypatch
):
    options = {"freeze": before, "early_stopping": early_stopping}
    fast, X = train(convnext, callback, make_images, **options)
    monkeypatch.setattr(ImageClassifier, "_skips_frozen", False)
    slow, _ = train(convnext, callback, make_images, **options)
    one_later = type(callback)(callback.freeze, callback.at + 1)
    later, _ = train(convnext, one_later, make_images, **options)
    losses = slow.history_["train_loss"]
    np.testing.assert_allclose(fast.history_["train_loss"], losses, atol=1e-4)
    np.testing.assert_allclose(fast.predict_proba(X), slow.predict_proba(X), atol=1e-4)
    assert np.abs(later.history_["train_loss"] - losses).max() > 1e-3


def test_weights_that_start_to_learn_at_a_batch_learn_from_it(convnext, make_images, monkeypatch):
    class UnfreezesAtABatch(ChangesFrozenStages):
        def on_batch_begin(self, net, training=False, **kwargs):
            self.batches_ += training
            if training and self.batches_ == self.at:
                net.module_.backbone.stages[-1].requires_grad_(True)

    fast, X = train(convnext, UnfreezesAtABatch(None), make_images)
    monkeypatch.setattr(ImageClassifier, "_skips_frozen", False)
    slow, _ = train(convnext, UnfreezesAtABatch(None), make_images)
    late, _ = train(convnext, UnfreezesAtABatch(None, at=4), make_images)
    np.testing.assert_allclose(fast.predict_proba(X), slow.predict_proba(X), atol=1e-4)
    assert np.abs(late.predict_proba(X) - slow.predict_proba(X)).max() > 1e-3


def test_freezing_more_or_less_is_a_change():
    backbone = build_backbone("convnext_femto").freeze(2)
    state = FrozenState(backbone)
    assert state.still_holds()
    backbone.freeze("all")  # the first two stages themselves are as they were
    assert not state.still_holds()


def test_keys_follow_what_is_frozen(make_images, tmp_path):
    images = make_images(n=4)[0]
    backbone = build_backbone("convnext_femto").eval()
    store = open_store(tmp_path)
    shapes = []
    for number in (2, 3, 5):
        part = FrozenPart(backbone.freeze(number), "cpu", store=store)
        shapes.append(part(images, np.arange(4)).shape)
        expected = backbone.apply_frozen(torch.from_numpy(images))
        np.testing.assert_allclose(part(images, np.arange(4)), expected, atol=1e-5)
    assert len(set(shapes)) == 3


@pytest.fixture
def sizes(monkeypatch):
    """Batches that convolutions are given."""
    seen = []
    original = Backbone._checked_images

    def checked(self, images):
        seen.append(len(images))
        return original(self, images)

    monkeypatch.setattr(Backbone, "_checked_images", checked)
    return seen


def test_a_new_image_costs_one_image(convnext, make_images, sizes, tmp_path):
    X, y = make_images(n=20)
    model = convnext.model(**FREEZES, cache=tmp_path).fit(X, y)
    assert sizes == [16, 4]
    sizes.clear()
    new = X[:3] + 1
    answers = model.predict_proba(np.concatenate([X[:5], new[:1]]))
    assert sizes == [1]
    model.predict_proba(new)
    assert sizes == [1, 2]
    model.cache = None
    np.testing.assert_allclose(model.predict_proba(new[:1]), answers[5:], atol=1e-5)


def test_embeddings_of_few_images_cost_few(make_images, sizes, tmp_path):
    X = make_images(n=20)[0]
    embeddings = BackboneEmbeddings("convnext_femto", weights=None, cache=tmp_path, batch_size=8)
    whole = embeddings.fit_transform(X)
    assert sizes == [8, 8, 4]
    embeddings.transform(X[:1] + 0.5)
    assert sizes[3:] == [1]
    embeddings.cache = None
    alone = np.concatenate([embeddings.transform(X[[row]]) for row in range(20)])
    np.testing.assert_allclose(alone, whole, atol=1e-6 * np.abs(whole).max(), rtol=1e-5)


@pytest.mark.parametrize("freeze", [3, 5, 6, "all"])
def test_blocks_of_images_make_the_same(freeze, monkeypatch):
    """Convolutions take few images at once, the layers behind them many."""
    images = np.random.default_rng(0).normal(size=(11, 3, 63, 63)).astype(np.float32)
    backbone = build_backbone("alexnet", width=0.125).eval().freeze(freeze)
    whole = backbone.apply_frozen(torch.from_numpy(images)).numpy()
    monkeypatch.setattr(_frozen, "BLOCK", 7)
    output = FrozenPart(backbone, "cpu", batch_size=3)(images, np.arange(11))
    np.testing.assert_allclose(output, whole, atol=1e-6, rtol=1e-5)
