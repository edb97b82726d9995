"""What a network is trained for: its loss, its number of outputs, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from sklearn_dysarthria._utils.decisions import Decision, MedianClass, MostProbable
from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject

if TYPE_CHECKING:
    import torch


class Loss(ParameterObject):
    """Base of the losses."""

    kind = "a loss"

    name: ClassVar[str]
    """What stands for the loss in `named`."""
    is_ordinal: ClassVar[bool] = False
    """Whether the classes are taken as ordered."""

    def _criterion(self, weight: torch.Tensor | None) -> tuple[type, dict[str, Any]]:
        """Return the torch module of the loss, and what to make it with (weights of classes)."""
        raise NotImplementedError


_SMOOTHING = {"label_smoothing": [Interval(Real, 0, 1, closed="left")]}


class CrossEntropy(Loss):
    """Cross entropy, ``loss="cross_entropy"``.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Probability taken from a sample's own class and shared out over all of them.

    Examples
    --------
    >>> from sklearn_dysarthria import CrossEntropy
    >>> CrossEntropy(label_smoothing=0.1)
    CrossEntropy(label_smoothing=0.1)
    """

    name = "cross_entropy"
    _parameter_constraints: ClassVar[dict[str, Any]] = _SMOOTHING

    def __init__(self, *, label_smoothing=0.0):
        self.label_smoothing = label_smoothing

    def _criterion(self, weight: torch.Tensor | None) -> tuple[type, dict[str, Any]]:
        if self.label_smoothing:
            # torch's cross entropy would weight each term by its own class instead of the
            # sample's; with gamma=0 the focal loss is the cross entropy.
            return FocalLoss(gamma=0.0, label_smoothing=self.label_smoothing)._criterion(weight)
        from torch import nn

        return nn.CrossEntropyLoss, {"weight": weight}


class FocalLoss(Loss):
    """Cross entropy in which samples that are classified well count less, ``loss="focal"``.

    Parameters
    ----------
    gamma : float, default=2.0
        Focusing parameter; the probability in its modulating factor does not include the class
        weights.
    label_smoothing : float, default=0.0
        Probability taken from a sample's own class and shared out over all of them.

    References
    ----------
    T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, arXiv:1708.02002.

    Examples
    --------
    >>> from sklearn_dysarthria import FocalLoss
    >>> FocalLoss(gamma=3.0)
    FocalLoss(gamma=3.0)
    """

    name = "focal"
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "gamma": [Interval(Real, 0, None, closed="left")],
        **_SMOOTHING,
    }

    def __init__(self, *, gamma=2.0, label_smoothing=0.0):
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def _criterion(self, weight: torch.Tensor | None) -> tuple[type, dict[str, Any]]:
        from sklearn_dysarthria import nn

        return nn.FocalLoss, {
            "gamma": self.gamma,
            "weight": weight,
            "label_smoothing": self.label_smoothing,
        }


class OrdinalLoss(Loss):
    """Base of losses for ordered classes, each named like its class in the networks' package.

    `predict` then answers the median class.
    """

    is_ordinal = True

    def _criterion(self, weight: torch.Tensor | None) -> tuple[type, dict[str, Any]]:
        from sklearn_dysarthria import nn

        return getattr(nn, f"{type(self).__name__}Loss"), {"weight": weight}


class Coral(OrdinalLoss):
    """Consistent rank logits, ``loss="coral"``: one score and a threshold between classes.

    References
    ----------
    W. Cao, V. Mirjalili, S. Raschka, "Rank consistent ordinal regression for neural networks with
    application to age estimation", 2020, arXiv:1901.07884.

    Examples
    --------
    >>> from sklearn_dysarthria import Coral, HyperLinearClassifier
    >>> HyperLinearClassifier(loss=Coral())
    HyperLinearClassifier(loss=Coral())
    """

    name = "coral"


class Corn(OrdinalLoss):
    """Conditional ordinal regression, ``loss="corn"``: a logit for each step between classes.

    References
    ----------
    X. Shi, W. Cao, S. Raschka, "Deep neural networks for rank-consistent ordinal regression based
    on conditional probabilities", 2021, arXiv:2111.08851.

    Examples
    --------
    >>> from sklearn_dysarthria import Corn, HyperLinearClassifier
    >>> HyperLinearClassifier(loss=Corn())
    HyperLinearClassifier(loss=Corn())
    """

    name = "corn"


class CumulativeLink(OrdinalLoss):
    """Proportional odds, ``loss="cumulative_link"``: one score and ordered thresholds.

    References
    ----------
    P. McCullagh, "Regression models for ordinal data", J. R. Stat. Soc. B 42 (1980).

    Examples
    --------
    >>> from sklearn_dysarthria import CumulativeLink, HyperLinearClassifier
    >>> HyperLinearClassifier(loss=CumulativeLink())
    HyperLinearClassifier(loss=CumulativeLink())
    """

    name = "cumulative_link"


Loss.named = {loss.name: loss for loss in (CrossEntropy, FocalLoss, Coral, Corn, CumulativeLink)}


@dataclass(frozen=True)
class Objective:
    """How the outputs of a network stand for classes."""

    loss: Loss
    n_classes: int

    @property
    def is_ordinal(self) -> bool:
        """Whether the classes are taken as ordered."""
        return self.loss.is_ordinal

    @property
    def n_outputs(self) -> int:
        """Numbers that the network itself puts out."""
        if not self.is_ordinal:
            return self.n_classes
        return self.n_classes - 1 if isinstance(self.loss, Corn) else 1

    @property
    def n_logits(self) -> int:
        """Numbers that the loss takes."""
        return self.n_classes - 1 if self.is_ordinal else self.n_classes

    def complete(self, module: Any, arguments: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the network's class and arguments, with thresholds where the loss needs them."""
        if not isinstance(self.loss, (Coral, CumulativeLink)):
            return module, arguments
        from sklearn_dysarthria.nn import OrdinalNetwork

        return OrdinalNetwork, {
            "network": module,
            "arguments": arguments,
            "n_classes": self.n_classes,
            "ordered": isinstance(self.loss, CumulativeLink),
        }

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Turn logits of shape (n_samples, n_logits) into one distribution per row."""
        if self.is_ordinal:
            from sklearn_dysarthria.nn import ordinal_probabilities

            return ordinal_probabilities(logits, self.loss.name)
        return logits.softmax(dim=-1)

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
                f"loss={self.loss.name!r} takes the classes as ordered, and labels that are "
                f"strings ({classes.tolist()}) would be ordered alphabetically: encode severity "
                "as numbers, the least severe class first or last."
            )
