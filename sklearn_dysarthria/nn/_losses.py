"""Losses for imbalanced classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

REDUCTIONS = ("mean", "sum", "none")


def class_weight_tensor(weight: Any) -> Tensor | None:
    """Return weights of classes as a floating-point copy of shape (n_classes,).

    ValueError for another shape, and for a weight that is negative or no number.
    """
    if weight is None:
        return None
    weight = torch.as_tensor(weight).detach().clone()
    weight = weight if weight.is_floating_point() else weight.to(torch.get_default_dtype())
    if weight.ndim != 1 or not torch.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("weight must be one finite, non-negative number per class.")
    return weight


class FocalLoss(nn.Module):
    """Cross entropy that pays less attention to samples it already gets right.

    A sample of class y costs ``-weight[y] · (1 - p_y)**gamma · log(p_y)`` where p is the softmax
    of the logits, untouched by the weights.  With label smoothing it costs
    ``-weight[y] · Σ_k q_k · (1 - p_k)**gamma · log(p_k)``, where q is 1 - ``label_smoothing`` for
    class y plus ``label_smoothing`` shared out evenly over all classes.

    Parameters
    ----------
    gamma : float, default=2.0
        How fast the attention falls; 0 is the (weighted) cross entropy.
    weight : array-like of shape (n_classes,), optional
        Non-negative weight of each class.
    reduction : {"mean", "sum", "none"}, default="mean"
        ``"mean"`` divides by the summed weights of the batch's classes, not by the number of
        samples, as :class:`torch.nn.CrossEntropyLoss` does: with ``gamma=0`` both are equal.
    label_smoothing : float, default=0.0
        Probability, in [0, 1], that is taken from the sample's class and given to all.

    Attributes
    ----------
    weight : torch.Tensor of shape (n_classes,) or None
        A buffer, so that it follows the module to another device.

    Notes
    -----
    The weight of a sample is always that of its own class.  :class:`torch.nn.CrossEntropyLoss`
    differs where weights meet smoothing: there each term of the sum has its own class's weight.
    How smoothing enters the focal loss is inferred: each term gets its own modulating factor.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002, equation 5.
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
    arXiv:1512.00567, section 7 (label smoothing).
    """

    weight: Tensor | None

    def __init__(
        self,
        gamma: float = 2.0,
        weight: Any = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if not gamma >= 0:
            raise ValueError(f"gamma must be non-negative, got {gamma!r}.")
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}.")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing!r}.")
        self.gamma = gamma
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", class_weight_tensor(weight))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_samples, n_classes)
            At least two classes.
        target : torch.Tensor of shape (n_samples,), dtype int64
            Class numbers.

        Returns
        -------
        torch.Tensor of shape () or (n_samples,)
            One number, or one per sample with ``reduction="none"``.

        Raises
        ------
        ValueError
            The shapes do not fit.
        """
        self._check_shapes(logits, target)
        log_p = F.log_softmax(logits, dim=1)
        losses = (1 - self.label_smoothing) * self._terms(log_p, target[:, None])[:, 0]
        if self.label_smoothing:
            every_class = torch.arange(logits.shape[1], device=logits.device)
            terms = self._terms(log_p, every_class.expand(len(logits), -1))
            losses = losses + self.label_smoothing * terms.mean(dim=1)
        if self.weight is None:
            weights = torch.ones_like(losses)
        else:
            weights = self.weight.to(losses.dtype)[target]
        losses = weights * losses
        if self.reduction == "none":
            return losses
        if self.reduction == "sum":
            return losses.sum()
        return losses.sum() / weights.sum()

    def _terms(self, log_p: Tensor, classes: Tensor) -> Tensor:
        """Return ``-(1 - p_k)**gamma · log(p_k)`` for the classes of shape (n_samples, n)."""
        # log(1 - p_k) is summed over the other classes.  Subtracting p_k from 1 would lose all
        # digits for a confident sample, and its power would have an infinite gradient there.
        left_out = F.one_hot(classes, log_p.shape[1]).bool()
        others = log_p[:, None, :].masked_fill(left_out, -torch.inf)
        return -torch.exp(self.gamma * others.logsumexp(dim=2)) * log_p.gather(1, classes)

    def extra_repr(self) -> str:
        """Describe the loss in one line."""
        return (
            f"gamma={self.gamma}, reduction={self.reduction!r}, "
            f"label_smoothing={self.label_smoothing}"
        )

    def _check_shapes(self, logits: Tensor, target: Tensor) -> None:
        if logits.ndim != 2 or logits.shape[1] < 2:
            raise ValueError(
                f"logits must have shape (n_samples, n_classes) with at least two classes, "
                f"got {tuple(logits.shape)}."
            )
        if target.shape != logits.shape[:1]:
            raise ValueError(
                f"target must have shape {tuple(logits.shape[:1])}, got {tuple(target.shape)}."
            )
        if self.weight is not None and len(self.weight) != logits.shape[1]:
            raise ValueError(f"weight has {len(self.weight)} classes, logits {logits.shape[1]}.")
