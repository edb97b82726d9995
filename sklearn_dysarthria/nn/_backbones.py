"""Networks by name, without their last layer."""

from __future__ import annotations

import difflib
import operator
from typing import Any

from sklearn_dysarthria.nn._backbone import Backbone
from sklearn_dysarthria.nn._timm import PREFIX, build_timm, is_timm_name, timm_names
from sklearn_dysarthria.nn._torchvision import (
    CUTTABLE,
    TORCHVISION,
    build_alexnet,
    build_convnext,
    build_torchvision,
    check_width,
    other_task,
)
from sklearn_dysarthria.nn._weights import load_backbone_weights

BACKBONES = CUTTABLE
"""Backbones whose depth and width can be chosen; :func:`list_backbones` has the others too."""


def list_backbones() -> list[str]:
    """List the backbones that need no further package.

    Returns
    -------
    list of str
        ``BACKBONES``, then torchvision's other classifiers of images.

    Examples
    --------
    >>> from sklearn_dysarthria.nn import list_backbones
    >>> [name for name in list_backbones() if name.startswith("vit_b")]
    ['vit_b_16', 'vit_b_32']
    """
    return [*BACKBONES, *TORCHVISION]


def check_backbone_name(name: str) -> None:
    """Raise unless a backbone can be built under this name; builds nothing.

    Parameters
    ----------
    name : str
        See :func:`build_backbone`.

    Raises
    ------
    ValueError
        The name is unknown, or not that of a classifier of images.
    ImportError
        The name starts with ``timm/`` and timm is not installed.

    Examples
    --------
    >>> from sklearn_dysarthria.nn import check_backbone_name
    >>> check_backbone_name("convnext_tiny")
    >>> check_backbone_name("resnet81")
    Traceback (most recent call last):
        ...
    ValueError: Unknown backbone 'resnet81'; did you mean 'resnet18', ...?
    """
    if not isinstance(name, str):
        raise ValueError(f"A backbone is given by its name, a str, got {name!r}.")
    if name in BACKBONES or name in TORCHVISION:
        return
    if name.startswith(PREFIX):
        if is_timm_name(name):
            return
        known = timm_names()
    else:
        known = list_backbones()
        task = other_task(name)
        if task is not None:
            raise ValueError(
                f"{name} is torchvision's network for {task}, not a classifier of images; take "
                "one of sklearn_dysarthria.nn.list_backbones()."
            )
    close = difflib.get_close_matches(name, known, n=3)
    hint = (
        f"did you mean {', '.join(map(repr, close))}?"
        if close
        else "sklearn_dysarthria.nn.list_backbones() lists those of torchvision, and "
        "'timm/<name>' is any of timm."
    )
    raise ValueError(f"Unknown backbone {name!r}; {hint}")


def build_backbone(
    name: str,
    *,
    weights: Any = None,
    stochastic_depth_prob: float | None = None,
    depth: int | None = None,
    width: float = 1.0,
    image_size: int | tuple[int, int] | None = None,
) -> Backbone:
    """Build a network without its last layer.

    Parameters
    ----------
    name : str
        One of

        - ``"alexnet"`` (7 stages: five convolution blocks, two fully connected ones; embedding
          of 4096; images of at least 63 × 63);
        - ``"convnext_tiny"``, ``"convnext_small"``, ``"convnext_base"``, ``"convnext_large"``
          (5 stages: the stem and four groups of blocks, the last with pooling and normalisation;
          embedding of 768, 768, 1024, 1536; images of at least 32 × 32), or
          ``"convnext_femto"``, a small one of this package (embedding of 192) for work without a
          GPU, which has no published weights;
        - any other of torchvision's classifiers of images, such as ``"vit_b_16"``,
          ``"resnet50"`` or ``"efficientnet_b0"``, see :func:`list_backbones`; without auxiliary
          heads;
        - ``"timm/<architecture>"`` or ``"timm/<architecture>.<tag>"`` for any of timm's
          classifiers, if that package is installed.
    weights : str or path-like, optional
        See :func:`load_backbone_weights`; None starts from random values.
    stochastic_depth_prob : float, optional
        The probability in [0, 1) with which the last block is skipped for a sample in training;
        earlier blocks are skipped less.  None is the architecture's own; networks that skip no
        blocks take nothing else.
    depth : int, optional
        Keep only that many of the first stages and average their last map over the image; None
        keeps all.  Weights must be those of the whole network: what lies beyond the cut is
        checked like the rest, and not loaded.  Only AlexNet and the ConvNeXts.
    width : float, default=1.0
        Multiply the channels of every layer, fully connected ones included, each rounded to the
        nearest multiple of 8 and at least 8.  Only AlexNet and the ConvNeXts, and only from
        random weights.
    image_size : int or tuple of int, optional
        Height and width of the images.  Vision transformers are built for one size (None: the
        published one, usually 224); the images must be square, and their side a multiple of the
        patch size.  Other networks take any images that are large enough, which is checked here
        if the size is given.

    Returns
    -------
    Backbone
        In training mode, with nothing frozen.

    Raises
    ------
    ValueError
        The name is unknown, or a parameter is out of range or not one of this network's.
    WeightsError
        The weights cannot be found or read, or do not fit tensor by tensor.
    ImportError
        The name starts with ``timm/`` and timm is not installed.

    Notes
    -----
    GoogLeNet and Inception v3 were trained on images scaled to [-1, 1].  As in torchvision, with
    weights they expect images standardised as for the other networks, and convert them themselves.

    Position embeddings are part of a vision transformer's weights and fit only images of the size
    that it was trained on; they are not interpolated.

    References
    ----------
    Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
    arXiv:1404.5997; Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545; Dosovitskiy et al.,
    "An Image is Worth 16x16 Words", arXiv:2010.11929.
    """
    check_backbone_name(name)
    check_width(width)
    _check_options(name, weights, stochastic_depth_prob, depth, width)
    size = _height_and_width(image_size)
    skip = stochastic_depth_prob
    if name == "alexnet":
        backbone = build_alexnet(name, depth=depth, width=width)
    elif name in BACKBONES:
        backbone = build_convnext(name, depth=depth, width=width, stochastic_depth_prob=skip)
    elif name in TORCHVISION:
        backbone = build_torchvision(
            name, pretrained=weights is not None, stochastic_depth_prob=skip, image_size=size
        )
    else:
        backbone = build_timm(name, stochastic_depth_prob=skip, image_size=size)
    if size is not None:
        backbone.check_image_size(size)
    load_backbone_weights(backbone, weights)
    return backbone


def _check_options(
    name: str, weights: Any, stochastic_depth_prob: float | None, depth: int | None, width: float
) -> None:
    if stochastic_depth_prob is not None:
        if name == "alexnet":
            raise ValueError("alexnet has no stochastic depth; leave it at None.")
        if not 0 <= stochastic_depth_prob < 1:
            raise ValueError(
                f"stochastic_depth_prob must be in [0, 1), got {stochastic_depth_prob!r}."
            )
    if name not in BACKBONES and (depth is not None or width != 1):
        given = f"depth={depth!r}" if depth is not None else f"width={width!r}"
        raise ValueError(
            f"{given} is not possible for {name}: only {', '.join(BACKBONES)} can be made "
            "shallower or narrower."
        )
    if width != 1 and weights is not None:
        raise ValueError(
            f"width={width!r} changes the shape of every tensor, so that no published weights "
            f"fit {name}; give weights=None or width=1."
        )


def _height_and_width(image_size: Any) -> tuple[int, int] | None:
    if image_size is None:
        return None
    try:
        sides = (image_size, image_size) if not isinstance(image_size, tuple | list) else image_size
        height, width = map(operator.index, sides)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            "image_size must be a number of pixels or a pair of them (height, width), got "
            f"{image_size!r}."
        )
    return height, width
