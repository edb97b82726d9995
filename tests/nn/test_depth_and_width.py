from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sklearn_dysarthria.exceptions import WeightsError
from sklearn_dysarthria.nn import BACKBONES, build_backbone, count_parameters

CHANNELS = {
    "alexnet": (64, 192, 384, 256, 256, 4096, 4096),
    "convnext_femto": (24, 24, 48, 96, 192),
    "convnext_tiny": (96, 96, 192, 384, 768),
    "convnext_small": (96, 96, 192, 384, 768),
    "convnext_base": (128, 128, 256, 512, 1024),
    "convnext_large": (192, 192, 384, 768, 1536),
}


def nearest_multiple_of_8(number: float) -> int:
    candidates = range(8, 8 + 8 * math.ceil(number / 8 + 1), 8)
    return min(candidates, key=lambda candidate: (abs(candidate - number), -candidate))


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(BACKBONES),
    depth=st.none() | st.integers(1, 5),
    width=st.just(1) | st.floats(0.001, 3),
    sides=st.tuples(st.integers(63, 90), st.integers(63, 90)),
)
def test_any_combination_gives_vectors_of_the_announced_size(name, depth, width, sides):
    with torch.device("meta"):
        backbone = build_backbone(name, depth=depth, width=width, image_size=sides)
        found = backbone(torch.zeros(2, 3, *sides))
    published = CHANNELS[name][(depth or 0) - 1]
    expected = published if width == 1 else nearest_multiple_of_8(published * width)
    assert found.shape == (2, backbone.out_features) == (2, expected)
    assert len(backbone.stages) == len(backbone.stage_names) == (depth or len(CHANNELS[name]))


@pytest.mark.parametrize("name", ["alexnet", "convnext_femto", "convnext_tiny"])
def test_smallest_images_at_every_depth(name):
    with torch.device("meta"):
        for depth in range(1, len(CHANNELS[name]) + 1):
            backbone = build_backbone(name, depth=depth)
            size = backbone.minimum_size
            assert backbone(torch.zeros(1, 3, size, size)).shape == (1, backbone.out_features)
            with pytest.raises(ValueError, match=f"at least {size} × {size}"):
                backbone(torch.zeros(1, 3, size - 1, size))
            if name == "alexnet":  # max-pooling has nothing left one pixel below
                with pytest.raises(RuntimeError, match="Output size is too small"):
                    backbone.network(torch.zeros(1, 3, size - 1, size))


@pytest.mark.parametrize("depth", [1, 3, 4, np.int64(5), None])
def test_a_cut_backbone_averages_the_map_of_its_last_stage(depth, tmp_path):
    whole = build_backbone("convnext_femto").eval()
    weights = tmp_path / "femto.pth"
    torch.save(whole.torchvision_state_dict(), weights)
    cut = build_backbone("convnext_femto", depth=depth, weights=weights).eval()
    images = torch.randn(2, 3, 40, 32)
    expected = images
    for stage in whole.stages[:depth]:
        expected = stage(expected)
    if expected.ndim == 4:
        expected = expected.mean(dim=(2, 3))
    torch.testing.assert_close(cut(images), expected)


def test_a_cut_alexnet(torchvision_alexnet, alexnet_file):
    cut = build_backbone("alexnet", depth=2, weights=alexnet_file).eval()
    images = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        expected = torchvision_alexnet.features[:6](images).mean(dim=(2, 3))
        torch.testing.assert_close(cut(images), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("features.7.1.layer_scale"), "1 missing"),
        (lambda state: state.update({"features.7.1.layer_scale": torch.zeros(3)}), r"\(3,\) inst"),
        (lambda state: state["features.7.1.layer_scale"].fill_(float("nan")), "1 with NaN"),
    ],
)
def test_what_lies_beyond_the_cut_is_checked_too(change, message, tmp_path):
    state = build_backbone("convnext_femto").torchvision_state_dict()
    change(state)
    torch.save(state, tmp_path / "femto.pth")
    with pytest.raises(WeightsError, match=f"nothing was loaded: .*{message}"):
        build_backbone("convnext_femto", depth=2, weights=tmp_path / "femto.pth")


def flops(backbone: nn.Module, size: int) -> int:
    with FlopCounterMode(display=False) as counter:
        backbone(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops()


def test_a_narrow_alexnet_is_narrow_everywhere():
    with torch.device("meta"):
        whole, narrow = build_backbone("alexnet"), build_backbone("alexnet", width=0.25)
    sizes = [
        [layer.weight.shape[0] for layer in backbone.modules() if hasattr(layer, "weight")]
        for backbone in (whole, narrow)
    ]
    assert sizes == [[64, 192, 384, 256, 256, 4096, 4096], [16, 48, 96, 64, 64, 1024, 1024]]
    assert count_parameters(narrow) < count_parameters(whole) / 15
    assert flops(narrow, 224) < flops(whole, 224) / 9
    assert [type(part) for part in narrow.modules()] == [type(part) for part in whole.modules()]


def test_a_narrow_alexnet_is_all_there_and_depends_on_the_seed():
    images = torch.randn(2, 3, 63, 63)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(build_backbone("alexnet", width=0.05).eval()(images))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    assert outputs[0].shape == (2, 208)


def test_freeze_counts_what_is_kept():
    backbone = build_backbone("convnext_femto", depth=2, width=0.5)
    backbone.freeze("all").train()
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    with pytest.raises(ValueError, match="convnext_femto has 2 stages: stem, blocks1"):
        backbone.freeze(3)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("alexnet", {"depth": 8}, r"from 1 to 7 \(alexnet has 7\), got 8"),
        ("alexnet", {"depth": 0}, "from 1 to 7"),
        ("convnext_femto", {"depth": 6}, "from 1 to 5"),
        ("convnext_femto", {"depth": 2.0}, "from 1 to 5"),
        ("convnext_femto", {"depth": True}, "from 1 to 5"),
        ("alexnet", {"width": 0}, "width must be a positive finite number, got 0"),
        ("alexnet", {"width": -1.0}, "positive finite"),
        ("alexnet", {"width": float("nan")}, "positive finite"),
        ("alexnet", {"width": float("inf")}, "positive finite"),
        ("alexnet", {"width": "half"}, "positive finite"),
        ("alexnet", {"width": 0.5, "weights": "DEFAULT"}, "give weights=None or width=1"),
        ("resnet18", {"depth": 2}, "depth=2 is not possible for resnet18: only alexnet, convnext_"),
        ("resnet18", {"width": 0.5}, "width=0.5 is not possible for resnet18"),
    ],
)
def test_impossible_depths_and_widths(name, parameters, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        build_backbone(name, **parameters)
