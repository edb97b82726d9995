"""Augmentations of a batch of spectrogram images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

_MOST_DRAWS = 10_000

Draw = TypeVar("Draw")


class Augmentation(nn.Module):
    """Base of what changes training images, and views of images at prediction."""

    @abstractmethod
    def same_for_all(self, images: Tensor, *, must_change: bool = True) -> Tensor:
        """Augment all samples alike, by one draw, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, n_channels, height, width)
            Images.
        must_change : bool, default=True
            Whether to draw again if a draw leaves images of this size as they are.  Only the
            size counts and never what an image shows: that would make the draw, and so the
            prediction for one sample, depend on the others.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_channels, height, width)
            An augmented copy.
        """


def draw_a_change(
    augmentation: Augmentation, draw: Callable[[], Draw], changes: Callable[[Draw], bool]
) -> Draw:
    """Draw until a draw changes images.

    ValueError, naming the augmentation, if none of many draws does: it is too weak for views of
    such images.
    """
    for _ in range(_MOST_DRAWS):
        drawn = draw()
        if changes(drawn):
            return drawn
    raise ValueError(
        f"{augmentation} left images of this size unchanged in {_MOST_DRAWS} draws, so that there "
        "are no augmented views of them: make it stronger, or set n_views=1."
    )


class SpecAugment(Augmentation):
    """Blank random bands of mel channels and stretches of time, in training mode only.

    Each sample is masked with ``probability``; its channels (log-mel, Δ, ΔΔ) share the masks,
    since they show the same sound.  A masked pixel takes the mean of its sample and channel,
    which is neutral whichever way the images are normalised: on a decibel image a steady energy of
    middle level, not silence.  Random numbers come from torch's
    global CPU generator, on whichever device the images lie.  The input is never changed in place.

    Parameters
    ----------
    probability : float, default=0.7
        That a sample is masked at all.
    max_time_fraction, max_frequency_fraction : float, default=0.125
        Widest mask as a share of the image's width (time) and height (mel channels); a width is
        drawn uniformly from 0 to this.
    n_time_masks, n_frequency_masks : int, default=2
        Masks of either kind per masked sample; they may overlap.

    Raises
    ------
    ValueError
        A share is outside [0, 1], or a number of masks is negative.

    Notes
    -----
    Two masks of each kind are the paper's "LD" policy.  Its masks are wider, up to a third of its
    80 mel channels.  Narrower ones, with widths that are shares of the image, are inferred:
    sustained vowels and syllable repetitions are short.  ``probability`` is that of the ConvNeXt
    entry to the SAND challenge.

    A mask is drawn as torchaudio's ``mask_along_axis_iid`` draws it, from the same random
    numbers: a width w, and a start between 0 and the length - w, both uniform and then
    rounded down.

    References
    ----------
    Park et al., "SpecAugment", arXiv:1904.08779, section 2 and table 1.
    """

    def __init__(
        self,
        probability: float = 0.7,
        max_time_fraction: float = 0.125,
        max_frequency_fraction: float = 0.125,
        n_time_masks: int = 2,
        n_frequency_masks: int = 2,
    ) -> None:
        super().__init__()
        shares = {
            "probability": probability,
            "max_time_fraction": max_time_fraction,
            "max_frequency_fraction": max_frequency_fraction,
        }
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {share!r}.")
        for name, count in {
            "n_time_masks": n_time_masks,
            "n_frequency_masks": n_frequency_masks,
        }.items():
            if count < 0:
                raise ValueError(f"{name} must not be negative, got {count!r}.")
        self.probability = probability
        self.max_time_fraction = max_time_fraction
        self.max_frequency_fraction = max_frequency_fraction
        self.n_time_masks = n_time_masks
        self.n_frequency_masks = n_frequency_masks

    def forward(self, images: Tensor) -> Tensor:
        """Mask a batch.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, n_channels, height, width)
            Height is mel frequency, width is time.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_channels, height, width)
            A masked copy in training mode; ``images`` itself in evaluation mode.

        Raises
        ------
        ValueError
            ``images`` does not have four dimensions.
        """
        check_image_batch(images)
        if not self.training:
            return images
        chosen, kept = self._draw(len(images), *images.shape[2:])
        return _fill(images, kept | ~chosen)

    def same_for_all(self, images: Tensor, *, must_change: bool = True) -> Tensor:
        """Mask all samples in the same places, those of one draw, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, n_channels, height, width)
            Height is mel frequency, width is time.
        must_change : bool, default=True
            Mask even if the probability says not to, and draw again if all masks have width 0.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_channels, height, width)
            A masked copy.

        Raises
        ------
        ValueError
            ``images`` does not have four dimensions, or no mask is as wide as a pixel.
        """
        check_image_batch(images)
        height, width = images.shape[2:]
        chosen, kept = self._draw(1, height, width)
        if must_change and kept.all():
            _, kept = draw_a_change(
                self, lambda: self._draw(1, height, width), lambda drawn: not drawn[1].all()
            )
        return _fill(images, kept if must_change else kept | ~chosen)

    def _draw(self, n_draws: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Draw which samples are masked, and which pixels survive that in each."""
        chosen = torch.rand(n_draws) < self.probability
        kept_rows = _keep(n_draws, height, self.max_frequency_fraction, self.n_frequency_masks)
        kept_columns = _keep(n_draws, width, self.max_time_fraction, self.n_time_masks)
        kept = kept_rows[:, None, :, None] & kept_columns[:, None, None, :]
        return chosen[:, None, None, None], kept

    def extra_repr(self) -> str:
        """Describe the augmentation in one line."""
        return (
            f"probability={self.probability}, max_time_fraction={self.max_time_fraction}, "
            f"max_frequency_fraction={self.max_frequency_fraction}, "
            f"n_time_masks={self.n_time_masks}, n_frequency_masks={self.n_frequency_masks}"
        )


def check_image_batch(images: Tensor) -> None:
    """Raise ValueError if this is no batch of images."""
    if images.ndim != 4:
        raise ValueError(
            "images must have shape (n_samples, n_channels, height, width), "
            f"got {tuple(images.shape)}."
        )


def _fill(images: Tensor, kept: Tensor) -> Tensor:
    """Return a copy with the channel's mean wherever pixels are not kept."""
    return torch.where(kept.to(images.device), images, images.mean(dim=(2, 3), keepdim=True))


def _keep(n_draws: int, length: int, max_fraction: float, n_masks: int) -> Tensor:
    """Draw which of ``length`` rows or columns survive; bool of shape (n_draws, length)."""
    bound = int(max_fraction * length) + 1  # rounded down, a width is the widest one at most
    positions = torch.arange(length)
    kept = torch.ones(n_draws, length, dtype=torch.bool)
    for _ in range(n_masks):
        widths = torch.rand(n_draws) * bound
        starts = (torch.rand(n_draws) * (length - widths)).long()
        ends = starts + widths.long()
        kept &= (positions < starts[:, None]) | (positions >= ends[:, None])
    return kept
