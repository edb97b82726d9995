"""Mixup and CutMix: training samples that are made of two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class MixedTarget(NamedTuple):
    """Labels of samples that are made of two.

    The loss of such a sample is ``share · L(first) + (1 - share) · L(second)``, for any loss L.

    Attributes
    ----------
    first, second : torch.Tensor of shape (n_samples,)
        Class numbers of the two.
    share : float
        How much of the samples is the first.
    """

    first: Tensor
    second: Tensor
    share: float


class BatchMixing(nn.Module):
    """Mix every sample of a training batch with its neighbour in the batch.

    Mixup adds the two with weights λ and 1 - λ.  CutMix pastes a rectangle of the second image
    into the first; λ is then the share of the image that is left, counted in pixels, and what is
    not an image (a context vector) is added up with it.  λ is drawn from Beta(α, α), once per
    batch.  Random numbers come from torch's global CPU generator, on whichever device the batch
    lies.

    Parameters
    ----------
    mixup, cutmix : float, default=0.0
        α of either; 0 is off.  If both are on, each batch draws one of them.

    Raises
    ------
    ValueError
        An α is negative or infinite.

    Notes
    -----
    The neighbour is the next in the batch; batches are shuffled already.  CutMix takes a
    rectangle with the image's proportions around a uniformly drawn pixel and cuts off what lies
    outside the image, as its authors do.

    References
    ----------
    H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv:1710.09412.
    S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features", arXiv:1905.04899.
    """

    def __init__(self, mixup: float = 0.0, cutmix: float = 0.0) -> None:
        super().__init__()
        for name, alpha in {"mixup": mixup, "cutmix": cutmix}.items():
            if not 0 <= alpha < float("inf"):
                raise ValueError(f"{name} must be a finite number of 0 or more, got {alpha!r}.")
        self.mixup = mixup
        self.cutmix = cutmix

    def forward(
        self, inputs: Mapping[str, Tensor], labels: Tensor
    ) -> tuple[dict[str, Tensor], MixedTarget]:
        """Mix a batch.

        Parameters
        ----------
        inputs : mapping of str to torch.Tensor of shape (n_samples, ...)
            ``"X"`` holds images of shape (n_samples, n_channels, height, width); all other
            inputs are mixed with the same λ.
        labels : torch.Tensor of shape (n_samples,)
            Class numbers.

        Returns
        -------
        inputs : dict of str to torch.Tensor
            The mixed batch.
        target : MixedTarget
            Its labels.
        """
        both = bool(self.mixup and self.cutmix)
        cuts = bool(self.cutmix) and not (both and torch.rand(()).item() < 0.5)
        alpha = self.cutmix if cuts else self.mixup
        if alpha:
            share = torch.distributions.Beta(alpha, alpha).sample().item()
        else:
            share = 1.0
        images = inputs["X"]
        mixed = {}
        if cuts:
            images, share = _paste(images, _next(images), share)
            mixed["X"] = images
        for name, values in inputs.items():
            if name not in mixed:
                mixed[name] = share * values + (1 - share) * _next(values)
        return mixed, MixedTarget(labels, _next(labels), share)

    def extra_repr(self) -> str:
        """Describe the mixing in one line."""
        return f"mixup={self.mixup}, cutmix={self.cutmix}"


def _next(values: Tensor) -> Tensor:
    return values.roll(1, dims=0)


def _paste(images: Tensor, others: Tensor, share: float) -> tuple[Tensor, float]:
    """Put a rectangle of the others into the images; also return the share that is left."""
    height, width = images.shape[-2:]
    rows = _interval(height, (1 - share) ** 0.5)
    columns = _interval(width, (1 - share) ** 0.5)
    images = images.clone()
    images[..., rows, columns] = others[..., rows, columns]
    pasted = (rows.stop - rows.start) * (columns.stop - columns.start)
    return images, 1 - pasted / (height * width)


def _interval(length: int, fraction: float) -> slice:
    """Draw an interval around a random position, cut off at the ends."""
    centre = int(torch.randint(length, ()))
    half = round(fraction * length) / 2
    return slice(max(0, int(centre - half)), min(length, int(centre + half)))
