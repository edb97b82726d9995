"""The last layer of a network, as a parameter object; and how much the draws of one disagree."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from sklearn_dysarthria.classifiers._failed_rows import with_nan_rows
from sklearn_dysarthria.classifiers._parameter_objects import ParameterObject


class Head(ParameterObject):
    """Base of the heads."""

    kind = "a head"

    context: str
    """What the weights of the layer are generated from; the empty string if they are not."""

    def _module_arguments(self) -> dict[str, Any]:
        """Return the arguments of a network of :mod:`sklearn_dysarthria.nn` for this head."""
        raise NotImplementedError


class HyperHead(Head):
    """A linear layer whose weights and bias a hypernetwork generates from a context.

    Parameter object of the classifiers, ``head=HyperHead(n_contexts=64)``; ``head="hyper"`` is
    ``HyperHead()``, and ``head="dense"`` is the ablation with an ordinary linear layer.

    Parameters
    ----------
    context : {"noise", "data"}, default="noise"
        ``"noise"`` draws C ~ N(0, I) afresh for every training batch.  ``"data"``, only with
        :class:`~sklearn_dysarthria.HyperAlexNetClassifier`, feeds the hypernetwork with a vector
        per recording instead; `X` is then the output of
        :class:`~sklearn_dysarthria.ImagesWithContext`.
    context_dim : int, default=128
        Size of the noise; with ``context="data"`` the size of the vectors counts instead.
    hidden_dim : int, default=512
        Units of a hidden layer of the hypernetwork.
    n_hidden_layers : int, default=1
        Hidden layers of the hypernetwork.
    n_contexts : int, default=32
        Draws over which the logits are averaged at prediction, fixed by `random_state`
        (inferred).

    References
    ----------
    L. Ilias, D. Askounis, "Recognition of Dysarthria in Amyotrophic Lateral Sclerosis patients
    using Hypernetworks", arXiv:2503.01892 (2025).

    Examples
    --------
    >>> from sklearn_dysarthria import HyperHead
    >>> HyperHead(context_dim=64)
    HyperHead(context_dim=64)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "context": [StrOptions({"noise", "data"})],
        "context_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "n_hidden_layers": [Interval(Integral, 1, None, closed="left")],
        "n_contexts": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, *, context="noise", context_dim=128, hidden_dim=512, n_hidden_layers=1, n_contexts=32
    ):
        self.context = context
        self.context_dim = context_dim
        self.hidden_dim = hidden_dim
        self.n_hidden_layers = n_hidden_layers
        self.n_contexts = n_contexts

    def _module_arguments(self) -> dict[str, Any]:
        return {"head": "hyper", **self.get_params()}


class DenseHead(Head):
    """An ordinary linear layer."""

    context = ""

    def _module_arguments(self) -> dict[str, Any]:
        return {"head": "dense"}


Head.named = {"hyper": HyperHead, "dense": DenseHead}


def check_noise_only(head: Head, estimator: Any) -> None:
    """Raise ValueError for a head that needs a vector per recording, which X does not hold."""
    if head.context == "data":
        raise ValueError(
            "head: context='data' needs a vector beside each image, which "
            f"{type(estimator).__name__} does not take; set context='noise'."
        )


def _draws_contexts(classifier: Any) -> bool:
    if classifier._object("head").context == "noise":
        return True
    raise AttributeError(
        "predict_uncertainty compares draws of the noise, which only head='hyper' with "
        "context='noise' has."
    )


class PredictsUncertainty:
    """Mixin of classifiers with a head that noise generates, and whose draws can disagree."""

    @available_if(_draws_contexts)
    def predict_uncertainty(self, X):
        """Compute how much the draws of the noise disagree.

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...)
            Images or features, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_logits)
            Standard deviation of each logit over the fixed draws of the head; NaN for a row of
            NaN.  There is one logit per class, or with an ordinal loss one per step between
            neighbouring classes.  The views of `augment` play no part in it.
        """
        model: Any = self
        rows, usable = model._rows(X)
        if not len(rows):
            return np.full((len(usable), model.net_.objective.n_logits), np.nan)
        deviations = [
            logits.std(dim=0, correction=0).cpu().numpy()
            for logits in model.net_.outputs_of("logits_per_context", rows)
        ]
        return with_nan_rows(np.concatenate(deviations), usable)
