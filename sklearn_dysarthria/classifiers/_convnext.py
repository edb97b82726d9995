"""ConvNeXt for ordered severity classes, as in the SAND challenge entry."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_dysarthria.classifiers._base import Arrays
from sklearn_dysarthria.classifiers._images import ImageClassifier
from sklearn_dysarthria.nn import ConvNeXtModule, FocalLoss


class ConvNeXtSeverityClassifier(ImageClassifier):
    """Classify images by severity with ConvNeXt, trained as in the SAND challenge entry.

    Focal loss with class weights, AdamW with cosine annealing, stochastic depth, SpecAugment and
    oversampling by class, after the ConvNeXt entry to the ICASSP 2026 SAND challenge [1]_.  The
    classes are taken as ordered by their labels (1 < 2 < …).

    Parameters
    ----------
    variant : {"femto", "tiny", "small", "base", "large"}, default="base"
        Size of ConvNeXt [2]_; ``"femto"`` is a small one for CPU work, without published weights.
    weights : str, path or None, default="IMAGENET1K_V1"
        Of the backbone: a torchvision name (downloaded on first use), a local state dict, or
        None for random ones.  Every tensor must match by name and shape.
    stochastic_depth : float, default=0.1
        Probability with which the last block is skipped in training; earlier ones less.
    freeze : int, "all" or None, default=None
        Number of leading backbone stages that keep their weights, or all of them.
    loss : {"focal", "cross_entropy"}, default="focal"
        Loss function.
    gamma : float, default=2
        Focusing parameter of the focal loss [3]_; the probability in its modulating factor does
        not include the class weights.
    class_weight : dict, "balanced" or None, default="balanced"
        Weights of the classes in the loss, over the rows as trained on, that is after
        oversampling.
    oversample : dict of label to int, optional
        How many times the rows of a label occur in an epoch; costs no memory.  The challenge
        entry used ``{1: 21, 2: 5, 3: 2}``.
    spec_augment : float, default=0.7
        Probability with which a training image is masked in time and frequency.
    optimizer : {"adam", "adamw", "sgd"}, default="adamw"
        Optimiser.
    lr : float, default=1e-4
        Learning rate.
    momentum : float, default=0.9
        Of ``optimizer="sgd"``.
    weight_decay : float, default=0.01
        As torch's optimisers define it.
    lr_schedule : {"cosine"} or None, default="cosine"
        Annealing over `max_epochs`.
    max_epochs : int, default=75
        Passes over the training data.
    batch_size : int, default=16
        Images per step.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the training patients, stop when their loss has not
        fallen for `patience` epochs, and keep the best weights.  Needs `groups`.
    validation_fraction : float, default=0.2
        Fraction of each class's patients held out by `early_stopping`.
    patience : int, default=5
        Epochs without progress before `early_stopping` stops.
    callbacks : list of skorch callbacks, optional
        Added to the training loop; copied, never modified.
    device : str, default="auto"
        Torch device; ``"auto"`` takes the GPU where there is one.
    mixed_precision : bool or "auto", default="auto"
        Compute in bfloat16 where possible; ``"auto"`` does so on GPUs that support it.
    random_state : int, RandomState or None, default=None
        An int makes two fits on the CPU bitwise equal.
    verbose : int, default=0
        1 shows a progress bar over epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in order.
    net_ : skorch.NeuralNetClassifier
        The trained net.
    history_ : pandas.DataFrame
        Losses, accuracy on the inner validation patients, learning rate and seconds, by epoch.
    n_iter_ : int
        Epochs trained.
    image_shape_ : tuple of int
        Channels, height and width of the images.
    validation_patients_ : ndarray
        Patients held out by `early_stopping`.

    See Also
    --------
    PatientVotingClassifier : From recordings to patients.

    Notes
    -----
    The challenge entry's published score is the best of its epochs on the test patients.  Here
    nothing but patients of the training fold is looked at; without `early_stopping` the last
    epoch counts.

    References
    ----------
    .. [1] Speech Analysis for Neurodegenerative Diseases (SAND), ICASSP 2026 grand challenge.
    .. [2] Z. Liu et al., "A ConvNet for the 2020s", CVPR 2022, arXiv:2201.03545.
    .. [3] T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017,
       arXiv:1708.02002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dysarthria import ConvNeXtSeverityClassifier
    >>> images = np.random.default_rng(0).normal(size=(6, 3, 32, 32)).astype("float32")
    >>> model = ConvNeXtSeverityClassifier(
    ...     variant="femto", weights=None, max_epochs=1, random_state=0)
    >>> model.fit(images, [1, 1, 2, 2, 3, 3]).predict_proba(images).shape
    (6, 3)
    """

    _parameter_constraints = ImageClassifier._parameter_constraints | {
        "variant": [StrOptions({"femto", "tiny", "small", "base", "large"})],
        "stochastic_depth": [Interval(Real, 0, 1, closed="left")],
        "loss": [StrOptions({"focal", "cross_entropy"})],
        "gamma": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        variant="base",
        weights="IMAGENET1K_V1",
        stochastic_depth=0.1,
        freeze=None,
        loss="focal",
        gamma=2.0,
        class_weight="balanced",
        oversample=None,
        spec_augment=0.7,
        optimizer="adamw",
        lr=1e-4,
        momentum=0.9,
        weight_decay=0.01,
        lr_schedule="cosine",
        max_epochs=75,
        batch_size=16,
        early_stopping=False,
        validation_fraction=0.2,
        patience=5,
        callbacks=None,
        device="auto",
        mixed_precision="auto",
        random_state=None,
        verbose=0,
    ):
        self.variant = variant
        self.weights = weights
        self.stochastic_depth = stochastic_depth
        self.freeze = freeze
        self.loss = loss
        self.gamma = gamma
        self.class_weight = class_weight
        self.oversample = oversample
        self.spec_augment = spec_augment
        self.optimizer = optimizer
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.device = device
        self.mixed_precision = mixed_precision
        self.random_state = random_state
        self.verbose = verbose

    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        return ConvNeXtModule, {
            "n_classes": n_classes,
            "variant": self.variant,
            "stochastic_depth": self.stochastic_depth,
            "weights": self.weights,
            "freeze": self.freeze,
        }

    def _criterion(self, weight: torch.Tensor | None) -> tuple[type, dict[str, Any]]:
        if self.loss == "cross_entropy":
            return super()._criterion(weight)
        return FocalLoss, {"gamma": self.gamma, "weight": weight}
