"""Losses for classes that are ordered, and the networks and probabilities that go with them.

All three describe a class k of K by K - 1 questions, "is it above class k?".  A network that was
made for K separate logits becomes one for these questions in :class:`OrdinalNetwork`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sklearn_dysarthria.nn._losses import class_weight_tensor

ORDINAL_LOSSES = ("coral", "corn", "cumulative_link")
"""Names of the ordinal losses."""

# Two thresholds this close leave the class between them a probability that is still a number.
_SMALLEST_GAP = 1e-6


class OrdinalLoss(nn.Module):
    """Base of losses over K - 1 logits for K ordered classes.

    Parameters
    ----------
    weight : array-like of shape (n_classes,), optional
        Non-negative weight of each class; a sample counts with that of its own class, and the
        mean divides by the summed weights.

    Attributes
    ----------
    weight : torch.Tensor of shape (n_classes,) or None
        A buffer, so that it follows the module to another device.
    """

    weight: Tensor | None

    def __init__(self, weight: Any = None) -> None:
        super().__init__()
        self.register_buffer("weight", class_weight_tensor(weight))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        logits : torch.Tensor of shape (n_samples, n_classes - 1)
            One per question.
        target : torch.Tensor of shape (n_samples,), dtype int64
            Class numbers, in the order of the classes.

        Returns
        -------
        torch.Tensor of shape ()
            The weighted mean.

        Raises
        ------
        ValueError
            The shapes do not fit.
        """
        if logits.ndim != 2 or not logits.shape[1]:
            raise ValueError(
                "logits must have shape (n_samples, n_classes - 1), one for each step between "
                f"neighbouring classes, got {tuple(logits.shape)}."
            )
        if target.shape != logits.shape[:1]:
            raise ValueError(
                f"target must have shape {tuple(logits.shape[:1])}, got {tuple(target.shape)}."
            )
        if self.weight is not None and len(self.weight) != logits.shape[1] + 1:
            raise ValueError(
                f"weight has {len(self.weight)} classes, logits are for {logits.shape[1] + 1}."
            )
        losses, counts = self._per_sample(logits, target)
        if self.weight is None:
            return losses.sum() / counts.sum()
        weights = self.weight.to(losses.dtype)[target]
        return (weights * losses).sum() / (weights * counts).sum()

    @abstractmethod
    def _per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return each sample's summed loss, and how many terms the mean counts it as."""


def _questions(logits: Tensor) -> Tensor:
    return torch.arange(logits.shape[1], device=logits.device)


class CoralLoss(OrdinalLoss):
    """Consistent rank logits: a binary cross entropy for each of the K - 1 questions.

    The logits of a sample are one score plus K - 1 biases, those of all samples
    (:class:`OrdinalNetwork`); the k-th is that of P(y > k).  All questions weigh the same.

    References
    ----------
    W. Cao, V. Mirjalili, S. Raschka, "Rank consistent ordinal regression for neural networks with
    application to age estimation", Pattern Recognition Letters 140 (2020), arXiv:1901.07884,
    equation 4.
    """

    def _per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        above = (target[:, None] > _questions(logits)).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, above, reduction="none").sum(dim=1)
        return losses, torch.ones_like(losses)


class CornLoss(OrdinalLoss):
    """Conditional ordinal regression: question k is put to samples that are at least class k.

    The k-th logit is that of P(y > k | y > k - 1).  The mean is over all pairs of a sample and a
    question put to it.

    References
    ----------
    X. Shi, W. Cao, S. Raschka, "Deep neural networks for rank-consistent ordinal regression based
    on conditional probabilities" (2021), arXiv:2111.08851, equation 5.
    """

    def _per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        asked = (target[:, None] >= _questions(logits)).to(logits.dtype)
        above = (target[:, None] > _questions(logits)).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, above, reduction="none")
        return (asked * losses).sum(dim=1), asked.sum(dim=1)


class CumulativeLinkLoss(OrdinalLoss):
    """Proportional odds: the negative log-likelihood of ordered logistic regression.

    The k-th logit is that of P(y > k), a score minus the k-th of K - 1 increasing thresholds
    (:class:`OrdinalNetwork`).

    References
    ----------
    P. McCullagh, "Regression models for ordinal data", Journal of the Royal Statistical Society B
    42 (1980), section 2.
    """

    def _per_sample(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        # P(y = k) = σ(u) - σ(v) for the logits u and v of P(y > k - 1) and P(y > k), which is
        # σ(u) · σ(-v) · (1 - exp(v - u)): three factors that keep their digits.
        target = target[:, None]
        n_questions = logits.shape[1]
        upper = logits.gather(1, (target - 1).clamp(min=0))[:, 0]
        lower = logits.gather(1, target.clamp(max=n_questions - 1))[:, 0]
        is_lowest, is_highest = target[:, 0] == 0, target[:, 0] == n_questions
        at_end = is_lowest | is_highest
        gap = torch.where(at_end, torch.ones_like(upper), upper - lower).clamp(min=_SMALLEST_GAP)
        log_p = (
            F.logsigmoid(upper).masked_fill(is_lowest, 0)
            + F.logsigmoid(-lower).masked_fill(is_highest, 0)
            + torch.log(-torch.expm1(-gap)).masked_fill(at_end, 0)
        )
        return -log_p, torch.ones_like(log_p)


class OrdinalNetwork(nn.Module):
    """A network whose single output is a score, compared with thresholds that are learned too.

    Parameters
    ----------
    network : type
        Class of the network, whose output has shape (n_samples, 1).
    arguments : mapping of str to object
        What to make it with.
    n_classes : int
        Number of ordered classes.
    ordered : bool
        Whether the thresholds are kept increasing (``"cumulative_link"``) or are free biases
        (``"coral"``).

    Attributes
    ----------
    network : torch.nn.Module
        The network.

    Notes
    -----
    Property ``thresholds``, of shape (n_classes - 1,), holds the scores at which P(y > k) is a
    half.

    At first every class is as probable as the others for a score of 0, which is inferred.  A
    threshold is a single number: at the learning rate of a large network it would hardly move, and
    the probability of a class between two thresholds cannot grow beyond what their distance
    allows.  Give ``THRESHOLD_PARAMETERS`` a rate of their own.
    """

    THRESHOLD_PARAMETERS = ("first_threshold", "threshold_steps", "free_thresholds")

    def __init__(
        self, network: Any, arguments: Mapping[str, Any], n_classes: int, ordered: bool
    ) -> None:
        super().__init__()
        self.network = network(**arguments)
        self.ordered = ordered
        reference = next(self.network.parameters())
        share_below = torch.arange(1, n_classes, dtype=torch.float64) / n_classes
        thresholds = torch.logit(share_below)
        if ordered:
            # A softplus keeps the steps from one threshold to the next positive.
            steps = torch.log(torch.expm1(thresholds.diff()))
            self.first_threshold = nn.Parameter(thresholds[:1].to(reference))
            self.threshold_steps = nn.Parameter(steps.to(reference))
        else:
            self.free_thresholds = nn.Parameter(thresholds.to(reference))

    @property
    def thresholds(self) -> Tensor:
        """Scores at which P(y > k) is a half."""
        if not self.ordered:
            return self.free_thresholds
        steps = F.softplus(self.threshold_steps).cumsum(dim=0)
        return torch.cat([self.first_threshold, self.first_threshold + steps])

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute logits of P(y > k).

        Parameters
        ----------
        *args, **kwargs
            Input of the network.

        Returns
        -------
        torch.Tensor of shape (n_samples, n_classes - 1)
            The network's score minus each threshold.
        """
        return self.network(*args, **kwargs) - self.thresholds

    def logits_per_context(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute logits of P(y > k) under each of the network's fixed contexts.

        Parameters
        ----------
        *args, **kwargs
            Input of the network.

        Returns
        -------
        torch.Tensor of shape (n_contexts, n_samples, n_classes - 1)
            Their mean over the first axis is what :meth:`forward` returns in evaluation mode.
        """
        return self.network.logits_per_context(*args, **kwargs) - self.thresholds


def ordinal_probabilities(logits: Tensor, loss: str) -> Tensor:
    """Turn the logits of the questions into probabilities of the classes.

    Parameters
    ----------
    logits : torch.Tensor of shape (n_samples, n_classes - 1)
        As the loss takes them.
    loss : {"coral", "corn", "cumulative_link"}
        What they were trained with.

    Returns
    -------
    torch.Tensor of shape (n_samples, n_classes)
        Non-negative, with rows that sum to 1.

    Notes
    -----
    Nothing but training orders the biases of CORAL, and at its optimum they are ordered (theorem
    1 of the paper).  Short of it, P(y > k) is sorted to fall with k, which leaves the number of
    those above a half, and with it the published prediction, as it was.
    """
    if loss == "corn":
        above = F.logsigmoid(logits).cumsum(dim=1).exp()
    else:
        above = torch.sigmoid(logits)
    if loss == "coral":
        above = above.sort(dim=1, descending=True).values
    ones = torch.ones_like(above[:, :1])
    return torch.cat([ones, above], dim=1) - torch.cat([above, 0 * ones], dim=1)
