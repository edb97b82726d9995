"""Flips, rotation, colour jitter and shifts of images, drawn anew for every sample."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from sklearn_dysarthria.nn._augment import Augmentation, check_image_batch, draw_a_change

_ADJUSTMENTS = (v2.adjust_brightness, v2.adjust_contrast, v2.adjust_saturation)


class _Draw(NamedTuple):
    """What happens to one sample."""

    horizontal_flip: bool
    vertical_flip: bool
    angle: float
    factors: list[float]
    order: list[int]
    shift: tuple[float, float] = (0.0, 0.0)

    def pixels(self, height: int, width: int) -> tuple[int, int]:
        """Return the shift in whole rows and columns of an image of this size."""
        return round(self.shift[0] * height), round(self.shift[1] * width)

    def changes(self, height: int, width: int) -> bool:
        """Check whether any image of this size is changed."""
        moved = self.horizontal_flip or self.vertical_flip or self.angle != 0
        jittered = any(factor != 1 for factor in self.factors)
        return moved or jittered or any(self.pixels(height, width))


class ImageAugment(Augmentation):
    """Flip, rotate, jitter and shift images through torchvision, in training mode only.

    Random numbers come from torch's global CPU generator, on whichever device the images lie,
    and every sample has its own.  The input is never changed in place.

    Parameters
    ----------
    horizontal_flip, vertical_flip : float, default=0.0
        Probability with which time, or frequency, runs backwards.
    rotation : float, default=0.0
        Largest angle in degrees, between 0 and 180; the angle is uniform between it and its
        negative.  Corners that turn out empty take the mean of their sample and channel.
    color_jitter : float or sequence of three floats, default=0.0
        Strength s in [0, 1], of all three or of each: brightness, contrast and saturation are
        multiplied, in random order, by factors uniform in [1 - s, 1 + s].
    translation : float, default=0.0
        Largest shift as a share, between 0 and 1, of height and of width; both shifts are uniform
        between it and its negative, and rounded to whole pixels.  The margin that turns out empty
        takes the mean of its sample and channel.

    Raises
    ------
    ValueError
        A parameter is out of range.

    Notes
    -----
    torchvision's jitter is defined on values from 0 to 1, and cuts off what it moves beyond.
    Each channel of each image is therefore brought there by its own minimum and maximum, and
    back afterwards.  A strength of 0 leaves its step out.  The order of the steps (flips, rotation,
    jitter, shift) is inferred.
    """

    def __init__(
        self,
        horizontal_flip: float = 0.0,
        vertical_flip: float = 0.0,
        rotation: float = 0.0,
        color_jitter: float | Sequence[float] = 0.0,
        translation: float = 0.0,
    ) -> None:
        super().__init__()
        self._strengths = jitter_strengths(color_jitter)
        limits = {
            "horizontal_flip": (horizontal_flip, 1),
            "vertical_flip": (vertical_flip, 1),
            "rotation": (rotation, 180),
            "translation": (translation, 1),
        }
        for name, (value, limit) in limits.items():
            if not 0 <= value <= limit:
                raise ValueError(f"{name} must be between 0 and {limit}, got {value!r}.")
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rotation = rotation
        self.color_jitter = color_jitter
        self.translation = translation

    @property
    def is_off(self) -> bool:
        """Whether images never change."""
        parts = (self.horizontal_flip, self.vertical_flip, self.rotation, self.translation)
        return not any((*parts, *self._strengths))

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

    def same_for_all(self, images: Tensor, *, must_change: bool = True) -> Tensor:
        """Augment all samples alike, by one draw, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Height is mel frequency, width is time.
        must_change : bool, default=True
            Draw again until the draw changes images of this size.

        Returns
        -------
        torch.Tensor of shape (n_samples, 3, height, width)
            An augmented copy.

        Raises
        ------
        ValueError
            ``images`` does not have four dimensions, or no draw changes them.
        """
        check_image_batch(images)
        height, width = images.shape[2:]
        draw = self._draw()
        if must_change and not draw.changes(height, width):
            draw = draw_a_change(self, self._draw, lambda other: other.changes(height, width))
        return self._transform(images.clone(), draw)

    def extra_repr(self) -> str:
        """Describe the augmentation in one line."""
        return (
            f"horizontal_flip={self.horizontal_flip}, vertical_flip={self.vertical_flip}, "
            f"rotation={self.rotation}, color_jitter={self.color_jitter}, "
            f"translation={self.translation}"
        )

    def _draw(self) -> _Draw:
        # All of it each time: switching one augmentation on changes no draw of another.
        flips, (angle, *factors) = torch.rand(2).tolist(), torch.rand(4).tolist()
        order, (down, right) = torch.randperm(len(_ADJUSTMENTS)).tolist(), torch.rand(2).tolist()
        return _Draw(
            horizontal_flip=flips[0] < self.horizontal_flip,
            vertical_flip=flips[1] < self.vertical_flip,
            angle=self.rotation * (2 * angle - 1),
            factors=[
                1 + strength * (2 * factor - 1)
                for strength, factor in zip(self._strengths, factors, strict=True)
            ],
            order=order,
            shift=(self.translation * (2 * down - 1), self.translation * (2 * right - 1)),
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
        if any(self._strengths):
            images = _jitter(images, draw, self._strengths)
        rows, columns = draw.pixels(*images.shape[2:])
        if rows or columns:
            mean = images.mean(dim=(2, 3), keepdim=True)
            shift = [float(columns), float(rows)]
            moved = v2.affine(images - mean, angle=0, translate=shift, scale=1, shear=[0, 0])
            images = moved + mean
        return images


def jitter_strengths(color_jitter: float | Sequence[float]) -> tuple[float, float, float]:
    """Return the strengths of brightness, contrast and saturation; ValueError if out of range."""
    given: Any = color_jitter
    given = (given,) * 3 if isinstance(given, Real) else tuple(given)
    if len(given) != 3 or any(not isinstance(s, Real) or not _is_share(s) for s in given):
        raise ValueError(
            "color_jitter must be between 0 and 1, or three such numbers (brightness, contrast, "
            f"saturation), got {color_jitter!r}."
        )
    return given


def _is_share(value: Any) -> bool:
    return 0 <= value <= 1


def _jitter(images: Tensor, draw: _Draw, strengths: Sequence[float]) -> Tensor:
    low = images.amin(dim=(2, 3), keepdim=True)
    scale = images.amax(dim=(2, 3), keepdim=True) - low
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # a channel of one value
    images = (images - low) / scale
    for number in draw.order:
        if strengths[number]:
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

    def same_for_all(self, images: Tensor, *, must_change: bool = True) -> Tensor:
        """Augment all samples alike, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, 3, height, width)
            Images.
        must_change : bool, default=True
            The last augmentation must change them; those before it act by chance.

        Returns
        -------
        torch.Tensor of shape (n_samples, 3, height, width)
            An augmented copy.
        """
        last = len(self.augmentations) - 1
        for number, augmentation in enumerate(self.augmentations):
            images = cast(Augmentation, augmentation).same_for_all(
                images, must_change=must_change and number == last
            )
        return images
