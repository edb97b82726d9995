"""What makes the training loop fast must change nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from sklearn_dysarthria import Backbone, HyperAlexNetClassifier, HyperHead
from sklearn_dysarthria.nn import build_backbone

SMALL = {
    "backbone": Backbone("alexnet", weights=None, width=0.125),
    "head": HyperHead(hidden_dim=8, n_contexts=3),
    "embedding_dim": 16,
    "batch_size": 4,
    "max_epochs": 2,
    "lr": 1e-3,
    "random_state": 0,
}


@pytest.fixture
def images(make_images):
    return make_images(8, size=64)


@pytest.fixture
def layouts(monkeypatch):
    """Of the inputs of convolutions."""
    seen = []
    original = torch.nn.Conv2d.forward

    def forward(self, maps):
        seen.append(maps.is_contiguous(memory_format=torch.channels_last))
        return original(self, maps)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    return seen


class LaidOutAsTorchDoes(Callback):
    def on_train_begin(self, net, **kwargs):
        net.module_.backbone.channels_last = False


@pytest.mark.parametrize("freeze", [None, 2])
def test_layout_changes_a_fit_by_rounding_only(images, layouts, freeze):
    X, y = images
    model = HyperAlexNetClassifier(**SMALL).set_params(backbone__freeze=freeze).fit(X, y)
    fast = model.predict_proba(X)
    assert all(layouts)
    layouts.clear()
    plain = HyperAlexNetClassifier(**SMALL, callbacks=[LaidOutAsTorchDoes()])
    expected = plain.set_params(backbone__freeze=freeze).fit(X, y).predict_proba(X)
    assert not any(layouts)
    assert_allclose(fast, expected, atol=1e-5)
    assert_allclose(model.history_["train_loss"], plain.history_["train_loss"], atol=1e-5)
    ours, theirs = model.net_.module_.state_dict(), plain.net_.module_.state_dict()
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        assert_allclose(tensor, theirs[name], atol=1e-5, err_msg=name)
        assert tensor.is_contiguous(), name
        assert tensor.stride() == theirs[name].stride(), name


def test_pickles_and_checkpoints_predict_alike(images, tmp_path):
    X, y = images
    model = HyperAlexNetClassifier(**SMALL).fit(X, y)
    expected = model.predict_proba(X)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), expected)
    torch.save(model.net_.module_.state_dict(), tmp_path / "weights.pt")
    other = HyperAlexNetClassifier(**SMALL).set_params(max_epochs=1).fit(X, y)
    other.net_.module_.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert_array_equal(other.predict_proba(X), expected)


@pytest.mark.parametrize(("name", "expected"), [("alexnet", True), ("convnext_femto", False)])
def test_which_backbones_are_laid_out(name, expected, layouts):
    backbone = build_backbone(name, width=0.25).eval()
    with torch.no_grad():
        backbone(torch.zeros(2, 3, 64, 64))
    assert layouts[0] == expected


class Spoil(Callback):
    """Write a number into the weights of the head once the training is over."""

    def __init__(self, value, place):
        self.value = value
        self.place = place

    def on_train_end(self, net, **kwargs):
        weight = list(net.module_.parameters())[-1]
        weight.data.view(-1)[self.place] = self.value


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_a_single_weight_that_is_not_finite_is_a_divergence(images, value, place):
    model = HyperAlexNetClassifier(**SMALL | {"max_epochs": 1}, callbacks=[Spoil(value, place)])
    with pytest.raises(ValueError, match="diverged"):
        model.fit(*images)
    model.set_params(callbacks=[Spoil(0.0, place)]).fit(*images)
