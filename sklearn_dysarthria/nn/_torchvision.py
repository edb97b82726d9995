"""torchvision's classifiers of images as backbones; AlexNet and ConvNeXt can be cut and scaled."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.ops import StochasticDepth

from sklearn_dysarthria.nn._backbone import Backbone, Published, blocks_as_stages, is_count

# --------------------------------------------------------------------- AlexNet and ConvNeXt


@dataclass(frozen=True)
class _Stage:
    modules: Sequence[str]
    out_features: int
    minimum_size: int


def _checked_depth(name: str, depth: int | None, available: int) -> int:
    if depth is None:
        return available
    if not is_count(depth, 1, available):
        raise ValueError(
            f"depth must be None or a number of stages from 1 to {available} ({name} has "
            f"{available}), got {depth!r}."
        )
    return operator.index(depth)


def _first_stages(
    name: str, network: nn.Module, published: Published, stages: Mapping[str, _Stage], depth: int
) -> Backbone:
    kept = {stage: stages[stage] for stage in list(stages)[:depth]}
    last = list(kept.values())[-1]
    return Backbone(
        name,
        network,
        published,
        {stage: part.modules for stage, part in kept.items()},
        last.out_features,
        last.minimum_size,
        channels_last=name in _CHANNELS_LAST,
    )


# Networks whose maps are laid out channels-last on a CPU.  AlexNet at 224 × 224, in batches of 16
# on one core: forward pass 1.23 times as fast, training step 1.05 times; outputs differ by float
# rounding (1e-6).  A ConvNeXt already works so inside, by the permutations around its layer
# norms: 0.95 to 1.05 times.  On GPUs the layout is left alone: not measured.
# To measure again: benchmarks/speed/training_loop.py layouts
_CHANNELS_LAST = frozenset({"alexnet"})

_CHANNEL_MULTIPLE = 8


def check_width(width: float) -> None:
    """Raise ValueError unless a width is a positive finite number, which can multiply channels."""
    if isinstance(width, bool) or not isinstance(width, Real) or not 0 < width < math.inf:
        raise ValueError(f"width must be a positive finite number, got {width!r}.")


def _scaled(channels: int, width: float) -> int:
    """Multiply a number of channels and round to the nearest multiple of 8, at least 8."""
    if width == 1:
        return channels
    steps = math.floor(channels * width / _CHANNEL_MULTIPLE + 0.5)
    return max(1, steps) * _CHANNEL_MULTIPLE


def _alexnet(width: float) -> Any:
    if width == 1:
        return torchvision.models.alexnet()
    with torch.device("meta"):  # neither memory nor random numbers for layers that are replaced
        network = torchvision.models.alexnet()
    channels = 3
    for number, layer in enumerate(network.features):
        if isinstance(layer, nn.Conv2d):
            kept: Any = {key: getattr(layer, key) for key in ("kernel_size", "stride", "padding")}
            network.features[number] = nn.Conv2d(
                channels, _scaled(layer.out_channels, width), **kept
            )
            channels = network.features[number].out_channels
    features = channels * math.prod(network.avgpool.output_size)
    for number in (1, 4):
        hidden = _scaled(network.classifier[number].out_features, width)
        network.classifier[number] = nn.Linear(features, hidden)
        features = hidden
    return network


_ALEXNET_ENDS = {"conv1": 3, "conv2": 6, "conv3": 8, "conv4": 10, "conv5": 13}
# An image must leave three pixels to each max-pooling of 3 × 3.
_ALEXNET_MINIMUM_SIZES = {"conv1": 15, "conv2": 31, "conv3": 31, "conv4": 31}
_ALEXNET_MINIMUM_SIZE = 63


def build_alexnet(name: str, *, depth: int | None = None, width: float = 1.0) -> Backbone:
    """Build AlexNet, the first ``depth`` of its seven stages, with channels times ``width``."""
    network = _alexnet(width)
    published = Published.of(network, "classifier.6")
    stages = {}
    start = 0
    for stage, end in _ALEXNET_ENDS.items():
        stages[stage] = _Stage(
            [f"features.{number}" for number in range(start, end)],
            network.features[start].out_channels,
            _ALEXNET_MINIMUM_SIZES.get(stage, _ALEXNET_MINIMUM_SIZE),
        )
        start = end
    for stage, paths, number in (
        ("fc6", ["avgpool", "classifier.0", "classifier.1", "classifier.2"], 1),
        ("fc7", ["classifier.3", "classifier.4", "classifier.5"], 4),
    ):
        outputs = network.classifier[number].out_features
        stages[stage] = _Stage(paths, outputs, _ALEXNET_MINIMUM_SIZE)
    depth = _checked_depth(name, depth, len(stages))
    network.classifier = network.classifier[: max(0, 3 * (depth - len(_ALEXNET_ENDS)))]
    if depth <= len(_ALEXNET_ENDS):
        network.features = network.features[: list(_ALEXNET_ENDS.values())[depth - 1]]
        network.avgpool = nn.AdaptiveAvgPool2d(1)
    return _first_stages(name, network, published, stages, depth)


@dataclass(frozen=True)
class _ConvNeXtVariant:
    channels: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    stochastic_depth_prob: float
    layer_scale: float = 1e-6

    def build(self, stochastic_depth_prob: float | None, width: float) -> Any:
        if stochastic_depth_prob is None:
            stochastic_depth_prob = self.stochastic_depth_prob
        channels: list[Any] = [_scaled(number, width) for number in self.channels]
        settings = [
            CNBlockConfig(*block)
            for block in zip(channels, [*channels[1:], None], self.blocks, strict=True)
        ]
        return ConvNeXt(
            settings,
            stochastic_depth_prob=stochastic_depth_prob,
            layer_scale=self.layer_scale,
        )


# Channels and blocks are those of torchvision, and so are the probabilities, its defaults, which
# follow the ConvNeXt paper.  Scaling every block by 1e-6 at first steadies networks of many blocks;
# the ten blocks of femto, which has no pretrained weights, only learn later for it.
_CONVNEXTS = {
    "convnext_femto": _ConvNeXtVariant((24, 48, 96, 192), (2, 2, 4, 2), 0.0, layer_scale=1.0),
    "convnext_tiny": _ConvNeXtVariant((96, 192, 384, 768), (3, 3, 9, 3), 0.1),
    "convnext_small": _ConvNeXtVariant((96, 192, 384, 768), (3, 3, 27, 3), 0.4),
    "convnext_base": _ConvNeXtVariant((128, 256, 512, 1024), (3, 3, 27, 3), 0.5),
    "convnext_large": _ConvNeXtVariant((192, 384, 768, 1536), (3, 3, 27, 3), 0.5),
}


def build_convnext(
    name: str,
    *,
    depth: int | None = None,
    width: float = 1.0,
    stochastic_depth_prob: float | None = None,
) -> Backbone:
    """Build a ConvNeXt, the first ``depth`` of its five stages, with channels times ``width``.

    ``stochastic_depth_prob`` is that of the last block of the whole network; None is the variant's
    own.
    """
    variant = _CONVNEXTS[name]
    network = variant.build(stochastic_depth_prob, width)
    published = Published.of(network, "classifier.2")
    channels = [_scaled(number, width) for number in variant.channels]
    # After the stem and its blocks, a downsampling layer comes before the blocks of each stage.
    paths = [
        ["features.1"],
        ["features.2", "features.3"],
        ["features.4", "features.5"],
        ["features.6", "features.7", "avgpool", "classifier.0", "classifier.1"],
    ]
    stages = {"stem": _Stage(["features.0"], channels[0], 4)} | {
        f"blocks{number}": _Stage(modules, size, 2 ** (number + 1))
        for number, (modules, size) in enumerate(zip(paths, channels, strict=True), start=1)
    }
    depth = _checked_depth(name, depth, len(stages))
    norm, flatten, _ = network.classifier
    if depth == len(stages):
        network.classifier = nn.Sequential(norm, flatten)
    else:
        network.features = network.features[: max(1, 2 * (depth - 1))]
        network.classifier = nn.Sequential(flatten)
    return _first_stages(name, network, published, stages, depth)


CUTTABLE = ("alexnet", *_CONVNEXTS)
"""Networks whose depth and width can be chosen."""

# ------------------------------------------------------------------------ all the others

TORCHVISION = tuple(
    name
    for name in torchvision.models.list_models(module=torchvision.models)
    if name not in CUTTABLE
)
"""Names of torchvision's other classifiers of images."""

# Each halves an image five times; fewer pixels would leave less than one.
_MINIMUM_SIZE = 32
_MINIMUM_SIZES = {"inception_v3": 75}
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
_DEFAULT_SIZE = 224


def other_task(name: str) -> str | None:
    """Return what a network of torchvision's is for, such as ``"detection"``.

    None if it classifies images, or torchvision has no network of this name.
    """
    if name in TORCHVISION or name not in torchvision.models.list_models():
        return None
    return torchvision.models.get_model_builder(name).__module__.split(".")[2]


def build_torchvision(
    name: str,
    *,
    pretrained: bool = False,
    stochastic_depth_prob: float | None = None,
    image_size: tuple[int, int] | None = None,
) -> Backbone:
    """Build a network of torchvision's, one of ``TORCHVISION``, without its last layer.

    If published weights will be loaded (``pretrained``), GoogLeNet and Inception v3 undo the
    standardisation of the image first, as torchvision's do, since they were trained without.
    ``stochastic_depth_prob`` is that of the last block; None is the network's own.  ``image_size``
    is height and width of the images, for networks that are built for one size.  ValueError if the
    size does not fit, or the network has no stochastic depth.
    """
    options: dict[str, Any] = {}
    fixed_size: tuple[int, int] | None = None
    minimum_size = _MINIMUM_SIZES.get(name, _MINIMUM_SIZE)
    if name.startswith("vit_"):
        size = image_size or (_DEFAULT_SIZE, _DEFAULT_SIZE)
        _check_square(name, size, int(name.rpartition("_")[2]), "its patch size")
        options, fixed_size, minimum_size = {"image_size": size[0]}, size, 1
    elif name.startswith("maxvit_"):
        size = image_size or (_DEFAULT_SIZE, _DEFAULT_SIZE)
        _check_square(name, size, _DEFAULT_SIZE, "32 × 7, its stride and window")
        options, fixed_size, minimum_size = {"input_size": size}, size, 1
    elif name in _WITH_AUXILIARY_HEADS:
        options = {"aux_logits": False, "transform_input": pretrained, "init_weights": True}
    network = torchvision.models.get_model(name, **options)
    if stochastic_depth_prob is not None:
        _set_stochastic_depth(name, network, stochastic_depth_prob)
    layer, out_features = _last_layer(network)
    published = Published.of(network, layer)
    if name in _WITH_AUXILIARY_HEADS:
        published = published._replace(optional=published.optional | _auxiliary(name, published))
    parent, _, child = layer.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    stages = blocks_as_stages(network)
    return Backbone(name, network, published, stages, out_features, minimum_size, fixed_size)


def _auxiliary(name: str, published: Published) -> frozenset[str]:
    with torch.device("meta"):
        whole: nn.Module = torchvision.models.get_model(name, aux_logits=True, init_weights=False)
    return frozenset(whole.state_dict()) - frozenset(published.required)


def _check_square(name: str, size: tuple[int, int], unit: int, what: str) -> None:
    height, width = size
    if height != width or height % unit:
        example = max(1, math.floor(height / unit + 0.5)) * unit
        raise ValueError(
            f"{name} takes square images whose side is a multiple of {unit} ({what}), got "
            f"{height} × {width}; make images of {example} × {example}."
        )


def _set_stochastic_depth(name: str, network: nn.Module, probability: float) -> None:
    """Scale the probabilities of skipping a block, so that the largest is the given one."""
    skips = [module for module in network.modules() if isinstance(module, StochasticDepth)]
    largest = max((skip.p for skip in skips), default=0.0)
    if not largest:
        raise ValueError(f"{name} has no stochastic depth; leave it at None.")
    for skip in skips:
        skip.p *= probability / largest


def _last_layer(network: nn.Module) -> tuple[str, int]:
    """Return path and number of inputs of the layer that makes a network's logits.

    It is the last linear layer, or the last convolution of a network that has none (SqueezeNet,
    whose last convolution is a linear layer applied to every pixel).
    """
    for kind, size in ((nn.Linear, "in_features"), (nn.Conv2d, "in_channels")):
        found = [name for name, module in network.named_modules() if isinstance(module, kind)]
        if found:
            return found[-1], getattr(network.get_submodule(found[-1]), size)
    raise ValueError(f"{type(network).__name__} has no linear layer to leave out.")
