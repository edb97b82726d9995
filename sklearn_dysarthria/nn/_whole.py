"""Networks that are kept whole but for their last layer, whatever they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from sklearn_dysarthria.nn._backbone import Backbone, Published

# Modules in which torchvision's and timm's networks keep their blocks: what is inside is counted.
_CONTAINERS = frozenset({"features", "encoder", "layers", "blocks", "stages", "trunk_output"})


class WholeBackbone(Backbone):
    """A network without its last layer, called as its publisher wrote it.

    Parameters
    ----------
    name : str
        Name given to :func:`build_backbone`.
    network : torch.nn.Module
        The network, its last layer already cut out.
    published : Published
        Its tensors.
    out_features, minimum_size, image_size
        See :class:`Backbone`.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        published: Published,
        out_features: int,
        minimum_size: int,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        groups = _groups(network)
        stage_names = [first for first, *_ in groups]
        super().__init__(name, stage_names, out_features, minimum_size, image_size)
        self._groups = groups
        self.network = network
        self.remember(published)

    @property
    def stages(self) -> Sequence[nn.Module]:  # type: ignore[override]
        """Blocks that hold parameters."""
        return [self.network.get_submodule(name) for name in self.stage_names]

    def modules_of_stage(self, number: int) -> Sequence[nn.Module]:
        """Find a block, and the dropouts and poolings around it.

        Parameters
        ----------
        number : int
            Position in ``stages``.

        Returns
        -------
        sequence of torch.nn.Module
            All that stays in evaluation mode while the block is frozen.
        """
        return [self.network.get_submodule(name) for name in self._groups[number]]

    def embed(self, images: Tensor) -> Tensor:
        """Apply the network.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Images.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            Input of its last layer.

        Raises
        ------
        ValueError
            The network is not one of images to vectors.
        """
        features = self.network(images)
        if not isinstance(features, Tensor) or features.shape[1:] != (self.out_features,):
            raise ValueError(
                f"{self.name} does not turn an image into one vector of {self.out_features} "
                "features; take another backbone."
            )
        return features


def _groups(network: nn.Module) -> list[list[str]]:
    """List the blocks by name, each with the parameterless modules that follow it."""
    groups: list[list[str]] = []
    early: list[str] = []
    for name, module in _blocks(network):
        if next(module.parameters(), None) is not None:
            groups.append([name, *early])
            early = []
        elif groups:
            groups[-1].append(name)
        else:
            early.append(name)
    return groups


def _blocks(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if name in _CONTAINERS and next(child.children(), None) is not None:
            yield from _blocks(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def set_stochastic_depth(name: str, network: nn.Module, probability: float) -> None:
    """Scale the probabilities of skipping a block, so that the largest is the given one.

    Parameters
    ----------
    name : str
        Of the network, for the error.
    network : torch.nn.Module
        A network of torchvision; changed in place.
    probability : float
        In [0, 1).

    Raises
    ------
    ValueError
        The network skips no blocks.
    """
    skips = [module for module in network.modules() if isinstance(module, StochasticDepth)]
    largest = max((skip.p for skip in skips), default=0.0)
    if not largest:
        raise ValueError(f"{name} has no stochastic depth; leave it at None.")
    for skip in skips:
        skip.p *= probability / largest


def last_layer(network: nn.Module) -> tuple[str, int]:
    """Find the layer that makes a network's logits.

    Parameters
    ----------
    network : torch.nn.Module
        A classifier of torchvision.

    Returns
    -------
    name : str
        Path of the last linear layer, or of the last convolution of a network that has none
        (SqueezeNet, whose last convolution is a linear layer applied to every pixel).
    in_features : int
        Its inputs.
    """
    for kind, size in ((nn.Linear, "in_features"), (nn.Conv2d, "in_channels")):
        found = [name for name, module in network.named_modules() if isinstance(module, kind)]
        if found:
            return found[-1], getattr(network.get_submodule(found[-1]), size)
    raise ValueError(f"{type(network).__name__} has no linear layer to leave out.")
