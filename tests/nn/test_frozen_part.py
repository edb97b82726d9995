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


@pytest.mark.parametrize("name", ["convnext_femto", "resnet18"])
def test_wholly_frozen_is_when_no_stage_learns(name):
    backbone = build_backbone(name)
    for number in range(len(backbone.stages)):
        assert not backbone.freeze(number).is_wholly_frozen
    assert backbone.freeze(len(backbone.stages)).is_wholly_frozen
    assert backbone.freeze("all").is_wholly_frozen
    assert not backbone.freeze(None).is_wholly_frozen


def test_whole_network_stays_in_evaluation_mode_when_frozen_whole():
    backbone = build_backbone("googlenet").freeze("all").train()
    assert not any(module.training for module in backbone.network.modules())
    backbone.freeze(None)
    assert all(module.training for module in backbone.modules())


@pytest.mark.parametrize(
    "make",
    [
        lambda: HyperAlexNetModule(3, backbone="convnext_femto", freeze="all", embedding_dim=8),
        lambda: HyperAlexNetModule(3, backbone="convnext_femto", freeze="all", head="dense"),
        lambda: BackboneModule(3, "convnext_femto", freeze="all"),
        lambda: ConvNeXtModule(3, "femto", freeze="all"),
    ],
)
def test_modules_take_features_for_the_images(make):
    module = make().eval()
    features = module.backbone(IMAGES)
    torch.testing.assert_close(module(features=features), module(IMAGES), rtol=0, atol=0)
    with pytest.raises(ValueError, match="either images"):
        module(IMAGES, features=features)
    with pytest.raises(ValueError, match="either images"):
        module()
