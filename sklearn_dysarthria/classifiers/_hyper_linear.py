"""The noise-conditioned hypernetwork head on feature vectors."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from sklearn_dysarthria.classifiers._base import LOSS_CONSTRAINTS, Arrays, TorchClassifier
from sklearn_dysarthria.classifiers._failed_rows import failed_rows
from sklearn_dysarthria.classifiers._hyper_alexnet import context_spread, draws_contexts
from sklearn_dysarthria.classifiers._shared_parameters import document_shared_parameters
from sklearn_dysarthria.nn import HyperClassifierModule
from sklearn_dysarthria.nn._hyper import HEADS


class DoublePrecision(HyperClassifierModule):
    """The module in float64, where an answer does not depend on what shares its batch."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.double()


@document_shared_parameters
class HyperLinearClassifier(TorchClassifier):
    """Linear classifier whose weights a hypernetwork generates from noise.

    The head of :class:`~sklearn_dysarthria.HyperAlexNetClassifier` on any two-dimensional
    features: eGeMAPS, or the vectors of :class:`~sklearn_dysarthria.BackboneEmbeddings`.  A
    context C ~ N(0, I), drawn afresh for every training batch, is mapped to weights and bias of
    a linear layer [1]_; predictions average the logits over `n_contexts` fixed draws.

    Parameters
    ----------
    head : {"hyper", "dense"}, default="hyper"
        ``"dense"`` is the ablation with an ordinary linear layer, trained in the same way: a
        logistic regression by gradient descent.
    context_dim : int, default=128
        Size of the noise.
    hidden_dim : int, default=512
        Units of a hidden layer of the hypernetwork.
    n_contexts : int, default=32
        Draws averaged at prediction.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels.
    net_ : skorch.NeuralNetClassifier
        The trained net.
    history_ : pandas.DataFrame
        Losses, accuracy on the inner validation patients, learning rate and seconds, by epoch.
    n_iter_ : int
        Epochs trained.
    n_parameters_ : int
        Number of weights of the hypernetwork or the linear layer, and of the thresholds of an
        ordinal loss.
    n_head_parameters_ : int
        The same number: the network is nothing but a head.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, when `X` is a DataFrame with string column names.

    Notes
    -----
    Features should be standardised first.  Computations are in double precision.

    References
    ----------
    .. [1] L. Ilias, D. Askounis, "Recognition of Dysarthria in Amyotrophic Lateral Sclerosis
       patients using Hypernetworks", arXiv:2503.01892 (2025).

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn_dysarthria import HyperLinearClassifier
    >>> X, y = make_classification(random_state=0)
    >>> model = HyperLinearClassifier(max_epochs=20, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    _parameter_constraints = {
        **TorchClassifier._parameter_constraints,
        **LOSS_CONSTRAINTS,
        "head": [StrOptions(set(HEADS))],
        "context_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "n_hidden_layers": [Interval(Integral, 1, None, closed="left")],
        "n_contexts": [Interval(Integral, 1, None, closed="left")],
    }

    context = "noise"

    def __init__(
        self,
        *,
        head="hyper",
        context_dim=128,
        hidden_dim=512,
        n_hidden_layers=1,
        n_contexts=32,
        loss="cross_entropy",
        gamma=2.0,
        label_smoothing=0.0,
        class_weight=None,
        class_weight_beta=0.999,
        optimizer="adam",
        lr=1e-3,
        momentum=0.9,
        weight_decay=0.0,
        lr_schedule=None,
        warmup_epochs=0,
        max_epochs=100,
        batch_size=32,
        early_stopping=False,
        validation_fraction=0.2,
        patience=10,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.head = head
        self.context_dim = context_dim
        self.hidden_dim = hidden_dim
        self.n_hidden_layers = n_hidden_layers
        self.n_contexts = n_contexts
        self.loss = loss
        self.gamma = gamma
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.class_weight_beta = class_weight_beta
        self.optimizer = optimizer
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.warmup_epochs = warmup_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_input(self, X: Any, *, reset: bool) -> Arrays:
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset)
        spoilt = np.isnan(X).any(axis=1) & ~failed_rows(X)
        if spoilt.any():
            raise ValueError(
                f"Input X contains NaN inside rows {np.flatnonzero(spoilt).tolist()}; only rows "
                "that are NaN throughout, which stand for failed recordings, are passed over."
            )
        return {"X": X}

    def _dtype(self) -> torch.dtype:
        return torch.float64

    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        return DoublePrecision, {
            "in_features": arrays["X"].shape[1],
            "n_classes": n_classes,
            "context_dim": self.context_dim,
            "hidden_dim": self.hidden_dim,
            "n_hidden_layers": self.n_hidden_layers,
            "n_contexts": self.n_contexts,
            "context_seed": seed,
            "head": self.head,
        }

    @available_if(draws_contexts)
    def predict_uncertainty(self, X):
        """Tell how much the draws of the noise disagree.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_logits)
            Standard deviation of each logit over the `n_contexts` fixed draws; NaN for a row of
            NaN.  There is one logit per class, or with an ordinal loss one per step between
            neighbouring classes.
        """
        return context_spread(self, X)
