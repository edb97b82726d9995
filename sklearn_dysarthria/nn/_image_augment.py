"""Flips, rotation and colour jitter of spectrogram images, drawn anew for every sample."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from sklearn_dysarthria.nn._augment import Augmentation, check_image_batch

_ADJUSTMENTS = (v2.adjust_brightness, v2.adjust_contrast, v2.adjust_saturation)


class _Draw(NamedTuple):
    """What happens to one sample."""

    horizontal_flip: bool
    vertical_flip: bool
    angle: float
    factors: list[float]
    order: list[int]


class ImageAugment(Augmentation):
    """Flip, rotate and jitter images through torchvision, in training mode only.

    Random numbers come from torch's global CPU generator, on whichever device the images lie,
    and every sample has its own.  The input is never changed in place.

    Parameters
    ----------
    horizontal_flip, vertical_flip : float, default=0.0
        Probability with which time, or frequency, runs backwards.
    rotation : float, default=0.0
        Largest angle in degrees, between 0 and 180; the angle is uniform between it and its
        negative.  Corners that turn out empty take the mean of their sample and channel.
    color_jitter : float, default=0.0
        Strength s in [0, 1]: brightness, contrast and saturation are multiplied, in random order,
        by factors uniform in [1 - s, 1 + s].

    Raises
    ------
    ValueError
        A parameter is out of range.

    Notes
    -----
    torchvision's jitter is defined on values from 0 to 1, and cuts off what it moves beyond.
    Each channel of each image is therefore brought there by its own minimum and maximum, and
    back afterwards.  The order of the steps (flips, rotation, jitter) is inferred.
    """

    def __init__(
        self,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
        rotation: float = 0.0,
        color_jitter: float = 0.0,
    ) -> None:
        super().__init__()
        limits = {
            "horizontal_flip": (horizontal_flip, 1),
            "vertical_flip": (vertical_flip, 1),
            "rotation": (rotation, 180),
            "color_jitter": (color_jitter, 1),
        }
        for name, (value, limit) in limits.items():
            if not 0 <= value <= limit:
                raise ValueError(f"{name} must be between 0 and {limit}, got {value!r}.")
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rotation = rotation
        self.color_jitter = color_jitter

    def forward(self, images: Tensor) -> Tensor:
        """Augment a batch, each sample by a draw of its own.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Height is mel frequency, width is time.

        Returns
        -------
        torch.Tensor of shape (n_samples, 3, height, width)
            An augmented copy in training mode; ``images`` itself in evaluation mode.

        Raises
        ------
        ValueError
            ``images`` does not have four dimensions.
        """
        check_image_batch(images)
        if not self.training:
            return images
        return torch.cat([self._transform(image[None], self._draw()) for image in images])

    def same_for_all(self, images: Tensor) -> Tensor:
        """Augment all samples alike, by one draw, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Height is mel frequency, width is time.

        Returns
        -------
        torch.Tensor of shape (n_samples, 3, height, width)
            An augmented copy.
        """
        check_image_batch(images)
        return self._transform(images.clone(), self._draw())

    def extra_repr(self) -> str:
        """Describe the augmentation in one line."""
        return (
            f"horizontal_flip={self.horizontal_flip}, vertical_flip={self.vertical_flip}, "
            f"rotation={self.rotation}, color_jitter={self.color_jitter}"
        )

    def _draw(self) -> _Draw:
        # All of it each time: switching one augmentation on changes no draw of another.
        flips, (angle, *factors) = torch.rand(2).tolist(), torch.rand(4).tolist()
        return _Draw(
            horizontal_flip=flips[0] < self.horizontal_flip,
            vertical_flip=flips[1] < self.vertical_flip,
            angle=self.rotation * (2 * angle - 1),
            factors=[1 + self.color_jitter * (2 * factor - 1) for factor in factors],
            order=torch.randperm(len(_ADJUSTMENTS)).tolist(),
        )

    def _transform(self, images: Tensor, draw: _Draw) -> Tensor:
        if draw.horizontal_flip:
            images = v2.horizontal_flip(images)
        if draw.vertical_flip:
            images = v2.vertical_flip(images)
        if draw.angle:
            # Around the mean, so that 0, which fills the corners, is the mean.
            mean = images.mean(dim=(2, 3), keepdim=True)
            bilinear = InterpolationMode.BILINEAR
            images = v2.rotate(images - mean, draw.angle, interpolation=bilinear) + mean
        if self.color_jitter:
            images = _jitter(images, draw)
        return images


def _jitter(images: Tensor, draw: _Draw) -> Tensor:
    low = images.amin(dim=(2, 3), keepdim=True)
    scale = images.amax(dim=(2, 3), keepdim=True) - low
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # a channel of one value
    images = (images - low) / scale
    for number in draw.order:
        images = _ADJUSTMENTS[number](images, draw.factors[number])
    return images * scale + low


class AugmentChain(Augmentation):
    """Augmentations one after the other.

    Parameters
    ----------
    *augmentations : Augmentation
        In the order in which they are applied.
    """

    def __init__(self, *augmentations: Augmentation) -> None:
        super().__init__()
        self.augmentations = nn.ModuleList(augmentations)

    def forward(self, images: Tensor) -> Tensor:
        """Augment a batch, in training mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Images.

        Returns
        -------
        torch.Tensor of shape (n_samples, 3, height, width)
            An augmented copy in training mode; ``images`` itself in evaluation mode.
        """
        for augmentation in self.augmentations:
            images = augmentation(images)
        return images

    def same_for_all(self, images: Tensor) -> Tensor:
        """Augment all samples alike, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Images.

        Returns
        -------
        torch.Tensor of shape (n_samples, 3, height, width)
            An augmented copy.
        """
        for augmentation in self.augmentations:
            images = cast(Augmentation, augmentation).same_for_all(images)
        return images
