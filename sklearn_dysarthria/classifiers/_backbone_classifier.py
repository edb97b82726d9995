"""Any published classifier of images, retrained."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval

from sklearn_dysarthria.classifiers._base import Arrays
from sklearn_dysarthria.classifiers._images import ImageClassifier
from sklearn_dysarthria.classifiers._shared_parameters import document_shared_parameters
from sklearn_dysarthria.nn import BackboneModule


@document_shared_parameters
class BackboneClassifier(ImageClassifier):
    """Classify images by any of torchvision's or timm's networks with a new last layer.

    The default is the ViT-B/16 [1]_ that the ICASSP 2026 SAND challenge names as its baseline;
    how the challenge trained it is not published, so that every other default is inferred.

    Parameters
    ----------
    backbone : str or Backbone, default="vit_b_16"
        Any of :func:`sklearn_dysarthria.nn.list_backbones`, such as ``"resnet50"`` or
        ``"efficientnet_b0"``, or ``"timm/<architecture>"`` if timm is installed; a
        :class:`~sklearn_dysarthria.Backbone` says where the weights come from, and whether they
        are frozen.
    stochastic_depth : float, default=None
        Probability with which the last block is skipped in training, earlier ones less; None is
        the architecture's own.
    dropout : float, default=0.0
        Share of the features before the last layer that is zeroed in training.

    Attributes
    ----------
    classes_, net_, history_, n_iter_, n_parameters_, n_head_parameters_, image_shape_
    validation_patients_

    See Also
    --------
    ConvNeXtSeverityClassifier : The challenge's ConvNeXt entry.
    BackboneEmbeddings : The features before the last layer.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dysarthria import Backbone, BackboneClassifier
    >>> images = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype("float32")
    >>> model = BackboneClassifier(
    ...     Backbone("resnet18", weights=None), max_epochs=1, random_state=0)
    >>> model.fit(images, ["HC", "HC", "ALS", "ALS"]).predict_proba(images).shape
    (4, 2)
    """

    _parameter_constraints = ImageClassifier._parameter_constraints | {
        "stochastic_depth": [Interval(Real, 0, 1, closed="left"), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        backbone="vit_b_16",
        *,
        stochastic_depth=None,
        dropout=0.0,
        loss="cross_entropy",
        class_weight=None,
        oversample=None,
        augment=None,
        optimizer="adamw",
        lr=1e-4,
        weight_decay=0.01,
        lr_schedule="cosine",
        early_stopping=None,
        max_epochs=30,
        batch_size=16,
        callbacks=None,
        device="auto",
        mixed_precision="auto",
        cache=None,
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.stochastic_depth = stochastic_depth
        self.dropout = dropout
        self.loss = loss
        self.class_weight = class_weight
        self.oversample = oversample
        self.augment = augment
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.early_stopping = early_stopping
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.callbacks = callbacks
        self.device = device
        self.mixed_precision = mixed_precision
        self.cache = cache
        self.random_state = random_state
        self.verbose = verbose

    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        return BackboneModule, {
            "n_classes": n_classes,
            "image_size": arrays["X"].shape[2:],
            "stochastic_depth": self.stochastic_depth,
            "dropout": self.dropout,
            **self._object("backbone")._module_arguments(),
        }
