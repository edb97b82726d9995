"""The noise-conditioned hypernetwork head on feature vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import validate_data

from sklearn_dysarthria._utils.failed_rows import failed_rows
from sklearn_dysarthria.classifiers._base import Arrays, TorchClassifier
from sklearn_dysarthria.classifiers._heads import PredictsUncertainty, check_noise_only
from sklearn_dysarthria.classifiers._shared_parameters import document_shared_parameters
from sklearn_dysarthria.nn import HyperClassifierModule


class DoublePrecision(HyperClassifierModule):
    """The module in float64, where an answer does not depend on what shares its batch."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.double()


@document_shared_parameters
class HyperLinearClassifier(PredictsUncertainty, TorchClassifier):
    """Linear classifier whose weights a hypernetwork generates from noise.

    The head of :class:`~sklearn_dysarthria.HyperAlexNetClassifier` on any two-dimensional
    features: eGeMAPS, or the vectors of :class:`~sklearn_dysarthria.BackboneEmbeddings`.  A
    context C ~ N(0, I), drawn afresh for every training batch, is mapped to weights and bias of
    a linear layer [1]_; predictions average the logits over fixed draws.

    Parameters
    ----------
    head : {"hyper", "dense"} or HyperHead, default="hyper"
        ``"hyper"`` is ``HyperHead()``; its `context` is always noise.  ``"dense"`` is the
        ablation with an ordinary linear layer, trained in the same way: a logistic regression by
        gradient descent.

    Attributes
    ----------
    classes_, net_, history_, n_iter_, validation_patients_
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

    _dtype = torch.float64

    def __init__(
        self,
        *,
        head="hyper",
        loss="cross_entropy",
        class_weight=None,
        optimizer="adam",
        lr=1e-3,
        weight_decay=0.0,
        lr_schedule=None,
        early_stopping=None,
        max_epochs=100,
        batch_size=32,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.head = head
        self.loss = loss
        self.class_weight = class_weight
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.early_stopping = early_stopping
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_noise_only(self._object("head"), self)

    def _check_input(self, X: Any, *, reset: bool) -> Arrays:
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset)
        partly_nan = np.isnan(X).any(axis=1) & ~failed_rows(X)
        if partly_nan.any():
            raise ValueError(
                f"Input X contains NaN inside rows {np.flatnonzero(partly_nan).tolist()}; only "
                "rows that are NaN throughout, which stand for failed recordings, are left out."
            )
        return {"X": X}

    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        return DoublePrecision, {
            "in_features": arrays["X"].shape[1],
            "n_classes": n_classes,
            "context_seed": seed,
            **self._object("head")._module_arguments(),
        }
