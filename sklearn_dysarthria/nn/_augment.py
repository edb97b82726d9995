"""Augmentations of a batch of spectrogram images."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from sklearn_dysarthria._utils.torch_stack import require_torchaudio


class Augmentation(nn.Module):
    """Base of what changes training images, and views of images at prediction."""

    @abstractmethod
    def same_for_all(self, images: Tensor) -> Tensor:
        """Augment all samples alike, by one draw, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, n_channels, height, width)
            Images.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_channels, height, width)
            An augmented copy.
        """


class SpecAugment(Augmentation):
    """Blank random bands of mel channels and stretches of time, in training mode only.

    Each sample is masked with ``probability``; its channels (log-mel, Δ, ΔΔ) share the masks,
    since they show the same sound.  A masked pixel takes the mean of its sample and channel,
    which is neutral whichever way the images are normalised.  Random numbers come from torch's
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
    TorchStackError
        torchaudio, which draws the masks, does not fit the installed torch.

    Notes
    -----
    Two masks of each kind are the paper's "LD" policy.  Its masks are wider, up to a third of its
    80 mel channels.  Narrower ones, with widths that are shares of the image, are inferred:
    sustained vowels and syllable repetitions are short.  ``probability`` is that of the ConvNeXt
    entry to the SAND challenge.

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
        require_torchaudio()
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
        return self._mask(images, len(images)) if self.training else images

    def same_for_all(self, images: Tensor) -> Tensor:
        """Mask all samples in the same places, those of one draw, in whichever mode.

        Parameters
        ----------
        images : torch.Tensor of shape (n_samples, n_channels, height, width)
            Height is mel frequency, width is time.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_channels, height, width)
            A masked copy.
        """
        check_image_batch(images)
        return self._mask(images, 1)

    def _mask(self, images: Tensor, n_draws: int) -> Tensor:
        height, width = images.shape[2:]
        chosen = torch.rand(n_draws) < self.probability
        kept_rows = _keep(n_draws, height, self.max_frequency_fraction, self.n_frequency_masks)
        kept_columns = _keep(n_draws, width, self.max_time_fraction, self.n_time_masks)
        kept = kept_rows[:, None, :, None] & kept_columns[:, None, None, :]
        kept = (kept | ~chosen[:, None, None, None]).to(images.device)
        return torch.where(kept, images, images.mean(dim=(2, 3), keepdim=True))

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


def _keep(n_draws: int, length: int, max_fraction: float, n_masks: int) -> Tensor:
    """Draw which of ``length`` rows or columns survive; bool of shape (n_draws, length)."""
    from torchaudio.functional import mask_along_axis_iid

    # torchaudio draws widths below its parameter; one more makes the widest mask possible.
    bound = int(max_fraction * length) + 1
    kept = torch.ones(n_draws, 1, length)
    for _ in range(n_masks):
        kept = mask_along_axis_iid(kept, mask_param=bound, mask_value=0.0, axis=2)
    return kept[:, 0] > 0
