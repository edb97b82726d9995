"""What every backbone has: stages that can be frozen, and its tensors' published names."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class TensorSpec(NamedTuple):
    """What a published tensor must look like."""

    shape: tuple[int, ...]
    is_floating_point: bool


class Published(NamedTuple):
    """Names of a whole network's tensors, as its publisher's state dict has them."""

    tensors: Mapping[str, Tensor]
    """Those before the last layer."""
    optional: frozenset[str]
    """Those of the last layer and of auxiliary heads."""

    @classmethod
    def of(cls, model: nn.Module, *cut_off: str) -> Published:
        """Split a network's state dict at the modules that are cut off."""
        tensors: dict[str, Tensor] = model.state_dict(keep_vars=True)
        prefixes = tuple(f"{module}." for module in cut_off)
        optional = frozenset(name for name in tensors if name.startswith(prefixes))
        kept = {name: tensor for name, tensor in tensors.items() if name not in optional}
        return cls(kept, optional)


class Backbone(nn.Module):
    """A classification network without its last layer; made by :func:`build_backbone`.

    Attributes
    ----------
    name : str
        Name given to :func:`build_backbone`.
    stages : sequence of torch.nn.Module
        Parts of the network that hold parameters, in order; :meth:`freeze` counts them.
    stage_names : tuple of str
        What each stage is called in the network.
    out_features : int
        Size of the embedding.
    minimum_size : int
        Smallest height and width of an image in pixels.
    image_size : tuple of int or None
        The only height and width of images that the network takes; None if it takes any.
    torchvision_names : dict of str to str
        Name of a tensor in this module's state dict to its name in that of the network as
        torchvision, or timm, publishes it.
    whole_network : dict of str to TensorSpec
        Shape of every tensor that published weights must hold, those beyond a cut by ``depth``
        included.
    optional : frozenset of str
        Tensors that published weights may hold beside these: the last layer's and those of
        auxiliary heads.
    n_frozen : int
        Number of frozen stages.
    """

    stages: Sequence[nn.Module] | nn.ModuleList

    channels_last = False  # whether maps are laid out so on a CPU; see CHANNELS_LAST in _staged.py

    def __init__(
        self,
        name: str,
        stage_names: Iterable[str],
        out_features: int,
        minimum_size: int,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.stage_names = tuple(stage_names)
        self.out_features = out_features
        self.minimum_size = minimum_size
        self.image_size = image_size
        self.torchvision_names: dict[str, str] = {}
        self.whole_network: dict[str, TensorSpec] = {}
        self.optional: frozenset[str] = frozenset()
        self.n_frozen = 0
        self._never_learn: tuple[str, ...] = ()

    def remember(self, published: Published) -> None:
        """Note the published names; called once the parts are in place.

        Parameters
        ----------
        published : Published
            The network's tensors, which this module shares.
        """
        # This module holds the very tensors of the network: identity tells which is which.
        original = {id(tensor): name for name, tensor in published.tensors.items()}
        self.torchvision_names = {
            key: original[id(tensor)] for key, tensor in self.state_dict(keep_vars=True).items()
        }
        self.whole_network = {
            name: TensorSpec(tuple(tensor.shape), tensor.is_floating_point())
            for name, tensor in published.tensors.items()
        }
        self.optional = published.optional
        self._never_learn = tuple(
            key for key, parameter in self.named_parameters() if not parameter.requires_grad
        )

    def embed(self, images: Tensor) -> Tensor:
        """Apply the network to images of a shape that fits.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Images.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            Input of the network's last layer.
        """
        raise NotImplementedError

    def forward(self, images: Tensor | None = None, frozen_output: Tensor | None = None) -> Tensor:
        """Embed a batch of images.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Height and width of at least ``minimum_size`` pixels, or of ``image_size``.
        frozen_output : torch.Tensor of shape (n_samples, ...), optional
            In place of the images: what ``apply_frozen`` made of them.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            Input of the network's last layer.

        Raises
        ------
        ValueError
            The shape does not fit, or not exactly one of the two is given.
        """
        if images is not None and frozen_output is None:
            return self.embed(self._checked_images(images))
        if frozen_output is not None and images is None:
            return self.apply_learning(frozen_output)
        raise ValueError("Give either images, or what the frozen stages make of them.")

    def apply_frozen(self, images: Tensor) -> Tensor:
        """Apply the frozen stages alone; only where ``is_separable``.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            As in :meth:`forward`.

        Returns
        -------
        torch.Tensor of shape (n_samples, ...)
            Input of the first stage that learns, or of the network's last layer.
        """
        return self.apply_frozen_to_maps(self.apply_frozen_to_images(images))

    def apply_frozen_to_images(self, images: Tensor) -> Tensor:
        """Apply the frozen stages up to the first one without convolutions.

        Their work grows with the number of images, however many are given at once.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            As in :meth:`forward`.

        Returns
        -------
        torch.Tensor of shape (n_samples, ...)
            Input of :meth:`apply_frozen_to_maps`.
        """
        return self.embed(self._checked_images(images))

    def apply_frozen_to_maps(self, maps: Tensor) -> Tensor:
        """Apply the frozen stages behind :meth:`apply_frozen_to_images`.

        These read all of their many weights for each batch, however small it is.

        Parameters
        ----------
        maps : torch.Tensor of shape (n_samples, ...)
            Output of :meth:`apply_frozen_to_images`.

        Returns
        -------
        torch.Tensor of shape (n_samples, ...)
            Output of :meth:`apply_frozen`.
        """
        return maps

    def apply_learning(self, frozen_output: Tensor) -> Tensor:
        """Apply the stages that learn; only where ``is_separable``.

        Parameters
        ----------
        frozen_output : torch.Tensor of shape (n_samples, ...)
            Output of ``apply_frozen``.

        Returns
        -------
        torch.Tensor of shape (n_samples, out_features)
            What :meth:`forward` makes of the images.
        """
        return frozen_output

    @property
    def is_wholly_frozen(self) -> bool:
        """Whether no stage learns."""
        return self.n_frozen == len(self.stages)

    @property
    def is_separable(self) -> bool:
        """Whether there are frozen stages that can be applied without the others."""
        return self.is_wholly_frozen

    def frozen_modules(self) -> Sequence[nn.Module]:
        """List the modules that ``apply_frozen`` applies; only where ``is_separable``."""
        return [self]

    def _checked_images(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"{self.name} takes images of shape (n_samples, 3, height, width), "
                f"got {tuple(images.shape)}."
            )
        height, width = images.shape[2:]
        self.check_image_size((height, width))
        return self._laid_out(images)

    def _laid_out(self, maps: Tensor) -> Tensor:
        # The convolutions then answer in the same layout, whatever that of their weights, which
        # stay contiguous: so do checkpoints.
        if self.channels_last and maps.ndim == 4 and maps.device.type == "cpu":
            return maps.contiguous(memory_format=torch.channels_last)
        return maps

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

    def freeze(self, stages: int | str | None) -> Backbone:
        """Stop the first stages from learning, and the later ones from not learning.

        A frozen stage needs no gradient and stays in evaluation mode, so that neither dropout
        nor stochastic depth disturbs it, nor a batch its normalisation, whatever mode the network
        is put into.

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
            for child in self.children():
                # Asked before every step: to look takes a tenth of the time that to set takes.
                if any(module.training for module in child.modules()):
                    child.eval()
            return self
        super().train(mode)
        for number in range(self.n_frozen):
            for module in self.modules_of_stage(number):
                module.eval()
        return self

    def modules_of_stage(self, number: int) -> Sequence[nn.Module]:
        """Find a stage, and what is applied beside it and holds no parameters.

        Parameters
        ----------
        number : int
            Position in ``stages``.

        Returns
        -------
        sequence of torch.nn.Module
            All that stays in evaluation mode while the stage is frozen.
        """
        return [self.stages[number]]

    def torchvision_state_dict(self) -> dict[str, Tensor]:
        """Name this module's tensors as torchvision, or timm, does.

        Returns
        -------
        dict of str to torch.Tensor
            The tensors themselves, not copies; without the last layer.
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
                f"({self.name} has {available} stages: {', '.join(self.stage_names)}), "
                f"got {stages!r}."
            )
        return count


def cut_out(model: nn.Module, layer: str) -> None:
    """Replace a layer by the identity.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    layer : str
        Path of the layer.
    """
    parent, _, child = layer.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
