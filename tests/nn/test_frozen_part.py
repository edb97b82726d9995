from __future__ import annotations

import pytest
import torch

from sklearn_dysarthria.nn import (
    BackboneModule,
    ConvNeXtModule,
    HyperAlexNetModule,
    build_backbone,
)

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["alexnet", "convnext_femto"])
def test_frozen_and_learning_stages_make_up_the_network(name):
    backbone = build_backbone(name).eval()
    whole = backbone(IMAGES)
    for number in range(1, len(backbone.stages) + 1):
        backbone.freeze(number)
        output = backbone.apply_frozen(IMAGES)
        assert not output.requires_grad
        torch.testing.assert_close(backbone(frozen_output=output), whole, rtol=0, atol=0)
        # Alone the first stages: what follows them has been applied to nothing.
        alone = torch.nn.Sequential(*backbone.stages[:number])(IMAGES)
        torch.testing.assert_close(output, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet1_1"])
def test_networks_kept_whole_are_separable_when_frozen_whole(name):
    backbone = build_backbone(name)
    assert not backbone.freeze(None).is_separable
    assert not backbone.freeze(1).is_separable
    assert backbone.freeze("all").is_separable
    backbone.train()
    first, second = backbone.apply_frozen(IMAGES), backbone.apply_frozen(IMAGES)
    assert torch.equal(first, second)
    assert torch.equal(backbone(frozen_output=first), backbone.eval()(IMAGES))


def test_nothing_is_separable_unless_frozen():
    backbone = build_backbone("convnext_femto")
    assert not backbone.is_separable
    assert not backbone.freeze(0).is_separable
    assert backbone.freeze(1).is_separable


def test_whole_network_stays_in_evaluation_mode_when_frozen_whole():
    backbone = build_backbone("googlenet").freeze("all").train()
    assert not any(module.training for module in backbone.children())
    backbone.freeze(None)
    assert all(module.training for module in backbone.modules())


@pytest.mark.parametrize(
    "make",
    [
        lambda: HyperAlexNetModule(3, backbone="convnext_femto", freeze=2, embedding_dim=8),
        lambda: HyperAlexNetModule(3, backbone="convnext_femto", freeze=2, head="dense"),
        lambda: BackboneModule(3, "convnext_femto", freeze="all"),
        lambda: ConvNeXtModule(3, "femto", freeze=4),
    ],
)
def test_modules_take_the_frozen_output_for_the_images(make):
    module = make().eval()
    output = module.backbone.apply_frozen(IMAGES)
    torch.testing.assert_close(module(frozen_output=output), module(IMAGES), rtol=0, atol=0)
    with pytest.raises(ValueError, match="either images"):
        module(IMAGES, frozen_output=output)
    with pytest.raises(ValueError, match="either images"):
        module()


def test_frozen_part_refuses_images_that_are_too_small():
    backbone = build_backbone("alexnet").freeze(1)
    with pytest.raises(ValueError, match="63"):
        backbone.apply_frozen(torch.zeros(1, 3, 32, 32))
