"""What every backbone has: a network without its last layer, whose first stages can be frozen."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class TensorSpec(NamedTuple):
    """What a published tensor must look like."""

    shape: tuple[int, ...]
    is_floating_point: bool


class Published(NamedTuple):
    """The tensors of a whole network, under the names that its publisher gives them."""

    required: Mapping[str, TensorSpec]
    """Those before the last layer."""
    optional: frozenset[str]
    """Names of those of the last layer and of auxiliary heads."""

    @classmethod
    def of(cls, network: nn.Module, last_layer: str | None = None) -> Published:
        """Describe a network before any cut by ``depth``; the last layer is a path, if any."""
        specs = {
            name: TensorSpec(tuple(tensor.shape), tensor.is_floating_point())
            for name, tensor in network.state_dict().items()
        }
        prefix = f"{last_layer}."
        optional = frozenset(name for name in specs if last_layer and name.startswith(prefix))
        required = {name: spec for name, spec in specs.items() if name not in optional}
        return cls(required, optional)


class Backbone(nn.Module):
    """A classification network without its last layer; made by :func:`build_backbone`.

    Parameters
    ----------
    name : str
        Name given to :func:`build_backbone`.
    network : torch.nn.Module
        The network, its last layer already cut out.
    published : Published
        The tensors that it had while it was whole.
    stages : mapping of str to sequence of str
        Name of each stage, and the paths of its modules within the network, in order.
    out_features : int
        Size of the embedding.
    minimum_size : int
        Smallest height and width of an image in pixels.
    image_size : tuple of int, optional
        The only height and width of images that the network takes.
    channels_last : bool, default=False
        Whether images are laid out so on a CPU.

    Attributes
    ----------
    network : torch.nn.Module
        The network, called as its publisher wrote it.
    stage_names : tuple of str
        What each stage is called.
    whole_network : dict of str to TensorSpec
        Shape of every tensor that published weights must hold, those beyond a cut by ``depth``
        included.
    optional : frozenset of str
        Tensors that published weights may hold beside these: the last layer's and those of
        auxiliary heads.
    n_frozen : int
        Number of frozen stages.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        published: Published,
        stages: Mapping[str, Sequence[str]],
        out_features: int,
        minimum_size: int,
        image_size: tuple[int, int] | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.network = network
        self.stage_names = tuple(stages)
        self._paths = [tuple(paths) for paths in stages.values()]
        self.out_features = out_features
        self.minimum_size = minimum_size
        self.image_size = image_size
        self.channels_last = channels_last
        self.whole_network = dict(published.required)
        self.optional = published.optional
        self.n_frozen = 0
        self._never_learn = tuple(
            key for key, parameter in self.named_parameters() if not parameter.requires_grad
        )

    @property
    def stages(self) -> list[nn.Module]:
        """The stages, each a module of the network or a sequence of some of them."""
        return [self._stage(paths) for paths in self._paths]

    def _stage(self, paths: Sequence[str]) -> nn.Module:
        modules = [self.network.get_submodule(path) for path in paths]
        if len(modules) == 1:
            return modules[0]
        stage = nn.Sequential(*modules)
        stage.training = modules[0].training
        return stage

    def forward(self, images: Tensor) -> Tensor:
        """Embed a batch of images.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Height and width of at least ``minimum_size`` pixels, or of ``image_size``.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            Input of the network's last layer.

        Raises
        ------
        ValueError
            The shape does not fit, or the network does not turn an image into one vector.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"{self.name} takes images of shape (n_samples, 3, height, width), "
                f"got {tuple(images.shape)}."
            )
        height, width = images.shape[2:]
        self.check_image_size((height, width))
        if self.channels_last and images.device.type == "cpu":
            # Each convolution then answers in the same layout; its
            # weights stay contiguous, and so do checkpoints.
            images = images.contiguous(memory_format=torch.channels_last)
        features = self.network(images)
        if not isinstance(features, Tensor) or features.shape[1:] != (self.out_features,):
            raise ValueError(
                f"{self.name} does not turn an image into one vector of {self.out_features} "
                "features; take another backbone."
            )
        return features

    def check_image_size(self, size: tuple[int, int]) -> None:
        """Raise if the network does not take images of a size.

        Parameters
        ----------
        size : tuple of int
            Height and width in pixels.

        Raises
        ------
        ValueError
            They are too small, or not those that the network was built for.
        """
        if min(size) < self.minimum_size:
            raise ValueError(
                f"{self.name} needs images of at least {self.minimum_size} × {self.minimum_size} "
                f"pixels, got {size[0]} × {size[1]}."
            )
        if self.image_size is not None and size != self.image_size:
            raise ValueError(
                f"{self.name} was built for images of {self.image_size[0]} × {self.image_size[1]} "
                f"pixels, got {size[0]} × {size[1]}; build it with image_size={tuple(size)}."
            )

    @property
    def is_wholly_frozen(self) -> bool:
        """Whether no stage learns."""
        return self.n_frozen == len(self.stage_names)

    def freeze(self, stages: int | str | None) -> Backbone:
        """Stop the first stages from learning, and let the later ones learn.

        A frozen stage needs no gradient and stays in evaluation mode, so that neither dropout
        nor stochastic depth disturbs it, nor a batch its normalisation, even if the network is
        put into training mode.

        Parameters
        ----------
        stages : int, "all" or None
            How many of the first stages to freeze, in the order of ``stage_names``; None is 0.
            Stages beyond it learn again.

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
        # What belongs to no stage, such as position embeddings, is frozen with the first one.
        self.requires_grad_(self.n_frozen == 0)
        for number, stage in enumerate(self.stages):
            stage.requires_grad_(number >= self.n_frozen)
        for key in self._never_learn:  # such as position embeddings made of sines
            self.get_parameter(key).requires_grad_(False)
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
        if self.is_wholly_frozen:  # and with it what lies between the stages
            self.training = mode
            # Called before every step: to look takes a tenth of the time that to set takes.
            if any(module.training for module in self.network.modules()):
                self.network.eval()
            return self
        super().train(mode)
        for paths in self._paths[: self.n_frozen]:
            for path in paths:
                self.network.get_submodule(path).eval()
        return self

    def torchvision_state_dict(self) -> dict[str, Tensor]:
        """Name this module's tensors as torchvision, or timm, does.

        Returns
        -------
        dict of str to torch.Tensor
            The tensors themselves, not copies; without the last layer.
        """
        return self.network.state_dict()

    def _count(self, stages: int | str | None) -> int:
        available = len(self.stage_names)
        if stages is None:
            return 0
        if stages == "all":
            return available
        if not is_count(stages, 0, available):
            raise ValueError(
                f"freeze must be None, 'all', or a number of stages from 0 to {available} "
                f"({self.name} has {available} stages: {', '.join(self.stage_names)}), "
                f"got {stages!r}."
            )
        return operator.index(stages)  # type: ignore[arg-type]


def is_count(value: Any, low: int, high: int) -> bool:
    """Check whether a value is an integer, and no bool, from one number to another."""
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= int(value) <= high


# Modules in which torchvision's and timm's networks keep their blocks: what is inside is counted.
_CONTAINERS = frozenset({"features", "encoder", "layers", "blocks", "stages", "trunk_output"})


def blocks_as_stages(network: nn.Module) -> dict[str, list[str]]:
    """List the blocks of a network, each with the parameterless modules that follow it.

    The network's last layer is already cut out.  The values are the paths of all modules that stay
    in evaluation mode while the block is frozen.
    """
    groups: dict[str, list[str]] = {}
    before_the_first: list[str] = []
    for path, module in _blocks(network):
        if next(module.parameters(), None) is not None:
            groups[path] = [*before_the_first, path]
            before_the_first = []
        elif groups:
            groups[next(reversed(groups))].append(path)
        else:
            before_the_first.append(path)
    return groups


def _blocks(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if name in _CONTAINERS and next(child.children(), None) is not None:
            yield from _blocks(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child
