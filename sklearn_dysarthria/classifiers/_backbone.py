"""Any published classifier of images, retrained."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval

from sklearn_dysarthria.classifiers._base import Arrays
from sklearn_dysarthria.classifiers._images import ImageClassifier
from sklearn_dysarthria.classifiers._shared_parameters import document_shared_parameters
from sklearn_dysarthria.nn import BackboneModule, check_backbone_name


@document_shared_parameters
class BackboneClassifier(ImageClassifier):
    """Classify images by any of torchvision's or timm's networks with a new last layer.

    The default is the ViT-B/16 [1]_ that the ICASSP 2026 SAND challenge names as its baseline;
    how the challenge trained it is not published, so that every other default is inferred.

    Parameters
    ----------
    backbone : str, default="vit_b_16"
        Any of :func:`sklearn_dysarthria.nn.list_backbones`, such as ``"resnet50"`` or
        ``"efficientnet_b0"``, or ``"timm/<architecture>"`` if timm is installed.  A vision
        transformer is built for the size of the images; torchvision's must be square.
    depth : int, default=None
        Keep only that many of its first stages; of AlexNet and ConvNeXt.
    width : float, default=1.0
        Factor on the number of its channels; of AlexNet and ConvNeXt with ``weights=None``.
    stochastic_depth : float, default=None
        Probability with which the last block is skipped in training, earlier ones less; None is
        the architecture's own.
    dropout : float, default=0.0
        Share of the features before the last layer that is zeroed in training.

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
        Number of weights of the network.
    n_head_parameters_ : int
        Of these, the last layer's, and the thresholds of an ordinal loss.
    image_shape_ : tuple of int
        Channels, height and width of the images.
    validation_patients_ : ndarray
        Patients held out by `early_stopping`.

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
    >>> from sklearn_dysarthria import BackboneClassifier
    >>> images = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype("float32")
    >>> model = BackboneClassifier("resnet18", weights=None, max_epochs=1, random_state=0)
    >>> model.fit(images, ["HC", "HC", "ALS", "ALS"]).predict_proba(images).shape
    (4, 2)
    """

    _parameter_constraints = ImageClassifier._parameter_constraints | {
        "backbone": [str],  # by name, which check_backbone_name knows
        "depth": [Interval(Integral, 1, None, closed="left"), None],
        "width": [Interval(Real, 0, None, closed="neither")],
        "stochastic_depth": [Interval(Real, 0, 1, closed="left"), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        backbone="vit_b_16",
        *,
        weights="IMAGENET1K_V1",
        depth=None,
        width=1.0,
        stochastic_depth=None,
        dropout=0.0,
        freeze=None,
        loss="cross_entropy",
        gamma=2.0,
        label_smoothing=0.0,
        class_weight=None,
        class_weight_beta=0.999,
        oversample=None,
        spec_augment=0.0,
        spec_augment_width=0.125,
        spec_augment_masks=2,
        horizontal_flip=0.0,
        vertical_flip=0.0,
        rotation=0.0,
        color_jitter=0.0,
        translation=0.0,
        mixup=0.0,
        cutmix=0.0,
        n_tta=1,
        optimizer="adamw",
        lr=1e-4,
        momentum=0.9,
        weight_decay=0.01,
        lr_schedule="cosine",
        warmup_epochs=0,
        max_epochs=30,
        batch_size=16,
        early_stopping=False,
        validation_fraction=0.2,
        patience=5,
        callbacks=None,
        device="auto",
        mixed_precision="auto",
        cache=None,
        random_state=None,
        verbose=0,
    ):
        self.backbone = backbone
        self.weights = weights
        self.depth = depth
        self.width = width
        self.stochastic_depth = stochastic_depth
        self.dropout = dropout
        self.freeze = freeze
        self.loss = loss
        self.gamma = gamma
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.class_weight_beta = class_weight_beta
        self.oversample = oversample
        self.spec_augment = spec_augment
        self.spec_augment_width = spec_augment_width
        self.spec_augment_masks = spec_augment_masks
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rotation = rotation
        self.color_jitter = color_jitter
        self.translation = translation
        self.mixup = mixup
        self.cutmix = cutmix
        self.n_tta = n_tta
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
        self.mixed_precision = mixed_precision
        self.cache = cache
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_backbone_name(self.backbone)

    def _module(self, arrays: Arrays, n_classes: int, seed: int) -> tuple[type, dict[str, Any]]:
        return BackboneModule, {
            "n_classes": n_classes,
            "backbone": self.backbone,
            "weights": self.weights,
            "freeze": self.freeze,
            "depth": self.depth,
            "width": self.width,
            "image_size": arrays["X"].shape[2:],
            "stochastic_depth": self.stochastic_depth,
            "dropout": self.dropout,
        }
