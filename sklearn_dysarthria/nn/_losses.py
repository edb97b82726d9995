"""Losses for imbalanced classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

REDUCTIONS = ("mean", "sum", "none")


class FocalLoss(nn.Module):
    """Cross entropy that pays less attention to samples it already gets right.

    A sample of class y costs ``-weight[y] · (1 - p_y)**gamma · log(p_y)`` where p is the softmax
    of the logits, untouched by the weights.

    Parameters
    ----------
    gamma : float, default=2.0
        How fast the attention falls; 0 is the (weighted) cross entropy.
    weight : array-like of shape (n_classes,), optional
        Non-negative weight of each class.
    reduction : {"mean", "sum", "none"}, default="mean"
        ``"mean"`` divides by the summed weights of the batch's classes, not by the number of
        samples, as :class:`torch.nn.CrossEntropyLoss` does: with ``gamma=0`` both are equal.

    Attributes
    ----------
    weight : torch.Tensor of shape (n_classes,) or None
        A buffer, so that it follows the module to another device.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002, equation 5.
    """

    weight: Tensor | None

    def __init__(self, gamma: float = 2.0, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__()
        if not gamma >= 0:
            raise ValueError(f"gamma must be non-negative, got {gamma!r}.")
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}.")
        if weight is not None:
            weight = torch.as_tensor(weight).detach().clone()
            weight = weight if weight.is_floating_point() else weight.to(torch.get_default_dtype())
            if weight.ndim != 1 or not torch.isfinite(weight).all() or (weight < 0).any():
                raise ValueError("weight must be one finite, non-negative number per class.")
        self.gamma = gamma
        self.reduction = reduction
        self.register_buffer("weight", weight)

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
        column = target[:, None]
        log_p_target = log_p.gather(1, column).squeeze(1)
        # log(1 - p_y) is summed over the other classes.  Subtracting p_y from 1 would lose all
        # digits for a confident sample, and its power would have an infinite gradient there.
        log_p_others = log_p.scatter(1, column, -torch.inf).logsumexp(dim=1)
        losses = -torch.exp(self.gamma * log_p_others) * log_p_target
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

    def extra_repr(self) -> str:
        """Describe the loss in one line."""
        return f"gamma={self.gamma}, reduction={self.reduction!r}"

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
