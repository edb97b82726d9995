from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import StochasticDepth

from sklearn_dysarthria.nn import (
    BACKBONES,
    build_backbone,
    check_backbone_name,
    list_backbones,
    load_backbone_weights,
)

SIZES = {
    "alexnet": (7, 4096),
    "convnext_femto": (5, 192),
    "convnext_tiny": (5, 768),
    "convnext_small": (5, 768),
    "convnext_base": (5, 1024),
    "convnext_large": (5, 1536),
}
LAST_LAYER = {"alexnet": "classifier.6", "convnex": "classifier.2"}


@pytest.fixture
def femto():
    return build_backbone("convnext_femto", stochastic_depth_prob=0.5)


def before_last_layer(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What torchvision's own forward feeds into the last linear layer."""
    caught = []
    hook = model.classifier[-1].register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    model(images)
    hook.remove()
    return caught[0]


@pytest.mark.parametrize("name", BACKBONES)
def test_registry(name):
    with torch.device("meta"):  # shapes without memory
        backbone = build_backbone(name)
    assert (len(backbone.stages), backbone.out_features) == SIZES[name]
    if name != "convnext_femto":
        with torch.device("meta"):
            model = torchvision.models.get_model(name)
        shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
        last_layer = {key for key in shapes if key.rpartition(".")[0] == LAST_LAYER[name[:7]]}
        assert backbone.optional == last_layer
        shapes = {key: shape for key, shape in shapes.items() if key not in last_layer}
        found = backbone.torchvision_state_dict()
        assert {key: tensor.shape for key, tensor in found.items()} == shapes
        assert len(backbone.state_dict()) == len(shapes)


@pytest.mark.parametrize(
    ("name", "shape"), [("alexnet", (2, 3, 64, 80)), ("convnext_tiny", (2, 3, 32, 70))]
)
def test_forward_is_torchvisions_up_to_the_last_layer(name, shape, request):
    short = name.removeprefix("convnext_")
    model = request.getfixturevalue(f"torchvision_{short}")
    path = request.getfixturevalue(f"{short}_file")
    backbone = build_backbone(name)
    initial = {key: tensor.clone() for key, tensor in backbone.torchvision_state_dict().items()}
    load_backbone_weights(backbone, path)
    for key, tensor in backbone.torchvision_state_dict().items():
        assert (tensor != initial[key]).any(), key
        assert torch.equal(tensor, model.state_dict()[key])
    images = torch.randn(shape)
    with torch.no_grad():
        found = backbone.eval()(images)
        torch.testing.assert_close(found, before_last_layer(model, images))
    assert found.shape == (2, backbone.out_features)
    assert found.std() > 0


def test_alexnet_keeps_its_dropout():
    with torch.device("meta"):
        backbone = build_backbone("alexnet")
    kinds = [[type(part).__name__ for part in stage] for stage in backbone.stages]
    assert kinds[:5] == [
        ["Conv2d", "ReLU", "MaxPool2d"],
        ["Conv2d", "ReLU", "MaxPool2d"],
        ["Conv2d", "ReLU"],
        ["Conv2d", "ReLU"],
        ["Conv2d", "ReLU", "MaxPool2d"],
    ]
    assert kinds[5:] == [
        ["AdaptiveAvgPool2d", "Dropout", "Linear", "ReLU"],
        ["Dropout", "Linear", "ReLU"],
    ]
    assert [part.p for part in backbone.modules() if isinstance(part, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("name", "minimum"), [("alexnet", 63), ("convnext_femto", 32)])
def test_smallest_images(name, minimum):
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, minimum, minimum + 7)).shape == (1, SIZES[name][1])
    for shape in [(1, 3, minimum - 1, 224), (1, 3, 224, minimum - 1)]:
        with pytest.raises(ValueError, match=f"at least {minimum} × {minimum} pixels, got"):
            backbone(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (3, 64, 64)])
def test_wrong_shape(femto, shape):
    with pytest.raises(ValueError, match=r"shape \(n_samples, 3, height, width\)"):
        femto(torch.zeros(shape))


def test_stochastic_depth_rises_to_the_given_probability(femto):
    depths = [part.p for part in femto.modules() if isinstance(part, StochasticDepth)]
    assert depths == pytest.approx(list(np.linspace(0, 0.5, len(depths))))
    with torch.device("meta"):
        published = build_backbone("convnext_base")
    assert max(p.p for p in published.modules() if isinstance(p, StochasticDepth)) == 0.5


@pytest.mark.parametrize("stages", [0, None, 1, np.int64(3), 5, "all"])
def test_freeze_stops_gradients_and_noise(femto, stages):
    count = {None: 0, "all": 5}.get(stages, stages)
    assert femto.freeze(stages) is femto
    femto.eval().train()
    for number, stage in enumerate(femto.stages):
        frozen = number < count
        assert all(p.requires_grad != frozen for p in stage.parameters())
        assert all(module.training != frozen for module in stage.modules())
    if count < 5:
        femto(torch.randn(2, 3, 32, 32)).sum().backward()
        learned = [any(p.grad is not None for p in stage.parameters()) for stage in femto.stages]
        assert learned == [number >= count for number in range(5)]


def test_frozen_backbone_repeats_itself_in_training_mode(femto):
    images = torch.randn(4, 3, 32, 32)
    femto.train()
    assert not torch.equal(femto(images), femto(images))
    femto.freeze("all")
    assert torch.equal(femto(images), femto(images))
    assert not femto(images).requires_grad
    clone = copy.deepcopy(femto).train()
    assert torch.equal(clone(images), femto(images))


def test_frozen_alexnet_has_no_dropout():
    backbone = build_backbone("alexnet").freeze("all").train()
    images = torch.randn(2, 3, 63, 63)
    assert torch.equal(backbone(images), backbone(images))


def test_gradients_reach_the_image_through_frozen_stages(femto):
    images = torch.randn(1, 3, 32, 32, requires_grad=True)
    femto.freeze("all")(images)[0, 0].backward()
    assert images.grad.abs().sum() > 0


def test_freezing_less_lets_stages_learn_again(femto):
    femto.train().freeze("all").freeze(2)
    assert [stage.training for stage in femto.stages] == [False, False, True, True, True]
    assert [next(s.parameters()).requires_grad for s in femto.stages] == [False] * 2 + [True] * 3


@pytest.mark.parametrize("stages", [6, -1, 1.5, "some", True])
def test_freeze_says_how_many_stages_there_are(femto, stages):
    with pytest.raises(ValueError, match="convnext_femto has 5 stages"):
        femto.freeze(stages)
    assert femto.n_frozen == 0


@pytest.mark.parametrize(
    ("name", "probability", "message"),
    [
        ("resnet81", None, "Unknown backbone 'resnet81'; did you mean 'resnet18', "),
        ("qqqqqqqqqq", None, r"Unknown backbone 'qqqqqqqqqq'; .*list_backbones\(\) lists"),
        ("convnext_huge", None, "Unknown backbone 'convnext_huge'; did you mean 'convnext_"),
        (3, None, "given by its name, a str, got 3"),
        ("raft_small", None, "raft_small is torchvision's network for optical_flow, not a class"),
        ("alexnet", 0.1, "no stochastic depth"),
        ("convnext_femto", 1.0, r"must be in \[0, 1\)"),
        ("convnext_femto", -0.1, r"must be in \[0, 1\)"),
    ],
)
def test_wrong_parameters(name, probability, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(name, stochastic_depth_prob=probability)


def test_every_network_of_torchvisions_is_supported_or_refused_for_a_reason():
    supported = list_backbones()
    assert len(set(supported)) == len(supported)
    for name in torchvision.models.list_models(module=torchvision.models):
        assert name in supported
    for name in supported:
        check_backbone_name(name)
    for name in set(torchvision.models.list_models()) - set(supported):
        with pytest.raises(ValueError, match=f"{name} is torchvision's network for [a-z_]+, not"):
            check_backbone_name(name)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_size": 62}, "alexnet needs images of at least 63 × 63 pixels, got 62 × 62"),
        ({"image_size": (64, 40)}, "at least 63 × 63 pixels, got 64 × 40"),
        ({"image_size": (64, 64, 3)}, "image_size must be a number of pixels or a pair"),
        ({"image_size": 0}, "image_size must be a number of pixels or a pair"),
        ({"image_size": "224"}, "image_size must be a number of pixels or a pair"),
        ({"image_size": 64.0}, "image_size must be a number of pixels or a pair"),
    ],
)
def test_image_size(parameters, message):
    with torch.device("meta"):
        build_backbone("alexnet", image_size=np.int64(63))
        with pytest.raises(ValueError, match=message):
            build_backbone("alexnet", **parameters)


def test_stages_have_names(femto):
    assert femto.stage_names == ("stem", "blocks1", "blocks2", "blocks3", "blocks4")
    with pytest.raises(ValueError, match="5 stages: stem, blocks1, blocks2, blocks3, blocks4"):
        femto.freeze(6)
