"""What a network is trained for: its loss, its number of outputs, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sklearn_dysarthria._utils.decisions import Decision, MedianClass, MostProbable
from sklearn_dysarthria.nn import FocalLoss
from sklearn_dysarthria.nn._ordinal import (
    ORDINAL_LOSSES,
    CoralLoss,
    CornLoss,
    CumulativeLinkLoss,
    OrdinalNetwork,
    ordinal_probabilities,
)

LOSSES = ("cross_entropy", "focal", *ORDINAL_LOSSES)

_ORDINAL_CRITERIA = {
    "coral": CoralLoss,
    "corn": CornLoss,
    "cumulative_link": CumulativeLinkLoss,
}


@dataclass(frozen=True)
class Objective:
    """How the outputs of a network stand for classes.

    Parameters
    ----------
    loss : str
        One of `LOSSES`.
    n_classes : int
        Number of classes.
    """

    loss: str
    n_classes: int

    @property
    def is_ordinal(self) -> bool:
        """Whether the classes are taken as ordered."""
        return self.loss in ORDINAL_LOSSES

    @property
    def n_outputs(self) -> int:
        """Numbers that the network itself puts out."""
        if not self.is_ordinal:
            return self.n_classes
        return self.n_classes - 1 if self.loss == "corn" else 1

    @property
    def n_logits(self) -> int:
        """Numbers that the loss takes."""
        return self.n_classes - 1 if self.is_ordinal else self.n_classes

    def complete(self, module: Any, arguments: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the network's class and arguments, with thresholds where the loss needs them."""
        if self.n_outputs == self.n_logits and self.loss not in ("coral", "cumulative_link"):
            return module, arguments
        return OrdinalNetwork, {
            "network": module,
            "arguments": arguments,
            "n_classes": self.n_classes,
            "ordered": self.loss == "cumulative_link",
        }

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Turn logits of shape (n_samples, n_logits) into one distribution per row."""
        if self.is_ordinal:
            return ordinal_probabilities(logits, self.loss)
        return torch.softmax(logits, dim=-1)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Return class numbers: the most probable class, or the median of ordered ones."""
        return self.decision(probabilities, np.arange(self.n_classes))

    @property
    def decision(self) -> Decision:
        """How probabilities become classes."""
        kind = MedianClass if self.is_ordinal else MostProbable
        return kind(same_as_predict=True)

    def check_labels(self, classes: np.ndarray) -> None:
        """Raise ValueError where the loss needs an order that the labels do not have."""
        if self.is_ordinal and classes.dtype.kind not in "biuf":
            raise ValueError(
                f"loss={self.loss!r} takes the classes as ordered, and labels that are strings "
                f"({classes.tolist()}) would be ordered alphabetically: encode severity as "
                "numbers, the least severe class first or last."
            )


def criterion_for(
    loss: str, gamma: float, label_smoothing: float, weight: torch.Tensor | None
) -> tuple[type, dict[str, Any]]:
    """Choose the criterion.

    Parameters
    ----------
    loss : str
        One of `LOSSES`.
    gamma : float
        Of the focal loss.
    label_smoothing : float
        Of cross entropy and focal loss.
    weight : torch.Tensor of shape (n_classes,) or None
        Weights of the classes.

    Returns
    -------
    criterion : type
        A torch module.
    arguments : dict
        What to make it with.

    Raises
    ------
    ValueError
        Label smoothing with an ordinal loss.
    """
    if loss in _ORDINAL_CRITERIA:
        if label_smoothing:
            raise ValueError(
                f"label_smoothing={label_smoothing!r} spreads over classes regardless of their "
                f"order, which loss={loss!r} is about: set label_smoothing=0, or loss to "
                "'cross_entropy' or 'focal'."
            )
        return _ORDINAL_CRITERIA[loss], {"weight": weight}
    if loss == "cross_entropy" and not label_smoothing:
        return torch.nn.CrossEntropyLoss, {"weight": weight}
    # With smoothing, torch's cross entropy would weight each term by its own class instead of
    # the sample's; with gamma=0 the focal loss is the cross entropy.
    gamma = 0.0 if loss == "cross_entropy" else gamma
    return FocalLoss, {"gamma": gamma, "weight": weight, "label_smoothing": label_smoothing}
