"""Any of torchvision's classifiers of images as a backbone."""

from __future__ import annotations

import math
from typing import Any

import torch
import torchvision
from torch import nn

from sklearn_dysarthria.nn._backbone import Backbone, Published, cut_out
from sklearn_dysarthria.nn._staged import STAGED
from sklearn_dysarthria.nn._whole import WholeBackbone, last_layer, set_stochastic_depth

TORCHVISION = tuple(
    name for name in torchvision.models.list_models(module=torchvision.models) if name not in STAGED
)
"""Names of torchvision's classifiers that are not cut into stages by this package."""

# Each halves an image five times; fewer pixels would leave less than one.
_MINIMUM_SIZE = 32
_MINIMUM_SIZES = {"inception_v3": 75}
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
_DEFAULT_SIZE = 224


def other_task(name: str) -> str | None:
    """Tell what a network of torchvision's is for, if it does not classify images.

    Parameters
    ----------
    name : str
        Any name.

    Returns
    -------
    str or None
        Such as ``"detection"``; None for other names.
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
    """Build a network of torchvision's without its last layer.

    Parameters
    ----------
    name : str
        One of ``TORCHVISION``.
    pretrained : bool, default=False
        Whether published weights will be loaded.  GoogLeNet and Inception v3 then undo the
        standardisation of the image first, as torchvision's do, since they were trained without.
    stochastic_depth_prob : float, optional
        Of the last block; None is the network's own.
    image_size : tuple of int, optional
        Height and width of the images, for networks that are built for one size.

    Returns
    -------
    Backbone
        With random weights.

    Raises
    ------
    ValueError
        The image size does not fit, or the network has no stochastic depth.
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
        set_stochastic_depth(name, network, stochastic_depth_prob)
    layer, out_features = last_layer(network)
    published = Published.of(network, layer)
    if name in _WITH_AUXILIARY_HEADS:
        published = published._replace(optional=published.optional | _auxiliary(name, published))
    cut_out(network, layer)
    return WholeBackbone(name, network, published, out_features, minimum_size, fixed_size)


def _auxiliary(name: str, published: Published) -> frozenset[str]:
    with torch.device("meta"):
        whole: nn.Module = torchvision.models.get_model(name, aux_logits=True, init_weights=False)
    return frozenset(whole.state_dict()) - frozenset(published.tensors)


def _check_square(name: str, size: tuple[int, int], unit: int, what: str) -> None:
    height, width = size
    if height != width or height % unit:
        example = max(1, math.floor(height / unit + 0.5)) * unit
        raise ValueError(
            f"{name} takes square images whose side is a multiple of {unit} ({what}), got "
            f"{height} × {width}; make images of {example} × {example}."
        )
