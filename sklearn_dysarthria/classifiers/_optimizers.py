"""Optimisers, as parameter objects."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval
from skorch.callbacks import Callback, GradientNormClipping

from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject

SLOWEST_THRESHOLDS = 0.01
"""Smallest learning rate of the thresholds of an ordinal loss (inferred)."""


class Optimizer(ParameterObject):
    """Base of the optimisers, each named like its class in ``torch.optim``."""

    kind = "an optimiser"

    has_fused_form: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None]
    }

    def __init__(self, *, clip_norm=None):
        self.clip_norm = clip_norm

    def _own_arguments(self) -> dict[str, Any]:
        """Return the arguments that only this class of ``torch.optim`` takes."""
        return {}

    def _callback(self) -> Callback | None:
        """Return the callback that limits the gradients, or None where nothing does."""
        return None if self.clip_norm is None else GradientNormClipping(self.clip_norm)

    def _net_arguments(self, lr: float, weight_decay: float) -> dict[str, Any]:
        """Return the arguments of a skorch net that make it train with this optimiser.

        Thresholds of an ordinal loss are single numbers of the size of a logit.  At the 1e-4 of a
        network of millions of weights they would stay where they begin, and no class could become
        probable that lies between two of them; nor should a decay pull them together.
        """
        import torch

        from sklearn_dysarthria.nn import OrdinalNetwork

        thresholds = {"lr": max(lr, SLOWEST_THRESHOLDS), "weight_decay": 0.0}
        arguments: dict[str, Any] = {
            "optimizer": getattr(torch.optim, type(self).__name__),
            "lr": lr,
            "optimizer__weight_decay": weight_decay,
            # skorch passes over patterns that no parameter matches.
            "optimizer__param_groups": [
                (name, thresholds) for name in OrdinalNetwork.THRESHOLD_PARAMETERS
            ],
        }
        if self.has_fused_form:
            # One fused pass over the weights: for AlexNet's 57 million, the step of the plain
            # optimiser takes longer than the forward and backward pass of a small batch.
            arguments["optimizer__fused"] = True
        own = {f"optimizer__{name}": value for name, value in self._own_arguments().items()}
        return arguments | own


class Adam(Optimizer):
    """Adam, ``optimizer="adam"``: a rate for every weight from the moments of its gradient.

    Learning rate and weight decay are parameters of the classifier.

    Parameters
    ----------
    clip_norm : float or None, default=None
        Largest norm of the gradients of all weights together: at each step, larger gradients are
        scaled down to it.  None leaves them as they are.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980.

    Examples
    --------
    >>> from sklearn_dysarthria import Adam, HyperLinearClassifier
    >>> HyperLinearClassifier(optimizer=Adam())
    HyperLinearClassifier(optimizer=Adam())
    """


class AdamW(Optimizer):
    """Adam with a weight decay apart from the gradient, ``optimizer="adamw"``.

    Learning rate and weight decay are parameters of the classifier.

    Parameters
    ----------
    clip_norm : float or None, default=None
        Largest norm of the gradients of all weights together: at each step, larger gradients are
        scaled down to it.  None leaves them as they are.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101.

    Examples
    --------
    >>> from sklearn_dysarthria import AdamW, HyperLinearClassifier
    >>> HyperLinearClassifier(optimizer=AdamW())
    HyperLinearClassifier(optimizer=AdamW())
    """


class SGD(Optimizer):
    """Stochastic gradient descent, ``optimizer="sgd"``.

    Learning rate and weight decay are parameters of the classifier.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the last step that the next one keeps.
    clip_norm : float or None, default=None
        Largest norm of the gradients of all weights together: at each step, larger gradients are
        scaled down to it.  None leaves them as they are.

    Examples
    --------
    >>> from sklearn_dysarthria import SGD
    >>> SGD(momentum=0.95)
    SGD(momentum=0.95)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = Optimizer._parameter_constraints | {
        "momentum": [Interval(Real, 0, 1, closed="left")]
    }

    def __init__(self, *, momentum=0.9, clip_norm=None):
        super().__init__(clip_norm=clip_norm)
        self.momentum = momentum

    def _own_arguments(self) -> dict[str, Any]:
        return {"momentum": self.momentum}


class RMSprop(Optimizer):
    """RMSprop, ``optimizer="rmsprop"``: gradients divided by a running mean of their size.

    Learning rate and weight decay are parameters of the classifier.

    Parameters
    ----------
    clip_norm : float or None, default=None
        Largest norm of the gradients of all weights together: at each step, larger gradients are
        scaled down to it.  None leaves them as they are.

    Examples
    --------
    >>> from sklearn_dysarthria import RMSprop, HyperLinearClassifier
    >>> HyperLinearClassifier(optimizer=RMSprop())
    HyperLinearClassifier(optimizer=RMSprop())
    """

    has_fused_form = False


Optimizer.named = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop}
