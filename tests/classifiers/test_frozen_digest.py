from __future__ import annotations

import pytest
import torch

from sklearn_dysarthria.classifiers._frozen import digest_of_modules
from sklearn_dysarthria.nn import build_backbone


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "vit_b_32", "googlenet", "swin_t"])
def test_digest_depends_on_the_weights_alone(name):
    def digest(seed):
        torch.manual_seed(seed)
        backbone = build_backbone(name).freeze("all")
        return digest_of_modules(backbone.name, backbone.frozen_modules())

    assert digest(0) == digest(0) != digest(1)


def test_digest_depends_on_settings_without_weights():
    torch.manual_seed(0)
    backbone = build_backbone("googlenet").freeze("all")
    before = digest_of_modules(backbone.name, backbone.frozen_modules())
    backbone.network.transform_input = True
    assert digest_of_modules(backbone.name, backbone.frozen_modules()) != before
