"""AlexNet and ConvNeXt, cut into stages; their depth and width can be searched."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from sklearn_dysarthria.nn._backbone import Backbone, Published

_CHANNEL_MULTIPLE = 8

# Networks whose maps are laid out channels-last on a CPU.  AlexNet at 224 × 224, in batches of 16
# on one core: forward pass 1.23 times as fast, training step 1.05 times; outputs differ by float
# rounding (1e-6).  A ConvNeXt already works so inside, by the permutations around its layer
# norms: 0.95 to 1.05 times.  On GPUs the layout is left alone: not measured.
# To measure again: benchmarks/speed/training_loop.py layouts
CHANNELS_LAST = frozenset({"alexnet"})


@dataclass(frozen=True)
class _Stage:
    name: str
    module: nn.Sequential
    out_features: int
    minimum_size: int
    is_flat: bool = False


class StagedBackbone(Backbone):
    """Stages that are applied one after the other.

    Parameters
    ----------
    name : str
        Name in the registry.
    stages : sequence of torch.nn.Module
        The parts in the order in which they are applied.
    stage_names : sequence of str
        What they are called.
    out_features, minimum_size : int
        See :class:`Backbone`.
    published : Published
        Tensors of the whole network, some of which the stages hold.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[nn.Module],
        stage_names: Sequence[str],
        out_features: int,
        minimum_size: int,
        published: Published,
    ) -> None:
        super().__init__(name, stage_names, out_features, minimum_size)
        self.stages = nn.ModuleList(stages)
        self.channels_last = name in CHANNELS_LAST
        self._n_convolutional = sum(
            any(isinstance(module, nn.Conv2d) for module in stage.modules()) for stage in stages
        )
        self.remember(published)

    def embed(self, images: Tensor) -> Tensor:
        """Apply the stages.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Images.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            Output of the last stage.
        """
        for stage in self.stages:
            images = stage(images)
        return images

    def apply_frozen_to_images(self, images: Tensor) -> Tensor:
        """Apply frozen convolutions; see :meth:`Backbone.apply_frozen_to_images`."""
        maps = self._checked_images(images)
        for stage in self.stages[: min(self.n_frozen, self._n_convolutional)]:
            maps = stage(maps)
        return maps

    def apply_frozen_to_maps(self, maps: Tensor) -> Tensor:
        """Apply frozen layers without any; see :meth:`Backbone.apply_frozen_to_maps`."""
        for stage in self.stages[self._n_convolutional : self.n_frozen]:
            maps = stage(maps)
        return maps

    def apply_learning(self, frozen_output: Tensor) -> Tensor:
        """Apply the stages that learn; see :meth:`Backbone.apply_learning`."""
        frozen_output = self._laid_out(frozen_output)
        for stage in self.stages[self.n_frozen :]:
            frozen_output = stage(frozen_output)
        return frozen_output

    @property
    def is_separable(self) -> bool:
        """Whether there are frozen stages: they are applied before the others."""
        return self.n_frozen > 0

    def frozen_modules(self) -> Sequence[nn.Module]:
        """List the frozen stages."""
        return list(self.stages[: self.n_frozen])


def _cut(
    name: str, stages: Sequence[_Stage], published: Published, depth: int | None
) -> StagedBackbone:
    kept = stages[: _checked_depth(name, depth, len(stages))]
    last = kept[-1]
    if not last.is_flat:
        # By name: a slice of a Sequential keeps the numbers of its parts.
        last.module.add_module("average", nn.AdaptiveAvgPool2d(1))
        last.module.add_module("flatten", nn.Flatten(1))
    return StagedBackbone(
        name,
        [stage.module for stage in kept],
        [stage.name for stage in kept],
        last.out_features,
        last.minimum_size,
        published,
    )


def _checked_depth(name: str, depth: int | None, available: int) -> int:
    if depth is None:
        return available
    try:
        count = operator.index(depth)
    except TypeError:
        count = 0
    if isinstance(depth, bool) or not 1 <= count <= available:
        raise ValueError(
            f"depth must be None or a number of stages from 1 to {available} ({name} has "
            f"{available}), got {depth!r}."
        )
    return count


def check_width(width: float) -> None:
    """Raise unless a width can multiply numbers of channels.

    Parameters
    ----------
    width : float
        The multiplier.

    Raises
    ------
    ValueError
        It is not a positive finite number.
    """
    if isinstance(width, bool) or not isinstance(width, Real) or not 0 < width < math.inf:
        raise ValueError(f"width must be a positive finite number, got {width!r}.")


def scaled(channels: int, width: float) -> int:
    """Multiply a number of channels and round to the nearest multiple of 8, at least 8.

    Parameters
    ----------
    channels : int
        Number as published.
    width : float
        Multiplier; 1 changes nothing.

    Returns
    -------
    int
        Number of channels.
    """
    if width == 1:
        return channels
    steps = math.floor(channels * width / _CHANNEL_MULTIPLE + 0.5)
    return max(1, steps) * _CHANNEL_MULTIPLE


def _alexnet(width: float) -> Any:
    if width == 1:
        return torchvision.models.alexnet()
    with torch.device("meta"):  # neither memory nor random numbers for layers that are replaced
        model = torchvision.models.alexnet()
    channels = 3
    for number, layer in enumerate(model.features):
        if isinstance(layer, nn.Conv2d):
            kept: Any = {key: getattr(layer, key) for key in ("kernel_size", "stride", "padding")}
            model.features[number] = nn.Conv2d(channels, scaled(layer.out_channels, width), **kept)
            channels = model.features[number].out_channels
    features = channels * math.prod(model.avgpool.output_size)
    for number in (1, 4):
        hidden = scaled(model.classifier[number].out_features, width)
        model.classifier[number] = nn.Linear(features, hidden)
        features = hidden
    return model


def build_alexnet(name: str, *, depth: int | None = None, width: float = 1.0) -> Backbone:
    """Build AlexNet.

    Parameters
    ----------
    name : str
        ``"alexnet"``.
    depth : int, optional
        Number of stages that are kept.
    width : float, default=1.0
        Multiplier of the channels.

    Returns
    -------
    Backbone
        Up to seven stages.

    Raises
    ------
    ValueError
        There are not that many stages.
    """
    model = _alexnet(width)
    features, classifier = model.features, model.classifier
    published = Published.of(model, "classifier.6")
    # An image must leave three pixels to each max-pooling of 3 × 3.
    stages = [
        _Stage("conv1", features[0:3], features[0].out_channels, 15),
        _Stage("conv2", features[3:6], features[3].out_channels, 31),
        _Stage("conv3", features[6:8], features[6].out_channels, 31),
        _Stage("conv4", features[8:10], features[8].out_channels, 31),
        _Stage("conv5", features[10:13], features[10].out_channels, 63),
        _Stage(
            "fc6",
            nn.Sequential(model.avgpool, nn.Flatten(1), *classifier[0:3]),
            classifier[1].out_features,
            63,
            is_flat=True,
        ),
        _Stage("fc7", classifier[3:6], classifier[4].out_features, 63, is_flat=True),
    ]
    return _cut(name, stages, published, depth)


@dataclass(frozen=True)
class _ConvNeXtVariant:
    channels: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    stochastic_depth_prob: float
    layer_scale: float = 1e-6

    def build(self, stochastic_depth_prob: float, width: float) -> Any:
        channels: list[Any] = [scaled(number, width) for number in self.channels]
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
    """Build a ConvNeXt.

    Parameters
    ----------
    name : str
        Name of the variant.
    depth : int, optional
        Number of stages that are kept.
    width : float, default=1.0
        Multiplier of the channels.
    stochastic_depth_prob : float, optional
        Of the last block of the whole network; None is the variant's own.

    Returns
    -------
    Backbone
        Up to five stages.

    Raises
    ------
    ValueError
        There are not that many stages.
    """
    variant = _CONVNEXTS[name]
    if stochastic_depth_prob is None:
        stochastic_depth_prob = variant.stochastic_depth_prob
    model = variant.build(stochastic_depth_prob, width)
    stem, first, *rest = model.features
    norm, flatten, _ = model.classifier
    # What remains alternates between a downsampling layer and the blocks that follow it.
    later = [
        nn.Sequential(down, *blocks) for down, blocks in zip(rest[::2], rest[1::2], strict=True)
    ]
    later[-1].extend([model.avgpool, norm, flatten])
    channels = [scaled(number, width) for number in variant.channels]
    parts = zip([first, *later], channels, (4, 8, 16, 32), strict=True)
    stages = [_Stage("stem", stem, channels[0], 4)] + [
        _Stage(f"blocks{number}", module, size, minimum, is_flat=number == 4)
        for number, (module, size, minimum) in enumerate(parts, start=1)
    ]
    return _cut(name, stages, Published.of(model, "classifier.2"), depth)


STAGED = ("alexnet", *_CONVNEXTS)
"""Networks that this module cuts into stages."""
