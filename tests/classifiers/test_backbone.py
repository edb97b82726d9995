"""BackboneClassifier, and other backbones and sizes under the published systems."""

from __future__ import annotations

import inspect
import pickle

import pytest
from numpy.testing import assert_array_equal

from sklearn_dysarthria import (
    Backbone,
    BackboneClassifier,
    ConvNeXtSeverityClassifier,
    HyperAlexNetClassifier,
    HyperHead,
    HyperLinearClassifier,
    TaskFusionClassifier,
)

TINY = {"max_epochs": 1, "batch_size": 4, "random_state": 0}
HEAD = {"embedding_dim": 8, "head": HyperHead(hidden_dim=6, context_dim=4)}


def random(name="convnext_femto", **changes):
    """A backbone with random weights."""
    return Backbone(name, weights=None, **changes)


def test_the_default_is_the_challenges_baseline():
    assert BackboneClassifier().backbone == "vit_b_16"


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5"])
def test_any_of_torchvisions_networks(make_images, name):
    X, y = make_images(8)
    model = BackboneClassifier(random(name), **TINY).fit(X, y)
    assert model.net_.module_.backbone.name == name
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_a_vision_transformer_gets_the_size_of_the_images(make_images):
    pytest.importorskip("timm")
    X, y = make_images(6, size=48)
    model = BackboneClassifier(random("timm/vit_tiny_patch16_224"), **TINY)
    for images, n_patches in ((X, 9), (X[:, :, :32], 6)):
        assert model.fit(images, y).predict_proba(images).shape == (6, 2)
        shapes = {tensor.shape for tensor in model.net_.module_.parameters()}
        assert (1, 1 + n_patches, 192) in shapes  # one embedding per patch, and the class token's


def test_size_and_dropout_reach_the_network(make_images):
    X, y = make_images(8)
    whole = BackboneClassifier(random(), **TINY).fit(X, y)
    backbone = random(depth=3, width=0.5)
    small = BackboneClassifier(backbone, dropout=0.3, **TINY).fit(X, y)
    assert small.n_parameters_ < 0.2 * whole.n_parameters_
    assert len(small.net_.module_.backbone.stages) == 3
    assert small.net_.module_.dropout.p == 0.3
    assert whole.n_head_parameters_ == 192 * 2 + 2


def test_the_published_systems_take_other_sizes(make_images):
    X, y = make_images(8)
    backbone = random(depth=2, width=0.5)
    model = HyperAlexNetClassifier(backbone=backbone, **HEAD, **TINY)
    hyper = model.set_params(head__n_hidden_layers=3).fit(X, y)
    module = hyper.net_.module_
    assert module.backbone.name == "convnext_femto"
    assert len(module.backbone.stages) == 2
    assert module.head.n_hidden_layers == 3
    convnext = ConvNeXtSeverityClassifier(backbone=backbone, **TINY).fit(X, y)
    assert len(convnext.net_.module_.backbone.stages) == 2
    assert convnext.n_parameters_ < hyper.n_parameters_


@pytest.mark.parametrize("estimator", [BackboneClassifier, HyperAlexNetClassifier])
def test_names_are_checked_before_anything_else(make_images, estimator):
    X, y = make_images(4)
    with pytest.raises(ValueError, match="Unknown backbone 'resnet81'; did you mean 'resnet18'"):
        estimator(backbone="resnet81", **TINY).fit(X, y)
    with pytest.raises(ValueError, match="The 'backbone' parameter"):
        estimator(backbone=None, **TINY).fit(X, y)


def test_context_size_changes_the_head_alone(make_images):
    X, y = make_images(4)
    sizes = {}
    for context_dim in (2, 8):
        model = HyperAlexNetClassifier(backbone=random(), **HEAD, **TINY)
        model.set_params(head__context_dim=context_dim).fit(X, y)
        sizes[context_dim] = model.n_parameters_, model.n_head_parameters_
    assert sizes[8][0] - sizes[2][0] == sizes[8][1] - sizes[2][1] == 6 * 6


CLASSIFIERS = [
    BackboneClassifier,
    ConvNeXtSeverityClassifier,
    HyperAlexNetClassifier,
    HyperLinearClassifier,
    TaskFusionClassifier,
]


@pytest.mark.parametrize("estimator", CLASSIFIERS)
def test_docstrings_leave_nothing_out_and_invent_nothing(estimator):
    text = inspect.getdoc(estimator)
    section = text.split("Parameters\n---")[1].split("Attributes\n---")[0]
    documented = [line.split(" : ")[0] for line in section.splitlines() if " : " in line[:40]]
    documented = [name for name in documented if not name.startswith(" ")]
    assert documented == list(inspect.signature(estimator).parameters)
    # What a class says of its own in place of the shared paragraph is about a real parameter.
    source = inspect.getsource(estimator).split("Parameters\n    ---")[1].split("Attributes\n")[0]
    own = [line.strip().split(" : ")[0] for line in source.splitlines() if line[4:5].isalpha()]
    assert set(own) <= set(documented)
    assert set(estimator._parameter_constraints) >= set(documented)


def test_the_severity_classifier_is_a_convnext(make_images):
    X, y = make_images(4)
    with pytest.raises(ValueError, match="backbone='resnet18' must be one of convnext_femto, "):
        ConvNeXtSeverityClassifier(backbone="resnet18", **TINY).fit(X, y)
