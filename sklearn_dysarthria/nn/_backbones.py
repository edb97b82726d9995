"""torchvision's classification networks, cut before their last linear layer into stages."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torchvision
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from sklearn_dysarthria.nn._weights import load_backbone_weights


class Backbone(nn.Module):
    """Stages of a torchvision network up to, and without, its last linear layer.

    Parameters
    ----------
    name : str
        Name in the registry.
    model : torch.nn.Module
        The torchvision network; the stages share its tensors.
    stages : sequence of torch.nn.Module
        Its parts in the order in which they are applied.
    last_layer : str
        Name of the linear layer, inside ``model``, that is left out.
    minimum_size : int
        Smallest height and width of an image in pixels.

    Attributes
    ----------
    stages : torch.nn.ModuleList
        See above.
    out_features : int
        Size of the embedding.
    torchvision_names : dict of str to str
        Name of a tensor in this module's state dict to its name in torchvision's.
    n_frozen : int
        Number of frozen stages.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        stages: Sequence[nn.Module],
        last_layer: str,
        minimum_size: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.ModuleList(stages)
        self.out_features: int = model.get_submodule(last_layer).in_features  # type: ignore[assignment]
        self.last_layer = last_layer
        self.minimum_size = minimum_size
        self.n_frozen = 0
        # The stages hold the very tensors of the model, so that identity tells which is which.
        original = {id(tensor): key for key, tensor in model.state_dict(keep_vars=True).items()}
        self.torchvision_names = {
            key: original[id(tensor)] for key, tensor in self.state_dict(keep_vars=True).items()
        }

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch of images.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Height and width of at least ``minimum_size`` pixels.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            Input of the network's last linear layer.

        Raises
        ------
        ValueError
            The shape does not fit.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"{self.name} takes images of shape (n_samples, 3, height, width), "
                f"got {tuple(images.shape)}."
            )
        height, width = images.shape[2:]
        if min(height, width) < self.minimum_size:
            raise ValueError(
                f"{self.name} needs images of at least {self.minimum_size} × {self.minimum_size} "
                f"pixels, got {height} × {width}."
            )
        for stage in self.stages:
            images = stage(images)
        return images

    def freeze(self, stages: int | str | None) -> Backbone:
        """Stop the first stages from learning, and the later ones from not learning.

        A frozen stage needs no gradient and stays in evaluation mode, so that neither dropout
        nor stochastic depth disturbs it, whatever mode the network is put into.

        Parameters
        ----------
        stages : int, "all" or None
            How many of the first stages to freeze; None is 0.  Stages beyond it learn again.

        Returns
        -------
        Backbone
            The module itself.

        Raises
        ------
        ValueError
            There are not that many stages.
        """
        self.n_frozen = self._count(stages)
        for number, stage in enumerate(self.stages):
            stage.requires_grad_(number >= self.n_frozen)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Set training or evaluation mode; frozen stages remain in evaluation mode.

        Parameters
        ----------
        mode : bool, default=True
            False for evaluation mode.

        Returns
        -------
        Backbone
            The module itself.
        """
        super().train(mode)
        for stage in self.stages[: self.n_frozen]:
            stage.eval()
        return self

    def torchvision_state_dict(self) -> dict[str, Tensor]:
        """Name this module's tensors as torchvision does.

        Returns
        -------
        dict of str to torch.Tensor
            The tensors themselves, not copies; without the last linear layer.
        """
        tensors = self.state_dict()
        return {name: tensors[key] for key, name in self.torchvision_names.items()}

    def _count(self, stages: int | str | None) -> int:
        available = len(self.stages)
        if stages is None:
            return 0
        if stages == "all":
            return available
        try:
            count = operator.index(stages)  # type: ignore[arg-type]
        except TypeError:
            count = -1
        if isinstance(stages, bool) or not 0 <= count <= available:
            raise ValueError(
                f"freeze must be None, 'all', or a number of stages from 0 to {available} "
                f"({self.name} has {available} stages), got {stages!r}."
            )
        return count


def _build_alexnet(name: str) -> Backbone:
    model = torchvision.models.alexnet()
    features, classifier = model.features, model.classifier
    stages = [
        features[0:3],
        features[3:6],
        features[6:8],
        features[8:10],
        features[10:13],
        nn.Sequential(model.avgpool, nn.Flatten(1), *classifier[0:3]),
        classifier[3:6],
    ]
    return Backbone(name, model, stages, last_layer="classifier.6", minimum_size=63)


def _build_convnext(name: str, model: ConvNeXt) -> Backbone:
    stem, first, *rest = model.features
    norm, flatten, _ = model.classifier
    # What remains alternates between a downsampling layer and the blocks that follow it.
    later = [
        nn.Sequential(down, *blocks) for down, blocks in zip(rest[::2], rest[1::2], strict=True)
    ]
    later[-1].extend([model.avgpool, norm, flatten])
    return Backbone(name, model, [stem, first, *later], last_layer="classifier.2", minimum_size=32)


def _femto(*, stochastic_depth_prob: float) -> ConvNeXt:
    widths_and_depths = [
        CNBlockConfig(24, 48, 2),
        CNBlockConfig(48, 96, 2),
        CNBlockConfig(96, 192, 4),
        CNBlockConfig(192, None, 2),
    ]
    # Scaling every block by 1e-6 at first steadies networks of many blocks; ten blocks without
    # pretrained weights only learn later for it.
    return ConvNeXt(widths_and_depths, stochastic_depth_prob=stochastic_depth_prob, layer_scale=1.0)


@dataclass(frozen=True)
class _ConvNeXtVariant:
    build: Callable[..., ConvNeXt]
    stochastic_depth_prob: float


# The probabilities are torchvision's defaults, which follow the ConvNeXt paper.
_CONVNEXTS = {
    "convnext_femto": _ConvNeXtVariant(_femto, 0.0),
    "convnext_tiny": _ConvNeXtVariant(torchvision.models.convnext_tiny, 0.1),
    "convnext_small": _ConvNeXtVariant(torchvision.models.convnext_small, 0.4),
    "convnext_base": _ConvNeXtVariant(torchvision.models.convnext_base, 0.5),
    "convnext_large": _ConvNeXtVariant(torchvision.models.convnext_large, 0.5),
}

BACKBONES = ("alexnet", *_CONVNEXTS)
"""Names that :func:`build_backbone` knows."""


def build_backbone(
    name: str, *, weights: Any = None, stochastic_depth_prob: float | None = None
) -> Backbone:
    """Build a network without its last linear layer.

    Parameters
    ----------
    name : str
        ``"alexnet"`` (7 stages: five convolution blocks, two fully connected ones; embedding of
        4096; images of at least 63 × 63) or ``"convnext_tiny"``, ``"convnext_small"``,
        ``"convnext_base"``, ``"convnext_large"`` (5 stages: the stem and four groups of blocks,
        the last with pooling and normalisation; embedding of 768, 768, 1024, 1536; images of at
        least 32 × 32), all as torchvision defines them; or ``"convnext_femto"``, a small ConvNeXt
        of this package (embedding of 192) for work without a GPU, which has no published weights.
    weights : str or path-like, optional
        See :func:`load_backbone_weights`; None starts from random values.
    stochastic_depth_prob : float, optional
        Of ConvNeXt, the probability in [0, 1) with which the last block is skipped for a sample
        in training; earlier blocks are skipped less.  None is the architecture's own.

    Returns
    -------
    Backbone
        In training mode, with nothing frozen.

    Raises
    ------
    ValueError
        The name is unknown, or ``stochastic_depth_prob`` is out of range or given to AlexNet.
    WeightsError
        The weights cannot be had, or do not fit tensor by tensor.

    References
    ----------
    Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
    arXiv:1404.5997; Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545.
    """
    if name == "alexnet":
        if stochastic_depth_prob is not None:
            raise ValueError("alexnet has no stochastic depth; leave stochastic_depth_prob None.")
        backbone = _build_alexnet(name)
    elif name in _CONVNEXTS:
        variant = _CONVNEXTS[name]
        if stochastic_depth_prob is None:
            stochastic_depth_prob = variant.stochastic_depth_prob
        if not 0 <= stochastic_depth_prob < 1:
            raise ValueError(
                f"stochastic_depth_prob must be in [0, 1), got {stochastic_depth_prob!r}."
            )
        model = variant.build(stochastic_depth_prob=stochastic_depth_prob)
        backbone = _build_convnext(name, model)
    else:
        raise ValueError(f"Unknown backbone {name!r}; known are {', '.join(BACKBONES)}.")
    load_backbone_weights(name, backbone, weights)
    return backbone
