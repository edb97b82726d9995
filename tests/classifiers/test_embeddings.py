from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_dysarthria import Backbone, BackboneEmbeddings
from sklearn_dysarthria.exceptions import WeightsError


def femto(**changes):
    """Embeddings of a small backbone; changes such as ``backbone__depth`` reach into it."""
    backbone = Backbone("convnext_femto", weights=None)
    return BackboneEmbeddings(backbone, random_state=0).set_params(**changes)


@pytest.mark.parametrize(
    ("name", "embed"),
    [
        (
            "alexnet",
            lambda net, x: net.classifier[:6](torch.flatten(net.avgpool(net.features(x)), 1)),
        ),
        ("convnext_tiny", lambda net, x: net.classifier[:2](net.avgpool(net.features(x)))),
    ],
)
def test_equals_torchvision_with_the_same_weights(make_images, tmp_path, name, embed):
    X, _ = make_images(3, size=64)
    torch.manual_seed(3)
    network = getattr(torchvision.models, name)().eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    found = BackboneEmbeddings(Backbone(name, weights=tmp_path / "weights.pth")).fit_transform(X)
    with torch.no_grad():
        expected = embed(network, torch.from_numpy(X)).numpy()
    assert found.dtype == np.float32
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    state = network.state_dict()
    del state["features.0.0.weight" if name == "convnext_tiny" else "features.0.weight"]
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="nothing was loaded: 1 missing"):
        BackboneEmbeddings(Backbone(name, weights=str(tmp_path / "weights.pth"))).fit(X)


def test_failed_rows_stay_in_place(make_images):
    X, _ = make_images(6)
    model = femto(batch_size=4).fit(X)
    whole = model.transform(X)
    broken = X.copy()
    broken[[0, 4]] = np.nan
    found = model.transform(broken)
    assert found.shape == (6, 192)
    assert_array_equal(np.flatnonzero(np.isnan(found).all(axis=1)), [0, 4])
    assert_allclose(found[[1, 2, 3, 5]], whole[[1, 2, 3, 5]], atol=1e-5)
    assert np.isnan(model.transform(broken[:1])).all()
    X[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"NaN or infinity inside rows \[1\]"):
        model.transform(X)


def test_batches_do_not_matter(make_images):
    X, _ = make_images(7)
    expected = femto(batch_size=7).fit_transform(X)
    for batch_size in (1, 3, 100):
        assert_allclose(femto(batch_size=batch_size).fit_transform(X), expected, atol=1e-5)


def test_names_and_pandas(make_images):
    X, _ = make_images(3)
    model = femto().fit(X)
    names = model.get_feature_names_out()
    assert len(names) == 192
    assert names[0] == "backboneembeddings0"
    frame = clone(model).set_output(transform="pandas").fit_transform(X)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(names)
    assert_array_equal(frame.to_numpy(), model.transform(X))


def test_random_state(make_images):
    X, _ = make_images(2)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = femto().fit_transform(X)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert_array_equal(femto().fit_transform(X), first)
    assert np.abs(femto(random_state=1).fit_transform(X) - first).max() > 0


def test_transforming_changes_nothing_and_copies_agree(make_images):
    X, _ = make_images(3)
    model = femto().fit(X)
    first = model.transform(X)
    names = set(vars(model))
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_array_equal(other.transform(X), first)
    assert set(vars(model)) == names
    assert not any(p.requires_grad for p in model.backbone_.parameters())


def test_errors(make_images):
    X, _ = make_images(3)
    with pytest.raises(NotFittedError):
        femto().transform(X)
    with pytest.raises(ValueError, match="shape"):
        femto().fit(X[0])
    with pytest.raises(ValueError, match=r"\(3, 40, 40\).*fitted on \(3, 32, 32\)"):
        femto().fit(X).transform(np.zeros((2, 3, 40, 40), "f4"))
    with pytest.raises(ValueError, match="Unknown backbone 'resnet81'; did you mean 'resnet18'"):
        BackboneEmbeddings("resnet81").fit(X)
    with pytest.raises(ValueError, match="backbone=3 must be a Backbone such as"):
        BackboneEmbeddings(3).fit(X)
    with pytest.raises(ValueError, match="backbone: The 'depth' parameter of Backbone"):
        femto(backbone__depth=0).fit(X)
    with pytest.raises(ValueError, match="backbone: The 'width' parameter of Backbone"):
        femto(backbone__width=0).fit(X)
    with pytest.raises(ValueError, match="give weights=None or width=1"):
        femto(backbone__width=0.5, backbone__weights="DEFAULT").fit(X)
    with pytest.raises(ValueError, match="vit_b_16 takes square images"):
        BackboneEmbeddings(Backbone("vit_b_16", weights=None)).fit(X[..., :24])
    with pytest.raises(ValueError, match="'weights' parameter"):
        femto(backbone__weights=3).fit(X)
    with pytest.raises(ValueError, match="at least 63 × 63"):
        BackboneEmbeddings(Backbone("alexnet", weights=None)).fit(X).transform(X)


def test_verbose(make_images, capsys):
    X, _ = make_images(3)
    femto().fit_transform(X)
    assert capsys.readouterr() == ("", "")
    femto(verbose=1).fit_transform(X)
    assert "convnext_femto" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "parameters", "n_features"),
    [
        ("squeezenet1_1", {}, 512),
        ("convnext_femto", {"depth": 3}, 48),
        ("convnext_femto", {"depth": 4, "width": 0.25}, 24),
        ("convnext_tiny", {"width": 0.1}, 80),
    ],
)
def test_backbones(make_images, name, parameters, n_features):
    X, _ = make_images(2)
    model = BackboneEmbeddings(Backbone(name, weights=None, **parameters), random_state=0)
    found = clone(model).fit_transform(X)
    assert found.shape == (2, n_features)
    assert len(model.fit(X).get_feature_names_out()) == n_features
    assert_array_equal(model.transform(X), found)


def test_timm(make_images, tmp_path):
    timm = pytest.importorskip("timm")
    X, _ = make_images(2)
    network = timm.create_model("test_vit", img_size=32).eval()
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    backbone = Backbone("timm/test_vit", weights=tmp_path / "vit.pth")
    found = BackboneEmbeddings(backbone).fit_transform(X)
    with torch.no_grad():
        inner = network.forward_features(torch.from_numpy(X))
        expected = network.forward_head(inner, pre_logits=True).numpy()
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
